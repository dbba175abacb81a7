"""The model card: what a model file's header says, laid out to be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from painn_ase.elements import SYMBOLS
from painn_ase.potential import quantities_of
from painn_ase.quantities import QUANTITIES
from painn_ase.spec import HeadsSpec, ModelSpec, NetworkSpec, PaiNNSpec, SchNetSpec, SO3netSpec

__all__ = ["model_card", "print_card"]

#: Entries of a training's provenance that nobody reads on a card.
_LONG = ("config", "split.indices")
#: Elements of one reference energy that are named; of more only the number is.
_MANY = 6


def model_card(source: str, spec: ModelSpec) -> RenderableType:
    """A rich renderable of `spec`, read from `source`."""
    sections: list[RenderableType] = [f"[bold]{escape(spec.name or source)}[/bold]"]
    if spec.description:
        sections.append(escape(spec.description))
    sections += [
        "",
        _table(_model_rows(spec)),
        "\n[bold]Network[/bold]",
        _table(_network_rows(spec.representation)),
        "\n[bold]Gives[/bold]",
        _quantities(spec.heads),
    ]
    if spec.heads.energy is not None and spec.heads.energy.reference_energies:
        sections += ["\n[bold]Reference energies, eV[/bold]", _table(_reference_rows(spec))]
    if spec.provenance:
        sections += ["\n[bold]Where it comes from[/bold]", _table(_provenance(spec.provenance))]
    return Group(*sections)


def print_card(source: str, spec: ModelSpec) -> None:
    """Print the model card to standard output."""
    Console(highlight=False).print(model_card(source, spec))


def _table(rows: Iterator[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(f"  {escape(key)}", escape(value))
    return table


def _model_rows(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    yield "elements", " ".join(SYMBOLS[z] for z in spec.elements)
    yield "heads", ", ".join(_head(spec.heads, name) for name in spec.heads.names)
    yield "total charge", f"{spec.total_charge:g} e"
    yield "licence", spec.licence or "not stated"
    yield "cite", spec.citation or "not stated"
    yield "written by", f"painn_ase {spec.code_version}" if spec.code_version else "unknown"


def _head(heads: HeadsSpec, name: str) -> str:
    """A head's name with its kind, where it has kinds."""
    kind = getattr(getattr(heads, name), "kind", "")
    return f"{name} ({kind.replace('_', ' ')})" if kind else name


def _network_rows(spec: NetworkSpec) -> Iterator[tuple[str, str]]:
    yield "kind", spec.kind
    yield "cutoff", f"{spec.cutoff:g} Å, {spec.cutoff_function}"
    yield "features", str(spec.n_features)
    shared = ", shared" if getattr(spec, "shared_interactions", False) else ""
    yield "interactions", f"{spec.n_interactions}{shared}"
    yield "radial basis", f"{spec.n_rbf} {spec.radial_basis} functions"
    if isinstance(spec, PaiNNSpec):
        hidden = " → ".join(map(str, spec.filter_hidden)) or "linear"
        yield "filters", hidden + (", shared" if spec.shared_filters else "")
    if isinstance(spec, SchNetSpec):
        yield "filters", str(spec.n_filters or spec.n_features)
    if isinstance(spec, SO3netSpec):
        yield "degrees", f"0 to {spec.lmax}"


def _quantities(heads: HeadsSpec) -> Table:
    """What the calculator can give with these heads, in which unit and shape."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    given = quantities_of(heads)
    for quantity in QUANTITIES.values():
        if quantity.name in given:
            shape = "(" + ", ".join(map(str, quantity.shape)) + ")" if quantity.shape else "scalar"
            table.add_row(f"  {quantity.name}", escape(quantity.unit), shape)
    return table


def _reference_rows(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """One row a value: the hundred equal ones of an imported model stand together."""
    energy = spec.heads.energy
    if energy is None:
        return
    together: dict[str, list[str]] = {}
    for z, value in zip(spec.elements, energy.reference_energies, strict=True):
        together.setdefault(f"{value:.6f}", []).append(SYMBOLS[z])
    for energy_text, symbols in together.items():
        named = " ".join(symbols)
        if len(symbols) > _MANY:
            named = f"{symbols[0]} to {symbols[-1]}, {len(symbols)} elements"
        yield named, energy_text


def _provenance(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Rows of a nested dictionary, keys joined with dots, what is long or empty left out."""
    for key, value in data.items():
        path = f"{prefix}{key}"
        if path in _LONG:
            yield path, "(see `painn-ase info --json`)"
        elif isinstance(value, Mapping) and "mae" in value and "rmse" in value:
            unit = value.get("unit", "")
            yield path, f"MAE {value['mae']:.4g}, RMSE {value['rmse']:.4g} {unit}".rstrip()
        elif isinstance(value, Mapping):
            yield from _provenance(value, f"{path}.")
        elif isinstance(value, list) and len(value) > 8:
            yield path, f"{', '.join(map(str, value[:4]))}, … ({len(value)} values)"
        elif isinstance(value, list):
            yield path, ", ".join(map(str, value))
        elif isinstance(value, float):
            yield path, f"{value:.6g}"
        elif value is not None:
            yield path, str(value)

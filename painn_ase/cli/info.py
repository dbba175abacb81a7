"""``painn-ase info``: what is installed here, and what a model file says about itself."""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import typer

from painn_ase._version import __version__
from painn_ase.cli.outputs import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from painn_ase.kernels import BackendStatus

__all__ = ["Environment", "Package", "info", "read_environment"]

#: What the core needs, by distribution name.
CORE = (
    "ase",
    "torch",
    "numpy",
    "scipy",
    "matscipy",
    "h5py",
    "safetensors",
    "matplotlib",
    "typer",
    "rich",
    "pyyaml",
)
#: Optional distribution → what it is for, and how to install it.
OPTIONAL = {
    "torch-scatter": (
        "alternative aggregation",
        "pip install --no-build-isolation torch-scatter   (after torch)",
    ),
    "lightning": ("training", "pip install 'painn_ase[train]'"),
    "ipi": ("path integrals by i-PI", "pip install 'painn_ase[ipi]'"),
    "metatomic-torch": ("export to metatomic", "pip install 'painn_ase[metatomic]'"),
    "pyscf": ("labels for training", "pip install 'painn_ase[label]'"),
    "tensorboard": ("training logs", "pip install 'painn_ase[train]'"),
    "hypothesis": ("tests", "pip install 'painn_ase[test]'"),
    "pytest": ("tests", "pip install 'painn_ase[test]'"),
}


@dataclass(frozen=True)
class Package:
    """One distribution: its version, or None where it is not installed.

    Attributes
    ----------
    name : str
    version : str or None
    purpose, install : str
        What an optional package is for and the command that installs it; empty for core ones.
    """

    name: str
    version: str | None
    purpose: str = ""
    install: str = ""


@dataclass(frozen=True)
class Environment:
    """What calculations here run on.

    Attributes
    ----------
    painn_ase, python, system : str
        Versions and the machine's description.
    cpus : int
        Cores this process may use.
    torch_threads : int
        Threads torch uses for one operation.
    cuda : tuple of str
        Names of the CUDA devices; empty for none.
    cuda_remark : str
        Why there is no CUDA device; empty where there is one.
    backends : tuple of BackendStatus
    core, optional : tuple of Package
    models : tuple of str
        Names of the bundled models.
    """

    painn_ase: str
    python: str
    system: str
    cpus: int
    torch_threads: int
    cuda: tuple[str, ...]
    cuda_remark: str
    backends: tuple[BackendStatus, ...]
    core: tuple[Package, ...]
    optional: tuple[Package, ...]
    models: tuple[str, ...]


def info(
    file: str | None = typer.Argument(
        None,
        metavar="[FILE]",
        help="A model file, a committee's folder, or the name of a bundled model. Without it: what "
        "is installed here.",
        show_default=False,
    ),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Show what is installed and what is missing, or what a model file holds.

    The model card names architecture, elements, heads, units, reference energies, training data
    and its errors, licence and citation. Nothing in the file is executed.
    """
    if file is None:
        environment = read_environment()
        if as_json:
            print_json(dataclasses.asdict(environment))
        else:
            _print_environment(environment)
            typer.echo("\nnext: painn-ase info MODEL tells what a model knows")
        return
    from painn_ase.models import read_model_spec
    from painn_ase.models.catalog import find_models

    members = find_models(file)
    spec = read_model_spec(members[0])
    if as_json:
        print_json(dataclasses.asdict(spec))
    else:
        from painn_ase.cli.card import print_card

        print_card(file, spec)
        if len(members) > 1:
            typer.echo(
                f"\nA committee of {len(members)}; this is the card of the first. Files: "
                f"{', '.join(str(path) for path in members)}"
            )
        typer.echo(
            f"\nnext: painn-ase harmonic {file} STRUCTURE, or painn-ase doctor {file} STRUCTURE"
        )


def read_environment() -> Environment:
    """What this process finds around it."""
    import torch

    from painn_ase.kernels import available_backends

    devices, remark = _cuda()
    return Environment(
        painn_ase=__version__,
        python=platform.python_version(),
        system=platform.platform(),
        cpus=_cpus(),
        torch_threads=torch.get_num_threads(),
        cuda=devices,
        cuda_remark=remark,
        backends=available_backends(),
        core=tuple(Package(name, _version(name)) for name in CORE),
        optional=tuple(
            Package(name, _version(name), purpose, install)
            for name, (purpose, install) in OPTIONAL.items()
        ),
        models=_bundled_models(),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cuda() -> tuple[tuple[str, ...], str]:
    """Names of the CUDA devices, and why there is none."""
    import torch

    if not torch.backends.cuda.is_built():
        return (), "this torch was built without CUDA"
    if not torch.cuda.is_available():
        return (), "torch finds no CUDA device or driver"
    return tuple(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())), ""


def _bundled_models() -> tuple[str, ...]:
    from painn_ase.models import bundled_committees, bundled_models

    return (*bundled_models(), *bundled_committees())


def _rows() -> Table:
    """An unruled table of two or three columns."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    for _ in range(2):
        table.add_column(overflow="fold")  # commands to copy are folded, never cut
    return table


def _print_environment(environment: Environment) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    rows = _rows()
    rows.add_row("painn_ase", environment.painn_ase)
    rows.add_row("Python", environment.python)
    rows.add_row("System", environment.system)
    threads = environment.torch_threads
    rows.add_row("CPU cores", f"{environment.cpus} (torch uses {threads} thread(s) an operation)")
    rows.add_row("CUDA", ", ".join(environment.cuda) or f"none: {environment.cuda_remark}")
    rows.add_row("Models", ", ".join(environment.models) or "none bundled")
    console.print(rows)

    console.print("\n[bold]Backends[/bold]")
    rows = _rows()
    for backend in environment.backends:
        mark = "[green]yes[/green]" if backend.available else "[yellow]no[/yellow]"
        rows.add_row(f"  {backend.name}", mark, escape(backend.remark))
    console.print(rows)

    console.print("\n[bold]Packages[/bold]")
    rows = _rows()
    for package in environment.core:
        rows.add_row(f"  {package.name}", package.version or "[red]missing[/red]")
    console.print(rows)

    console.print("\n[bold]Optional[/bold]")
    rows = _rows()
    for package in environment.optional:
        missing = f"[yellow]not installed[/yellow]   {escape(package.install)}"
        rows.add_row(f"  {package.name}", package.purpose, package.version or missing)
    console.print(rows)

"""Export to metatomic: one TorchScript file that chemiscope, PLUMED, EON, i-PI and ASE's metatomic
calculator run, with ``energy``, ``painn::dipole`` and ``painn::polarizability``.

Network and heads are traced, so that equations stand in one place; around them is a scripted
module that speaks metatomic's types. Edge vectors come from the engine, which differentiates the
energy by them: forces and stress are its own. Annotations here are read by TorchScript, so they
are in its dialect and not postponed.
"""

import dataclasses
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple  # noqa: UP035  TorchScript's names

import torch
from torch import Tensor, nn

from painn_ase.errors import MissingDependencyError, SpecError, UnsupportedPropertyError
from painn_ase.heads import Placement
from painn_ase.nn.network import Features
from painn_ase.potential import AtomisticPotential
from painn_ase.replacing import replace_file

try:
    from metatensor.torch import Labels, TensorBlock, TensorMap
    from metatomic.torch import (
        AtomisticModel,
        ModelCapabilities,
        ModelMetadata,
        ModelOutput,
        NeighborListOptions,
        System,
    )
except ImportError as error:
    raise MissingDependencyError(
        "exporting a model needs metatomic, which is not installed: pip install "
        "'painn_ase[metatomic]'."
    ) from error

__all__ = ["OUTPUTS", "export_metatomic"]

#: Quantity → metatomic's name of it, unit and components.
OUTPUTS: dict[str, tuple[str, str]] = {
    "energy": ("energy", "eV"),
    "dipole": ("painn::dipole", "e*Angstrom"),
    "polarizability": ("painn::polarizability", "e^2*Angstrom^2/eV"),
}


def export_metatomic(
    potential: AtomisticPotential,
    path: str | Path,
    outputs: Collection[str] | None = None,
    *,
    name: str = "painn_ase model",
) -> tuple[str, ...]:
    """Write `potential` as a metatomic model.

    Parameters
    ----------
    potential : AtomisticPotential
        Its dtype, float32 or float64, is that of the exported model.
    path : str or Path
        Ends in ``.pt``.
    outputs : collection of {"energy", "dipole", "polarizability"}, optional
        All the model has, if not given. A dipole from charges makes the exported model ask its
        engine for the total charge and the masses.
    name : str
        In the file's metadata.

    Returns
    -------
    tuple of str
        What was exported.

    Raises
    ------
    UnsupportedPropertyError
        For an output that the model has no head for.
    SpecError
        For a file of another suffix, and for dipoles from charges of a model of ions.
    """
    path = Path(path)
    if path.suffix != ".pt":
        raise SpecError(f"metatomic models are files .pt; got {path.name!r}.")
    chosen = _chosen(potential, outputs)
    with warnings.catch_warnings():
        # torch.jit is deprecated, but what metatomic's engines load.
        warnings.simplefilter("ignore")
        module = _Exported(potential, chosen).eval()
        model = AtomisticModel(module, _metadata(potential, name), _capabilities(potential, chosen))
        with replace_file(path) as file:
            model.save(file.name)
    return chosen


def _chosen(potential: AtomisticPotential, outputs: Collection[str] | None) -> tuple[str, ...]:
    """The outputs in the table's order, if the model can give them."""
    present = [name for name in OUTPUTS if name in potential.properties]
    wanted = present if outputs is None else list(outputs)
    for name in wanted:
        if name not in OUTPUTS:
            raise UnsupportedPropertyError(
                f"{name!r} cannot be exported to metatomic; outputs are {', '.join(OUTPUTS)}."
            )
        if name not in present:
            raise UnsupportedPropertyError(
                f"this model cannot give {name!r}; it has {', '.join(potential.heads)}. Leave it "
                "out of the outputs, or train a model with that head."
            )
    if not wanted:
        raise UnsupportedPropertyError(
            f"none of {', '.join(OUTPUTS)} is to be exported; this model has "
            f"{', '.join(potential.heads)}."
        )
    if "dipole" in wanted and potential.dipole_has_origin and potential.spec.total_charge:
        raise SpecError(
            f"this model was trained on ions of charge {potential.spec.total_charge:g}, and its "
            "dipole needs the charge, which metatomic takes as 0 where nobody states it: export "
            "without the dipole (--outputs energy,polarizability), or use the calculator here."
        )
    return tuple(name for name in OUTPUTS if name in wanted)


def _capabilities(potential: AtomisticPotential, chosen: Collection[str]) -> Any:
    outputs = {
        OUTPUTS[name][0]: ModelOutput(
            unit=OUTPUTS[name][1],
            sample_kind="atom" if name == "energy" else "system",
            explicit_gradients=[],
            description=f"{name} of painn_ase",
        )
        for name in chosen
    }
    network = potential.spec.representation
    return ModelCapabilities(
        outputs=outputs,
        atomic_types=list(potential.elements),
        interaction_range=network.cutoff * network.n_interactions,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype=str(potential.dtype).removeprefix("torch."),
    )


def _metadata(potential: AtomisticPotential, name: str) -> Any:
    known = {
        field.name: str(value)
        for field in dataclasses.fields(potential.spec)
        if isinstance(value := getattr(potential.spec, field.name), str) and value
    }
    return ModelMetadata(
        name=name,
        description=f"{potential.spec.representation.kind} of painn_ase; dipole in e·Å, "
        "polarizability in e²Å²/eV",
        references={"architecture": ["https://arxiv.org/abs/2102.03150"]},
        extra=known,
    )


class _Network(nn.Module):
    """Atomic features; of a network without vectors, none (n_atoms, 3, 0)."""

    def __init__(self, potential: AtomisticPotential) -> None:
        super().__init__()
        self.representation = potential.representation

    def forward(
        self, element_idx: Tensor, edges: Tensor, idx_i: Tensor, idx_j: Tensor
    ) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        features = self.representation(element_idx, edges, idx_i, idx_j)
        scalars = features.scalars
        if features.vectors is None:
            return scalars, scalars.new_zeros((scalars.shape[0], 3, 0))
        return scalars, features.vectors


class _Head(nn.Module):
    """One quantity from features: per atom (n_atoms, 1) for the energy, else per structure."""

    def __init__(self, potential: AtomisticPotential, name: str) -> None:
        super().__init__()
        self.name, self.head = name, potential.heads[name]
        self.standard_masses = potential.masses_by_element

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor,
        element_idx: Tensor,
        system_idx: Tensor,
        charge: Tensor,
        positions: Tensor,
        masses: Tensor,
    ) -> Tensor:
        if self.name == "energy":
            energies: Tensor = self.head(scalars, element_idx)
            return energies.unsqueeze(-1)
        placement = Placement(
            element_idx=element_idx,
            system_idx=system_idx,
            n_systems=charge.shape[0],
            positions=positions,
            masses=masses,
            standard_masses=self.standard_masses(element_idx),
            charge=charge,
        )
        features = Features(scalars, vectors)
        if self.name == "dipole":
            dipole: Tensor = self.head(features, placement)[0]
            return dipole
        polarizability: Tensor = self.head(features, placement)
        return polarizability


def _traced(potential: AtomisticPotential, name: str) -> Any:
    """Network or head as TorchScript, traced on two small structures of any elements."""
    dtype, n = potential.dtype, 5
    rows = torch.arange(n) % len(potential.elements)
    structure = torch.tensor([0, 0, 0, 1, 1])
    idx_i, idx_j = torch.tensor([0, 1, 0, 2, 3, 4]), torch.tensor([1, 0, 2, 0, 4, 3])
    positions = torch.arange(3.0 * n, dtype=torch.float64).reshape(n, 3).sin()
    edges = (positions[idx_j] - positions[idx_i]).to(dtype)
    network = _Network(potential)
    if name == "network":
        return torch.jit.trace(network, (rows, edges, idx_i, idx_j))
    with torch.no_grad():
        scalars, vectors = network(rows, edges, idx_i, idx_j)
    given = (torch.zeros(2, dtype=torch.float64), positions, torch.ones(n, dtype=torch.float64))
    head = _Head(potential, name)
    return torch.jit.trace(head, (scalars, vectors, rows, structure, *given))


class _Exported(nn.Module):
    """The module metatomic's engines call; scripted, so plain Python of TorchScript's dialect."""

    def __init__(self, potential: AtomisticPotential, chosen: Collection[str]) -> None:
        super().__init__()
        self.cutoff = float(potential.cutoff)
        self.network = _traced(potential, "network")
        # A name that is not exported still needs something that TorchScript can call.
        present = {name: _traced(potential, name) for name in chosen}
        anything = next(iter(present.values()))
        self.energy_head = present.get("energy", anything)
        self.dipole_head = present.get("dipole", anything)
        self.polarizability_head = present.get("polarizability", anything)
        self.register_buffer("element_rows", potential.element_rows.clone(), persistent=True)
        self.element_rows: Tensor
        self.asks_charge = "dipole" in chosen and potential.dipole_has_origin
        heads = potential.heads
        self.lever_arms: List[str] = [  # noqa: UP006
            OUTPUTS[name][0]
            for name in chosen
            if name != "energy" and bool(heads[name].needs_origin)
        ]
        self.lever_arms.append("")  # TorchScript cannot type an empty list

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
        return [NeighborListOptions(cutoff=self.cutoff, full_list=True, strict=True)]

    def requested_inputs(self) -> Dict[str, ModelOutput]:  # noqa: UP006
        inputs: Dict[str, ModelOutput] = {}  # noqa: UP006
        if self.asks_charge:
            inputs["charge"] = ModelOutput(unit="e", sample_kind="system")
            inputs["mass"] = ModelOutput(unit="u", sample_kind="atom")
        return inputs

    def _refuse(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels],  # noqa: UP045
    ) -> None:
        """What lever arms from an origin cannot be computed for."""
        for name in self.lever_arms:
            if name not in outputs:
                continue
            if selected_atoms is not None:
                raise ValueError(
                    name + " of this model has lever arms from the centre of the whole structure: "
                    "it cannot be computed for selected atoms."
                )
            for system in systems:
                if bool(torch.any(system.pbc)):
                    raise ValueError(
                        name + " of this model uses positions as lever arms, which have no meaning "
                        "in a periodic cell. Use a model whose head is 'local'."
                    )

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels],  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        results: Dict[str, TensorMap] = {}  # noqa: UP006
        if len(systems) == 0 or len(outputs) == 0:
            return results
        self._refuse(systems, outputs, selected_atoms)
        device, dtype = systems[0].positions.device, systems[0].positions.dtype
        options = self.requested_neighbor_lists()[0]
        types: List[Tensor] = []  # noqa: UP006
        edges: List[Tensor] = []  # noqa: UP006
        first: List[Tensor] = []  # noqa: UP006
        second: List[Tensor] = []  # noqa: UP006
        owner: List[Tensor] = []  # noqa: UP006
        within: List[Tensor] = []  # noqa: UP006
        positions: List[Tensor] = []  # noqa: UP006
        masses: List[Tensor] = []  # noqa: UP006
        charges: List[Tensor] = []  # noqa: UP006
        offset = 0
        for k, system in enumerate(systems):
            n = len(system)
            neighbors = system.get_neighbor_list(options)
            pairs = neighbors.samples.values.to(torch.int64)
            types.append(system.types.to(torch.int64))
            edges.append(neighbors.values.squeeze(-1))
            first.append(pairs[:, 0] + offset)
            second.append(pairs[:, 1] + offset)
            owner.append(torch.full((n,), k, dtype=torch.int64, device=device))
            within.append(torch.arange(n, device=device))
            positions.append(system.positions.to(torch.float64))
            if self.asks_charge:
                charge = system.get_data("charge").block().values
                charges.append(charge.reshape(1).to(torch.float64))
                mass = system.get_data("mass").block().values
                masses.append(mass.reshape(n).to(torch.float64))
            else:
                charges.append(torch.zeros(1, dtype=torch.float64, device=device))
                masses.append(torch.ones(n, dtype=torch.float64, device=device))
            offset += n
        rows = self.element_rows[torch.cat(types)]
        system_idx, atom_idx = torch.cat(owner), torch.cat(within)
        scalars, vectors = self.network(rows, torch.cat(edges), torch.cat(first), torch.cat(second))
        charge_all, place, mass_all = torch.cat(charges), torch.cat(positions), torch.cat(masses)
        if selected_atoms is not None:
            starts = torch.zeros(len(systems), dtype=torch.int64, device=device)
            counts = torch.bincount(system_idx, minlength=len(systems))
            starts[1:] = torch.cumsum(counts, 0)[:-1]
            asked = selected_atoms.values.to(torch.int64)
            chosen = starts[asked[:, 0]] + asked[:, 1]
            scalars, vectors, rows = scalars[chosen], vectors[chosen], rows[chosen]
            system_idx, atom_idx = system_idx[chosen], atom_idx[chosen]
            place, mass_all = place[chosen], mass_all[chosen]
        if selected_atoms is None:
            numbers = torch.arange(len(systems), device=device)
        else:
            numbers = torch.unique(system_idx)
        whole = Labels("system", numbers.to(torch.int32).unsqueeze(-1))
        given = (scalars, vectors, rows, system_idx, charge_all, place, mass_all)
        if "energy" in outputs:
            energies = self.energy_head(*given)
            if outputs["energy"].sample_kind == "atom":
                each = torch.stack((system_idx, atom_idx), dim=1).to(torch.int32)
                samples = Labels(["system", "atom"], each)
            else:
                summed = torch.zeros((len(systems), 1), dtype=energies.dtype, device=device)
                energies = summed.index_add(0, system_idx, energies)[numbers]
                samples = whole
            results["energy"] = _tensor_map(energies.to(dtype), samples, "energy", 0)
        if "painn::dipole" in outputs:
            dipole = self.dipole_head(*given)[numbers].to(dtype)
            results["painn::dipole"] = _tensor_map(dipole.unsqueeze(-1), whole, "dipole", 1)
        if "painn::polarizability" in outputs:
            alpha = self.polarizability_head(*given)[numbers].to(dtype)
            results["painn::polarizability"] = _tensor_map(
                alpha.unsqueeze(-1), whole, "polarizability", 2
            )
        return results


def _tensor_map(values: Tensor, samples: Labels, name: str, n_axes: int) -> TensorMap:
    """One block, with `n_axes` Cartesian components."""
    device = values.device
    xyz = torch.arange(3, dtype=torch.int32, device=device).unsqueeze(-1)
    axes: List[Labels] = []  # noqa: UP006
    if n_axes == 1:
        axes.append(Labels("xyz", xyz))
    if n_axes == 2:
        axes.append(Labels("xyz_1", xyz))
        axes.append(Labels("xyz_2", xyz))
    zero = torch.zeros((1, 1), dtype=torch.int32, device=device)
    block = TensorBlock(
        values=values, samples=samples, components=axes, properties=Labels(name, zero)
    )
    return TensorMap(keys=Labels("_", zero), blocks=[block])

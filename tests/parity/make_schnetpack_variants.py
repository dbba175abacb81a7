"""Write SchNetPack models of many kinds, and what SchNetPack says they predict.

Run with a Python that has SchNetPack 2.2.0::

    PYTHON_WITH_SCHNETPACK tests/parity/make_schnetpack_variants.py FOLDER
    PAINN_ASE_SCHNETPACK_VARIANTS=FOLDER python -m pytest tests/parity/test_schnetpack_variants.py

Weights are random (seeded); models are built from SchNetPack's own modules, evaluated by its own
converter in float64, and saved with ``torch.save`` in their own precision.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import schnetpack
import torch
from ase import units
from ase.build import bulk, molecule
from schnetpack import atomistic, nn, representation, transform
from schnetpack.interfaces.ase_interface import AtomsConverter
from schnetpack.model import NeuralNetworkPotential

N = 24
UNITS = {
    "energy_unit": "eV",
    "length_unit": "Angstrom",
    "dipole_unit": "e*Angstrom",
    "polarizability_unit": "e^2*Angstrom^2/eV",
}


def painn(basis: torch.nn.Module, cutoff: float, **options: Any) -> torch.nn.Module:
    return representation.PaiNN(
        n_atom_basis=N,
        n_interactions=options.pop("n_interactions", 3),
        radial_basis=basis,
        cutoff_fn=nn.CosineCutoff(cutoff),
        **options,
    )


def potential(
    network: torch.nn.Module,
    energy: dict[str, Any] | None = None,
    post: Any = (),
    stress: bool = True,
) -> NeuralNetworkPotential:
    inputs = [atomistic.Strain()] if stress else []
    return NeuralNetworkPotential(
        network,
        input_modules=[*inputs, atomistic.PairwiseDistances()],
        output_modules=[
            atomistic.Atomwise(n_in=N, output_key="energy", **(energy or {})),
            atomistic.Forces(calc_stress=stress),
            atomistic.DipoleMoment(n_in=N, use_vector_representation=True, return_charges=True),
            atomistic.Polarizability(n_in=N, n_hidden=7),
        ],
        postprocessors=list(post),
    )


def atomrefs() -> torch.Tensor:
    values = torch.zeros(100)
    values[[1, 6, 8]] = torch.tensor([-13.587, -1029.86, -2042.61])
    return values


def variants() -> dict[str, tuple[NeuralNetworkPotential, dict[str, str]]]:
    """Models by name, each with its units."""
    gaussians, bessel, centered = nn.GaussianRBF, nn.BesselRBF, nn.GaussianRBFCentered
    trained = gaussians(15, 4.3, start=0.4, trainable=True)
    torch.nn.init.uniform_(trained.widths, 0.2, 0.5)
    bohr = {"length_unit": "Bohr", "energy_unit": "Hartree", "dipole_unit": "e*Bohr"}
    offsets = transform.AddOffsets(
        "energy",
        add_mean=True,
        add_atomrefs=True,
        atomrefs=atomrefs(),
        property_mean=torch.tensor(-3.25, dtype=torch.float64),
    )
    scales = [
        transform.ScaleProperty(key, scale=torch.tensor([0.37]))
        for key in ("energy", "forces", "stress")
    ]
    return {
        "gaussian": (potential(painn(gaussians(20, 4.3), 4.3)), {}),
        "gaussian_trained": (potential(painn(trained, 4.3)), {}),
        "gaussian_centered": (potential(painn(centered(10, 4.3), 4.3)), {}),
        "bessel": (potential(painn(bessel(12, 4.3), 4.3)), {}),
        "shared_filters": (potential(painn(bessel(8, 4.0), 4.0, shared_filters=True)), {}),
        "shared_interactions": (
            potential(painn(gaussians(8, 4.0), 4.0, shared_interactions=True)),
            {},
        ),
        "all_shared": (
            potential(painn(gaussians(8, 4.0), 4.0, shared_interactions=True, shared_filters=True)),
            {},
        ),
        "one_block": (potential(painn(gaussians(8, 4.0), 4.0, n_interactions=1)), {}),
        "epsilon": (potential(painn(gaussians(8, 4.0), 4.0, epsilon=1e-5)), {}),
        "deep_energy": (
            potential(painn(gaussians(8, 4.0), 4.0), {"n_layers": 4, "n_hidden": [9, 8, 7]}),
            {},
        ),
        "linear_energy": (potential(painn(gaussians(8, 4.0), 4.0), {"n_layers": 1}), {}),
        "per_atom_energy": (
            potential(painn(gaussians(8, 4.0), 4.0), {"per_atom_output_key": "e_i"}),
            {},
        ),
        "offsets": (
            potential(painn(gaussians(8, 4.0), 4.0), post=[transform.CastTo64(), offsets]),
            {"energy_unit": "kcal/mol"},
        ),
        "scaled": (potential(painn(gaussians(8, 4.0), 4.0), post=scales), {}),
        "scaled_then_offset": (
            potential(painn(gaussians(8, 4.0), 4.0), post=[*deepcopy(scales), deepcopy(offsets)]),
            {},
        ),
        "offset_then_scaled": (
            potential(painn(gaussians(8, 4.0), 4.0), post=[deepcopy(offsets), *deepcopy(scales)]),
            {},
        ),
        "bohr_gaussian": (potential(painn(gaussians(14, 7.5), 7.5)), bohr),
        "bohr_bessel": (potential(painn(bessel(9, 7.5), 7.5)), bohr),
        "no_stress": (potential(painn(bessel(9, 4.0), 4.0), stress=False), {}),
    }


def structures() -> dict[str, Any]:
    """An isolated molecule and a small crystal whose cutoff reaches over several images."""
    chance = np.random.default_rng(5)
    crystal = bulk("C", "diamond", a=3.6).repeat((1, 1, 2))
    crystal.numbers[1] = 8
    found = {"ethanol": molecule("CH3CH2OH"), "crystal": crystal}
    for atoms in found.values():
        atoms.positions += chance.normal(scale=0.05, size=atoms.positions.shape)
    return found


def predicted(model: NeuralNetworkPotential, atoms: Any, length: float) -> dict[str, np.ndarray]:
    """SchNetPack's outputs in the model's own units, for a structure in Å."""
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell / length)
    atoms.positions /= length
    converter = AtomsConverter(
        transform.ASENeighborList(float(model.representation.cutoff)), dtype=torch.float64
    )
    result = model(converter(atoms))
    return {name: value.detach().numpy() for name, value in result.items()}


def write(folder: Path) -> None:
    """All variants: NAME.model, and NAME.npz with SchNetPack's outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(11)
    for name, (model, changed) in variants().items():
        model.eval()
        for bias in (p for n, p in model.named_parameters() if n.endswith("bias")):
            torch.nn.init.uniform_(bias, -0.3, 0.3)
        torch.save(model, folder / f"{name}.model")
        names = UNITS | changed
        arrays = {f"units:{k}": v for k, v in names.items()}
        double = deepcopy(model).double()
        for label, atoms in structures().items():
            length = units.Bohr if names["length_unit"] == "Bohr" else 1.0
            values = predicted(double, atoms, length)
            arrays |= {f"{label}:{key}": value for key, value in values.items()}
            arrays |= {
                f"{label}:numbers": atoms.numbers,
                f"{label}:positions": atoms.positions,
                f"{label}:cell": atoms.cell.array,
                f"{label}:pbc": atoms.pbc,
            }
        np.savez(folder / f"{name}.npz", schnetpack=schnetpack.__version__, **arrays)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

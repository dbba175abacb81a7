"""Predictions in ASE's shapes, and velocities on their way to a potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from painn_ase.errors import GeometryError, NonFiniteError
from painn_ase.graph import neighbor_pairs
from painn_ase.potential import SPREAD_QUANTITIES, Prediction, mean_and_spread

__all__ = ["check_finite", "mean_of_steps", "to_ase", "velocities_of"]

#: Quantities with one row per structure, which a calculator of one structure drops.
_PER_SYSTEM = frozenset(
    {
        "energy",
        "stress",
        "dipole",
        "dipole_magnitude",
        "dipole_flux",
        "polarizability",
        "polarizability_flux",
    }
)


def _squeeze(array: NDArray[Any], name: str) -> Any:
    """`array` of a batch of one in ASE's shape: energies as float, stress in Voigt order."""
    if name.removesuffix("_std") in _PER_SYSTEM:
        array = array[0]
    if name == "stress":
        return full_3x3_to_voigt_6_stress(array)
    return float(array) if array.ndim == 0 else array


def to_ase(members: Sequence[Prediction], atoms: Atoms) -> dict[str, Any]:
    """Results of one structure as float64 NumPy in ASE's shapes, mean and spread of the members.

    Raises
    ------
    GeometryError, NonFiniteError
        If a result is not a number.
    """
    mean, spread = mean_and_spread(members)
    values = {**mean.present(), **spread}
    results = {k: _squeeze(v.cpu().numpy(), k) for k, v in values.items()}
    if "energy" in results:
        results["free_energy"] = results["energy"]
    check_finite(results, atoms)
    return results


def mean_of_steps(
    answers: Sequence[Mapping[str, NDArray[np.float64]]],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Means of members' lean steps, and the spread of energy and forces in ASE's shapes."""
    stacked = {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}
    mean = {name: values.mean(axis=0) for name, values in stacked.items()}
    spread: dict[str, Any] = {
        f"{name}_std": _squeeze(stacked[name].std(axis=0, ddof=1), name)
        for name in SPREAD_QUANTITIES
        if name in stacked
    }
    return mean, spread


def check_finite(results: Mapping[str, Any], atoms: Atoms) -> None:
    """Refuse results that are not numbers.

    Raises
    ------
    GeometryError, NonFiniteError
        The first one's cause: coincident atoms, or the model's own doing.
    """
    for name, value in results.items():
        if not np.isfinite(value).all():
            raise _non_finite(name, atoms)


def _non_finite(name: str, atoms: Atoms) -> Exception:
    """The error for a result that is not a number: coincident atoms, or the model's own doing."""
    try:
        # Pairs kept since an earlier step were not looked at again; a new search is.
        neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff=0.1)
    except GeometryError as error:
        return error
    return NonFiniteError(
        f"{name} came out NaN or infinite for {atoms.get_chemical_formula()}. The structure is "
        "probably far outside what the model was trained on: look at it, and in a simulation go "
        "back to an earlier frame and use a shorter time step."
    )


def velocities_of(
    atoms: Atoms, velocities: NDArray[np.float64] | None, device: torch.device
) -> torch.Tensor:
    """Velocities (n_atoms, 3) on a device: those given, else the structure's.

    Raises
    ------
    GeometryError
        When they are no finite numbers of that shape.
    """
    values = atoms.get_velocities() if velocities is None else np.asarray(velocities, dtype=float)
    if values.shape != (len(atoms), 3) or not np.isfinite(values).all():
        raise GeometryError(
            f"velocities must be finite numbers of shape ({len(atoms)}, 3); got shape "
            f"{values.shape}. Set them with atoms.set_velocities or pass velocities=…"
        )
    return torch.tensor(values, dtype=torch.float64, device=device)

"""The HDF5 files of SchNetPack's molecular dynamics: positions, velocities and properties.

SchNetPack's own units are nm, ps, kJ/mol and Da (schnetpack.units); those of properties that a
model adds, as the dipole's, are the model's and not in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.optional import errors_named
from painn_ase.trajectory.raw import RawChannel, RawSeries
from painn_ase.trajectory.typed import attribute, check_type

__all__ = ["is_schnetpack_md", "read_schnetpack_md"]

_PROPERTIES = {
    "dipole_moment": ("dipole", (3,)),
    "dipole": ("dipole", (3,)),
    "polarizability": ("polarizability", (3, 3)),
}


def is_schnetpack_md(path: Path) -> bool:
    """Whether an HDF5 file has the dataset `molecules` with SchNetPack's attributes."""
    try:
        with h5py.File(path, "r") as file:
            molecules = file.get("molecules")
            return isinstance(molecules, h5py.Dataset) and "atom_types" in molecules.attrs
    except Exception:  # damaged HDF5 raises a dozen kinds; another reader will say so
        return False


def read_schnetpack_md(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """A run of one molecule of SchNetPack's MD; several molecules or replicas are refused."""
    with errors_named(path, "a SchNetPack MD file"), h5py.File(path, "r") as file:
        molecules = _dataset(file, "molecules")
        n_frames = min(int(attribute(molecules, "entries")), molecules.shape[0])
        n_replicas = int(attribute(molecules, "n_replicas"))
        n_molecules = int(attribute(molecules, "n_molecules"))
        numbers = np.atleast_1d(attribute(molecules, "atom_types")).astype(np.int64)
        if n_molecules != 1:
            raise TrajectoryError(
                f"{path} holds {n_molecules} molecules; runs of one molecule can be read."
            )
        if n_replicas != 1:
            raise TrajectoryError(
                f"{path} holds {n_replicas} replicas. They may be independent runs or the beads of "
                "a ring polymer; the file does not say. Save what is independent as an .npz with "
                "`dipole` (n_runs, n_frames, 3) and `timestep`, and read that."
            )
        if n_frames < 1:
            raise TrajectoryError(f"{path} holds no frame yet.")
        values = np.asarray(molecules[:n_frames, 0], dtype=np.float64)
        channels = _structure(path, molecules, values, len(numbers))
        if "properties" in file:
            channels |= _properties(path, _dataset(file, "properties"), n_frames)
        masses = np.atleast_1d(attribute(molecules, "masses")).astype(np.float64)
        step = float(attribute(molecules, "time_step"))
        flags = [bool(b) for b in np.atleast_1d(attribute(molecules, "pbc")).reshape(-1)[:3]]
    return RawSeries(
        f"SchNetPack MD file {path.name}",
        channels,
        timestep=step,
        time_unit="ps",
        time_origin="attribute 'time_step' in SchNetPack's ps",
        numbers=numbers,
        masses=masses,
        pbc=(flags[0], flags[1], flags[2]) if len(flags) == 3 else None,
    )


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise TrajectoryError(f"{file.filename}: {name} is no dataset of this file.")
    check_type(dataset.dtype, name)
    return dataset


def _structure(
    path: Path, molecules: Any, values: NDArray[np.float64], n_atoms: int
) -> dict[str, RawChannel]:
    """Positions, velocities and cells out of the rows: energy, 3N, 3N, cell, stress."""
    n_frames, width = values.shape
    moving = bool(attribute(molecules, "has_velocities"))
    celled = bool(attribute(molecules, "has_cells"))
    needed = 3 * n_atoms * (1 + moving) + 18 * celled
    if width - needed not in (0, 1):  # older files have no energy in front
        raise TrajectoryError(f"{path}: rows of {width} numbers do not fit {n_atoms} atoms.")
    at = width - needed
    said = "SchNetPack's internal units"
    block = (n_frames, n_atoms, 3)
    channels = {
        "positions": RawChannel(values[..., at : at + 3 * n_atoms].reshape(block), "nm", said)
    }
    at += 3 * n_atoms
    if moving:
        channels["velocities"] = RawChannel(
            values[..., at : at + 3 * n_atoms].reshape(block), "nm/ps", said
        )
        at += 3 * n_atoms
    if celled:
        cells = values[..., at : at + 9].reshape(n_frames, 3, 3)
        channels["cell"] = RawChannel(cells, "nm", said)
    return channels


def _properties(path: Path, properties: Any, n_frames: int) -> dict[str, RawChannel]:
    positions = json.loads(str(attribute(properties, "positions")))
    channels = {}
    for name, (quantity, shape) in _PROPERTIES.items():
        if name in positions and quantity not in channels:
            first, last = (int(n) for n in positions[name])
            values = np.asarray(properties[:n_frames, 0, first:last], dtype=np.float64)
            if values.shape[1] != int(np.prod(shape)) or len(values) != n_frames:
                raise TrajectoryError(f"{path}: {name} has frames of shape {values.shape[1:]}.")
            channels[quantity] = RawChannel(
                values.reshape(-1, *shape),
                None,
                f"property '{name}', in the unit of the model that ran",
            )
    return channels

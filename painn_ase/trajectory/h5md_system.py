"""What an H5MD file says of its system: atoms, cell, charge, constraints, replicas and beads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.channels import channel_factor
from painn_ase.trajectory.constraints import constraints_of
from painn_ase.trajectory.formats.mdanalysis import elements_of_topology
from painn_ase.trajectory.hdf5 import as_text, dataset_at, group_at, whole_of
from painn_ase.trajectory.system import System
from painn_ase.trajectory.typed import attribute

__all__ = ["particle_group", "read_system"]


def read_system(
    file: h5py.File,
    group: h5py.Group,
    path: Path,
    unit_of_cell: Callable[[h5py.Dataset], str | None],
    topology: Path | None = None,
) -> tuple[System, NDArray[np.float64] | None, bool]:
    """The system of an H5MD file, and what is not sure of it.

    That is the cell whose unit nobody says, vectors as rows, and whether elements are the species
    of another program, which may be its types.

    Parameters
    ----------
    file, group
        The file, and its particles.
    path : Path
        For messages.
    unit_of_cell : callable
        The unit of the dataset of the cell's edges.
    topology : Path, optional
        File with the elements, where this one is not ours and has none, or types.

    Raises
    ------
    TrajectoryError
        For what is missing, or cannot be.
    """
    record = group_at(file, "parameters/painn_ase")
    numbers, known_masses, loose = _species(group, path, topology if record is None else None)
    copies = None
    if record is not None and (claimed := attribute(record, "n_replicas")) is not None:
        copies = int(claimed)
        if copies < 1 or len(numbers) % copies:
            raise TrajectoryError(f"{path}: {len(numbers)} atoms in {copies} replicas.")
    masses = (
        np.atleast_1d(whole_of(dataset_at(group, "mass"))).astype(np.float64)
        if "mass" in group
        else known_masses
    )
    if masses.shape != numbers.shape:
        raise TrajectoryError(f"{path}: {len(masses)} masses for {len(numbers)} atoms.")
    if not (np.isfinite(masses) & (masses >= 0)).all():
        raise TrajectoryError(f"{path}: masses must be positive numbers.")
    n_atoms = len(numbers) // (copies or 1)
    box = group_at(group, "box")
    if box is None:
        raise TrajectoryError(f"{path}: '{group.name}/box' is missing.")
    boundary = [str(as_text(b)) for b in np.atleast_1d(attribute(box, "boundary", ()))]
    if len(boundary) != 3:
        raise TrajectoryError(f"{path}: boundary {boundary} is not three-dimensional.")
    pbc = tuple(b == "periodic" for b in boundary)
    cell, unscaled = _cell(box, record, path, unit_of_cell)
    system = System(
        numbers=numbers[:n_atoms],
        masses=masses[:n_atoms],
        cell=cell,
        pbc=(pbc[0], pbc[1], pbc[2]),
        n_replicas=copies,
        n_beads=_beads(record),
        charge=_read_charge(record),
        constraints=_read_constraints(record),
    )
    return system, unscaled, loose and record is None


def _species(
    group: h5py.Group, path: Path, topology: Path | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], bool]:
    """Atomic numbers, masses in amu, and whether these are species that may be mere types.

    H5MD leaves open what a species is: elements by name, atomic numbers, or an engine's types.
    """
    if topology is not None:
        return *elements_of_topology(topology), False
    along = group_at(group, "species")  # of a file that has them for every frame
    if along is None and "species" not in group:
        raise TrajectoryError(
            f"{path}: '{group.name}/species' is missing, so the elements are unknown. Name a file "
            "that has them (--topology, `topology=` in Python)."
        )
    if along is None:
        dataset = dataset_at(group, "species")
        species = np.atleast_1d(whole_of(dataset))
    else:
        dataset = dataset_at(along, "value")
        species = np.atleast_1d(dataset[0]) if len(dataset) else np.zeros(0)
    names = h5py.check_enum_dtype(dataset.dtype)
    elements = {v: atomic_numbers[n] for n, v in (names or {}).items() if n in atomic_numbers}
    if names and set(np.unique(species)) <= set(elements):
        species = np.array([elements[value] for value in species.tolist()])
    elif species.ndim != 1 or not len(species) or not np.isin(species, range(1, 119)).all():
        raise TrajectoryError(
            f"{path}: species are not atomic numbers 1..118. Where they are types, name a file "
            "that has the elements (--topology, `topology=` in Python)."
        )
    numbers = species.astype(np.int64)
    masses = np.asarray(Atoms(numbers=numbers).get_masses(), dtype=np.float64)
    return numbers, masses, not names


def _cell(
    box: h5py.Group,
    record: h5py.Group | None,
    path: Path,
    unit_of: Callable[[h5py.Dataset], str | None],
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Cell vectors in Å; those whose unit is not known apart, and zeros in their place."""
    cell = np.zeros((3, 3))
    if record is not None and (vectors := attribute(record, "cell")) is not None:
        cell = np.asarray(vectors, dtype=np.float64).reshape(3, 3)
    # Seen without following a link; a changing cell is a group here.
    if box.get("edges", getlink=True) is not None and group_at(box, "edges") is None:
        edges = dataset_at(box, "edges")
        values = np.asarray(whole_of(edges), dtype=np.float64)
        cell = np.diag(values) if values.shape == (3,) else values.reshape(3, 3)
        if not np.isfinite(cell).all():
            raise TrajectoryError(f"{path}: the cell is not finite.")
        if (unit := unit_of(edges)) is None:
            return np.zeros((3, 3)), cell
        cell = cell * channel_factor(unit, "cell", f"{path}: box/edges")
    if not np.isfinite(cell).all():
        raise TrajectoryError(f"{path}: the cell is not finite.")
    return cell, None


def _beads(record: h5py.Group | None) -> int:
    claimed = 1 if record is None else attribute(record, "n_beads", 1)
    n_beads = int(claimed)
    if n_beads < 1:
        raise TrajectoryError(f"a ring polymer of {n_beads} beads.")
    return n_beads


def _read_charge(record: h5py.Group | None) -> float | None:
    """The total charge, e; None in files of other programs and of version 0.1.0."""
    value = None if record is None else attribute(record, "charge")
    if value is None:
        return None
    if np.size(value) != 1 or not np.isfinite(charge := float(np.asarray(value).reshape(()))):
        raise TrajectoryError(f"the total charge {value!r:.60} is no finite number.")
    return charge


def _read_constraints(record: h5py.Group | None) -> tuple[dict[str, Any], ...]:
    """What held the atoms, looked at but not made yet."""
    if record is None:
        return ()
    text = attribute(record, "constraints")
    if text is None and "constraints" in record:
        text = whole_of(dataset_at(record, "constraints"))
    records = [] if text is None else json.loads(as_text(text))
    constraints_of(records)
    return tuple(records)


def particle_group(file: h5py.File) -> h5py.Group:
    """The particles of the file: the group ``all``, else the only one there is."""
    groups = group_at(file, "particles")
    names = [] if groups is None else list(groups)
    name = "all" if "all" in names or len(names) != 1 else names[0]
    if groups is None or (particles := group_at(groups, name)) is None:
        raise TrajectoryError(
            f"{file.filename}: particle groups {', '.join(names) or 'missing'}; expected one "
            "called 'all'."
        )
    return particles

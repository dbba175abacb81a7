"""Labelled structures in collections: SPICE, QM7-X, ANI, our trajectories, SchNetPack's databases,
DeePMD folders.

Collections whose units their authors have laid down come out in the package's units; what a file
does not say is left to the key map and the units that the user states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms
from ase.db import connect
from numpy.typing import NDArray

from painn_ase.errors import DataError, MissingDependencyError, PaiNNError
from painn_ase.trajectory.formats.optional import need
from painn_ase.trajectory.frames import HDF5_SUFFIXES
from painn_ase.trajectory.reader import TrajectoryReader
from painn_ase.unit_names import KINDS, unit_factor

__all__ = ["Collection", "is_deepmd_folder", "read_collection"]

Array = NDArray[np.float64]
#: A structure and the labels beside it.
Labelled = tuple[Atoms, dict[str, Any]]


@dataclass(frozen=True)
class Collection:
    """What was found.

    Attributes
    ----------
    records : list of (Atoms, dict)
        Labels under the package's names.
    converted : bool
        Whether structures and labels are in the package's units already.
    """

    records: list[Labelled]
    converted: bool


@dataclass(frozen=True)
class _Layout:
    """How a collection names and measures things.

    Attributes
    ----------
    name : str
    mark : str
        Dataset that no other collection has.
    numbers, positions, length : str
    labels : mapping of str to (str, str)
        Label → name in the file, and unit.
    sign : float
        Of the forces: −1 where the file has gradients.
    charges : str or None
        Atomic charges that add up to the total one.
    """

    name: str
    mark: str
    numbers: str
    positions: str
    length: str
    labels: Mapping[str, tuple[str, str]]
    sign: float = 1.0
    charges: str | None = None


#: SPICE: Eastman et al., Sci. Data 10, 11 (2023); QM7-X: Hoja et al., Sci. Data 8, 43 (2021);
#: ANI-1x: Smith et al., Sci. Data 7, 134 (2020); and the README of each.
_LAYOUTS = (
    _Layout(
        "SPICE",
        "dft_total_energy",
        "atomic_numbers",
        "conformations",
        "Bohr",
        {
            "energy": ("dft_total_energy", "Hartree"),
            "forces": ("dft_total_gradient", "Hartree/Bohr"),
            "dipole": ("scf_dipole", "a.u."),
        },
        sign=-1.0,
        charges="mbis_charges",
    ),
    _Layout(
        "QM7-X",
        "atXYZ",
        "atNUM",
        "atXYZ",
        "Angstrom",
        {
            "energy": ("ePBE0+MBD", "eV"),
            "forces": ("totFOR", "eV/Angstrom"),
            "dipole": ("vDIP", "e*Angstrom"),
            "polarizability": ("mTPOL", "a.u."),
        },
    ),
    _Layout(
        "ANI-1x",
        "wb97x_dz.energy",
        "atomic_numbers",
        "coordinates",
        "Angstrom",
        {
            "energy": ("wb97x_dz.energy", "Hartree"),
            "forces": ("wb97x_dz.forces", "Hartree/Angstrom"),
            "dipole": ("wb97x_dz.dipole", "e*Angstrom"),
        },
    ),
)
_NUMBERS = ("atomic_numbers", "numbers", "nuclear_charges", "atNUM", "species", "z", "Z")
_POSITIONS = ("positions", "coordinates", "conformations", "coords", "atXYZ", "geometries", "R")
_USUAL = {
    "energy": ("energy", "energies", "E"),
    "forces": ("forces", "F"),
    "dipole": ("dipole", "dipoles", "dipole_moment", "mu"),
    "polarizability": ("polarizability", "polarizabilities", "alpha"),
    "charge": ("charge", "total_charge"),
}


def read_collection(path: Path, keys: Mapping[str, str]) -> Collection | None:
    """Structures and labels of an HDF5 file or a DeePMD folder; None for other files.

    Parameters
    ----------
    path : Path
    keys : mapping of str to str
        Label, ``positions`` or ``numbers`` → the name in the file.

    Raises
    ------
    DataError
        When the file is damaged, or nothing in it is a structure.
    MissingDependencyError
        For a DeePMD folder without dpdata.
    """
    if is_deepmd_folder(path):
        if keys:
            raise DataError(f"{path}: keys mean nothing for a DeePMD folder; leave them out.")
        return Collection(list(_deepmd(path)), converted=False)
    if path.suffix == ".db":
        return _database(path, keys)
    if path.suffix.lower() not in HDF5_SUFFIXES:
        return None
    try:
        with h5py.File(path, "r") as file:
            if "h5md" not in file:
                return _hdf5(path, file, keys)
        return Collection(list(_own_frames(path)), converted=True)
    except DataError:
        raise
    except PaiNNError as error:
        raise DataError(str(error)) from error
    except Exception as error:  # damaged HDF5 raises a dozen kinds
        raise DataError(f"{path} is not a readable HDF5 file: {error}") from error


# -- HDF5 ------------------------------------------------------------------------------------------


def _hdf5(path: Path, file: h5py.File, keys: Mapping[str, str]) -> Collection:
    molecules = list(_groups(file))
    first = next((g for g in molecules if _first_of(g, _POSITIONS, keys.get("positions"))), None)
    if first is None:
        held = sorted({name for group in molecules for name in group})[:20]
        raise DataError(
            f"{path}: no group has both atomic numbers and positions under a known name; it has "
            f"{', '.join(held) or 'no datasets'}. Name them in [data.keys] numbers and positions."
        )
    layout = next((lay for lay in _LAYOUTS if lay.mark in first), None)
    if layout is None:
        records = [r for g in molecules for r in _structures(g, _plain_layout(g, keys), {})]
        return Collection(records, converted=False)
    factors = {
        label: unit_factor(unit, label) * (layout.sign if label == "forces" else 1.0)
        for label, (_, unit) in layout.labels.items()
    }
    named = {k: v for k, v in keys.items() if k in layout.labels}
    other = sorted(set(keys) - set(layout.labels))
    if other:
        raise DataError(
            f"{path} is {layout.name}: keys of {', '.join(layout.labels)} can be chosen there, not "
            f"of {', '.join(other)}."
        )
    names = {label: named.get(label, name) for label, (name, _) in layout.labels.items()}
    for label, name in named.items():
        if name not in first:
            raise DataError(f"{path} has no {name!r} for {label}; it has {', '.join(first)}.")
    chosen = _Names(layout.numbers, layout.positions, names, layout.charges)
    length = unit_factor(layout.length, "positions")
    records = [r for g in molecules for r in _structures(g, chosen, factors, length)]
    return Collection(records, converted=True)


@dataclass(frozen=True)
class _Names:
    numbers: str | None
    positions: str | None
    labels: Mapping[str, str]
    charges: str | None = None


def _plain_layout(group: h5py.Group, keys: Mapping[str, str]) -> _Names:
    labels = {
        label: name
        for label, usual in _USUAL.items()
        if (name := _first_of(group, usual, keys.get(label))) is not None
    }
    return _Names(
        _first_of(group, _NUMBERS, keys.get("numbers")),
        _first_of(group, _POSITIONS, keys.get("positions")),
        labels,
    )


def _first_of(group: h5py.Group, usual: tuple[str, ...], named: str | None) -> str | None:
    return next((name for name in ((named,) if named else usual) if name in group), None)


def _groups(parent: h5py.Group) -> Iterator[h5py.Group]:
    """Groups that hold datasets, in the file's order; links to elsewhere are not followed."""
    held = [parent.get(name, getlink=True) for name in parent]
    nodes = [parent[n] for n, at in zip(parent, held, strict=True) if isinstance(at, h5py.HardLink)]
    if any(isinstance(node, h5py.Dataset) for node in nodes):
        yield parent
    for node in nodes:
        if isinstance(node, h5py.Group):
            yield from _groups(node)


def _structures(
    group: h5py.Group, names: _Names, factors: Mapping[str, float], length: float = 1.0
) -> Iterator[Labelled]:
    """The conformations of a group, each with its labels; what is NaN there is missing."""
    if names.numbers not in group or names.positions not in group:
        return
    numbers = np.asarray(group[names.numbers][()]).reshape(-1)
    if numbers.dtype.kind not in "iu":
        raise DataError(f"{group.name}: {names.numbers} are no atomic numbers.")
    positions = np.asarray(group[names.positions][()], dtype=np.float64) * length
    single = positions.ndim == 2
    frames = positions[None] if single else positions
    if frames.ndim != 3 or frames.shape[1:] != (len(numbers), 3):
        raise DataError(
            f"{group.name}: positions {positions.shape} do not fit {len(numbers)} atomic numbers."
        )
    labels = {}
    for label, name in names.labels.items():
        if name in group:
            values = np.asarray(group[name][()], dtype=np.float64) * factors.get(label, 1.0)
            if single:
                values = values[None]
            if len(values) != len(frames):
                raise DataError(
                    f"{group.name}: {len(values)} values of {name} for {len(frames)} structures."
                )
            labels[label] = values
    if names.charges is not None and names.charges in group:
        charges = np.asarray(group[names.charges][()], dtype=np.float64)
        labels["charge"] = np.rint(charges.reshape(len(frames), -1).sum(axis=1))
    for n, frame in enumerate(frames):
        values_here = {k: v[n] for k, v in labels.items() if np.isfinite(v[n]).all()}
        yield Atoms(numbers.astype(int), frame), values_here


def _own_frames(path: Path) -> Iterator[Labelled]:
    """Frames of our own trajectories, all replicas of each."""
    with TrajectoryReader(path) as reader:
        for index in range(reader.n_frames("positions")):
            for replica in range(reader.system.n_replicas or 1):
                atoms = reader.atoms(index, replica)
                results = dict(atoms.calc.results) if atoms.calc is not None else {}
                if "polarizability" in atoms.info:
                    results["polarizability"] = atoms.info["polarizability"]
                yield atoms, results


# -- SchNetPack's databases ------------------------------------------------------------------------


def _database(path: Path, keys: Mapping[str, str]) -> Collection | None:
    """An ASE database whose metadata say its units, as SchNetPack writes them; None without them.

    `_distance_unit` and `_property_unit_dict` (SchNetPack manual, "Preparing your data").
    """
    try:
        with connect(str(path)) as database:
            units = dict(database.metadata.get("_property_unit_dict") or {})
            distance = database.metadata.get("_distance_unit")
            if not units:
                return None
            # Å is what ASE keeps in a database unless somebody says otherwise.
            length = unit_factor(str(distance or "Angstrom"), "positions")
            names = _database_names(path, units, keys)
            factors = {label: unit_factor(str(units[n]), label) for label, n in names.items()}
            records = [
                _database_record(row.toatoms(), row.data, names, factors, length)
                for row in database.select()
            ]
    except PaiNNError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # sqlite3 and ASE raise many unrelated classes
        raise DataError(f"{path} is not an ASE database: {error}") from error
    return Collection(records, converted=True)


def _database_names(
    path: Path, units: Mapping[str, Any], keys: Mapping[str, str]
) -> dict[str, str]:
    """Label → property of the database."""
    names = {}
    for label, usual in _USUAL.items():
        named = keys.get(label)
        if named is not None and named not in units:
            raise DataError(f"no property {named!r} for {label}; it has {', '.join(units)}.")
        found = next((n for n in ((named,) if named else usual) if n in units), None)
        if found is not None and label in KINDS:
            names[label] = found
    return names


def _database_record(
    atoms: Atoms,
    data: Mapping[str, Any],
    names: Mapping[str, str],
    factors: Mapping[str, float],
    length: float,
) -> Labelled:
    atoms.set_cell(atoms.cell.array * length)
    atoms.positions *= length
    atoms.calc = None
    labels: dict[str, Any] = {
        label: np.asarray(data[name], dtype=np.float64) * factors[label]
        for label, name in names.items()
        if name in data
    }
    if "total_charge" in data:
        labels["charge"] = float(np.asarray(data["total_charge"]).reshape(-1)[0])
    return atoms, labels


# -- DeePMD ----------------------------------------------------------------------------------------


def is_deepmd_folder(path: Path) -> bool:
    """Whether a folder is a DeePMD-kit system: `type.raw` beside `set.000` or `coord.raw`."""
    return path.is_dir() and (path / "type.raw").is_file() and (
        (path / "coord.raw").is_file() or any(path.glob("set.*/coord.npy"))
    )  # fmt: skip


def _deepmd(path: Path) -> Iterator[Labelled]:
    """Frames of a DeePMD-kit system: eV, Å; the virial becomes the stress.

    Dipoles and polarizabilities lie in `set.*/dipole.npy` and `polarizability.npy`, in whatever
    unit they were made in (DeePMD-kit manual, "Formats of a system").
    """
    library = need("dpdata", "DeePMD folders")
    try:
        data = _deepmd_data(library, path)
    except MissingDependencyError:
        raise
    except Exception as error:  # dpdata and NumPy raise many unrelated classes
        raise DataError(f"{path} is not a readable DeePMD folder: {error}") from error
    names = [data["atom_names"][kind] for kind in data["atom_types"]]
    periodic = not data.get("nopbc", False)
    for n, positions in enumerate(data["coords"]):
        cell = data["cells"][n] if periodic else None
        atoms = Atoms(names, positions, cell=cell, pbc=periodic)
        labels: dict[str, Any] = {}
        for label, name in (
            ("energy", "energies"),
            ("forces", "forces"),
            ("dipole", "dipole"),
            ("polarizability", "polarizability"),
        ):
            if name in data:
                labels[label] = np.asarray(data[name][n], dtype=np.float64)
        if "virials" in data and periodic:
            stress = -np.asarray(data["virials"][n], dtype=np.float64) / atoms.cell.volume
            labels["stress"] = stress
        yield atoms, labels


def _deepmd_data(library: Any, path: Path) -> dict[str, Any]:
    types = library.data_type
    for name, size in (("dipole", 3), ("polarizability", 9)):
        kind = types.DataType(
            name, np.ndarray, (types.Axis.NFRAMES, size), required=False, deepmd_name=name
        )
        library.System.register_data_type(kind)
        library.LabeledSystem.register_data_type(kind)
    form = "deepmd/raw" if (path / "coord.raw").is_file() else "deepmd/npy"
    labelled = any(path.glob("set.*/energy.npy")) or (path / "energy.raw").is_file()
    system = library.LabeledSystem if labelled else library.System
    found: dict[str, Any] = system(str(path), fmt=form).data
    return found

"""Readers of labelled frames: extxyz and everything else ASE reads, ASE databases, ``.npz``.

HDF5 collections and DeePMD folders are in ``label_collections``.

Each reader yields raw records (a structure and a mapping of named values); one place then applies
the key map and the units and checks shapes and finiteness. Labels are taken as stored: forces are
never altered by constraints.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.db import connect
from ase.formula import Formula
from ase.io import iread

from painn_ase.errors import DataError
from painn_ase.graph.charge import CHARGE_KEYS
from painn_ase.training.file_spec import ORDERS, KeysSpec, UnitsSpec
from painn_ase.training.frames import LABELS, FloatArray, LabeledFrame
from painn_ase.training.label_collections import is_deepmd_folder, read_collection
from painn_ase.trajectory.frames import check_atom_counts

__all__ = ["FrameFile", "read_file", "read_frames"]

#: Names under which files of the MD17 family and its relatives keep things, the first found wins.
_NPZ_NAMES = {
    "positions": ("positions", "coords", "R"),
    "numbers": ("atomic_numbers", "nuclear_charges", "numbers", "z", "Z"),
    "energy": ("energy", "energies", "E"),
    "forces": ("forces", "F"),
    "stress": ("stress",),
    "dipole": ("dipole", "dipoles", "D"),
    "polarizability": ("polarizability", "polarizabilities"),
    "dipole_magnitude": ("dipole_magnitude",),
    "charge": (*CHARGE_KEYS, "Q"),
    "cell": ("cell", "lattice"),
}


#: What is read only from a key that is named.
_OTHERS = ("virial", "group")


@dataclass(frozen=True)
class _Record:
    """A structure and the named values found beside it, as the file has them."""

    atoms: Atoms
    values: Mapping[str, Any]


@dataclass(frozen=True)
class FrameFile:
    """Labelled frames with what the file calls their labels, and how it was read.

    Attributes
    ----------
    frames : list of LabeledFrame
    keys : dict
        Label → the key it was found under.
    unread : tuple of str
        Keys of the file that were not read as anything.
    units : UnitsSpec
        Those asked for, completed by what the file states.
    assumed : dict
        Quantity → unit that nobody states and that was assumed as asked for.
    without_volume : int
        Frames whose stress was left out, because they are not periodic in all directions.
    virial_key : str or None
        The key the stress was made from, where that is a virial.
    """

    frames: list[LabeledFrame]
    keys: dict[str, str]
    unread: tuple[str, ...]
    units: UnitsSpec
    assumed: Mapping[str, str]
    without_volume: int
    virial_key: str | None


def read_frames(
    path: str | Path,
    keys: KeysSpec | None = None,
    units: UnitsSpec | None = None,
    labels: Sequence[str] = LABELS,
) -> list[LabeledFrame]:
    """Labelled frames of a file, in the package's units.

    Parameters
    ----------
    path : path
        ``.extxyz``/``.xyz``, also packed (``.gz``, ``.bz2``, ``.xz``), ``.traj`` and whatever else
        ASE reads; ``.db`` (ASE database, also as SchNetPack writes it); ``.npz`` in the MD17/rMD17
        style; HDF5: our trajectories, SPICE, QM7-X, ANI, others with a key map; a folder of
        DeePMD-kit (needs dpdata).
    keys : KeysSpec
        Where the labels are, if not under their usual names.
    units : UnitsSpec
        Units of the file.
    labels : sequence of str
        Labels to read; others are left alone.

    Raises
    ------
    DataError
        For a file that is missing, empty or unreadable, a key that no frame has (the message lists
        those there are), a wrong shape, a value that is not finite, or a unit that nobody states
        and that has no usual value.
    """
    return read_file(path, keys, units, labels).frames


def read_file(
    path: str | Path,
    keys: KeysSpec | None = None,
    units: UnitsSpec | None = None,
    labels: Sequence[str] = LABELS,
    *,
    assumed: Mapping[str, str] | None = None,
) -> FrameFile:
    """As :func:`read_frames`, with how the file was read.

    `assumed` are units of last resort for what would be refused otherwise: the energy of an
    archive, a polarizability.
    """
    path, keys, units = Path(path), keys or KeysSpec(), units or UnitsSpec()
    if unknown := sorted(set(labels) - set(LABELS)):
        raise DataError(f"unknown label(s) {', '.join(unknown)}; allowed are {', '.join(LABELS)}.")
    if not path.is_file() and not is_deepmd_folder(path):
        raise DataError(f"{path} is not a file; give a path to labelled frames.")
    records, keys, units = _gathered(path, keys, units)
    if not records:
        raise DataError(f"{path} holds no frames.")
    _check_named_keys(path, keys, records)
    guesses = {
        quantity: unit
        for quantity, unit in (assumed or {}).items()
        if getattr(units, quantity) is None
        and (quantity != "energy" or (path.suffix == ".npz" and units.forces is None))
    }
    units = units.completed(guesses)
    found = [_frame(f"{path.name}[{n}]", r, keys, units, labels) for n, r in enumerate(records)]
    frames = [frame for frame, _ in found]
    present = set(_npz_members(path)) if path.suffix == ".npz" else _present(records)
    used = {what: _found_under(what, path, keys, present) for what in (*_NPZ_NAMES, *_OTHERS)}
    names = {name for frame in frames for name in frame.labels}
    _check_unit_of_archive(path, units, names)
    if used["virial"] is not None:
        used["stress"] = used["virial"]
    derived = {"energy": names & {"energy", "forces"}, "polarizability": names & {"polarizability"}}
    if any(frame.charge for frame in frames):
        names.add("charge")
    return FrameFile(
        frames,
        {name: key for name, key in used.items() if key is not None and name in names},
        tuple(sorted(present - set(used.values()))),
        units,
        {quantity: unit for quantity, unit in guesses.items() if derived[quantity]},
        sum(left_out for _, left_out in found),
        used["virial"],
    )


def _check_unit_of_archive(path: Path, units: UnitsSpec, names: Collection[str]) -> None:
    """Ask for the unit of energy of an archive: a guess would be wrong by 23 for MD17's."""
    stated = units.energy or (units.forces and "energy" not in names)
    if path.suffix == ".npz" and not stated and set(names) & {"energy", "forces"}:
        raise DataError(
            f"{path} does not say its unit of energy. MD17 and rMD17 archives usually hold "
            'kcal/mol, others eV: set [data.units] energy = "kcal/mol" (or "eV", "Hartree"), or '
            "--unit energy=kcal/mol."
        )


def _present(records: Sequence[_Record]) -> set[str]:
    """Every key that some record has."""
    return {name for record in records for name in record.values}


def _found_under(what: str, path: Path, keys: KeysSpec, present: set[str]) -> str | None:
    """The key of the file that `what` is read from."""
    usual = _usual_names(what, path)
    named = getattr(keys, what, None)
    return next((name for name in ((named,) if named else usual) if name in present), None)


def _usual_names(what: str, path: Path) -> tuple[str, ...]:
    """Where `what` is looked for if no key is named; a virial and a group nowhere."""
    if what in _OTHERS:
        return ()
    if path.suffix == ".npz":
        return _NPZ_NAMES[what]
    return CHARGE_KEYS if what == "charge" else (what,)


def _npz_members(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as archive:
        return list(archive.files)


def _gathered(
    path: Path, keys: KeysSpec, units: UnitsSpec
) -> tuple[list[_Record], KeysSpec, UnitsSpec]:
    """The records of a file, and the keys and units that are still to be applied to them."""
    named = {f.name: key for f in fields(keys) if (key := getattr(keys, f.name)) is not None}
    found = read_collection(path, named)
    if found is None:
        records = list(_records(path, keys))
        return records, keys, _with_stated_unit(records, keys, units)
    records = [_Record(atoms, values) for atoms, values in found.records]
    if not found.converted:
        return records, KeysSpec(), units
    if replace(units, polarizability=None) != UnitsSpec():
        raise DataError(
            f"{path} says its units, or they are laid down for its kind; leave [data.units] out."
        )
    return records, KeysSpec(), UnitsSpec(polarizability="e^2*Angstrom^2/eV")


def _with_stated_unit(records: Sequence[_Record], keys: KeysSpec, units: UnitsSpec) -> UnitsSpec:
    """The polarizability's unit as every frame that has one says it, where the user is silent."""
    name = keys.polarizability or "polarizability"
    stated = {str(r.values.get(f"{name}_unit", "")) for r in records if name in r.values}
    if len(stated) != 1 or "" in stated:
        return units
    return units.completed({"polarizability": stated.pop()})


def _records(path: Path, keys: KeysSpec) -> Iterator[_Record]:
    if path.suffix == ".npz":
        return _npz_records(path, keys)
    if path.suffix == ".db":
        return _database_records(path)
    return _ase_records(path)


def _ase_records(path: Path) -> Iterator[_Record]:
    """Frames of any format ASE reads; the values are info, arrays and calculator results."""
    packed = path.suffix in (".gz", ".bz2", ".xz")
    suffix = Path(path.stem).suffix if packed else path.suffix
    file_format = "extxyz" if suffix in (".xyz", ".extxyz") else None
    try:
        check_atom_counts(path)
        for atoms in iread(str(path), index=":", format=file_format):
            results = atoms.calc.results if atoms.calc is not None else {}
            arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
            yield _Record(atoms, {**atoms.info, **arrays, **results})
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise DataError(f"ASE cannot read {path}: {error}") from error
    except Exception as error:  # ASE's UnknownFileTypeError and XYZError share no base class
        raise DataError(f"ASE cannot read {path}: {type(error).__name__}: {error}") from error


def _database_records(path: Path) -> Iterator[_Record]:
    """Rows of an ASE database; the values are key-value pairs, data and calculator results."""
    try:
        with connect(str(path)) as database:
            for row in database.select():
                atoms = row.toatoms()
                results = atoms.calc.results if atoms.calc is not None else {}
                yield _Record(atoms, {**row.key_value_pairs, **row.data, **results})
    except Exception as error:  # sqlite3 and ASE raise many unrelated classes
        raise DataError(f"{path} is not an ASE database: {error}") from error


def _npz_records(path: Path, keys: KeysSpec) -> Iterator[_Record]:
    """Frames of one archive of arrays with the frames along the first axis."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            # A member that is no array comes out as bytes.
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except Exception as error:  # zipfile and NumPy's header parser raise many unrelated classes
        raise DataError(f"{path} is not a readable .npz file without pickles: {error}") from error
    found = {what: _npz_array(path, arrays, what, keys) for what in _NPZ_NAMES}
    for what, array in found.items():
        if array is not None and array.dtype.kind not in "fiu":
            raise DataError(f"{path}: {what} holds {array.dtype} values, not real numbers.")
    positions, numbers = found["positions"], found["numbers"]
    if positions is None or numbers is None or positions.shape[2:] != (3,):
        raise DataError(
            f"{path} needs positions (n_frames, n_atoms, 3) and atomic numbers; it has "
            f"{_listing(arrays)}. Name them in [data.keys] positions and numbers."
        )
    n_frames = len(positions)
    cells = found["cell"]
    try:
        numbers = np.broadcast_to(numbers, (n_frames, positions.shape[1]))
        cells = None if cells is None else np.broadcast_to(cells, (n_frames, 3, 3))
    except ValueError as error:
        raise DataError(
            f"{path}: atomic numbers or cells do not fit positions {positions.shape}: {error}."
        ) from error
    for name in (*LABELS, "charge"):
        value = found[name]
        leading = positions.shape if name == "forces" else (n_frames,)
        if value is not None and value.shape[: len(leading)] != leading:
            raise DataError(
                f"{path}: {name} has the shape {value.shape}, positions {positions.shape}; the "
                f"shape must begin with {leading}."
            )
    for n in range(n_frames):
        real = numbers[n] > 0  # rows padded to the largest structure carry the number 0
        cell = None if cells is None else cells[n]
        values = {}
        for name in (*LABELS, "charge"):
            if (array := found[name]) is not None:
                values[name] = array[n][real] if name == "forces" else array[n]
        atoms = Atoms(
            numbers[n][real], positions[n][real], cell=cell, pbc=None if cell is None else True
        )
        yield _Record(atoms, values)


def _npz_array(
    path: Path, arrays: Mapping[str, np.ndarray], what: str, keys: KeysSpec
) -> np.ndarray | None:
    """The array that holds `what`, by the key map or by its usual names."""
    named = getattr(keys, what, None)
    if named is not None and named not in arrays:
        raise DataError(f"{path} has no array {named!r} for {what}; it has {_listing(arrays)}.")
    for name in (named,) if named else _NPZ_NAMES[what]:
        if name in arrays:
            return arrays[name]
    return None


def _listing(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {np.shape(v)}" for k, v in sorted(values.items())) or "no values"


def _check_named_keys(path: Path, keys: KeysSpec, records: Sequence[_Record]) -> None:
    """Fail when a key of the key map stands in no frame: it is most likely misspelt."""
    if path.suffix == ".npz":
        return  # checked while the arrays were looked up
    present = _present(records)
    for field in fields(keys):
        named = getattr(keys, field.name)
        if named is not None and named not in present:
            raise DataError(
                f"{path}: no frame has the key {named!r} for {field.name}; the file has "
                f"{', '.join(sorted(present)) or 'no labels at all'}."
            )


def _frame(
    source: str, record: _Record, keys: KeysSpec, units: UnitsSpec, labels: Sequence[str]
) -> tuple[LabeledFrame, bool]:
    """`record` with its labels converted and checked, and whether its stress was left out."""
    atoms, from_npz = record.atoms, ".npz" in source
    if len(atoms) == 0:
        raise DataError(f"{source} has no atoms.")
    length = units.factor("length")
    positions = np.asarray(atoms.positions, dtype=np.float64) * length
    cell = np.asarray(atoms.cell.array, dtype=np.float64) * length
    if not np.isfinite(positions).all() or not np.isfinite(cell).all():
        raise DataError(f"{source}: positions or cell are not finite; remove or repair the frame.")
    found: dict[str, FloatArray] = {}
    for name in labels:
        key = name if from_npz else (getattr(keys, name) or name)
        raw = record.values.get(key)
        if raw is not None:
            label = _label(source, name, key, raw, len(atoms), units.order)
            found[name] = label * units.factor(name)
    periodic = bool(atoms.pbc.all()) and abs(np.linalg.det(cell)) > 0
    if "stress" in labels and periodic and keys.virial in record.values:
        virial = _label(
            source, "stress", str(keys.virial), record.values[str(keys.virial)], len(atoms),
            units.order,
        )  # fmt: skip
        found["stress"] = -virial * units.factor("virial") / abs(float(np.linalg.det(cell)))
    # The stress of a molecule or a slab in its vacuum belongs to no volume.
    left_out = "stress" in found and not periodic
    frame = LabeledFrame(
        numbers=np.asarray(atoms.numbers, dtype=np.int64),
        positions=positions,
        cell=cell,
        pbc=np.asarray(atoms.pbc, dtype=np.bool_),
        charge=_charge(source, record, keys, from_npz),
        energy=float(found["energy"]) if "energy" in found else None,
        forces=found.get("forces"),
        stress=None if left_out else found.get("stress"),
        dipole=found.get("dipole"),
        polarizability=found.get("polarizability"),
        dipole_magnitude=(
            float(found["dipole_magnitude"]) if "dipole_magnitude" in found else None
        ),
        source=source,
        group=_group(record, keys),
    )
    return frame, left_out


def _group(record: _Record, keys: KeysSpec) -> str:
    """What the named key says of the frame, else its formula."""
    if keys.group is not None and keys.group in record.values:
        return str(record.values[keys.group])
    return str(Formula.from_list(record.atoms.get_chemical_symbols()).format("hill"))


def _charge(source: str, record: _Record, keys: KeysSpec, from_npz: bool) -> float:
    """The total charge that the frame states, 0 if it does not."""
    named = None if from_npz else keys.charge
    names = (named,) if named else CHARGE_KEYS
    charges = {
        name: float(_label(source, "charge", name, record.values[name], len(record.atoms)))
        for name in names
        if name in record.values
    }
    if len(set(charges.values())) > 1:
        raise DataError(
            f"{source} states two total charges, {charges}; name the right one with [data.keys] "
            "charge, or --key charge=…"
        )
    return next(iter(charges.values()), 0.0)


def _label(
    source: str, name: str, key: str, raw: Any, n_atoms: int, order: str = "voigt"
) -> FloatArray:
    """A raw value as a finite array of its label's shape."""
    try:
        value = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}: {key!r} is not numeric: {error}") from error
    shaped = _shaped(name, value, n_atoms, order)
    if shaped is None:
        raise DataError(
            f"{source}: {key!r} has shape {value.shape}, which is no {name} of {n_atoms} atoms."
        )
    if not np.isfinite(shaped).all():
        raise DataError(
            f"{source}: {key!r} holds NaN or infinity; remove the frame or drop that label."
        )
    return shaped


def _shaped(name: str, value: FloatArray, n_atoms: int, order: str) -> FloatArray | None:
    """`value` in the label's own shape, or None where it does not fit."""
    if name in ("energy", "charge", "dipole_magnitude"):
        return value.reshape(()) if value.size == 1 else None
    if name == "forces":
        return value.reshape(n_atoms, 3) if value.shape in ((n_atoms, 3), (3 * n_atoms,)) else None
    if name == "dipole":
        return value.reshape(3) if value.size == 3 else None
    if value.size == 6:
        voigt = value.reshape(6)[list(ORDERS[order])]  # xx yy zz yz xz xy
        return voigt[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
    return value.reshape(3, 3) if value.size == 9 else None

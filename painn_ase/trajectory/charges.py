"""Dipoles from charges: point charges, fixed or recorded, and Born charges, times positions.

μ = Σ q r with positions that are followed through the cell (never folded back), and dμ/dt = Σ q v
where velocities are recorded and charges fixed. Born charges take the place of q as tensors,
dμ_a = Σ Z*_ab dr_b (Gonze and Lee, Phys. Rev. B 55, 10355 (1997)).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from painn_ase.elements import ATOMIC_MASSES, SYMBOLS
from painn_ase.errors import DataError, TrajectoryError
from painn_ase.trajectory.formats.text import number, numbers_of, open_text
from painn_ase.trajectory.raw import RawChannel, RawSeries
from painn_ase.unit_names import unit_factor
from painn_ase.unwrapping import unwrapped_positions

__all__ = ["add_dipole_of_charges", "follow_through_cell", "parse_charges", "read_born_charges"]

Array = NDArray[np.float64]
#: A total charge above this, in e, makes the dipole depend on its origin.
_NEUTRAL = 1e-3


def parse_charges(text: str) -> dict[str, float] | Path:
    """What a user gives as charges: ``O=-0.8476,H=0.4238``, or a file with Born charges.

    Raises
    ------
    TrajectoryError
        When it is neither.
    """
    if "=" not in text:
        if Path(text).is_file():
            return Path(text)
        raise TrajectoryError(
            f"{text!r} names no charges; give them as O=-0.8476,H=0.4238 (elements, or types of "
            "the file), or a file with Born charges (VASP's OUTCAR)."
        )
    charges = {}
    for part in filter(None, text.replace(";", ",").split(",")):
        name, _, value = part.partition("=")
        if not name.strip() or name.strip() in charges:
            raise TrajectoryError(f"{part!r} in {text!r} names no new element or type.")
        charges[name.strip()] = number(value.strip(), f"charges {text!r}")
    return charges


def add_dipole_of_charges(
    raw: RawSeries, given: Mapping[str, float] | Path | None, lattice: Array | None = None
) -> RawSeries:
    """`raw` with the dipole, and its flux, that its charges make of its positions and velocities.

    Parameters
    ----------
    raw : RawSeries
        With positions or velocities.
    given : mapping of str to float, Path, or None
        e by element or type; a file with Born charges; None for the charges that the file records.
    lattice : ndarray [3, 3], optional
        Cell vectors as rows, Å, that count instead of the file's.

    Raises
    ------
    TrajectoryError
        For charges that are missing or belong to other atoms, and atoms that cannot be followed.
    """
    charges, origin, notes = _charges(raw, given)
    channels = dict(raw.channels)
    notes = [*raw.notes, *notes]
    charges, note = _neutral(raw, charges)
    notes += note
    if (positions := raw.channels.get("positions")) is not None:
        values, jumps = follow_through_cell(raw, lattice)
        if jumps:
            notes.append(f"{jumps} jumps of atoms across the cell were undone")
        channels["dipole"] = _channel(positions, charges, values, "dipole", origin)
    velocities = raw.channels.get("velocities")
    if velocities is not None and _are_fixed(charges):
        values = np.asarray(velocities.values, dtype=np.float64)
        channels["dipole_flux"] = _channel(velocities, charges, values, "dipole_flux", origin)
    if not {"dipole", "dipole_flux"} & set(channels):
        raise TrajectoryError(
            f"{raw.source} has no positions, and its charges change: velocities alone give no "
            "dipole then."
        )
    return replace(raw, channels=channels, notes=tuple(notes))


def _channel(
    moved: RawChannel, charges: Array, values: Array, quantity: str, origin: str
) -> RawChannel:
    """Σ q x, in e·Å (per ASE time) where the unit of x is known."""
    kind = "positions" if quantity == "dipole" else "velocities"
    unit = None
    if moved.unit is not None:
        values = values * unit_factor(moved.unit, kind)
        unit = "e*Angstrom" if quantity == "dipole" else "e*Angstrom/ase_time"
    if charges.ndim >= 3:  # tensors
        values = np.einsum("...nab,tnb->ta", charges, values)
    else:
        values = np.sum(charges[..., None] * values, axis=1)
    return RawChannel(values, unit, f"{origin} times {kind} ({moved.origin})")


def _are_fixed(charges: Array) -> bool:
    return charges.ndim != 2 or charges.shape[0] == 1


# -- charges ---------------------------------------------------------------------------------------


def _charges(
    raw: RawSeries, given: Mapping[str, float] | Path | None
) -> tuple[Array, str, list[str]]:
    """Charges (1 or n_frames, n_atoms), or Born tensors (n_atoms, 3, 3); their origin; notes."""
    if isinstance(given, Path):
        tensors = read_born_charges(given)
        n_atoms = _n_atoms(raw)
        if len(tensors) != n_atoms:
            raise TrajectoryError(
                f"{given} has Born charges of {len(tensors)} atoms, {raw.source} has {n_atoms}."
            )
        return tensors, f"Born charges of {given.name}", []
    if given is not None:
        return _by_name(raw, given)[None], "charges given", []
    channel = raw.channels.get("charges")
    if channel is None:
        raise TrajectoryError(
            f"{raw.source} holds positions but neither dipoles nor charges. Give charges by "
            "element or type, --charges O=-0.8476,H=0.4238, a file with Born charges, --charges "
            "OUTCAR, let a model add dipoles, `painn-ase evaluate`, or take the density of states, "
            "--power."
        )
    values = np.asarray(channel.values, dtype=np.float64)
    if channel.unit is not None:
        values = values * unit_factor(channel.unit, "charges")
    if np.ptp(values, axis=0).max(initial=0.0) < 1e-9:
        values = values[:1]
    notes = [] if len(values) == 1 else ["the charges change along the run"]
    return values, f"charges ({channel.origin})", notes


def _n_atoms(raw: RawSeries) -> int:
    for name in ("positions", "velocities"):
        if name in raw.channels:
            return int(raw.channels[name].values.shape[1])
    raise TrajectoryError(f"{raw.source} holds no positions that charges could be given to.")


def _by_name(raw: RawSeries, given: Mapping[str, float]) -> Array:
    n_atoms = _n_atoms(raw)
    kinds: list[set[str]] = [set() for _ in range(n_atoms)]
    for n in range(n_atoms):
        if raw.numbers is not None:
            kinds[n].add(SYMBOLS[int(raw.numbers[n])])
        if raw.types is not None:
            kinds[n].add(raw.types[n])
    known = set().union(*kinds)
    if not known:
        raise TrajectoryError(
            f"{raw.source} does not say what its atoms are; name a file that does with --topology."
        )
    unknown = sorted(set(given) - known)
    if unknown:
        raise TrajectoryError(
            f"charges are given for {', '.join(unknown)}, but {raw.source} has "
            f"{', '.join(sorted(known))}."
        )
    charges = np.empty(n_atoms)
    for n, names in enumerate(kinds):
        fitting = names & set(given)
        if len(fitting) != 1:
            wanted = "/".join(sorted(names))
            raise TrajectoryError(
                f"{raw.source}: {'no charge' if not fitting else 'two charges'} for its atoms "
                f"{wanted}; charges were given for {', '.join(given)}."
            )
        charges[n] = given[fitting.pop()]
    return charges


def _neutral(raw: RawSeries, charges: Array) -> tuple[Array, list[str]]:
    """Charges of total zero; what is left over goes to the atoms in proportion to their masses.

    That moves the origin of a charged system's dipole into its centre of mass, as everywhere in
    this package. Of Born charges it is the acoustic sum rule, spread evenly.
    """
    if charges.ndim == 3:
        total = charges.sum(axis=0)
        excess = float(np.abs(total).max())
        note = f"Born charges summed up to {excess:.3g} e and were made to sum up to zero"
        return charges - total / len(charges), [note] if excess > _NEUTRAL else []
    sums = charges.sum(axis=1, keepdims=True)
    excess = float(np.abs(sums).max())
    if excess <= _NEUTRAL:
        return charges, []
    masses = raw.masses
    if masses is None and raw.numbers is not None:
        masses = np.array([ATOMIC_MASSES[int(z)] for z in raw.numbers])
    if masses is None:
        raise TrajectoryError(
            f"{raw.source}: the charges sum up to {excess:.4g} e, so the dipole needs the centre "
            "of mass, and the masses are not known. Give charges that sum up to zero, or name the "
            "elements with --topology."
        )
    share = np.asarray(masses, dtype=np.float64) / np.sum(masses)
    note = f"the charges sum up to {excess:.4g} e: the dipole is taken from the centre of mass"
    return charges - sums * share, [note]


# -- positions -------------------------------------------------------------------------------------


def follow_through_cell(raw: RawSeries, lattice: Array | None = None) -> tuple[Array, int]:
    """Positions whose atoms never jump by a lattice vector, and how many jumps were undone.

    In the positions' own unit; `lattice` [3, 3] in Å counts instead of the file's cell.

    Raises
    ------
    TrajectoryError
        When an atom moves so far from one frame to the next that its way is not clear, or jumps and
        no cell is known.
    """
    channel = raw.channels["positions"]
    positions = np.array(channel.values, dtype=np.float64)
    cell, pbc = raw.channels.get("cell"), raw.pbc or (True, True, True)
    if lattice is not None:
        cell, pbc = RawChannel(lattice[None], "Angstrom", "as given"), (True, True, True)
    vectors = None
    if cell is not None and any(pbc):
        scale = 1.0
        if cell.unit is not None and channel.unit is not None:
            scale = unit_factor(cell.unit, "cell") / unit_factor(channel.unit, "positions")
        cells = np.broadcast_to(np.asarray(cell.values) * scale, (len(positions), 3, 3))
        if not np.all(np.abs(np.linalg.det(cells)) > 0.0):
            raise TrajectoryError(f"{raw.source} is periodic, but its cell has no volume.")
        vectors = np.where(np.array(pbc)[:, None], cells, 0.0)
    try:
        return unwrapped_positions(positions, vectors)
    except DataError as error:
        raise TrajectoryError(f"{raw.source}: {error}.") from error


# -- Born charges ----------------------------------------------------------------------------------

_BORN = re.compile(r"BORN EFFECTIVE CHARGES")
_ION = re.compile(r"^\s*ion\s+(?P<number>\d+)")


def read_born_charges(path: Path) -> Array:
    """Born charges of a VASP OUTCAR, Z*[i, a, b] = ∂μ_a/∂r_ib (n_atoms, 3, 3) in e.

    The last table with local-field effects is taken; its rows are the directions of the field (VASP
    wiki, "LEPSILON").

    Raises
    ------
    TrajectoryError
        When there is none, or it is cut short.
    """
    tensors: list[list[list[float]]] = []
    reading = excluded = False
    with open_text(path) as file:
        for at, line in enumerate(file, start=1):
            if _BORN.search(line):
                excluded = "excluding local field" in line
                reading, tensors = not excluded, ([] if not excluded else tensors)
            elif reading and _ION.match(line):
                tensors.append([])
            elif reading and tensors and len(words := line.split()) == 4 and words[0] in "123":
                tensors[-1].append(numbers_of(words[1:], f"{path}, line {at}"))
            elif reading and tensors and line.strip() and not set(line.strip()) <= set("-"):
                reading = False
    if not tensors or any(len(t) != 3 for t in tensors):
        raise TrajectoryError(
            f"{path} holds no complete table BORN EFFECTIVE CHARGES; VASP writes one with LEPSILON "
            "or LCALCEPS."
        )
    return np.array(tensors, dtype=np.float64)

"""Structures named on the command line: a file, a molecule ASE knows by name, or a SMILES."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from painn_ase.errors import GeometryError

if TYPE_CHECKING:
    from ase import Atoms

    from painn_ase.trajectory import TrajectoryReader

__all__ = ["is_one_structure", "is_smiles", "read_structure"]

#: A SMILES of one molecule: atoms, bonds, rings, branches.
_SMILES = re.compile(r"(Cl|Br|[BCNOPSFIbcnops]|\[[^\]]+\]|%\d\d|[-=#$:/\\()0-9@+])+")
#: SMILES of atoms alone, which ASE's names may be too.
_ATOMS_ALONE = re.compile(r"(Cl|Br|[BCNOPSFI]){2,}")


def read_structure(name: str) -> Atoms:
    """The structure in a file that ASE can read, or in a trajectory of this package (its last
    frame), or a molecule of ASE's collection, or a SMILES.

    Parameters
    ----------
    name : str
        Path, with ASE's ``@index`` if another frame is wanted, or a name as ``CH3CH2OH``. Of an
        H5MD file of several replicas ``@index,replica``; of ring polymers with ``,centroid`` or
        ``,bead3`` at the end. ``smiles:CO`` and ``name:CO`` say which is meant where both would do.

    Raises
    ------
    GeometryError
        If there is none of these, the name would do for two of them, the file cannot be read, or
        it holds several structures and none is chosen.
    MissingDependencyError
        For a SMILES without RDKit.
    """
    from ase.build import molecule
    from ase.collections import g2
    from ase.io import read
    from ase.io.formats import UnknownFileTypeError

    from painn_ase.trajectory import HDF5_SUFFIXES

    path = Path(name.rpartition("@")[0] or name)
    if not path.exists() and is_smiles(name):
        from painn_ase.sampling.conformers import conformers

        return conformers(name.removeprefix("smiles:"))[0]
    if not path.exists() and (known := name.removeprefix("name:")) in g2.names:
        found: Atoms = molecule(known)
        return found
    if not path.exists():
        raise GeometryError(
            f"there is no file {name!r}, and ASE has no molecule of that name. Give a structure "
            "file that ASE reads (.xyz, .extxyz, .traj, .cif, POSCAR …), a name such as CH3CH2OH, "
            "H2O, H2CO, or a SMILES such as CCO."
        )
    if path.suffix.lower() in HDF5_SUFFIXES:
        return _frame_of(path, name)
    try:
        atoms = read(name)
    except (UnknownFileTypeError, ValueError, KeyError, IndexError, OSError, SyntaxError) as error:
        raise GeometryError(
            f"{name}: not a structure ASE can read ({type(error).__name__}: {error}). Formats are "
            "listed by `ase info --formats`."
        ) from error
    last: Atoms = atoms[-1] if isinstance(atoms, list) else atoms
    return last


def is_one_structure(name: str) -> bool:
    """Whether `name` is of one structure: a molecule's name, a SMILES, or a file of one frame.

    Raises
    ------
    GeometryError
        For a name that is a SMILES too; see :func:`is_smiles`.
    """
    from ase.collections import g2
    from ase.io import iread

    from painn_ase.trajectory import HDF5_SUFFIXES

    path = Path(name)
    if not path.exists():
        return is_smiles(name) or name.removeprefix("name:") in g2.names
    if path.is_dir() or path.suffix.lower() in (*HDF5_SUFFIXES, ".npz", ".npy", ".csv"):
        return False
    try:
        return sum(1 for _ in islice(iread(name), 2)) == 1
    except Exception:  # readers of other formats raise anything; the one for trajectories says what
        return False


def is_smiles(name: str) -> bool:
    """Whether `name` is meant as a SMILES; where it is also a molecule's name in ASE, a question.

    Raises
    ------
    GeometryError
        For a name like ``CO``, carbon monoxide in ASE and methanol as a SMILES.
    """
    from ase.collections import g2

    if name.startswith("smiles:"):
        return True
    if name in g2.names and _ATOMS_ALONE.fullmatch(name):
        raise GeometryError(
            f"{name} is a molecule's name in ASE, and a SMILES, which has hydrogens that are not "
            f"written. Say which is meant: name:{name} or smiles:{name}."
        )
    return name not in g2.names and bool(_SMILES.fullmatch(name))


def _frame_of(path: Path, name: str) -> Atoms:
    """A frame of an H5MD file, with the masses, charge and constraints of its run.

    Behind the @ stand the frame's number, the replica's where there are several, and of ring
    polymers whether their centroid or one bead is meant.
    """
    from painn_ase.trajectory import TrajectoryReader

    words = name[len(str(path)) + 1 :].split(",") if name != str(path) else []
    beads = [w for w in words if w == "centroid" or w.startswith("bead")]
    numbers = [w for w in words if w not in beads]
    if len(numbers) > 2 or len(beads) > 1:
        raise GeometryError(f"{name}: expected {path}@FRAME,REPLICA or {path}@FRAME,centroid.")
    frame = _number(numbers[0], name, "a frame") if numbers else -1
    with TrajectoryReader(path) as reader:
        copies, n_beads = reader.system.n_replicas or 1, reader.system.n_beads
        replica = _number(numbers[1], name, "a replica") if len(numbers) == 2 else None
        if replica is None and copies > 1:
            raise GeometryError(
                f"{path} holds {copies} replicas; say whose structure is meant: "
                f"{path}@{frame},0 … {path}@{frame},{copies - 1}."
            )
        if replica is not None and not 0 <= replica < copies:
            raise GeometryError(f"{name}: replicas of {path} are 0 … {copies - 1}.")
        atoms = reader.atoms(frame, replica or 0)
        if n_beads > 1 and not beads:
            which = f"{path}@{frame}" + ("" if replica is None else f",{replica}")
            raise GeometryError(
                f"{path} holds ring polymers of {n_beads} beads; say what is meant: their "
                f"centroid, {which},centroid, or one bead, {which},bead0 … bead{n_beads - 1}."
            )
        if beads and n_beads == 1:
            raise GeometryError(f"{name}: {path} holds no ring polymers, so leave {beads[0]} out.")
        if beads and beads[0] != "centroid":
            bead = _number(beads[0].removeprefix("bead"), name, "a bead")
            _put_at_bead(atoms, reader, replica or 0, bead)
    return atoms


def _put_at_bead(atoms: Atoms, reader: TrajectoryReader, replica: int, bead: int) -> None:
    """Positions of one bead; of velocities, energy and forces the file has the ring's alone."""
    if "bead_positions" not in reader.names:
        raise GeometryError(
            f"{reader.path} holds no positions of beads (--bead-stride); take the centroid."
        )
    if not 0 <= bead < reader.system.n_beads:
        raise GeometryError(
            f"{reader.path}: beads are 0 … {reader.system.n_beads - 1}, not {bead}."
        )
    step = atoms.info["step"]
    recorded = reader.steps("bead_positions").tolist()
    if step not in recorded:
        raise GeometryError(
            f"{reader.path}: beads were not recorded at step {step}; they were at steps "
            f"{_listed(recorded)}."
        )
    index = recorded.index(step)
    frame = reader.read("bead_positions", index, index + 1)[0]
    if reader.system.n_replicas is not None:
        frame = frame[replica]
    atoms.positions[:] = frame[bead]
    atoms.arrays.pop("momenta", None)
    atoms.calc = None


def _listed(steps: list[int]) -> str:
    return ", ".join(map(str, steps if len(steps) < 6 else [*steps[:4], "…", steps[-1]]))


def _number(word: str, name: str, what: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise GeometryError(f"{name}: {word!r} is no number of {what}.") from error

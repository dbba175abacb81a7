"""Molecules of QM9 as the PyPI package `qm9pack` ships them, with the labels this recipe trains on.

`python -m pip install qm9pack==1.0.3` brings 130,831 molecules at B3LYP/6-31G(2df,p) (MIT licence;
the data: Ramakrishnan, Dral, Rupp, von Lilienfeld, Sci. Data 1, 140022, 2014). Its tables are read
as text: the package itself need not be imported, and with recent setuptools cannot be.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from orientation import into_frame_of_coordinates

from painn_ase.errors import DataError, MissingDependencyError
from painn_ase.units import debye_to_e_angstrom, hartree_to_ev

Array = NDArray[np.float64]

__all__ = ["N_MOLECULES", "read_qm9"]

#: Molecules in the package: QM9 without the 3,054 whose structures its authors found inconsistent.
N_MOLECULES = 130_831
_ENTRIES = (("xx", "xy", "xz"), ("xy", "yy", "yz"), ("xz", "yz", "zz"))
_PARTS = ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv")


def _folder() -> Path:
    found = importlib.util.find_spec("qm9pack")
    if found is None or found.origin is None:
        raise MissingDependencyError(
            "QM9 is read from the package qm9pack, which is not installed: "
            "pip install 'painn_ase[qm9]'."
        )
    return Path(found.origin).parent / "data"


def read_qm9(rows: Collection[int]) -> Iterator[Atoms]:
    """Molecules by their rows in the package's tables, ascending.

    Parameters
    ----------
    rows : collection of int
        From 0 to :data:`N_MOLECULES` − 1.

    Yields
    ------
    Atoms
        With ``info``: ``energy``, the total energy U₀ (electronic and zero-point) in eV;
        ``dipole_magnitude`` in e·Å; ``polarizability``, nine numbers in a.u., where its
        orientation is known; ``isotropic_polarizability`` in a.u. and ``zero_point_energy`` in
        Hartree as QM9 has them; ``smiles`` and ``qm9_index``.
    """
    wanted = set(rows)
    if wanted and not 0 <= min(wanted) <= max(wanted) < N_MOLECULES:
        raise DataError(
            f"rows of QM9 go from 0 to {N_MOLECULES - 1}; got {min(wanted)} to {max(wanted)}."
        )
    folder, n = _folder(), -1
    tensors = _tensors(folder / "qm9_polarizability.csv", wanted)
    for part in _PARTS:
        with open(folder / part, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                n += 1
                if n in wanted:
                    yield _molecule(row, tensors[row["XYZ_file"]])
                    wanted.remove(n)
                if not wanted:
                    return


def _tensors(path: Path, wanted: Collection[int]) -> dict[str, Array]:
    """Polarizabilities (3, 3) by the name of the molecule's file, a.u., in standard orientation."""
    until = range(max(wanted, default=-1) + 1)
    with open(path, encoding="utf-8", newline="") as file:
        return {
            row["XYZ_file"]: np.array([[float(row[f"A_{ab}"]) for ab in line] for line in _ENTRIES])
            for n, row in zip(until, csv.DictReader(file), strict=False)
            if n in wanted
        }


def _molecule(row: dict[str, str], tensor: Array) -> Atoms:
    positions = np.array(ast.literal_eval(row["XYZ_Ang"]), dtype=np.float64)
    atoms = Atoms(ast.literal_eval(row["Elements"]), positions)
    atoms.info = {
        "energy": float(row["InternalEnergy_0K_au"]) * hartree_to_ev,
        "dipole_magnitude": float(row["Dipole_debye"]) * debye_to_e_angstrom,
        "isotropic_polarizability": float(row["Polarizability_bohr3"]),
        "zero_point_energy": float(row["ZPVE_au"]),
        "smiles": row["SMILES"],
        "qm9_index": int(row["Index"]),
    }
    if (turned := into_frame_of_coordinates(atoms, tensor)) is not None:
        atoms.info["polarizability"] = turned.reshape(9)
    return atoms

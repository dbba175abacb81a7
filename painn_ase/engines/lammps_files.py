"""Data file and input script of LAMMPS for a structure and a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.geometry import complete_cell
from numpy.typing import NDArray

from painn_ase.engines.lammps_mliap import PaiNNUnified
from painn_ase.errors import GeometryError, SpecError
from painn_ase.graph import stated_charge
from painn_ase.models import load_model
from painn_ase.models.catalog import find_model
from painn_ase.replacing import write_text
from painn_ase.units import per_ase_time_to_per_fs

__all__ = ["DATA", "INPUT", "LammpsConfig", "write_lammps"]

INPUT, DATA, PICKLE = "in.lammps", "structure.data", "model.pkl"
#: Å beyond the outermost atoms in directions that are not periodic.
_MARGIN = 10.0


@dataclass(frozen=True)
class LammpsConfig:
    """What LAMMPS is asked for.

    Attributes
    ----------
    ensemble : {"nve", "nvt"}
        Without a thermostat, or with Nosé and Hoover's.
    steps : int
    timestep, temperature : float
        fs, K.
    tau : float
        Time of the thermostat, fs.
    stride : int
        Steps between records.
    seed : int
        Of the first velocities, where the structure has none.
    style : {"pair", "mliap"}
        The plugin's pair style, or LAMMPS's own for builds with KOKKOS.
    """

    ensemble: Literal["nve", "nvt"] = "nve"
    steps: int = 1000
    timestep: float = 0.5
    temperature: float = 300.0
    tau: float = 100.0
    stride: int = 10
    seed: int = 1
    style: Literal["pair", "mliap"] = "pair"

    def __post_init__(self) -> None:
        if self.ensemble not in ("nve", "nvt") or self.style not in ("pair", "mliap"):
            raise SpecError(
                f"ensemble is nve or nvt, style pair or mliap; got {self.ensemble!r}, "
                f"{self.style!r}."
            )
        if self.steps < 0 or min(self.stride, self.seed) < 1:
            raise SpecError("steps must be at least 0, stride and seed at least 1.")
        if not min(self.timestep, self.temperature, self.tau) > 0:
            raise SpecError("timestep, temperature and tau must be positive.")


def write_lammps(folder: str | Path, model: str, atoms: Atoms, config: LammpsConfig) -> list[str]:
    """Write a data file and an input script that run as they are.

    LAMMPS turns a cell so that a lies along x and b in the xy plane; what it writes is in that
    frame.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    model : str
        Model file, or name of a bundled model.
    atoms : Atoms
    config : LammpsConfig

    Returns
    -------
    list of str
        What to know before running it.

    Raises
    ------
    ModelFileError, UnknownElementError, GeometryError, SpecError
        Each message names the remedy.
    """
    potential = load_model(find_model(model))
    potential.check_elements(atoms.numbers.tolist())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    types = sorted({(z, m) for z, m in zip(atoms.numbers, atoms.get_masses(), strict=True)})
    symbols = [Atoms(numbers=[z]).get_chemical_symbols()[0] for z, _ in types]
    write_text(folder / DATA, _data(atoms, types, symbols))
    notes = []
    levers = [n for n in ("dipole", "polarizability") if n in potential.properties]
    levers = [n for n in levers if potential.heads[n].needs_origin]
    responds = {"dipole", "polarizability"} & set(potential.properties)
    if config.style == "mliap":
        responds = set()
        notes.append("ML-IAP hands on energies and forces only, no dipole or polarizability")
    elif levers and atoms.pbc.any():
        responds = set()
        notes.append(
            f"{' and '.join(levers)} of this model have lever arms, which mean nothing in a cell: "
            "the run goes without"
        )
    named = str(Path(model).resolve()) if Path(model).is_file() else model
    if any(c in named for c in " \t\"'#$&"):
        raise SpecError(
            f"LAMMPS cannot be told of {named!r}: its path has one of space \" ' # $ &. Copy the "
            "model to another place."
        )
    if config.style == "mliap":
        PaiNNUnified(model, list(dict.fromkeys(symbols)), device=None).pickle(folder / PICKLE)
        style = [f"pair_style mliap unified {PICKLE} 0", f"pair_coeff * * {' '.join(symbols)}"]
    else:
        words = ["pair_style painn_ase"]
        if (charge := stated_charge(atoms)) is not None:
            words.append(f"charge {charge:g}")
        if not responds and {"dipole", "polarizability"} & set(potential.properties):
            words.append("response no")
        style = [" ".join(words), f"pair_coeff * * {named} {' '.join(symbols)}"]
    write_text(folder / INPUT, _script(atoms, style, symbols, responds, config))
    return notes


def _data(atoms: Atoms, types: list[tuple[int, float]], symbols: list[str]) -> str:
    """LAMMPS's data file: the cell turned, a type for each element and isotope."""
    cell, positions = _boxed(atoms)
    if np.linalg.det(cell) < 0:
        raise GeometryError(
            "the cell is left-handed, and LAMMPS has right-handed ones only. Exchange two of its "
            "vectors, with their pbc."
        )
    prism = Prism(cell)
    tilted = prism.lammps_tilt
    type_of = {key: k for k, key in enumerate(types, start=1)}
    keys = list(zip(atoms.numbers, atoms.get_masses(), strict=True))
    lines = ["painn_ase", "", f"{len(atoms)} atoms", f"{len(types)} atom types", ""]
    lines += [f"0 {float(tilted[k, k])!r} {'xyz'[k]}lo {'xyz'[k]}hi" for k in range(3)]
    tilts = (tilted[1, 0], tilted[2, 0], tilted[2, 1])
    if any(abs(t) > 1e-10 for t in tilts):
        lines.append(f"{_row(tilts)} xy xz yz")
    lines += ["", "Masses", ""]
    lines += [
        f"{k} {float(m)!r}  # {s}"
        for k, ((_, m), s) in enumerate(zip(types, symbols, strict=True), 1)
    ]
    lines += ["", "Atoms  # atomic", ""]
    moved = np.asarray(prism.vector_to_lammps(positions))
    lines += [
        f"{i} {type_of[key]} {_row(r)}"
        for i, (key, r) in enumerate(zip(keys, moved, strict=True), start=1)
    ]
    if atoms.has("momenta"):
        to_angstrom_per_ps = 1e3 * per_ase_time_to_per_fs
        turned = np.asarray(prism.vector_to_lammps(atoms.get_velocities())) * to_angstrom_per_ps
        lines += ["", "Velocities", ""]
        lines += [f"{i} {_row(v)}" for i, v in enumerate(turned, start=1)]
    return "\n".join(lines) + "\n"


def _row(values: Iterable[float]) -> str:
    """Numbers so that reading gives back every bit."""
    return " ".join(repr(float(value)) for value in values)


def _boxed(atoms: Atoms) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A full cell (3, 3), its open directions as wide as the atoms and upright, and positions."""
    cell = np.array(atoms.cell[:])
    positions = np.array(atoms.positions)
    open_ = ~atoms.pbc
    cell[open_] = 0.0
    full = np.array(complete_cell(cell))
    for k in np.flatnonzero(open_):
        normal = full[k] / np.linalg.norm(full[k])
        along = positions @ normal
        full[k] = normal * (np.ptp(along) + 2 * _MARGIN)
        positions += (_MARGIN - along.min()) * normal
    return full, positions


def _script(
    atoms: Atoms, style: list[str], symbols: list[str], responds: set[str], config: LammpsConfig
) -> str:
    """The input."""
    stride, lines = config.stride, ["# written by painn-ase lammps", "units metal"]
    lines += [
        "atom_style atomic",
        "boundary " + " ".join("p" if periodic else "m" for periodic in atoms.pbc),
        "newton on",
        f"read_data {DATA}",
        "",
        *style,
        "",
        "neighbor 1.0 bin",
        "neigh_modify every 1 delay 0 check yes",
        f"timestep {config.timestep * 1e-3:.10g}",
    ]
    if not atoms.has("momenta"):
        lines.append(
            f"velocity all create {config.temperature:g} {config.seed} mom yes rot "
            f"{'no' if atoms.pbc.any() else 'yes'} dist gaussian loop all"
        )
    if config.ensemble == "nvt":
        t = f"{config.temperature:g}"
        lines.append(f"fix integrate all nvt temp {t} {t} {config.tau * 1e-3:.10g}")
    else:
        lines.append("fix integrate all nve")
    if responds:
        names = ["mu_x", "mu_y", "mu_z"]
        if "polarizability" in responds:
            names += [f"alpha_{c}" for c in ("xx", "yy", "zz", "xy", "xz", "yz")]
        values = " ".join(f"c_model[{k}]" for k in range(1, len(names) + 1))
        lines += [
            "compute model all pair painn_ase",
            "# dipole in e*Angstrom, polarizability in e^2*Angstrom^2/eV",
            f"fix response all ave/time {stride} 1 {stride} {values} file response.txt "
            f'format " %.12g" title2 "# TimeStep {" ".join(names)}"',
        ]
    lines += [
        f"dump frames all custom {stride} run.lammpstrj id element mass xu yu zu vx vy vz",
        f"dump_modify frames sort id element {' '.join(symbols)} units yes time yes "
        'format float "%.10g"',
        "thermo_style custom step temp pe etotal press",
        f"thermo {stride}",
        f"run {config.steps}",
    ]
    return "\n".join(lines) + "\n"

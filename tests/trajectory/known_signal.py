"""One known dipole signal, and its files in the formats of many programs.

Lines at 500, 1700 and 3000 cm⁻¹ of known infrared areas. A line of area a (km/mol) is a mode with
|∂μ/∂Q|² = a/42.26 e²/amu (``units.e2_per_amu_to_km_per_mol``), whose dipole velocity at temperature
T has the mean square |∂μ/∂Q|² kT.

The files are written after each program's documentation; ``data/README.md`` names the places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from painn_ase import units as u

TEMPERATURE = 300.0
TIMESTEP = 0.5
N_FRAMES = 2000
#: wavenumber (cm⁻¹) → area (km/mol)
LINES = {500.0: 40.0, 1700.0: 80.0, 3000.0: 60.0}

TIMES = TIMESTEP * np.arange(N_FRAMES)
_AU_TIME_FS = 0.02418884326


def _signal(derivative: bool = False) -> np.ndarray:
    dipole, flux = np.zeros((2, N_FRAMES, 3))
    for axis, (wavenumber, area) in enumerate(LINES.items()):
        omega = wavenumber / u.sqrt_ev_per_angstrom2_amu_to_invcm  # per ASE time
        mean_square = area / u.e2_per_amu_to_km_per_mol * u.boltzmann_constant * TEMPERATURE
        amplitude = np.sqrt(2.0 * mean_square) / omega
        phase = omega * TIMES * u.fs_to_ase_time + axis
        dipole[:, axis] = amplitude * np.cos(phase)
        flux[:, axis] = -amplitude * omega * u.fs_to_ase_time * np.sin(phase)
    return flux if derivative else dipole + np.array([0.1, -0.2, 0.3])


#: e·Å along the run
DIPOLE = _signal()
#: e·Å/fs
FLUX = _signal(derivative=True)
DEBYE = DIPOLE / u.debye_to_e_angstrom
BOHR = DIPOLE / u.bohr_to_angstrom


@dataclass(frozen=True)
class Case:
    """A way to write the signal.

    Attributes
    ----------
    write : callable
        Folder → file.
    options : dict
        What the file does not say and a user has to.
    charges : str or None
        Charges that make a dipole of its positions.
    """

    write: Callable[[Path], Path]
    options: dict
    charges: str | None = None
    library: str | None = None
    rounding: float = 0.0


def _file(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _row(values: np.ndarray, form: str = "%.8f") -> str:
    return "  ".join(form % v for v in values)


# -- dipoles ---------------------------------------------------------------------------------------


def cp2k_moments(folder: Path) -> Path:
    lines = []
    for x, y, z in DEBYE:
        lines += [
            "  Reference Point [Bohr]              0.00000000      0.00000000      0.00000000",
            "  Charges",
            "    Electronic=      8.00000000    Core=     -8.00000000    Total=      0.00000000",
            "  Dipole vectors are based on the periodic (Berry phase) operator.",
            "  They are defined modulo integer multiples of the cell matrix [Debye].",
            "  [X] [   46.55265580     0.00000000     0.00000000 ] [i]",
            "  [Y]=[    0.00000000    54.46353324     0.00000000 ]*[j]",
            "  [Z] [    0.00000000     0.00000000    54.47313965 ] [k]",
            "  Dipole moment [Debye]",
            f"    X={x:14.8f} Y={y:14.8f} Z={z:14.8f}     Total=    1.00000000",
        ]
    return _file(folder, "water-moments.dat", lines)


def cp2k_molecular_moments(folder: Path) -> Path:
    lines = []
    for x, y, z in DEBYE:
        lines += [
            "  Dipole moment [Debye]",
            f"    X={x:14.8f} Y={y:14.8f} Z={z:14.8f}     Total=    1.0",
        ]
    return _file(folder, "water-moments.dat", lines)


def cp2k_output(folder: Path) -> Path:
    lines = [" MD| Molecular dynamics protocol"]
    for n, (x, y, z) in enumerate(DEBYE):
        lines += [
            "  Dipole moment [Debye]",
            f"    X={x:14.8f} Y={y:14.8f} Z={z:14.8f}     Total=    1.0",
        ]
        if n == 0:
            lines.append(" MD_INI| Potential energy [hartree]               -0.171643421210E+02")
        else:
            lines += [
                f" MD| Step number                                        {n}",
                f" MD| Time [fs]                                  {TIMES[n]:.6f}",
                " MD| Temperature [K]               300.0   300.0",
            ]
    return _file(folder, "water.out", lines)


def cp2k_step_files(folder: Path) -> Path:
    for n, (x, y, z) in enumerate(DEBYE[:120]):
        lines = ["  Dipole moment [Debye]", f"    X={x:14.8f} Y={y:14.8f} Z={z:14.8f}  Total= 1.0"]
        _file(folder, f"water-moments-1_{n}.dat", lines)
    return folder / "water-moments-1_0.dat"


def cp2k_total_dipole(folder: Path) -> Path:
    lines = [
        "# iter_level                  dipole(x,y,z)[atomic units]        dipole(x,y,z)[debye]"
        "    delta_dipole(x,y,z)[atomic units]"
    ]
    for n, (bohr, debye) in enumerate(zip(BOHR, DEBYE, strict=True)):
        lines.append(
            f"     1_{n:<8d}" + _row(bohr, "%18.8E") + _row(debye, "%18.8E") + _row(bohr, "%18.8E")
        )
    return _file(folder, "water-TOTAL_DIPOLE-1.Dipole", lines)


def ipi_extras(folder: Path) -> Path:
    lines = []
    for n, row in enumerate(BOHR):
        lines += [f" #EXTRAS(dipole)# Step:  {n:10d}  ", "      ".join(f"{v:15.8f}" for v in row)]
    return _file(folder, "simulation.dip_0", lines)


def ipi_properties(folder: Path) -> Path:
    lines = [
        "# column   1     --> step : The current simulation time step.",
        "# column   2     --> time{picosecond} : The elapsed simulation time.",
        "# cols.    3-5   --> dipole{debye} : The electric dipole of the system.",
    ]
    for n, row in enumerate(DEBYE):
        lines.append(f"  {n:16.8e}   {1e-3 * TIMES[n]:16.8e}   " + _row(row, "%16.8e"))
    return _file(folder, "simulation.out", lines)


def gpumd(folder: Path) -> Path:
    return _file(folder, "dipole.out", [f"{n} {_row(row)}" for n, row in enumerate(DIPOLE)])


def gpumd_dpdt(folder: Path) -> Path:
    rows = zip(FLUX, DIPOLE, strict=True)
    return _file(folder, "dpdt.out", [f"{_row(a, '%.9e')} {_row(b, '%.9e')}" for a, b in rows])


def colvar(folder: Path) -> Path:
    lines = ["#! FIELDS time dip.x dip.y dip.z bond"]
    for n, row in enumerate(DIPOLE):
        if n == 1000:  # a restart writes the header again
            lines.append(lines[0])
        lines.append(f" {1e-3 * TIMES[n]:.6f} {_row(0.1 * row, '%.9f')} 0.1")
    return _file(folder, "COLVAR", lines)


def xvg(folder: Path) -> Path:
    lines = [
        "# This file was created by gmx dipoles",
        '@    title "Total dipole moment of the simulation box vs. time"',
        '@    xaxis  label "Time (ps)"',
        '@    yaxis  label "Total Dipole Moment (Debye)"',
        "@TYPE xy",
        "@ view 0.15, 0.15, 0.75, 0.85",
        '@ s0 legend "M\\sx \\N"',
        '@ s1 legend "M\\sy \\N"',
        '@ s2 legend "M\\sz \\N"',
        '@ s3 legend "|M\\stot \\N|"',
    ]
    for n, row in enumerate(DEBYE):
        lines.append(f"{1e-3 * TIMES[n]:10.6f}    {_row(row)}    {np.linalg.norm(row):.8f}")
    return _file(folder, "Mtot.xvg", lines)


def lammps_ave_time(folder: Path) -> Path:
    lines = ["# Time-averaged data for fix dip", "# TimeStep c_dip[1] c_dip[2] c_dip[3] c_dip"]
    for n, row in enumerate(DIPOLE):
        lines.append(f"{n} {_row(row)} {np.linalg.norm(row):.6f}")
    return _file(folder, "dipole.dat", lines)


def lammps_print(folder: Path) -> Path:
    lines = ["# step temp dx dy dz"]
    lines += [f"{n} 300.0 {_row(row)}" for n, row in enumerate(DIPOLE)]
    return _file(folder, "dipole.txt", lines)


def fortran_exponents(folder: Path) -> Path:
    lines = ["# Time-averaged data for fix dip", "# TimeStep mu_x mu_y mu_z"]
    for n, row in enumerate(DIPOLE):
        lines.append(f"{n} " + _row(row, "%.10E").replace("E", "D"))
    return _file(folder, "dipole.dat", lines)


# -- positions with charges ------------------------------------------------------------------------

#: Two atoms of charges ∓1 e: their distance is the dipole.
REST = np.array([[2.0, 3.0, 4.0], [2.0, 3.0, 4.0]])
POSITIONS = REST + np.stack([np.zeros_like(DIPOLE), DIPOLE], axis=1)


def _lammps_dump(folder: Path, columns: str, frame: Callable, head: list[str]) -> Path:
    lines = []
    for n in range(N_FRAMES):
        extra = [*head, "ITEM: TIME", f"{TIMES[n]:.6f}"] if head else []
        lines += [*extra, "ITEM: TIMESTEP", str(n), "ITEM: NUMBER OF ATOMS", "2"]
        lines += ["ITEM: BOX BOUNDS pp pp pp", "0.0 5.0", "0.0 5.0", "0.0 5.0"]
        rows = [f"{a + 1} {a + 1} " + frame(n, a) for a in (0, 1)]
        lines += [f"ITEM: ATOMS id type {columns}", *(rows if n % 2 else rows[::-1])]
    return _file(folder, "run.lammpstrj", lines)


def lammps_unwrapped(folder: Path) -> Path:
    def frame(n: int, atom: int) -> str:
        return f"{(-1.0, 1.0)[atom]} {_row(POSITIONS[n, atom])}"

    return _lammps_dump(folder, "q xu yu zu", frame, ["ITEM: UNITS", "real"])


def lammps_images(folder: Path) -> Path:
    def frame(n: int, atom: int) -> str:
        drift = POSITIONS[n, atom] + 1e-3 * n  # both atoms leave the box together
        images = np.floor(drift / 5.0)
        return f"{(-1.0, 1.0)[atom]} {_row(drift - 5.0 * images)} {_row(images, '%d')}"

    return _lammps_dump(folder, "q x y z ix iy iz", frame, [])


def lammps_wrapped(folder: Path) -> Path:
    def frame(n: int, atom: int) -> str:
        return _row((POSITIONS[n, atom] + 1e-3 * n) % 5.0)

    return _lammps_dump(folder, "x y z", frame, ["ITEM: UNITS", "real"])


def _xyz(folder: Path, name: str, values: np.ndarray, comment: Callable[[int], str]) -> Path:
    lines = []
    for n, frame in enumerate(values):
        lines += ["2", comment(n)]
        lines += [
            f"{s:>8s} {_row(row, '%14.8f')}" for s, row in zip(("O", "H"), frame, strict=True)
        ]
    return _file(folder, name, lines)


def cp2k_positions(folder: Path) -> Path:
    def comment(n: int) -> str:
        return f" i = {n:8d}, time = {TIMES[n]:12.3f}, E =       -17.1643421210"

    return _xyz(folder, "water-pos-1.xyz", POSITIONS, comment)


def ipi_positions(folder: Path) -> Path:
    def comment(n: int) -> str:
        return (
            "# CELL(abcABC):   40.00000    40.00000    40.00000    90.00000    90.00000    90.00000"
            f"  Step:  {n:10d}  Bead:       0 positions{{atomic_unit}}  cell{{atomic_unit}}"
        )

    return _xyz(folder, "simulation.pos_0.xyz", POSITIONS / u.bohr_to_angstrom, comment)


def orca_positions(folder: Path) -> Path:
    def comment(n: int) -> str:
        return (
            f"# ORCA AIMD Position Step {n}, t={TIMES[n]:.2f} fs, E_Pot=-76.40 Hartree, "
            "Unit is Angstrom"
        )

    return _xyz(folder, "trajectory.xyz", POSITIONS, comment)


# -- outputs of quantum chemistry ------------------------------------------------------------------


def gaussian_bomd(folder: Path) -> Path:
    lines = [" Entering Gaussian System, Link 0=g16", " INPUT DATA FOR L118"]
    for n, (x, y, z) in enumerate(DEBYE):
        if n:
            lines += [
                f" Summary information for step {n:6d}",
                f" Time (fs) {TIMES[n]:16.6f}",
                "   EKin =      0.0100000; EPot =    -76.4000000; ETot =    -76.3900000",
            ]
        lines += [
            " Dipole moment (field-independent basis, Debye):",
            f"    X={x:26.8f}    Y={y:26.8f}    Z={z:26.8f}  Tot=              1.0000",
        ]
    return _file(folder, "bomd.log", lines)


def qchem_aimd(folder: Path) -> Path:
    lines = ["                  Welcome to Q-Chem"]
    for n, (x, y, z) in enumerate(DEBYE):
        if n:
            lines.append(
                f" TIME STEP #{n} (t = {TIMES[n] / _AU_TIME_FS:.2f} a.u. = {TIMES[n]:.2f} fs)"
            )
        lines += [
            "    Dipole Moment (Debye)",
            f"         X  {x:14.8f}      Y  {y:14.8f}      Z  {z:14.8f}",
            "       Tot       1.0000",
        ]
    return _file(folder, "aimd.out", lines)


def orca_md(folder: Path) -> Path:
    lines = [
        "                                 *****************",
        "                                 * O   R   C   A *",
        "                                 *****************",
        "|  3>   timestep 0.5_fs",
    ]
    for row in BOHR:
        lines += [
            "-------------",
            "DIPOLE MOMENT",
            "-------------",
            "Total Dipole Moment    :  " + _row(row, "%14.8f"),
        ]
    return _file(folder, "md.out", lines)


def nwchem_qmd(folder: Path) -> Path:
    """Format statements I10, F20.10, 3ES15.6 and A12, 3F15.8, 3F15.8, as its manual shows them."""
    lines = []
    for n, (frame, flux) in enumerate(zip(POSITIONS, FLUX, strict=True)):
        dipole = "".join(f"{x:15.6E}" for x in BOHR[n])
        lines += ["    2", f"{n:10d}{-75.5:20.10f}{dipole}"]
        for symbol, row, velocity in zip("OH", frame, (np.zeros(3), flux), strict=True):
            numbers = "".join(f"{x:15.8f}" for x in row) + "  "
            lines.append(f" {symbol:12s}{numbers}" + "".join(f"{x:15.8f}" for x in velocity))
    return _file(folder, "run.xyz", lines)


# -- files that a library writes -------------------------------------------------------------------


def _mdanalysis(folder: Path, name: str, moving: bool = False, **options: str) -> Path:
    import MDAnalysis

    universe = MDAnalysis.Universe.empty(2, trajectory=True, velocities=moving)
    path = folder / name
    with MDAnalysis.Writer(str(path), 2, dt=1e-3 * TIMESTEP, **options) as writer:
        for n in range(N_FRAMES):
            frame = universe.trajectory.ts
            frame.positions = POSITIONS[n]
            frame.time, frame.frame = 1e-3 * TIMES[n], n
            frame.data["step"] = n
            if moving:
                frame.velocities = np.stack([np.zeros(3), 1e3 * FLUX[n]])
            writer.write(universe.atoms)
    return path


def xtc(folder: Path) -> Path:
    return _mdanalysis(folder, "run.xtc")


def trr(folder: Path) -> Path:
    return _mdanalysis(folder, "run.trr", moving=True)


def dcd(folder: Path) -> Path:
    return _mdanalysis(folder, "run.dcd", remarks="Created by NAMD")


def netcdf(folder: Path) -> Path:
    from scipy.io import netcdf_file

    path = folder / "run.nc"
    with netcdf_file(path, "w", version=2) as file:
        file.Conventions, file.ConventionVersion, file.program = "AMBER", "1.0", "sander"
        for name, size in (("frame", N_FRAMES), ("spatial", 3), ("atom", 2)):
            file.createDimension(name, size)
        for name, unit, shape, values in (
            ("time", "picosecond", ("frame",), 1e-3 * TIMES),
            ("coordinates", "angstrom", ("frame", "atom", "spatial"), POSITIONS),
        ):
            variable = file.createVariable(name, "f4", shape)
            variable.units = unit
            variable[:] = values.astype("f4")
    return path


def topology(folder: Path) -> Path:
    from ase import Atoms
    from ase.io import write

    write(folder / "run.pdb", Atoms("OH", POSITIONS[0]))
    return folder / "run.pdb"


def xdatcar(folder: Path) -> Path:
    lines = ["O H", "1.0", "30.0 0.0 0.0", "0.0 30.0 0.0", "0.0 0.0 30.0", "O H", "1 1"]
    for n, frame in enumerate(POSITIONS, start=1):
        lines += [f"Direct configuration= {n:6d}", *(_row(r, "%.10f") for r in frame / 30.0)]
    return _file(folder, "XDATCAR", lines)


BORN = """ BORN EFFECTIVE CHARGES (including local field effects) (in |e|, cumulative output)
 ---------------------------------------------------------------------------------
  ion    1
    1    -1.00000     0.00000     0.00000
    2     0.00000    -1.00000     0.00000
    3     0.00000     0.00000    -1.00000
  ion    2
    1     1.00000     0.00000     0.00000
    2     0.00000     1.00000     0.00000
    3     0.00000     0.00000     1.00000


--------------------------------------------------------------------------------------------------
"""


def schnetpack_md(folder: Path) -> Path:
    import json

    import h5py

    path = folder / "simulation.hdf5"
    velocities = np.stack([np.zeros_like(FLUX), FLUX], axis=1)
    rows = np.concatenate(
        [
            np.zeros((N_FRAMES, 1)),
            0.1 * POSITIONS.reshape(N_FRAMES, 6),
            100.0 * velocities.reshape(N_FRAMES, 6),  # nm/ps
        ],
        axis=1,
    )
    with h5py.File(path, "w") as file:
        # all steps of the run are there from the beginning, `entries` of them are written
        padded = np.concatenate([rows, np.zeros((10, 13))])
        molecules = file.create_dataset("molecules", data=padded[:, None])
        attributes = {
            "n_replicas": 1, "n_molecules": 1, "total_n_atoms": 2, "n_atoms": [2],
            "atom_types": [8, 1], "masses": [15.999, 1.008], "pbc": [False] * 3,
            "has_cells": False, "has_velocities": True, "time_step": 1e-3 * TIMESTEP,
            "every_n_steps": 1, "entries": N_FRAMES,
        }  # fmt: skip
        molecules.attrs.update(attributes)
        debye = np.concatenate([DEBYE, np.zeros((10, 3))])
        properties = file.create_dataset("properties", data=debye[:, None])
        properties.attrs["shapes"] = json.dumps({"dipole_moment": [1, 3]})
        properties.attrs["positions"] = json.dumps({"dipole_moment": [0, 3]})
        properties.attrs["entries"] = N_FRAMES
    return path


STEP = {"timestep": TIMESTEP}
CASES: dict[str, Case] = {
    "cp2k moments": Case(cp2k_molecular_moments, STEP),
    "cp2k output": Case(cp2k_output, {}),
    "cp2k total dipole": Case(cp2k_total_dipole, STEP),
    "i-pi extras": Case(ipi_extras, {**STEP, "dipole_unit": "a.u."}),
    "i-pi properties": Case(ipi_properties, {}),
    "gpumd dipole": Case(gpumd, {**STEP, "dipole_unit": "e*Angstrom"}),
    "gpumd dpdt": Case(gpumd_dpdt, STEP),
    "plumed colvar": Case(colvar, {}),
    "gromacs xvg": Case(xvg, {}),
    "lammps ave/time": Case(lammps_ave_time, {**STEP, "dipole_unit": "e*Å"}),
    "lammps print": Case(lammps_print, {**STEP, "dipole_unit": "e*Å"}),
    "fortran exponents": Case(fortran_exponents, {**STEP, "dipole_unit": "e*Å"}),
    "lammps dump unwrapped": Case(lammps_unwrapped, {}),
    "lammps dump images": Case(lammps_images, {**STEP, "dipole_unit": "e*Å"}),
    "lammps dump wrapped": Case(lammps_wrapped, {}, "1=-1,2=1"),
    "cp2k positions": Case(cp2k_positions, {}, "O=-1,H=1"),
    "i-pi positions": Case(ipi_positions, STEP, "O=-1,H=1"),
    "orca positions": Case(orca_positions, {}, "O=-1,H=1"),
    "orca output": Case(orca_md, {}),
    "nwchem qmd": Case(nwchem_qmd, STEP),
    "nwchem qmd, charges": Case(nwchem_qmd, STEP, "O=-1,H=1"),
    "gaussian bomd": Case(gaussian_bomd, {}),
    "q-chem aimd": Case(qchem_aimd, {}),
    "vasp xdatcar": Case(xdatcar, STEP, "O=-1,H=1"),
    "schnetpack": Case(schnetpack_md, {"dipole_unit": "Debye"}),
    "gromacs xtc": Case(xtc, {}, "O=-1,H=1", "MDAnalysis", 5e-3),
    "gromacs trr": Case(trr, {}, "O=-1,H=1", "MDAnalysis", 1e-6),
    "dcd": Case(dcd, {}, "O=-1,H=1", "MDAnalysis", 1e-6),
    "amber netcdf": Case(netcdf, {}, "O=-1,H=1", "MDAnalysis", 1e-6),
}

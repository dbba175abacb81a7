"""What i-PI is told in files, and what it leaves in them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import DataError, SpecError, TrajectoryError
from painn_ase.md.identity import fingerprint
from painn_ase.models import load_model
from painn_ase.models.catalog import find_model
from painn_ase.replacing import write_text
from painn_ase.spec import to_dict
from painn_ase.trajectory import System, TrajectoryWriter

__all__ = [
    "INPUT",
    "TEMPLATE",
    "IPIConfig",
    "check_same",
    "driver_path",
    "gather",
    "last_step",
    "name_for_driver",
    "newest_start",
    "write_input",
]

Array = NDArray[np.float64]

#: Files of a run. i-PI writes the middle ones; their names follow from the prefix ``run``.
INPUT, TEMPLATE, START, SETTINGS, CHECKPOINT, TABLE = (
    "input.xml", "template.extxyz", "start.xyz", "settings.json", "run.restart", "run.out"
)  # fmt: skip
#: Å; a molecule's cell for i-PI, which knows no other.
_EMPTY = 200.0


@dataclass(frozen=True)
class IPIConfig:
    """What i-PI is asked for.

    Attributes
    ----------
    method : {"pimd", "trpmd", "rpmd", "nvt", "nve"}
        Ring polymers under the PILE thermostat, the same with λ = ½ and none on the centroid,
        without a thermostat; classical dynamics with and without Langevin's.
    beads : int
        One for classical dynamics.
    steps : int
    timestep, temperature : float
        fs, K.
    tau : float
        Time of the thermostat, fs.
    stride : int
        Steps between recorded dipoles and polarizabilities.
    clients : int
        Processes that evaluate, over a Unix socket; 0 for i-PI's own process, in which all beads
        are one call. Several are for several cores or GPUs.
    seed : int
    """

    method: Literal["pimd", "trpmd", "rpmd", "nvt", "nve"] = "pimd"
    beads: int = 32
    steps: int = 1000
    timestep: float = 0.5
    temperature: float = 300.0
    tau: float = 100.0
    stride: int = 4
    clients: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in ("pimd", "trpmd", "rpmd", "nvt", "nve"):
            raise SpecError(f"method is pimd, trpmd, rpmd, nvt or nve, not {self.method!r}.")
        if min(self.beads, self.steps, self.stride) < 1 or self.clients < 0:
            raise SpecError("beads, steps and stride must be at least 1, clients at least 0.")
        if self.method in ("nvt", "nve") and self.beads != 1:
            raise SpecError(f"{self.method} is of classical nuclei: beads = 1.")
        if not min(self.timestep, self.temperature, self.tau) > 0:
            raise SpecError("timestep, temperature and tau must be positive.")


def write_input(folder: Path, model: str, atoms: Atoms, config: IPIConfig) -> None:
    """Write ``input.xml``, the start and the template that the driver reads.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    model : str
        Model file, or name of a bundled model.
    atoms : Atoms
        Where all beads begin.
    config : IPIConfig
    """
    folder.mkdir(parents=True, exist_ok=True)
    still = atoms.copy()
    still.calc = None
    still.set_constraint()
    ase.io.write(folder / TEMPLATE, still, format="extxyz")
    cell = still.cell.cellpar() if any(still.pbc) else [_EMPTY] * 3 + [90.0] * 3
    moved = _turned(still)
    lines = [
        str(len(still)),
        "# CELL(abcABC): " + " ".join(f"{x:.10f}" for x in cell) + " cell{angstrom} "
        "positions{angstrom}",
        *(
            f"{s} {x:.10f} {y:.10f} {z:.10f}"
            for s, (x, y, z) in zip(moved.symbols, moved.positions, strict=True)
        ),
    ]
    write_text(folder / START, "\n".join(lines) + "\n")
    write_text(folder / SETTINGS, json.dumps(_settings(model, atoms, config)) + "\n")
    write_text(folder / INPUT, _xml(name_for_driver(model), config))


def _settings(model: str, atoms: Atoms, config: IPIConfig) -> dict[str, Any]:
    """What a restart must have alike; how many processes evaluate, and how, it may change."""
    known = {k: v for k, v in to_dict(config).items() if k != "clients"}
    weights = fingerprint([load_model(find_model(model))])
    return {**known, "model": weights, "structure": str(atoms.symbols)}


def check_same(folder: Path, model: str, atoms: Atoms, config: IPIConfig) -> None:
    """Refuse to go on with a run that was begun otherwise.

    Raises
    ------
    TrajectoryError
        Names what differs.
    """
    now = _settings(model, atoms, config)
    path = folder / SETTINGS
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrajectoryError(
            f"{path} cannot be read: {error}. Begin the run in another folder."
        ) from error
    if changed := [name for name, value in now.items() if before.get(name) != value]:
        raise TrajectoryError(
            f"the run in {folder} was begun with other settings ({', '.join(changed)}). Use the "
            "same, or another folder."
        )


def _turned(atoms: Atoms) -> Atoms:
    """The structure as i-PI has it: a cell's a along x, its b in the xy plane."""
    moved: Atoms = atoms.copy()
    if any(moved.pbc):
        moved.set_cell(moved.cell.cellpar(), scale_atoms=True)
    return moved


def name_for_driver(model: str) -> str:
    """The model as i-PI's driver is told, wherever it runs."""
    path = Path(model)
    named = str(path.resolve()) if path.exists() else model
    if re.search(r"[,:{}<>&]", named):
        raise SpecError(f"i-PI cannot be told of {named!r}: its path has one of , : {{ }} < > &.")
    return named


def driver_path() -> str:
    """The file that i-PI loads."""
    return str(Path(__file__).with_name("ipi_driver.py"))


def _xml(model: str, config: IPIConfig) -> str:
    """i-PI's input."""
    batch = config.beads if config.clients == 0 else -(-config.beads // config.clients)
    if config.clients == 0:
        field_ = (
            f"<ffdirect name='painn_ase'><pes>custom</pes><pes_path>{driver_path()}</pes_path>"
            f"<batch_size>{batch}</batch_size><parameters>{{model:{model},template:{TEMPLATE}}}"
            "</parameters></ffdirect>"
        )
    else:
        field_ = (
            "<ffsocket name='painn_ase' mode='unix'><address>SOCKET</address>"
            f"<latency>1e-4</latency><batch_size>{batch}</batch_size></ffsocket>"
        )
    thermostats = {
        "pimd": f"<thermostat mode='pile_l'><tau units='femtosecond'>{config.tau}</tau>"
        "</thermostat>",
        "trpmd": "<thermostat mode='pile_l'><tau units='femtosecond'>1e9</tau>"
        "<pile_lambda>0.5</pile_lambda></thermostat>",
        "nvt": f"<thermostat mode='langevin'><tau units='femtosecond'>{config.tau}</tau>"
        "</thermostat>",
    }
    thermostat = thermostats.get(config.method, "")
    extras = "".join(
        f"<trajectory filename='{name}' stride='{config.stride}' extra_type='{name}' "
        "flush='20'> extras </trajectory>"
        for name in ("dipole", "polarizability")
        if name in load_model(find_model(model)).properties
    )
    return f"""<simulation verbosity='low'>
<output prefix='run'>
<properties stride='{config.stride}' filename='out' flush='20'> [ step, time{{picosecond}}, \
conserved{{electronvolt}}, temperature{{kelvin}}, kinetic_cv{{electronvolt}}, \
potential{{electronvolt}} ] </properties>
{extras}
<checkpoint filename='restart' stride='{20 * config.stride}' overwrite='False'/>
</output>
<total_steps>{config.steps + 1}</total_steps>
<prng><seed>{config.seed + 1}</seed></prng>
{field_}
<system>
<initialize nbeads='{config.beads}'><file mode='xyz'>{START}</file>
<velocities mode='thermal' units='kelvin'>{config.temperature}</velocities></initialize>
<forces><force forcefield='painn_ase'/></forces>
<ensemble><temperature units='kelvin'>{config.temperature}</temperature></ensemble>
<motion mode='dynamics'><dynamics mode='{"nvt" if thermostat else "nve"}'>{thermostat}
<timestep units='femtosecond'>{config.timestep}</timestep></dynamics></motion>
</system>
</simulation>
"""


# ---------------------------------------------------------------------- what came out


def last_step(folder: Path) -> int:
    """The last step in i-PI's table, -1 before the first."""
    try:
        text = (folder / TABLE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    for line in reversed(text.splitlines()):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                return round(float(words[0]))
            except ValueError:
                continue
    return -1


def newest_start(folder: Path, config: IPIConfig) -> Path:
    """The newest checkpoint before which every output is on the disk, else the input.

    A kill loses what i-PI had not flushed yet, and a checkpoint may be newer than that.
    """
    on_disk = set(range(0, config.steps + 1, config.stride))
    for name in ("dipole", "polarizability"):
        for bead in range(config.beads):
            if paths := _of_bead(folder, name, bead, config):
                on_disk &= _steps_of(paths).keys()
    missing = [s for s in range(0, config.steps + 1, config.stride) if s not in on_disk]
    whole = missing[0] - 1 if missing else config.steps
    best, newest = folder / INPUT, -1
    for path in folder.glob(f"*{CHECKPOINT}*"):
        text = path.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"<step>\s*(\d+)\s*</step>", text)
        if found and "</simulation>" in text and newest < int(found[1]) <= whole:
            best, newest = path, int(found[1])
    return best


def gather(folder: str | Path, atoms: Atoms, config: IPIConfig) -> Path:
    """Dipoles and polarizabilities of a finished run, means over the beads, as an H5MD file.

    Steps that i-PI made twice, after it was begun again, count once, as they were made last.

    Raises
    ------
    TrajectoryError
        When there are none, or a step is missing.
    """
    folder = Path(folder)
    wanted = list(range(0, config.steps + 1, config.stride))
    found: dict[str, Array] = {}
    for name, shape in (("dipole", (3,)), ("polarizability", (3, 3))):
        beads = [paths for k in range(config.beads) if (paths := _of_bead(folder, name, k, config))]
        if not beads:
            continue
        rows = [_steps_of(paths) for paths in beads]
        missing = [step for step in wanted if any(step not in row for row in rows)]
        if missing or len(beads) != config.beads:
            raise TrajectoryError(
                f"{folder}: {name} of {len(beads)} of {config.beads} beads, step "
                f"{missing[0] if missing else '–'} is missing. Let the run go on with --restart."
            )
        values = [[row[step] for row in rows] for step in wanted]
        found[name] = np.array(values, dtype=np.float64).mean(axis=1).reshape(-1, *shape)
    if not found:
        raise TrajectoryError(f"{folder} has no dipoles: the model has none, or no step was made.")
    target = folder / "run.h5"
    ensemble = {"nvt": "langevin"}.get(config.method, config.method)
    about = {
        "ensemble": ensemble,
        "timestep": config.timestep,
        "temperature": config.temperature,
        "friction": 1.0 / config.tau if config.method in ("nvt", "pimd") else 0.0,
    }
    writer = TrajectoryWriter.create(
        target,
        System.of(_turned(atoms), n_beads=1),
        dict.fromkeys(found, config.stride),
        provenance={"config": about, "ipi": to_dict(config)},
        overwrite=True,
    )
    with writer:
        for n, step in enumerate(wanted):
            writer.write(step, step * config.timestep, {k: v[n] for k, v in found.items()})
    return target


def _of_bead(folder: Path, name: str, bead: int, config: IPIConfig) -> list[Path]:
    """i-PI's files of one bead, oldest first: it puts those of an earlier beginning aside.

    The number is padded to the width of the largest.
    """
    own = f"run.{name}_{bead:0{len(str(config.beads - 1))}d}"
    aside = sorted(folder.glob(f"#{own}#*#"), key=lambda path: int(path.name.split("#")[2]))
    return [*aside, *([folder / own] if (folder / own).exists() else [])]


def _steps_of(paths: Sequence[Path]) -> dict[int, list[float]]:
    """Values by step; the last of those that occur twice, a kill's half rows left out."""
    rows: dict[int, list[float]] = {}
    for path in paths:
        found = _rows_of(path)
        n_values = max((len(row) for row in found.values()), default=0)
        rows |= {step: row for step, row in found.items() if len(row) == n_values}
    return rows


def _rows_of(path: Path) -> dict[int, list[float]]:
    rows: dict[int, list[float]] = {}
    step: int | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.search(r"Step:\s*(\d+)", line):
            step = int(match[1])
            rows[step] = []
        elif step is not None and line.strip():
            try:
                rows[step] += [float(word) for word in line.split()]
            except ValueError as error:
                raise DataError(f"{path}: {line.strip()[:60]!r} is no row of numbers.") from error
    return rows

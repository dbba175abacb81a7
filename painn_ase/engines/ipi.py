"""i-PI runs a model's beads: its input written, its processes watched, its dipoles gathered.

A dead client freezes i-PI's server for good in most cases, and a dead server leaves its clients
behind; here both are noticed and the run goes on from i-PI's own restart file. Needs the extra
``ipi`` (i-PI 3.3; Litman et al., J. Chem. Phys. 161, 062504 (2024)).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import (
    DataError,
    MissingDependencyError,
    SpecError,
    TrajectoryError,
    UnstableRunError,
)
from painn_ase.models.catalog import find_model
from painn_ase.replacing import write_text
from painn_ase.spec import to_dict
from painn_ase.trajectory import System, TrajectoryWriter

__all__ = ["IPIConfig", "gather", "run_ipi", "write_input"]

Array = NDArray[np.float64]

#: Files of a run. i-PI writes the middle ones; their names follow from the prefix ``run``.
INPUT, TEMPLATE, START, CHECKPOINT, TABLE = (
    "input.xml", "template.extxyz", "start.xyz", "run.restart", "run.out"
)  # fmt: skip
#: Seconds between looks, and a server's to open its socket.
_LOOK, _PATIENCE = 0.2, 60.0
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


@dataclass
class _Watched:
    """The processes of a run, and how often they had to be begun again."""

    folder: Path
    config: IPIConfig
    model: str
    server: subprocess.Popen[bytes] | None = None
    clients: list[subprocess.Popen[bytes]] = field(default_factory=list)
    n_restarts: int = 0
    sockets: list[Path] = field(default_factory=list)


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
    write_text(folder / INPUT, _xml(_parameters(model), still, config))


def _turned(atoms: Atoms) -> Atoms:
    """The structure as i-PI has it: a cell's a along x, its b in the xy plane."""
    moved: Atoms = atoms.copy()
    if any(moved.pbc):
        moved.set_cell(moved.cell.cellpar(), scale_atoms=True)
    return moved


def _parameters(model: str) -> str:
    path = Path(model)
    named = str(path.resolve()) if path.exists() else model
    if re.search(r"[,:{}<>&]", named):
        raise SpecError(f"i-PI cannot be told of {named!r}: its path has one of , : {{ }} < > &.")
    return f"model:{named},template:{TEMPLATE}"


def _driver_path() -> str:
    return str(Path(__file__).with_name("ipi_driver.py"))


def _xml(parameters: str, atoms: Atoms, config: IPIConfig) -> str:
    """i-PI's input."""
    batch = config.beads if config.clients == 0 else -(-config.beads // config.clients)
    if config.clients == 0:
        field_ = (
            f"<ffdirect name='painn_ase'><pes>custom</pes><pes_path>{_driver_path()}</pes_path>"
            f"<batch_size>{batch}</batch_size><parameters>{{{parameters}}}</parameters></ffdirect>"
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
        if name in _responses(parameters)
    )
    kelvin = f"<temperature units='kelvin'>{config.temperature}</temperature>"
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
<ensemble>{kelvin}</ensemble>
<motion mode='dynamics'><dynamics mode='{"nvt" if thermostat else "nve"}'>{thermostat}
<timestep units='femtosecond'>{config.timestep}</timestep></dynamics></motion>
</system>
</simulation>
"""


def _name_of(parameters: str) -> str:
    """The model in the parameters of i-PI's own process; clients get values without names."""
    return parameters.partition("model:")[2].partition(",template:")[0]


def _responses(parameters: str) -> tuple[str, ...]:
    from painn_ase.models.file import load_model

    known = load_model(find_model(_name_of(parameters))).properties
    return tuple(name for name in ("dipole", "polarizability") if name in known)


def run_ipi(
    folder: str | Path,
    model: str,
    atoms: Atoms,
    config: IPIConfig,
    *,
    restart: bool = False,
    frozen_after: float = 120.0,
    most_restarts: int = 20,
    progress: Callable[[int, str], None] | None = None,
) -> Path:
    """Run i-PI until it has made all steps, whatever happens to its processes.

    Parameters
    ----------
    folder : str or Path
        For everything.
    model : str
        Model file, or name of a bundled model.
    atoms : Atoms
    config : IPIConfig
    restart : bool
        Go on with what is in the folder.
    frozen_after : float
        Seconds without a step after which a server counts as frozen and is begun again.
    most_restarts : int
        How often processes are begun again before the run is given up.
    progress : callable, optional
        Called with the step and a note.

    Returns
    -------
    Path
        An H5MD file with dipoles, and polarizabilities, means over the beads; ``painn-ase
        spectrum`` reads it.

    Raises
    ------
    MissingDependencyError
        Without i-PI.
    TrajectoryError
        When the folder holds a run and `restart` is false.
    UnstableRunError
        When processes died more often than allowed; the message has the end of i-PI's log.
    """
    if importlib.util.find_spec("ipi") is None:
        raise MissingDependencyError(
            "i-PI is not installed: python -m pip install 'painn_ase[ipi]'."
        )
    folder = Path(folder).resolve()
    if (folder / INPUT).exists() and not restart:
        raise TrajectoryError(
            f"{folder} holds a run of i-PI already. Add --restart to go on with it, or name "
            "another folder."
        )
    if not restart or not (folder / INPUT).exists():
        write_input(folder, model, atoms, config)
    watched = _Watched(folder, config, _parameters(model))
    told = progress or (lambda step, note: None)
    try:
        _watch(watched, frozen_after, most_restarts, told)
    finally:
        _end(watched)
    return gather(folder, atoms, config)


def _watch(
    run: _Watched, frozen_after: float, most_restarts: int, progress: Callable[[int, str], None]
) -> None:
    """Keep the server going until it ends well."""
    begun, last = clock.monotonic(), -1
    _begin(run)
    while True:
        clock.sleep(_LOOK)
        assert run.server is not None
        step, ended = _last_step(run.folder), run.server.poll()
        if step != last:
            begun, last = clock.monotonic(), step
            progress(max(step, 0), f"{run.n_restarts} begun again" if run.n_restarts else "")
        if ended == 0 and step >= run.config.steps - run.config.steps % run.config.stride:
            return
        # a server that has lost a client waits for ever in most cases: it is begun again, too
        lost = any(client.poll() is not None for client in run.clients)
        if ended is None and not lost and clock.monotonic() - begun < frozen_after:
            continue
        if run.n_restarts >= most_restarts:
            raise UnstableRunError(
                f"i-PI was begun again {run.n_restarts} times and is at step {step} of "
                f"{run.config.steps}. The end of its log, {run.folder / 'ipi.log'}:\n"
                + _tail(run.folder / "ipi.log")
            )
        run.n_restarts += 1
        _end(run)
        _begin(run)
        begun = clock.monotonic()


def _begin(run: _Watched) -> None:
    """Server, from its newest checkpoint if there is one, and clients."""
    source = _newest_start(run.folder, run.config)
    socket = f"painn_{secrets.token_hex(6)}"
    text = source.read_text(encoding="utf-8")
    # a socket of its own each time: that of a killed server may still be there
    text = re.sub(r"<address>[^<]*</address>", f"<address>{socket}</address>", text)
    write_text(run.folder / "begin.xml", text)
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    package = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(
        [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    log = (run.folder / "ipi.log").open("ab")
    with log:
        run.server = subprocess.Popen(
            [_command("i-pi"), "begin.xml"], cwd=run.folder, env=environment, stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        if not run.config.clients:
            return
        run.sockets.append(Path(f"/tmp/ipi_{socket}"))
        _await(run.sockets[-1], run)
        run.clients = [_client(run, socket, environment) for _ in range(run.config.clients)]


def _newest_start(folder: Path, config: IPIConfig) -> Path:
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


def _client(run: _Watched, socket: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (run.folder / "clients.log").open("ab") as log:
        return subprocess.Popen(
            [_command("i-pi-driver-py"), "-u", "-a", socket, "-m", "custom", "-P", _driver_path(),
             "-o", _name_of(run.model) + "," + TEMPLATE],
            cwd=run.folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def _await(socket: Path, run: _Watched) -> None:
    """Until the server listens, or is gone; `_watch` sees to the rest."""
    waited = clock.monotonic()
    while not socket.exists() and clock.monotonic() - waited < _PATIENCE:
        if run.server is not None and run.server.poll() is not None:
            return
        clock.sleep(0.05)


def _end(run: _Watched) -> None:
    """No process is left behind."""
    for process in [*run.clients, *([run.server] if run.server else [])]:
        if process.poll() is None:
            process.kill()
        process.wait()
    run.clients, run.server = [], None
    for socket in run.sockets:
        socket.unlink(missing_ok=True)


def _command(name: str) -> str:
    """A program of i-PI, beside this Python or on the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else _installed_with_ipi(name) or shutil.which(name)
    if found is None:
        raise MissingDependencyError(
            f"i-PI is installed, its program {name} is not on the path. Activate the environment "
            "it was installed in."
        )
    return found


def _installed_with_ipi(name: str) -> str | None:
    """The program that came with the imported i-PI, which may be in another folder than Python."""
    for file in importlib.metadata.files("ipi") or ():
        path = Path(str(file.locate())).resolve()
        if file.name == name and os.access(path, os.X_OK):
            return str(path)
    return None


def _last_step(folder: Path) -> int:
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


def _tail(path: Path, n_lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-n_lines:])
    except OSError:
        return "(there is no log)"


# ---------------------------------------------------------------------- what came out


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

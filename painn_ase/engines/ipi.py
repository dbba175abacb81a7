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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ase import Atoms

from painn_ase.engines.ipi_files import (
    INPUT,
    TEMPLATE,
    IPIConfig,
    check_same,
    driver_path,
    gather,
    last_step,
    name_for_driver,
    newest_start,
    write_input,
)
from painn_ase.errors import MissingDependencyError, TrajectoryError, UnstableRunError
from painn_ase.replacing import write_text

__all__ = ["IPIConfig", "gather", "run_ipi", "write_input"]

#: Seconds between looks, and a server's to open its socket.
_LOOK, _PATIENCE = 0.2, 60.0


@dataclass
class _Watched:
    """The processes of a run, and how often they had to be begun again."""

    folder: Path
    config: IPIConfig
    model: str  # as the driver is told
    server: subprocess.Popen[bytes] | None = None
    clients: list[subprocess.Popen[bytes]] = field(default_factory=list)
    n_restarts: int = 0
    sockets: list[Path] = field(default_factory=list)


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
        When the folder holds a run and `restart` is false, or one of other settings.
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
    if (folder / INPUT).exists():
        check_same(folder, model, atoms, config)
    else:
        write_input(folder, model, atoms, config)
    watched = _Watched(folder, config, name_for_driver(model))
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
        step, ended = last_step(run.folder), run.server.poll()
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
    source = newest_start(run.folder, run.config)
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
    with (run.folder / "ipi.log").open("ab") as log:
        run.server = subprocess.Popen(
            [_command("i-pi"), "begin.xml"], cwd=run.folder, env=environment, stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        if not run.config.clients:
            return
        run.sockets.append(Path(f"/tmp/ipi_{socket}"))
        _await(run.sockets[-1], run)
        run.clients = [_client(run, socket, environment) for _ in range(run.config.clients)]


def _client(run: _Watched, socket: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (run.folder / "clients.log").open("ab") as log:
        return subprocess.Popen(
            [_command("i-pi-driver-py"), "-u", "-a", socket, "-m", "custom", "-P", driver_path(),
             "-o", f"{run.model},{TEMPLATE}"],
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


def _tail(path: Path, n_lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-n_lines:])
    except OSError:
        return "(there is no log)"

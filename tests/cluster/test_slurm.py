"""Executors of a real queue make the pieces of a spectrum: a SLURM of one node, started here.

Needs root and Debian's packages (``apt-get install slurm-wlm munge``): ``pytest -m slurm``.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from painn_ase.calculator import PaiNNCalculator
from painn_ase.models import bundled_models
from painn_ase.workflow import SpectrumConfig, ensemble, run_spectrum

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model"),
    pytest.mark.skipif(
        not all(shutil.which(program, path=PATH) for program in PROGRAMS),
        reason="no SLURM here: apt-get install slurm-wlm munge",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="a SLURM of one's own needs root"),
    pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning"),
]
CONFIG = SpectrumConfig(replicas=4, segment=0.1, equilibration=0.1, spacing=0.02, seed=3)
SETTINGS = """ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 \
ThreadsPerCore=1 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="module")
def queue() -> Iterator[Path]:
    """The folder of one node with two cores; its commands find it in this environment."""
    # sockets have short paths
    folder, running = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp")), []
    host = socket.gethostname().split(".")[0]
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    settings = folder / "slurm.conf"
    settings.write_text(SETTINGS.format(host=host, folder=folder, ports=ports))
    patched = pytest.MonkeyPatch()
    patched.setenv("SLURM_CONF", str(settings))
    patched.setenv("PATH", PATH)

    def start(*command: str) -> None:
        with (folder / f"{command[0]}.out").open("wb") as log:
            running.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))

    try:
        start("munged", "--foreground", "--force", f"--key-file={key}",
              f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid",
              f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed")  # fmt: skip
        _until(lambda: (folder / "munge.socket").exists(), folder)
        start("slurmctld", "-D", "-f", str(settings))
        start("slurmd", "-D", "-f", str(settings))
        _until(_idle, folder)
        yield folder
        _told("scancel", "--user=root")
        _until(_no_jobs, folder)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(20.0)
        patched.undo()
        shutil.rmtree(folder, ignore_errors=True)


def _told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def _idle() -> bool:
    return _told("sinfo", "-h", "-o", "%t").strip() == "idle"


def _no_jobs() -> bool:
    return not _told("squeue", "-h").strip()


def _until(true, folder: Path, seconds: float = 60.0) -> None:
    begun = time.monotonic()
    while not true():
        if time.monotonic() - begun > seconds:
            logs = "\n".join(p.read_text(errors="replace")[-1500:] for p in folder.glob("*.[lo]*"))
            pytest.fail(f"SLURM did not start:\n{logs}")
        time.sleep(0.2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    calculator = PaiNNCalculator("water", dtype="float64")
    return run_spectrum(calculator, molecule("H2O"), CONFIG, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("library", ["submitit", "executorlib"])
def test_jobs_of_slurm_make_the_spectrum_of_one_run(
    queue, whole, tmp_path, monkeypatch, library
) -> None:
    module = pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    folder, options = tmp_path / "s", {"dtype": "float64"}
    if library == "submitit":
        pool = module.AutoExecutor(folder=tmp_path / "jobs")
        assert pool.cluster == "slurm"
        pool.update_parameters(timeout_min=5, cpus_per_task=1, slurm_partition="main")
        found = ensemble("water", molecule("H2O"), CONFIG, folder, 2, pool, options=options)
    else:
        pytest.importorskip("pysqa")
        resources = {"cores": 1, "partition": "main", "run_time_max": 300}
        with module.SlurmClusterExecutor(
            cache_directory=str(tmp_path / "jobs"), resource_dict=resources
        ) as pool:
            found = ensemble("water", molecule("H2O"), CONFIG, folder, 2, pool, options=options)
    scale = np.abs(whole.infrared.intensity).max()
    np.testing.assert_allclose(
        found.infrared.intensity, whole.infrared.intensity, rtol=1e-9, atol=1e-9 * scale
    )
    # both were jobs of the queue; a result is there before SLURM has put its job aside
    _until(_no_jobs, queue)
    jobs = _told("scontrol", "-o", "show", "jobs")
    assert jobs.count("JobState=COMPLETED") >= 2
    assert "JobState=FAILED" not in jobs

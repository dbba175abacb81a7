"""Runs that lose their disk: the file and the remedy are named, nothing is lost, resume works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import run_command, small_config, write_toml

from painn_ase.errors import ModelFileError
from painn_ase.models import load_model
from painn_ase.training import read_config, train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")


def start(config: Path, epoch: int) -> subprocess.Popen[str]:
    """A run in a process of its own, given back once the checkpoint of `epoch` is there."""
    checkpoints = Path(read_config(config).folder) / "checkpoints"
    process = subprocess.Popen(
        run_command(config), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not any((checkpoints / f"epoch={e}.ckpt").exists() for e in (epoch, epoch + 1)):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the run never reached epoch {epoch}: {process.communicate()[1]}")
        time.sleep(0.01)
    return process


def unreadable(folder: Path) -> list[str]:
    """Files of a run that are there but not whole."""
    bad = [p.name for p in folder.rglob("*.part")]
    for path in (folder / "checkpoints").glob("*.ckpt"):
        try:
            torch.load(path, weights_only=True)
        except Exception as error:
            bad.append(f"{path.name}: {error!r}")
    load_model(folder / "springs.safetensors")
    return bad


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prlimit is Linux's")
def test_a_run_that_meets_a_full_disk_keeps_what_it_has_and_continues(
    springs: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk: it is set while the run goes on."""
    import resource

    folder = tmp_path / "full"
    config = write_toml(tmp_path / "c.toml", springs, folder, 30)
    process = start(config, 2)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    _, message = process.communicate(timeout=120)
    assert process.returncode == 1, message
    assert str(folder) in message
    assert "File too large" in message
    assert "resume" in message
    assert "Traceback" not in message
    assert unreadable(folder) == []

    train(read_config(config), resume=True)
    whole = train(read_config(write_toml(tmp_path / "w.toml", springs, tmp_path / "whole", 30)))
    one, two = load_file(folder / "springs.safetensors"), load_file(whole)
    for name, weights in two.items():
        assert torch.equal(one[name], weights), name


def test_a_run_whose_folder_vanishes_says_so(springs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    process = start(write_toml(tmp_path / "c.toml", springs, folder, 2000), 1)
    shutil.move(folder, tmp_path / "elsewhere")
    _, message = process.communicate(timeout=120)
    assert process.returncode == 1, message
    assert str(folder) in message
    assert "resume" in message
    assert "Traceback" not in message
    assert not folder.exists()
    assert unreadable(tmp_path / "elsewhere") == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_named(springs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(ModelFileError, match=r"closed.*Permission denied.*resume"):
        train(small_config(springs, folder / "run"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc here")
def test_a_place_where_nobody_can_write_is_named(springs: Path) -> None:
    with pytest.raises(ModelFileError, match=r"/proc/.*run.*resume"):
        train(small_config(springs, Path("/proc/self/run")))

"""The scripts that make the figures of the documentation are what the tests here run in short."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "reliability"))

if not hasattr(os, "fork"):  # the scripts watch children that die
    collect_ignore_glob = ["test_[!g]*.py"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 600 kB; skips where nobody may mount one."""
    import subprocess

    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        pytest.skip("no program to mount a small disk with")
    if done.returncode:
        pytest.skip("not allowed to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)

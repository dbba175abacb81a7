"""The package as a guest in somebody else's process, and its files beside each other."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import painn_ase
from painn_ase._version import __version__

ROOT = Path(__file__).parents[1]

#: Imports everything a user imports, then says what changed. Sockets and threads are watched from
#: the start; other packages come first, because what *they* set up is not ours.
GUEST = """
import logging, os, socket, sys, threading, warnings
import numpy, torch, ase.md.langevin, ase.vibrations, h5py, matplotlib, scipy.special

def connect(*args, **kwargs):
    raise SystemExit("a socket was opened at import")
socket.socket.connect = connect
socket.create_connection = connect
socket.getaddrinfo = connect

def state():
    return {
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "interop threads": torch.get_num_interop_threads(),
        "grad mode": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "random state": torch.random.get_rng_state().tolist(),
        "numpy random state": numpy.random.get_state()[1].tolist(),
        "numpy errors": numpy.geterr(),
        "log handlers": list(logging.getLogger().handlers),
        "log level": logging.getLogger().level,
        "warning filters": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "excepthook": sys.excepthook,
        "python threads": threading.active_count(),
        "matplotlib": dict(matplotlib.rcParams),
    }

before = state()
for name in MODULES:
    __import__(name)
after = state()
changed = [key for key in before if before[key] != after[key]]
sys.exit(f"changed: {changed}" if changed else 0)
"""

MODULES = (
    "painn_ase",
    "painn_ase.calculator",
    "painn_ase.graph",
    "painn_ase.kernels",
    "painn_ase.md",
    "painn_ase.models",
    "painn_ase.plotting",
    "painn_ase.potential",
    "painn_ase.spectra",
    "painn_ase.testing",
    "painn_ase.training",
    "painn_ase.trajectory",
)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT.parent
    )


@pytest.mark.parametrize("modules", [MODULES[:1], MODULES], ids=["painn_ase", "every room"])
def test_import_prints_nothing_configures_nothing_and_opens_no_socket(
    modules: tuple[str, ...],
) -> None:
    result = python(GUEST.replace("MODULES", repr(modules)))
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr == ""


def test_importing_the_package_alone_does_not_import_torch() -> None:
    result = python("import sys, painn_ase; sys.exit('torch' in sys.modules)")
    assert result.returncode == 0, result.stderr


def test_spectra_need_neither_torch_nor_ase_nor_a_model() -> None:
    result = python(
        "import sys, painn_ase.spectra\n"
        "found = [m for m in ('torch', 'ase', 'painn_ase.models') if m in sys.modules]\n"
        "sys.exit(str(found) if found else 0)"
    )
    assert result.returncode == 0, result.stderr


def test_every_public_name_exists() -> None:
    for name in painn_ase.__all__:
        assert getattr(painn_ase, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        painn_ase.no_such_name  # noqa: B018


def test_the_version_is_the_same_everywhere() -> None:
    assert version("painn_ase") == __version__ == painn_ase.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == __version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)
    assert not released or released[0] == __version__


def pins() -> dict[str, str]:
    """Distribution → version, from constraints.txt."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", line
            found[canonical(requirement.name)] = specifier.version
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def metadata_requirements() -> list[Requirement]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser["options"]["install_requires"].split("\n")
    for extra in parser["options.extras_require"].values():
        lines += extra.split("\n")
    return [Requirement(line) for line in lines if line.strip()]


def test_every_dependency_has_a_tested_version_within_its_bounds() -> None:
    tested = pins()
    for requirement in metadata_requirements():
        name = canonical(requirement.name)
        assert name in tested, f"constraints.txt lacks {requirement.name}"
        assert requirement.specifier.contains(tested[name]), requirement


def test_metadata_gives_lower_bounds_only() -> None:
    for requirement in metadata_requirements():
        assert {s.operator for s in requirement.specifier} == {">="}, requirement


def test_tests_run_with_the_tested_versions_of_what_they_need() -> None:
    """The README's commands install with constraints.txt; a mismatch means it is out of date."""
    tested = pins()
    if version("rich") != tested["rich"] and version("scipy") != tested["scipy"]:
        pytest.skip("these are other versions on purpose: older ones need other packages")
    seen, waiting = set(), ["painn_ase"]
    while waiting:
        name = waiting.pop()
        if canonical(name) in seen:
            continue
        seen.add(canonical(name))
        try:
            needs = requires(name) or []
        except PackageNotFoundError:  # not needed on this platform
            continue
        waiting += [
            r.name for r in map(Requirement, needs) if r.marker is None or r.marker.evaluate()
        ]
    unpinned = sorted(seen - set(tested) - {"painn-ase"} - {n for n in seen if not installed(n)})
    assert not unpinned, f"constraints.txt lacks {unpinned}"


def installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True

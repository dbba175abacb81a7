"""The optional C++ kernel; everything else about the package is in setup.cfg.

Where a C++ compiler is found the kernel is built and shipped as a plain shared library beside the
Python files. Where none is found, or it fails, one line says so and the package works without.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = Path("painn_ase/kernels/csrc")
X86 = platform.machine().lower() in ("x86_64", "amd64")
GNU_FLAGS = [
    "-std=c++17",
    "-O3",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
]
#: One hot file per instruction set, chosen at run time: a wheel runs on CPUs older than its own.
ISA_FLAGS = {
    "kernel_avx512.cpp": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma"],
    "kernel_avx2.cpp": ["-mavx2", "-mfma"],
}


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

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """None: the library is opened by ctypes and has no Python initialiser."""
        return []

    def _build(self, ext: Extension) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        flags = ["/std:c++17", "/O2"] if msvc else list(GNU_FLAGS)
        flags += os.environ.get("PAINN_ASE_CXXFLAGS", "").split()
        per_isa = X86 and not msvc
        objects = []
        for source in ext.sources:
            name = Path(source).name
            if name in ISA_FLAGS and not per_isa:
                continue
            objects += self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                macros=[("PAINN_X86", "1")] if per_isa else [],
                include_dirs=[str(FOLDER)],
                extra_postargs=flags + ISA_FLAGS.get(name, []),
                depends=ext.depends,
            )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        linking = [] if msvc or sys.platform == "darwin" else ["-pthread"]
        linking += os.environ.get("PAINN_ASE_LDFLAGS", "").split()
        self.compiler.link_shared_object(
            objects, str(target), extra_postargs=linking, target_lang="c++"
        )

    def _explain(self, error: Exception) -> None:
        command = getattr(error, "cmd", None)
        reason = f"{command[0]} failed" if command else str(error).partition("\n")[0][:160]
        print(
            f"painn_ase: the fast CPU kernel was not built ({reason}). The package works without "
            "it, more slowly; install a C++17 compiler and reinstall to have it.",
            file=sys.stderr,
        )


setup(
    ext_modules=[
        Extension(
            "painn_ase.kernels._fused",
            sources=[
                str(FOLDER / name)
                for name in ("dispatch.cpp", "kernel_portable.cpp", *sorted(ISA_FLAGS))
            ],
            depends=sorted(str(p) for p in FOLDER.glob("*.h")),
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernel},
)

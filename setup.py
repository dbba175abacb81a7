"""The optional C++ kernel (building/painn_kernel.py); everything else is in setup.cfg."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "building"))

from painn_kernel import BuildKernel, PlatformWheel, kernel_extension

setup(
    ext_modules=[kernel_extension()],
    cmdclass={"build_ext": BuildKernel, "bdist_wheel": PlatformWheel},
)

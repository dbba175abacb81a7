"""The compiled kernel as ctypes sees it: where it lies, its records, its entry points.

A plain C interface: the library is independent of the versions of Python, NumPy and torch.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from painn_ase.errors import MissingDependencyError

__all__ = [
    "INSTRUCTION_SETS",
    "MAX_STACKS",
    "STAGES",
    "ModelRecord",
    "OutputRecord",
    "ReadoutRecord",
    "StackRecord",
    "TaskRecord",
    "best_instruction_set",
    "compiler",
    "load_library",
    "why_unavailable",
]

#: Names of instruction sets, by the number the library knows them under; the later the faster.
INSTRUCTION_SETS = ("portable", "avx2", "avx512")
#: What the entries of ``TaskRecord.seconds`` measure.
STAGES = (
    "pairs and basis",
    "atoms, forward",
    "pairs, forward",
    "pairs, backward",
    "atoms, backward",
    "forces",
    "rates of change",
    "response heads",
)
#: Gated stacks a model may have: dipole and polarizability.
MAX_STACKS = 2
_ABI_VERSION = 4

_doubles = ctypes.POINTER(ctypes.c_double)
_ints = ctypes.POINTER(ctypes.c_int32)


class StackRecord(ctypes.Structure):
    """``PainnStack`` of csrc/abi.h."""

    _fields_ = (
        ("n_hidden", ctypes.c_int32),
        ("n_scalars", ctypes.c_int32),
        ("n_vectors", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("epsilon", ctypes.c_double),
        ("tensors", ctypes.POINTER(_doubles)),
    )


class OutputRecord(ctypes.Structure):
    """``PainnStackOutput`` of csrc/abi.h."""

    _fields_ = (
        ("scalars", ctypes.c_void_p),
        ("vectors", ctypes.c_void_p),
        ("scalar_rates", ctypes.c_void_p),
        ("vector_rates", ctypes.c_void_p),
    )


class ModelRecord(ctypes.Structure):
    """``PainnModel`` of csrc/abi.h."""

    _fields_ = (
        ("n_features", ctypes.c_int32),
        ("n_interactions", ctypes.c_int32),
        ("n_rbf", ctypes.c_int32),
        ("n_elements", ctypes.c_int32),
        ("radial_basis", ctypes.c_int32),
        ("cutoff_function", ctypes.c_int32),
        ("n_hidden", ctypes.c_int32),
        ("single", ctypes.c_int32),
        ("cutoff", ctypes.c_double),
        ("epsilon", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("hidden", _ints),
        ("centers", _doubles),
        ("widths", _doubles),
        ("reference", _doubles),
        ("tensors", ctypes.POINTER(_doubles)),
        ("n_stacks", ctypes.c_int32),
        ("network", ctypes.c_int32),
        ("stacks", ctypes.POINTER(StackRecord)),
        ("n_filters", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    )


class TaskRecord(ctypes.Structure):
    """``PainnTask`` of csrc/abi.h."""

    _fields_ = (
        ("n_atoms", ctypes.c_int32),
        ("n_systems", ctypes.c_int32),
        ("n_pairs", ctypes.c_int32),
        ("derivatives", ctypes.c_int32),
        ("positions", ctypes.c_void_p),
        ("species", ctypes.c_void_p),
        ("system", ctypes.c_void_p),
        ("idx_i", ctypes.c_void_p),
        ("idx_j", ctypes.c_void_p),
        ("shifts", ctypes.c_void_p),
        ("energy", ctypes.c_void_p),
        ("energies", ctypes.c_void_p),
        ("forces", ctypes.c_void_p),
        ("virial", ctypes.c_void_p),
        ("seconds", ctypes.c_void_p),
        ("velocities", ctypes.c_void_p),
        ("stacks", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("outputs", OutputRecord * MAX_STACKS),
    )


class ReadoutRecord(ctypes.Structure):
    """``PainnReadout`` of csrc/abi.h."""

    _fields_ = (
        ("n_atoms", ctypes.c_int32),
        ("n_systems", ctypes.c_int32),
        ("quantity", ctypes.c_int32),
        ("local", ctypes.c_int32),
        ("n_scalars", ctypes.c_int32),
        ("n_vectors", ctypes.c_int32),
        ("scale", ctypes.c_double),
        ("positions", ctypes.c_void_p),
        ("velocities", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("isotropic", ctypes.c_void_p),
        ("system", ctypes.c_void_p),
        ("charge", ctypes.c_void_p),
        ("output", OutputRecord),
        ("value", ctypes.c_void_p),
        ("rate", ctypes.c_void_p),
        ("charges", ctypes.c_void_p),
        ("room", ctypes.c_void_p),
    )


def library_path() -> Path | None:
    """The compiled kernel beside this file; None where none was built."""
    path = Path(__file__).with_name("_fused.dll" if sys.platform == "win32" else "_fused.so")
    return path if path.is_file() else None


def _why_not_built() -> str:
    """Why there is no compiled kernel: never built, or no compiler when it was."""
    package = Path(__file__).resolve().parents[1]
    if not _is_installed(package):
        return (
            f"the compiled kernel is not there: painn_ase runs from the source tree "
            f"{package.parent}, which was never built. `python -m pip install -e .` there builds "
            "it, given a C++17 compiler (g++ or clang++)."
        )
    return (
        "the compiled kernel is not there: no C++17 compiler was found when painn_ase was "
        "installed. Install one (g++ or clang++) and reinstall painn_ase."
    )


def _is_installed(package: Path) -> bool:
    """Whether pip installed the package of this folder, in place (editable) or as a copy."""
    try:
        distribution = importlib.metadata.distribution("painn_ase")
    except importlib.metadata.PackageNotFoundError:
        return False
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return package.parent == Path(url2pathname(urlsplit(origin["url"]).path)).resolve()
    return package == Path(str(distribution.locate_file("painn_ase"))).resolve()


@functools.cache
def _open() -> ctypes.CDLL | str:
    """The library, or why there is none."""
    path = library_path()
    if path is None:
        return _why_not_built()
    try:
        library = ctypes.CDLL(str(path))
        library.painn_abi_version.restype = ctypes.c_int
        library.painn_compiler.restype = ctypes.c_char_p
        version = library.painn_abi_version()
        if version != _ABI_VERSION:
            return (
                f"the compiled kernel {path.name} speaks version {version} of its interface, this "
                f"painn_ase version {_ABI_VERSION}. Reinstall painn_ase."
            )
    except (OSError, AttributeError) as error:
        return f"the compiled kernel {path.name} cannot be opened: {error}. Reinstall painn_ase."
    library.painn_supports.restype = ctypes.c_int
    library.painn_supports.argtypes = (ctypes.c_int,)
    library.painn_create.restype = ctypes.c_void_p
    library.painn_create.argtypes = (ctypes.POINTER(ModelRecord), ctypes.c_int)
    library.painn_destroy.restype = None
    library.painn_destroy.argtypes = (ctypes.c_void_p,)
    library.painn_compute.restype = ctypes.c_int
    library.painn_compute.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    library.painn_readout.restype = None
    library.painn_readout.argtypes = (ctypes.c_void_p,)
    library.painn_readout_room.restype = ctypes.c_int64
    library.painn_readout_room.argtypes = (ctypes.c_int32,)
    return library


def why_unavailable() -> str | None:
    """Why the compiled kernel cannot be used here, with the remedy; None if it can."""
    library = _open()
    return library if isinstance(library, str) else None


def load_library() -> ctypes.CDLL:
    """The compiled kernel.

    Raises
    ------
    MissingDependencyError
        It was not built, or cannot be opened.
    """
    library = _open()
    if isinstance(library, str):
        raise MissingDependencyError(library)
    return library


def compiler() -> str:
    """Name and version of the compiler that built the kernel."""
    text: bytes = load_library().painn_compiler()
    return text.decode(errors="replace").partition(" (")[0]


def best_instruction_set() -> str:
    """The fastest instruction set that both this CPU and the compiled kernel have."""
    library = load_library()
    usable = [n for k, n in enumerate(INSTRUCTION_SETS) if library.painn_supports(k)]
    return usable[-1]

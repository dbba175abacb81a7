"""Values of an HDF5 file, read only where their type is one of numbers and strings.

The types that HDF5 allows besides (sequences of variable length, references, unions of these) have
no place in a trajectory, and a damaged type message can claim one: a string whose kind is neither
string nor sequence crashes the library (as of HDF5 2.0) as soon as it is read.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from painn_ase.errors import TrajectoryError

__all__ = ["attribute", "check_type"]


def attribute(node: h5py.HLObject, name: str, default: Any = None) -> Any:
    """The value of an attribute of a group or dataset; `default` where there is none.

    Raises
    ------
    TrajectoryError
        If it is neither numbers nor strings.
    """
    if name not in node.attrs:
        return default
    check_type(node.attrs.get_id(name).dtype, f"the attribute {name!r} of {node.name}")
    return node.attrs[name]


def check_type(dtype: np.dtype[Any], what: str) -> None:
    """Raise unless values of this type are numbers or strings."""
    if dtype.kind not in "biufSU" and h5py.check_string_dtype(dtype) is None:
        raise TrajectoryError(
            f"{what} has the type {dtype}, neither numbers nor strings; the file is damaged."
        )

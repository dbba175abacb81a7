"""Groups, datasets and numbers of an HDF5 file: in this file, and what they claim to be."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.typed import attribute, check_type

__all__ = [
    "as_text", "dataset_at", "group_at", "progression_at", "refuse_empty_claims", "whole_of",
]  # fmt: skip

#: A dataset may claim this many times the bytes it stores (compression), plus a little.
_LARGEST_EXPANSION = 2000
_SMALL = 1 << 20


def group_at(parent: h5py.Group, path: str) -> h5py.Group | None:
    """A group that lies in this file, or None; links to elsewhere are not followed."""
    for name in path.split("/"):
        # Asking a dataset for a name would compare it with every number in it.
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            return None
        parent = parent[name]
        if not isinstance(parent, h5py.Group):
            return None
    return parent


def dataset_at(group: h5py.Group, key: str) -> h5py.Dataset:
    """A dataset that lies in this file and nowhere else."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise TrajectoryError(f"{group.name}/{key} is a link to elsewhere; that is not followed.")
    dataset = group[key]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise TrajectoryError(f"{group.name}/{key} is no dataset of this file.")
    check_type(dataset.dtype, f"{group.name}/{key}")
    return dataset


def refuse_empty_claims(dataset: h5py.Dataset) -> None:
    """Refuse a header that promises far more than the file stores."""
    if dataset.nbytes > _LARGEST_EXPANSION * dataset.id.get_storage_size() + _SMALL:
        raise TrajectoryError(
            f"{dataset.name} claims {dataset.nbytes} bytes but stores "
            f"{dataset.id.get_storage_size()}; the file is damaged."
        )


def whole_of(dataset: h5py.Dataset) -> Any:
    """All values of a dataset, if it stores as many as it claims."""
    refuse_empty_claims(dataset)
    return dataset[()]


def progression_at(group: h5py.Group, key: str, n: int) -> NDArray[Any]:
    """Steps or times: given one by one, or as an increment with an offset (H5MD, §2.3)."""
    dataset = dataset_at(group, key)
    if dataset.shape == ():
        offset = float(attribute(dataset, "offset", 0))
        return offset + np.arange(n) * float(dataset[()])
    return np.asarray(whole_of(dataset))


def as_text(value: Any) -> str:
    """A string that HDF5 gives as bytes or as one."""
    return value.decode() if isinstance(value, bytes) else str(value)

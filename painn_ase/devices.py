"""Devices and dtypes from what a user typed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from painn_ase.errors import DeviceError

__all__ = ["resolve_device", "resolve_dtype", "single_thread"]

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def resolve_device(device: str | torch.device | None) -> torch.device:
    """The device to compute on; None takes CUDA if there is one, else the CPU.

    Raises
    ------
    DeviceError
        For a device that does not exist here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise DeviceError(
            f"device {device!r} is not available here ({str(error).splitlines()[0]}). "
            f"Available: {', '.join(_available())}."
        ) from error
    if resolved.type == "meta":
        raise DeviceError("device 'meta' holds no numbers; use 'cpu' or 'cuda'.")
    return resolved


def resolve_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """float32 or float64 as a torch dtype.

    Raises
    ------
    DeviceError
        For any other dtype.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise DeviceError(
            f"dtype {dtype!r} is not supported; allowed are 'float32' (fast) and 'float64' (exact)."
        )
    return _DTYPES[name]


def _available() -> list[str]:
    cuda = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *cuda, *mps]


_one_at_a_time = threading.Lock()


@contextmanager
def single_thread() -> Iterator[None]:
    """Torch on one thread within, and on as many as before afterwards.

    For small work on a busy machine: threads that wait for each other by spinning cost ten times
    the work itself.
    """
    with _one_at_a_time:
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)

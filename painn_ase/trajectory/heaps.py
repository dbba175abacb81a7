"""A check of HDF5's global heaps, on whose damage the library would turn for ever.

Strings of variable length lie in collections that HDF5 walks from object to object by their sizes.
Its walk (``H5HG__cache_heap_deserialize``, as of HDF5 2.0) takes a size of zero for free space, and
sizes that overflow, as they are, and never comes to the end; no alarm reaches it there. So whatever
the library is about to read is looked through first.

Layout: HDF5 File Format Specification 3.0, III.E "Disk Format: Level 1E - Global Heap".
"""

from __future__ import annotations

import struct
from collections.abc import Callable

__all__ = ["check_heaps"]

_BEGIN = b"GCOL\x01\x00\x00\x00"  # signature, version 1, three reserved bytes
_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, size


def check_heaps(data: bytes, start: int, read: Callable[[int, int], bytes]) -> None:
    """Walk every global heap that begins in `data`.

    Parameters
    ----------
    data : bytes
        What is at `start` in the file.
    start : int
        Place in the file, bytes.
    read : callable
        Place and number of bytes → those bytes, for heaps that go on behind `data`.

    Raises
    ------
    OSError
        When a heap has no end.
    """
    at = data.find(_BEGIN)
    while at >= 0:
        header = read(start + at, 16)
        (size,) = struct.unpack("<Q", header[8:].ljust(8, b"\x00"))
        heap = data[at : at + size]
        if len(heap) < size:
            heap = read(start + at, size)
        _walk(heap, start + at)
        at = data.find(_BEGIN, at + len(_BEGIN))


def _walk(heap: bytes, place: int) -> None:
    at = 16
    while at + _OBJECT.size <= len(heap):
        index, _, _, size = _OBJECT.unpack_from(heap, at)
        # Free space counts its own header, an object does not and is padded to eight bytes.
        step = size if index == 0 else _OBJECT.size + (size + 7) // 8 * 8
        if not _OBJECT.size <= step <= len(heap) - at:
            raise OSError(f"the heap of strings at byte {place} is damaged")
        at += step

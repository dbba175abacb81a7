"""Mutations of files: blind ones on bytes, and ones that keep a container valid around the damage.

A blind flip in a compressed or checksummed container is nearly always caught by the container. The
second kind gets past it: the JSON header of a safetensors file is altered and its length set right,
a member of a zip archive is altered and the checksum set right, a number in a text becomes another.
"""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
from collections.abc import Callable

__all__ = ["Mutation", "mutate_bytes", "mutate_safetensors", "mutate_text", "mutate_zip"]

Mutation = Callable[[bytes, random.Random], bytes]

_NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][+-]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_]{2,}")
#: Numbers that break careless readers: signs, overflow, sizes beyond memory, no numbers at all.
_NUMBERS = (
    b"0", b"-1", b"1", b"2", b"3", b"255", b"65536", b"2147483648", b"4294967296",
    b"9223372036854775807", b"18446744073709551616", b"-9223372036854775808", b"1e308", b"1e309",
    b"-1e400", b"1e-400", b"nan", b"NaN", b"inf", b"-Infinity", b"10995116277760", b"0.5", b"",
    b"9" * 400, b"1" * 5000, b"null", b"true", b"[]", b"{}", b'"x"', b"[[1]]", b"1_0", b"0x10",
)  # fmt: skip
_WORDS = (
    b"", b"null", b"true", b"NaN", b"x", b"../../etc/passwd", b"/etc/passwd", b"%s%n", b"\x00",
    b"\xff\xfe", "π".encode(), b"a" * 3000, b"[" * 2000, b'"', b"\\", b"#", b"##", b"$$",
    b"__class__", b"energy", b"object", b"O", b"|O", b"f8", b"painn_ase", b"os", b"system",
)  # fmt: skip
_INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1,
             2**64 - 1)  # fmt: skip


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to a few blind changes: flips, cuts, repeats, inserts, sizes that cannot be."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        _change_bytes(out, rng)
    return bytes(out)


def _change_bytes(out: bytearray, rng: random.Random) -> None:
    if not out:
        out += rng.randbytes(rng.randrange(1, 64))
        return
    # Headers sit at the front: aim there half of the time.
    end = len(out) if rng.random() < 0.5 else min(len(out), 512)
    at, kind = rng.randrange(end), rng.randrange(8)
    if kind == 0:
        out[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == 2:
        del out[at : at + rng.randrange(1, 1 + rng.choice((1, 8, 512)))]
    elif kind == 3:
        out[at:at] = rng.randbytes(rng.randrange(1, 17))
    elif kind == 4:
        del out[at:]
    elif kind == 5:
        width = rng.choice((1, 2, 4, 8))
        value = rng.choice(_INTEGERS) % (1 << 8 * width)
        out[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
    elif kind == 6:
        block = bytes(out[at : at + rng.randrange(1, 257)])
        place = rng.randrange(len(out))
        out[place : place + rng.choice((0, len(block)))] = block
    else:
        n = rng.randrange(1, 257)
        out[at : at + n] = rng.choice((b"\x00", b"\xff", rng.randbytes(1))) * n


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """Numbers, words and lines exchanged, so that most of the file still parses."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.randrange(7)
        if kind < 2:
            data = _exchange(data, _NUMBER, _NUMBERS, rng)
        elif kind == 2:
            data = _exchange(data, _WORD, _WORDS, rng)
        elif kind < 6:
            data = _change_lines(data, rng)
        else:
            data = mutate_bytes(data, rng)
    return data


def _exchange(
    data: bytes, pattern: re.Pattern[bytes], choices: tuple[bytes, ...], rng: random.Random
) -> bytes:
    found = [m.span() for m in pattern.finditer(data[: 1 << 16])]
    if not found:
        return mutate_bytes(data, rng)
    start, end = rng.choice(found)
    return data[:start] + rng.choice(choices) + data[end:]


def _change_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[a]
    elif kind == 1:
        lines.insert(b, lines[a])
    elif kind == 2:
        lines[a], lines[b] = lines[b], lines[a]
    else:
        cut = rng.randrange(len(lines[a]) + 1)
        lines[a] = lines[a][:cut]
    return b"\n".join(lines)


def mutate_safetensors(data: bytes, rng: random.Random) -> bytes:
    """The JSON header altered and its length set right, or blind changes."""
    if rng.random() < 0.25:
        return mutate_bytes(data, rng)
    (length,) = struct.unpack("<Q", data[:8])
    header = mutate_text(data[8 : 8 + length], rng)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def mutate_zip(inner: Mutation) -> Mutation:
    """One member altered by `inner`, or renamed, dropped or repeated; checksums set right."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.25:
            return mutate_bytes(data, rng)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            method = archive.infolist()[0].compress_type
            members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        _change_members(members, inner, rng)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", method) as archive:
            for name, content in members:
                archive.NameToInfo.pop(name, None)  # a name twice is meant, and no reason to warn
                archive.writestr(zipfile.ZipInfo(name), content, method)
        return target.getvalue()

    return mutate


def _change_members(members: list[tuple[str, bytes]], inner: Mutation, rng: random.Random) -> None:
    at, kind = rng.randrange(len(members)), rng.randrange(10)
    # The description comes first in every kind of archive read here: aim there.
    at = 0 if rng.random() < 0.6 else at
    name, content = members[at]
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.append((rng.choice(_WORDS).decode("latin-1").replace("\x00", "0") or "x", content))
    elif kind == 2:
        members[at] = (rng.choice(members)[0], content)
    else:
        members[at] = (name, inner(content, rng))

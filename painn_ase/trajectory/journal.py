"""A file whose changes become visible all at once: a redo journal under HDF5.

HDF5 rewrites its own metadata in place, so a process that dies inside a flush can leave a file that
no program opens again. :class:`JournaledFile` is the file object handed to :class:`h5py.File`
instead of a path. Writes stay in memory; :meth:`JournaledFile.commit` first puts them, with a
checksum, into a journal beside the file and only then into the file itself. Whenever the process
dies, the file is either as it was before the commit, or the journal is complete and the next
opening replays it. The journal also carries the lock that keeps a second writer out.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import struct
from pathlib import Path
from typing import IO, Any

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.heaps import check_heaps

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["JournaledFile", "journal_path", "lock_file"]

_MAGIC = b"PAINNJ01"
_PAGE = 4096
# Magic, size of the file after the commit, bytes of the old content that stay, number of pages.
_HEADER = struct.Struct("<8sQQQ")
_DIGEST = hashlib.sha256().digest_size


def journal_path(path: Path) -> Path:
    """Name of the journal that belongs to the file `path`."""
    return path.with_name(path.name + ".journal")


class JournaledFile(io.RawIOBase):
    """File object with all-or-nothing commits.

    Parameters
    ----------
    path : Path
        The file itself.
    mode : {"r", "w", "a"}
        Read; create or overwrite; continue an existing file. Both writing modes take the lock.

    Raises
    ------
    TrajectoryError
        When another run holds the file, or the file or its folder cannot be used.
    """

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__()
        self._path = path
        self._writing = mode in ("w", "a")
        self._pages: dict[int, bytearray] = {}
        self._position = 0
        self._size = 0
        self._valid = 0  # bytes of the file on disk that still count; those behind read as zeros
        self._journal: IO[bytes] | None = None
        self._base: IO[bytes] | None = None
        try:
            if self._writing:
                self._journal = _locked_journal(path)
                # "a" must find the file; "w" may make it, but never empties it before a commit.
                flags = os.O_RDWR | (os.O_CREAT if mode == "w" else 0) | getattr(os, "O_BINARY", 0)
                self._base = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
            else:
                self._base = open(path, "rb", buffering=0)  # noqa: SIM115  (closed in close())
            self._size = self._valid = os.fstat(self._base.fileno()).st_size
            self._recover()
        except OSError as error:
            self._release()
            raise _as_trajectory_error(error, path) from error
        if mode == "w":
            self._size = self._valid = 0

    # -- the file protocol that h5py uses ----------------------------------------------------

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._writing

    def seekable(self) -> bool:
        """Whether it can be positioned: always."""
        return True

    def tell(self) -> int:
        """Give the position, bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; gives the new one."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on; gives the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self._present(self._position, len(view))
        check_heaps(data, self._position, self._present)
        n = len(data)
        view[:n] = data
        self._position += n
        return n

    def write(self, data: Any) -> int:
        """Put `data` at the position, in memory until the next commit."""
        view = memoryview(data).cast("B")
        done, start = 0, self._position
        while done < len(view):
            index, inside = divmod(start + done, _PAGE)
            n = min(_PAGE - inside, len(view) - done)
            self._page(index)[inside : inside + n] = view[done : done + n]
            done += n
        self._position = start + done
        self._size = max(self._size, self._position)
        return done

    def truncate(self, size: int | None = None) -> int:
        """Set the length, in memory until the next commit."""
        self._size = self._position if size is None else size
        self._valid = min(self._valid, self._size)
        for index in [i for i in self._pages if i * _PAGE >= self._size]:
            del self._pages[index]
        if (last := self._pages.get(self._size // _PAGE)) is not None:
            inside = self._size % _PAGE
            last[inside:] = bytes(_PAGE - inside)
        return self._size

    def flush(self) -> None:
        """Do nothing: what HDF5 flushes becomes visible at the next :meth:`commit`."""

    # -- commits -------------------------------------------------------------------------------

    def commit(self) -> None:
        """Everything written so far becomes the content of the file, or nothing does.

        Raises
        ------
        TrajectoryError
            When the disk is full or gone. The file keeps its last good state, the changes stay in
            memory, and a later commit may succeed.
        """
        if self._journal is None or self._base is None:
            return
        if not self._pages and os.fstat(self._base.fileno()).st_size == self._size:
            return
        try:
            _write_record(self._journal, self._pages, self._size, self._valid)
        except OSError as error:
            self._empty_journal()
            raise _as_trajectory_error(error, self._path) from error
        try:
            _apply(self._base, self._pages, self._size, self._valid)
            self._empty_journal()
        except OSError as error:  # the journal is complete: the next opening finishes the job
            raise _as_trajectory_error(error, self._path) from error
        self._pages.clear()
        self._valid = self._size

    def close(self) -> None:
        """Let go of the file without committing; drop the journal when nothing is left in it."""
        if not self.closed:
            self._release()
        super().close()

    # -- details -------------------------------------------------------------------------------

    def _page(self, index: int) -> bytearray:
        page = self._pages.get(index)
        if page is None:
            page = self._pages[index] = bytearray(self._base_bytes(index * _PAGE, _PAGE))
        return page

    def _present(self, start: int, n: int) -> bytes:
        """At most `n` bytes from `start` on, as far as the file goes."""
        return self._bytes(start, max(0, min(n, self._size - start)))

    def _bytes(self, start: int, n: int) -> bytes:
        if not self._pages:
            return self._base_bytes(start, n)
        parts = []
        while n > 0:
            index, inside = divmod(start, _PAGE)
            piece = min(_PAGE - inside, n)
            page = self._pages.get(index)
            parts.append(
                bytes(page[inside : inside + piece])
                if page is not None
                else self._base_bytes(start, piece)
            )
            start, n = start + piece, n - piece
        return b"".join(parts)

    def _base_bytes(self, start: int, n: int) -> bytes:
        data = b""
        if self._base is not None and start < self._valid:
            self._base.seek(start)
            data = _read_all(self._base, min(n, self._valid - start))
        return data + bytes(n - len(data))

    def _recover(self) -> None:
        """Bring in a commit that was journaled but not finished."""
        journal: IO[bytes] | None = self._journal
        if journal is None:
            try:
                journal = open(journal_path(self._path), "rb", buffering=0)  # noqa: SIM115
            except OSError:
                return
        record = _read_record(journal)
        if record is not None:
            self._pages, self._size, self._valid = record
            if self._writing and self._base is not None:
                _apply(self._base, self._pages, self._size, self._valid)
                self._pages, self._valid = {}, self._size
        if self._writing:
            self._empty_journal()
        else:
            journal.close()

    def _empty_journal(self) -> None:
        if self._journal is not None:
            self._journal.seek(0)
            self._journal.truncate(0)

    def _release(self) -> None:
        if self._base is not None:
            self._base.close()
            self._base = None
        if self._journal is not None:
            path = journal_path(self._path)
            try:
                if os.fstat(self._journal.fileno()).st_size == 0:
                    path.unlink(missing_ok=True)
            except OSError:
                pass  # a folder that vanished or turned read-only: nothing more to tidy
            self._journal.close()  # ends the lock, after the name is gone
            self._journal = None


def _locked_journal(path: Path) -> IO[bytes]:
    """The journal of `path`, open and locked for this writer alone."""
    name = journal_path(path)
    while True:
        journal = os.fdopen(
            os.open(name, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666),
            "r+b",
            buffering=0,
        )
        try:
            lock_file(journal)
        except OSError as error:
            journal.close()
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK):
                raise TrajectoryError(
                    f"{path} is being written by another run. Wait for it, stop it, or give this "
                    "run a file of its own."
                ) from error
            raise
        # The previous owner may have removed the name between our open and our lock.
        try:
            if os.path.sameopenfile(journal.fileno(), (probe := os.open(name, os.O_RDONLY))):
                os.close(probe)
                return journal
            os.close(probe)
        except FileNotFoundError:
            pass
        journal.close()


def lock_file(file: IO[bytes]) -> None:
    """Keep every other process from locking `file` while this one has it open.

    Raises
    ------
    OSError
        When another process holds it.
    """
    if fcntl is not None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt  # type: ignore[unreachable, unused-ignore]

    # Windows locks byte ranges; one far behind any content leaves the journal itself usable.
    file.seek(1 << 40)
    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    file.seek(0)


def _write_record(journal: IO[bytes], pages: dict[int, bytearray], size: int, valid: int) -> None:
    """Pages and new size with a checksum, safely on disk before this returns."""
    digest = hashlib.sha256()
    journal.seek(0)
    journal.truncate(0)

    def put(data: bytes | bytearray) -> None:
        digest.update(data)
        _write_all(journal, data)

    put(_HEADER.pack(_MAGIC, size, valid, len(pages)))
    for start in range(0, len(indices := sorted(pages)), 256):
        block = indices[start : start + 256]
        put(b"".join(struct.pack("<Q", i) + pages[i] for i in block))
    _write_all(journal, digest.digest())
    os.fsync(journal.fileno())


def _read_record(journal: IO[bytes]) -> tuple[dict[int, bytearray], int, int] | None:
    """Pages and sizes of a complete record; None for an empty, torn or foreign journal."""
    length = os.fstat(journal.fileno()).st_size
    if length < _HEADER.size + _DIGEST:
        return None
    journal.seek(0)
    content = _read_all(journal, length)
    magic, size, valid, n_pages = _HEADER.unpack_from(content)
    if magic != _MAGIC or length != _HEADER.size + n_pages * (8 + _PAGE) + _DIGEST:
        return None
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        return None
    pages = {}
    for n in range(n_pages):
        at = _HEADER.size + n * (8 + _PAGE)
        (index,) = struct.unpack_from("<Q", content, at)
        pages[index] = bytearray(content[at + 8 : at + 8 + _PAGE])
    return pages, size, valid


def _apply(base: IO[bytes], pages: dict[int, bytearray], size: int, valid: int) -> None:
    """Put the pages into the file; repeating it does no harm."""
    if os.fstat(base.fileno()).st_size > valid:
        base.truncate(valid)
    for index in sorted(pages):
        base.seek(index * _PAGE)
        _write_all(base, pages[index])
    base.truncate(size)
    os.fsync(base.fileno())


def _write_all(file: IO[bytes], data: bytes | bytearray) -> None:
    view = memoryview(data)
    while len(view):
        view = view[file.write(view) :]


def _read_all(file: IO[bytes], n: int) -> bytes:
    parts = []
    while n > 0 and (part := file.read(n)):
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def _as_trajectory_error(error: OSError, path: Path) -> TrajectoryError:
    """The same trouble in words that say what to do."""
    if isinstance(error, TrajectoryError):
        return error
    intact = "what was written before is intact"
    remedies = {
        errno.ENOSPC: f"the disk is full. Make room and continue: {intact}",
        getattr(
            errno, "EDQUOT", -1
        ): f"the disk quota is used up. Make room and continue: {intact}",
        errno.EFBIG: f"a file-size limit was hit (`ulimit -f`). Raise it and continue: {intact}",
        errno.ENOENT: "no such file or folder. Check the path",
        errno.EACCES: "permission denied. Choose a place you may write to",
        errno.EROFS: "the file system is read-only. Choose another place",
        errno.EISDIR: "it is a folder. Name a file",
    }
    remedy = remedies.get(error.errno or 0, f"{error.strerror or error}. Check the disk")
    return TrajectoryError(f"{path}: {remedy}.")

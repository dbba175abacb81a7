"""Files written by ``torch.save``, read without running anything in them.

Such a file is a zip archive: ``NAME/data.pkl`` describes the objects, ``NAME/data/KEY`` hold the
numbers. Sizes are checked against the bytes that are really there before anything is read.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from painn_ase.errors import ModelFileError
from painn_ase.models.schnetpack.foreign_pickle import rebuild_pickle

__all__ = ["TorchFile", "read_torch_file"]

_MAX_FILE_BYTES = 1 << 30
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_ROOT_OF_DESCRIPTION = re.compile(r"([^/\\]+)/data\.pkl")


@dataclass(frozen=True)
class TorchFile:
    """What a file written by ``torch.save`` holds.

    Attributes
    ----------
    content : object
        Records and plain containers; see :mod:`painn_ase.models.schnetpack.foreign_pickle`.
    sha256 : str
        Checksum of the file.
    """

    content: object
    sha256: str


def read_torch_file(path: str | Path) -> TorchFile:
    """The content of a file written by ``torch.save`` (torch 1.6 and later), as inert records.

    Raises
    ------
    ModelFileError
        For a file that is missing, truncated, of another kind, or asks for code to be run.
    """
    path = Path(path)
    try:
        data = _read_bytes(path)
        content = rebuild_pickle(*_open_archive(data))
    except ModelFileError as error:
        raise ModelFileError(f"cannot read {str(path)!r}: {error}") from error.__cause__
    return TorchFile(content, hashlib.sha256(data).hexdigest())


def _read_bytes(path: Path) -> bytes:
    """All bytes of the file, read once so that checks and reading see the same."""
    try:
        if not path.is_file():
            what = "it is not a file" if path.exists() else "there is no such file"
            raise ModelFileError(f"{what}. Give the path of a model saved by SchNetPack.")
        if (size := path.stat().st_size) > _MAX_FILE_BYTES:
            raise ModelFileError(
                f"it has {size} bytes; models of this kind have at most {_MAX_FILE_BYTES}."
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{type(error).__name__}: {str(error)[:120]}.") from error


def _open_archive(data: bytes) -> tuple[bytes, _Archive]:
    """The description of the objects, and the archive that holds their numbers."""
    if not data.startswith(b"PK\x03\x04"):
        raise ModelFileError(_not_a_zip(data))
    try:
        archive = _Archive(zipfile.ZipFile(io.BytesIO(data)), len(data))
        return archive.read_description(), archive
    except ModelFileError:
        raise
    except Exception as error:  # the zip reader fails in many ways; all mean: damaged
        raise _damaged_zip(error) from error


class _Archive:
    """A zip archive as ``torch.save`` writes them: stored, unencrypted, one folder."""

    def __init__(self, archive: zipfile.ZipFile, n_bytes: int) -> None:
        self._archive = archive
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        self._check_entries(archive.infolist(), n_bytes)
        self._root = self._find_root()

    def _check_entries(self, entries: list[zipfile.ZipInfo], n_bytes: int) -> None:
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in self._entries):
            raise ModelFileError(
                "it is a TorchScript archive, which holds code. Import the model before its "
                "deployment (SchNetPack's 'best_model')."
            )
        if len(self._entries) != len(entries):
            raise ModelFileError("two members of the archive have the same name.")
        for entry in entries:
            stored = entry.compress_type == zipfile.ZIP_STORED
            if not stored or entry.file_size != entry.compress_size or entry.flag_bits & 1:
                raise ModelFileError(
                    f"member {entry.filename[:80]!r} of the archive is compressed or encrypted, "
                    "which torch.save never does."
                )
        if (claimed := sum(entry.file_size for entry in entries)) > n_bytes:
            raise ModelFileError(
                f"its members claim {claimed} bytes, the file has {n_bytes}. It is truncated or "
                "was tampered with; get an undamaged copy."
            )

    def _find_root(self) -> str:
        names = self._entries
        roots = [match[1] for name in names if (match := _ROOT_OF_DESCRIPTION.fullmatch(name))]
        if len(roots) != 1:
            raise ModelFileError(
                f"the archive holds {len(roots)} descriptions 'NAME/data.pkl'; files written by "
                "torch.save hold one."
            )
        return roots[0]

    def read_description(self) -> bytes:
        """The pickle that describes the objects."""
        order = f"{self._root}/byteorder"
        if order in self._entries and self._read(order) != b"little":
            raise ModelFileError(
                "its numbers are not little-endian. Save it again on a little-endian machine."
            )
        description = self._read(f"{self._root}/data.pkl")
        if b"pytorch-lightning_version" in description:
            raise ModelFileError(
                "it is a training checkpoint of Lightning: optimizer and trainer, not a model. "
                "Give the model that SchNetPack writes beside it ('best_model')."
            )
        return description

    def read_storage(self, key: str, n_bytes: int) -> bytes:
        """The bytes of storage `key`; refuses unless there are exactly `n_bytes`."""
        name = f"{self._root}/data/{key}"
        entry = self._entries.get(name)
        if entry is None or entry.file_size != n_bytes:
            there = "is missing" if entry is None else f"has {entry.file_size} bytes"
            raise ModelFileError(
                f"storage {key[:40]!r} should have {n_bytes} bytes but {there}. The file is "
                "truncated or was tampered with; get an undamaged copy."
            )
        return self._read(name)

    def _read(self, name: str) -> bytes:
        try:
            return self._archive.read(name)
        except Exception as error:  # as above: every failure of the zip reader means damage
            raise _damaged_zip(error) from error


def _not_a_zip(data: bytes) -> str:
    if data.startswith(_LEGACY_MAGIC) or b"storages" in data[:512]:
        return (
            "it is in the format torch wrote before version 1.6. Open it with SchNetPack and save "
            "it again with torch.save(model, path)."
        )
    if not data:
        return "it is empty. Get an undamaged copy of the file."
    return (
        "it is not a zip archive written by torch.save. Give the model saved by SchNetPack "
        "('best_model' or '*.model'), complete."
    )


def _damaged_zip(error: Exception) -> ModelFileError:
    return ModelFileError(
        f"the archive is truncated or damaged ({type(error).__name__}: {str(error)[:120]}). Get "
        "an undamaged copy of the file."
    )

"""Writing a trajectory in the H5MD layout (version 1.1), safe from kills at any moment.

Layout: P. de Buyl, P. Colberg, F. Höfling, Comput. Phys. Commun. 185, 1546 (2014),
https://nongnu.org/h5md. Frames collect in memory and reach the file in transactions
(:mod:`painn_ase.trajectory.journal`), so what is on disk always is a whole number of frames.
"""

from __future__ import annotations

import json
import time as clock
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase._version import __version__
from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.channels import Channel, channel_factor, channel_named
from painn_ase.trajectory.journal import JournaledFile, journal_path
from painn_ase.trajectory.system import System
from painn_ase.trajectory.typed import attribute

__all__ = ["TrajectoryWriter", "refuse_existing"]

_ATTRIBUTE_LIMIT = 60_000  # HDF5 keeps an attribute below 64 KiB in the object header
_CHUNK_BYTES = 128 * 1024
_BUFFER_BYTES = 4 * 1024 * 1024


@dataclass
class _Stream:
    """The channels written every `stride` steps, and their frames still in memory."""

    stride: int
    channels: tuple[Channel, ...]
    shapes: dict[str, tuple[int, ...]]
    steps: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    frames: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    last_step: int = -1
    frame_bytes: int = 0


def refuse_existing(path: Path) -> None:
    """Protect a trajectory that is there, before anything beside it is written.

    Raises
    ------
    TrajectoryError
        When the file exists. A run killed in its first moment leaves an empty one, which holds
        nothing to protect.
    """
    if path.exists() and path.stat().st_size:
        raise TrajectoryError(
            f"{path} exists already. Continue it with a restart, choose another name, or allow "
            "it to be overwritten (`overwrite=True`, --overwrite)."
        )


class TrajectoryWriter:
    """An H5MD file that grows frame by frame.

    Use :meth:`create` or :meth:`append`; close it, or use it in a ``with`` statement.

    Attributes
    ----------
    path : Path
        The file.
    strides : dict of str to int
        For each channel, the steps between its frames.
    """

    def __init__(self, path: Path, raw: JournaledFile, file: h5py.File) -> None:
        self.path = path
        self._raw = raw
        self._file = file
        self._streams: dict[int, _Stream] = {}
        self._buffered = 0
        self._flushed_at = clock.monotonic()
        self.flush_seconds = 10.0

    @classmethod
    def create(
        cls,
        path: str | Path,
        system: System,
        strides: Mapping[str, int],
        *,
        provenance: Mapping[str, Any] | None = None,
        author: str = "unknown",
        dtype: str = "float64",
        overwrite: bool = False,
    ) -> TrajectoryWriter:
        """Start a new file.

        Parameters
        ----------
        path : str or Path
            The file; must not exist unless `overwrite`.
        system : System
            Elements, masses, cell.
        strides : mapping of str to int
            Which channels (see :data:`~painn_ase.trajectory.channels.CHANNELS`) are written, each
            with the number of steps between its frames.
        provenance : mapping, optional
            JSON-ready record of how the run was made.
        author : str
            Name for the file's ``h5md/author``.
        dtype : {"float64", "float32"}
            Precision of the frames.
        overwrite : bool
            Replace a file that is there.

        Raises
        ------
        TrajectoryError
            When the file exists, is being written by another run, or cannot be made.
        """
        path = Path(path)
        if not strides:
            raise TrajectoryError("Nothing to record: name at least one quantity with its stride.")
        if not overwrite:
            refuse_existing(path)
        if strides.get("cell") != strides.get("positions") and "cell" in strides:
            raise TrajectoryError("A changing cell is recorded as often as the positions.")
        if any(system.pbc) and system.n_replicas is None and "positions" in strides:
            # H5MD knows a fixed cell too, but MDAnalysis reads one for each frame only.
            strides = {**strides, "cell": strides["positions"]}
        raw = JournaledFile(path, "w")
        try:
            file = h5py.File(raw, "w")
            _write_frame_of_file(file, system, provenance or {}, author)
            if "cell" not in strides and any(system.pbc):
                file["particles/all/box/edges"] = np.asarray(system.cell, dtype=np.float64)
                file["particles/all/box/edges"].attrs["unit"] = "Angstrom"
            for stride in sorted(set(strides.values())):
                names = [name for name, s in strides.items() if s == stride]
                _create_stream(file, system, names, stride, dtype)
            writer = cls(path, raw, file)
            writer._find_streams()
            writer.flush()
        except BaseException:
            raw.close()
            raise
        return writer

    @classmethod
    def append(cls, path: str | Path) -> TrajectoryWriter:
        """Continue a file this package wrote.

        Raises
        ------
        TrajectoryError
            When the file is missing, foreign, damaged, or being written by another run.
        """
        path = Path(path)
        if not path.exists() or not (path.stat().st_size or journal_path(path).exists()):
            raise TrajectoryError(
                f"{path} does not exist or is empty; there is nothing to continue."
            )
        raw = JournaledFile(path, "a")
        try:
            writer = cls(path, raw, h5py.File(raw, "r+"))
            writer._find_streams()
        except TrajectoryError:
            raw.close()
            raise
        except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            raw.close()
            raise TrajectoryError(
                f"{path} is not a trajectory that can be continued ({error}). Start a new file."
            ) from error
        return writer

    @property
    def strides(self) -> dict[str, int]:
        """Steps between frames, for each channel."""
        return {c.name: s.stride for s in self._streams.values() for c in s.channels}

    @property
    def last_step(self) -> int:
        """Latest step any stream holds; -1 for an empty file."""
        return max(stream.last_step for stream in self._streams.values())

    def due(self, step: int) -> tuple[str, ...]:
        """Names of the channels that want a frame at `step`."""
        return tuple(
            c.name for s in self._streams.values() if step % s.stride == 0 for c in s.channels
        )

    def write(self, step: int, time_fs: float, values: Mapping[str, ArrayLike]) -> None:
        """Take one frame; it reaches the disk with the next flush.

        Parameters
        ----------
        step : int
            Step of the run, ascending.
        time_fs : float
            Time of the run, fs.
        values : mapping of str to array
            Everything :meth:`due` asked for, in ASE's units; the cell may be left out where it
            stays as it is.

        Raises
        ------
        TrajectoryError
            For a missing quantity, a wrong shape or a step that does not ascend.
        """
        for stream in self._streams.values():
            if step % stream.stride == 0:
                self._take(stream, step, time_fs, values)
        late = clock.monotonic() - self._flushed_at > self.flush_seconds
        if self._buffered > _BUFFER_BYTES or (late and self._buffered):
            self.flush()

    def flush(self) -> None:
        """Bring every frame taken so far safely to disk, all or none.

        Raises
        ------
        TrajectoryError
            When the disk is full or gone; the frames stay in memory for the next attempt.
        """
        for stream in self._streams.values():
            self._append_block(stream)
        self._file.flush()
        self._raw.commit()
        self._buffered = 0
        self._flushed_at = clock.monotonic()

    def truncate_after(self, step: int) -> None:
        """Drop every frame later than `step`, to be computed anew."""
        self.flush()
        for stream in self._streams.values():
            steps = self._file[stream.channels[0].path]["step"]
            n = int(np.searchsorted(steps[:], step, side="right"))
            for dataset in _datasets(self._file, stream.channels):
                dataset.resize(n, axis=0)
            stream.last_step = int(steps[n - 1]) if n else -1
        self.flush()

    def close(self) -> None:
        """Flush and let go of the file."""
        if self._raw.closed:
            return
        try:
            self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the file without flushing; it keeps its last good state."""
        if not self._raw.closed:
            self._file.close()
            self._raw.close()

    def __enter__(self) -> TrajectoryWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- details -------------------------------------------------------------------------------

    def _take(
        self, stream: _Stream, step: int, time_fs: float, values: Mapping[str, ArrayLike]
    ) -> None:
        if step <= stream.last_step:
            raise TrajectoryError(
                f"{self.path}: step {step} comes after step {stream.last_step}; frames must ascend."
            )
        arrays = {}
        for channel in stream.channels:
            if channel.name == "cell" and "cell" not in values:
                arrays["cell"] = np.array(attribute(self._file["parameters/painn_ase"], "cell"))
                continue
            if channel.name not in values:
                raise TrajectoryError(
                    f"{self.path}: the frame at step {step} lacks {channel.name}."
                )
            array = np.array(values[channel.name], dtype=np.float64)  # a copy: callers reuse theirs
            shape = stream.shapes[channel.name]
            if array.size != int(np.prod(shape)):
                raise TrajectoryError(
                    f"{self.path}: {channel.name} has shape {array.shape}, expected {shape}."
                )
            arrays[channel.name] = array.reshape(shape)
        for name, array in arrays.items():
            stream.frames.setdefault(name, []).append(array)
        stream.steps.append(step)
        stream.times.append(time_fs)
        stream.last_step = step
        self._buffered += stream.frame_bytes

    def _append_block(self, stream: _Stream) -> None:
        n = len(stream.steps)
        if not n:
            return
        element = self._file[stream.channels[0].path]
        start = element["step"].shape[0]
        for dataset, block in ((element["step"], stream.steps), (element["time"], stream.times)):
            dataset.resize(start + n, axis=0)
            dataset[start:] = block
        for channel in stream.channels:
            dataset = self._file[channel.path]["value"]
            dataset.resize(start + n, axis=0)
            scale = channel_factor(str(attribute(dataset, "unit")), channel.name, channel.path)
            dataset[start:] = np.stack(stream.frames[channel.name]) / scale
        stream.steps.clear()
        stream.times.clear()
        stream.frames.clear()

    def _find_streams(self) -> None:
        """Learn from the file which channels it holds; cut torn tails of foreign making."""
        layout = json.loads(attribute(self._file["parameters/painn_ase"], "strides"))
        for stride in sorted(set(layout.values())):
            channels = tuple(channel_named(n) for n, s in layout.items() if s == stride)
            datasets = _datasets(self._file, channels)
            n = min(d.shape[0] for d in datasets)
            for dataset in datasets:
                if dataset.shape[0] > n:
                    dataset.resize(n, axis=0)
            values = {c.name: self._file[c.path]["value"] for c in channels}
            shapes = {name: tuple(v.shape[1:]) for name, v in values.items()}
            steps = self._file[channels[0].path]["step"]
            self._streams[stride] = _Stream(
                stride=stride,
                channels=channels,
                shapes=shapes,
                last_step=int(steps[n - 1]) if n else -1,
                frame_bytes=sum(8 * int(np.prod(s)) for s in shapes.values()),
            )


def _datasets(file: h5py.File, channels: Iterable[Channel]) -> list[h5py.Dataset]:
    """The growing datasets of one stream: shared step and time, and each value."""
    channels = tuple(channels)
    element = file[channels[0].path]
    return [element["step"], element["time"], *(file[c.path]["value"] for c in channels)]


def _write_frame_of_file(
    file: h5py.File, system: System, provenance: Mapping[str, Any], author: str
) -> None:
    """Everything of the file that is not a frame."""
    head = file.create_group("h5md")
    head.attrs["version"] = np.array([1, 1], dtype=np.int32)
    head.create_group("author").attrs["name"] = author
    creator = head.create_group("creator")
    creator.attrs["name"] = "painn_ase"
    creator.attrs["version"] = __version__
    head.create_group("modules/units").attrs["version"] = np.array([1, 0], dtype=np.int32)

    copies = system.n_replicas or 1
    particles = file.create_group("particles/all")
    particles["species"] = np.tile(np.asarray(system.numbers, dtype=np.int32), copies)
    particles["mass"] = np.tile(np.asarray(system.masses, dtype=np.float64), copies)
    particles["mass"].attrs["unit"] = "amu"
    if system.n_replicas is not None:
        particles["replica"] = np.repeat(np.arange(copies), len(system.numbers)).astype(np.int32)
    box = particles.create_group("box")
    box.attrs["dimension"] = np.int32(3)
    box.attrs["boundary"] = np.array(
        ["periodic" if p else "none" for p in system.pbc], dtype=h5py.string_dtype()
    )
    file.create_group("observables")
    record = file.create_group("parameters/painn_ase")
    if system.n_replicas is not None:
        record.attrs["n_replicas"] = np.int64(system.n_replicas)
    if system.n_beads != 1:
        record.attrs["n_beads"] = np.int64(system.n_beads)
    record.attrs["cell"] = np.asarray(system.cell, dtype=np.float64)
    if system.charge is not None:
        record.attrs["charge"] = np.float64(system.charge)
        record.attrs["charge_unit"] = "e"
    if system.constraints:
        _write_text(record, "constraints", list(system.constraints))
    for key, value in provenance.items():
        _write_text(record, f"provenance_{key}", value)


def _write_text(record: h5py.Group, name: str, value: Any) -> None:
    """A value as JSON: an attribute, or a dataset where it is too long for one."""
    text = json.dumps(value, default=str)
    if len(text.encode()) < _ATTRIBUTE_LIMIT:
        record.attrs[name] = text
    else:
        record[name] = text


def _create_stream(
    file: h5py.File, system: System, names: list[str], stride: int, dtype: str
) -> None:
    """Empty datasets for the channels of one stride, which share their step and time."""
    if stride < 1:
        raise TrajectoryError(f"A stride is at least 1, got {stride} for {', '.join(names)}.")
    record = file["parameters/painn_ase"]
    layout: dict[str, int] = json.loads(attribute(record, "strides", "{}"))
    shared: h5py.Group | None = None
    for name in names:
        channel = channel_named(name)
        element = file.create_group(channel.path)
        shape = _stored_shape(channel, system)
        n_chunk = max(1, min(1024, _CHUNK_BYTES // max(8, 8 * int(np.prod(shape)))))
        value = element.create_dataset(
            "value", (0, *shape), maxshape=(None, *shape), chunks=(n_chunk, *shape), dtype=dtype
        )
        value.attrs["unit"] = channel.unit
        if shared is None:
            for key, kind in (("step", "i8"), ("time", "f8")):
                element.create_dataset(key, (0,), maxshape=(None,), chunks=(1024,), dtype=kind)
            element["time"].attrs["unit"] = "fs"
            shared = element
        else:
            element["step"], element["time"] = shared["step"], shared["time"]  # hard links
        layout[name] = stride
    record.attrs["strides"] = json.dumps(layout)


def _stored_shape(channel: Channel, system: System) -> tuple[int, ...]:
    """Shape of one stored frame: H5MD knows one particle axis, so replicas share it."""
    n_atoms, n_beads, copies = len(system.numbers), system.n_beads, system.n_replicas
    if copies is None:
        return channel.frame_shape(n_atoms, n_beads)
    if channel.shape[:1] == ("n_atoms",):
        return channel.frame_shape(copies * n_atoms)
    return (copies, *channel.frame_shape(n_atoms, n_beads))

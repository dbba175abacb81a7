"""Reading H5MD trajectories, this package's and others', in bounded memory.

A file is material, not an instruction: external links, external storage and datasets that claim
more than the file holds are refused, and every trouble is a
:class:`~painn_ase.errors.TrajectoryError`.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from painn_ase.errors import PaiNNWarning, TrajectoryError
from painn_ase.trajectory.channels import CHANNELS, Channel, channel_factor
from painn_ase.trajectory.constraints import constraints_of
from painn_ase.trajectory.h5md_system import particle_group, read_system
from painn_ase.trajectory.hdf5 import (
    as_text,
    dataset_at,
    group_at,
    progression_at,
    refuse_empty_claims,
    whole_of,
)
from painn_ase.trajectory.journal import JournaledFile
from painn_ase.trajectory.keys import find_key
from painn_ase.trajectory.series import SPECTRAL
from painn_ase.trajectory.typed import attribute
from painn_ase.unit_names import KINDS
from painn_ase.units import ase_time_to_fs

__all__ = ["TrajectoryReader", "warn_of_typed_unit"]

#: Beyond it a step kept as float64 is no whole number.
_LAST_STEP = 2**53


@dataclass(frozen=True)
class _Element:
    """One time-dependent H5MD element: its values, steps and times."""

    channel: Channel
    value: h5py.Dataset
    steps: NDArray[np.int64]
    times: NDArray[np.float64] | None  # as in the file; None where it has steps alone
    time_unit: str | None
    unit: str | None


def warn_of_typed_unit(source: str, name: str, typed: str, stated: str) -> None:
    """Say that a unit a user gave counts instead of the file's."""
    text = f"{source}: {name} in {typed}, as you say, not in {stated} as the file does"
    warnings.warn(text, PaiNNWarning, stacklevel=2)


class TrajectoryReader:
    """An H5MD file opened for reading.

    Attributes
    ----------
    path : Path
        The file.
    system : System
        Elements, masses, cell.
    unscaled_cell : ndarray [3, 3] or None
        The cell as stored, where nobody says its unit; the system's is zero then.
    may_be_types : bool
        Whether the elements are the species of another program's file, which H5MD does not define.
    provenance : dict
        How the run was made, as far as the file says.

    Parameters
    ----------
    path : str or Path
        The file.
    units : mapping of str to str, optional
        Units of quantities, and of ``time``, for files that do not say them: ``{"positions":
        "nm"}``.
    keys : mapping of str to str, optional
        Quantity → place of its element in the file, ``{"dipole": "observables/mu"}``, or its name
        among the observables. The usual names of dipoles and polarizabilities are found.
    topology : str or Path, optional
        File with the elements, for other programs' files that have none, or types.

    Raises
    ------
    TrajectoryError
        When the file is missing, truncated, or not H5MD.
    """

    def __init__(
        self,
        path: str | Path,
        units: Mapping[str, str] | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        topology: str | Path | None = None,
    ) -> None:
        self.path = Path(path)
        self._units, self._keys = dict(units or {}), dict(keys or {})
        self._raw: JournaledFile | None = None
        self._file: h5py.File | None = None
        with self._errors_named():
            if not self.path.exists():
                raise TrajectoryError(f"{self.path} does not exist. Check the path.")
            try:
                self._raw = JournaledFile(self.path, "r")
                self._file = h5py.File(self._raw, "r")
                if not isinstance(self._file.get("h5md"), h5py.Group):
                    raise TrajectoryError(
                        f"{self.path} is an HDF5 file but not H5MD: the group 'h5md' is missing."
                    )
                self._particles = particle_group(self._file)
                self.system, self.unscaled_cell, self.may_be_types = read_system(
                    self._file,
                    self._particles,
                    self.path,
                    lambda edges: self._unit_of(edges, "cell"),
                    None if topology is None else Path(topology),
                )
                self.provenance = self._read_provenance()
                self._elements = self._find_elements()
            except BaseException:
                self.close()
                raise

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities the file holds."""
        return tuple(self._elements)

    def n_frames(self, name: str) -> int:
        """Number of frames of one quantity."""
        return len(self._element(name).steps)

    def steps(self, name: str) -> NDArray[np.int64]:
        """Steps of the run at which `name` was recorded [n_frames]."""
        return np.array(self._element(name).steps)

    def clock(self, name: str) -> tuple[NDArray[np.float64] | None, str | None]:
        """Times of `name` as stored, and their unit; None for what the file does not say."""
        element = self._element(name)
        times = element.times
        return (None if times is None else np.array(times)), element.time_unit

    def stated_unit(self, name: str) -> str | None:
        """The unit of `name` in the file; None where it does not say."""
        return self._element(name).unit

    def times(self, name: str) -> NDArray[np.float64]:
        """Times at which `name` was recorded, fs [n_frames].

        Raises
        ------
        TrajectoryError
            For a file without times, or without their unit.
        """
        element = self._element(name)
        if element.times is None or element.time_unit is None:
            missing = "times" if element.times is None else "the unit of its times"
            raise TrajectoryError(
                f"{self.path} does not say {missing}. Give the time between frames where you use "
                "it (`timestep=`, or --timestep), or the unit (`units={'time': 'fs'}`)."
            )
        return element.times * self._to_fs(element)

    def timestep(self, name: str) -> float:
        """Time between frames of one quantity, fs.

        Raises
        ------
        TrajectoryError
            For fewer than two frames, or frames that are not equally spaced.
        """
        times = self.times(name)
        if len(times) < 2:
            raise TrajectoryError(f"{self.path}: {name} has {len(times)} frame(s); needs two.")
        spacing = np.diff(times)
        if not np.allclose(spacing, spacing[0], rtol=1e-6, atol=1e-9) or spacing[0] <= 0:
            raise TrajectoryError(
                f"{self.path}: frames of {name} are not equally spaced in time (from "
                f"{spacing.min():g} to {spacing.max():g} fs). Resample them first."
            )
        return float((times[-1] - times[0]) / (len(times) - 1))

    def read(
        self,
        name: str,
        start: int = 0,
        stop: int | None = None,
        stride: int = 1,
        *,
        ase_units: bool = True,
    ) -> NDArray[np.float64]:
        """Frames of one quantity.

        Parameters
        ----------
        name : str
            One of :attr:`names`.
        start, stop, stride : int
            Which frames, as in a slice.
        ase_units : bool
            Convert to ASE's units; else as stored.

        Returns
        -------
        ndarray [n_frames, ...]
            With one axis more after the first where the file holds replicas.
        """
        element = self._element(name)
        with self._errors_named():
            block = element.value[slice(*slice(start, stop, stride).indices(len(element.steps)))]
            frames = np.asarray(block, dtype=np.float64)
            copies = self.system.n_replicas
            if name == "cell" and frames.shape[1:] == (3,):
                frames = frames[:, :, None] * np.eye(3)
            elif copies is not None:
                frames = frames.reshape(len(frames), copies, *self._frame_shape(element.channel))
            factor = self._factor(element) if ase_units else 1.0
            return frames * factor if factor != 1.0 else frames

    def blocks(
        self, name: str, n_frames: int | None = None, *, ase_units: bool = True
    ) -> Iterator[NDArray[np.float64]]:
        """Frames of one quantity in order, a block at a time; 16 MiB a block by default."""
        element = self._element(name)
        frame_bytes = max(8, 8 * int(np.prod(element.value.shape[1:])))
        size = n_frames or max(1, (16 << 20) // frame_bytes)
        for start in range(0, len(element.steps), size):
            yield self.read(name, start, start + size, ase_units=ase_units)

    def atoms(self, index: int, replica: int = 0) -> Atoms:
        """One frame as :class:`ase.Atoms`, with velocities, energy and forces where recorded.

        Masses, total charge (``info["charge"]``) and constraints are those of the run. Results
        whose unit nobody says are left out.
        """
        steps = self._element("positions").steps
        if not -len(steps) <= index < len(steps):
            raise TrajectoryError(f"{self.path}: no frame {index}; there are {len(steps)}.")
        if self.unscaled_cell is not None:
            raise TrajectoryError(
                f"{self.path} does not say in which unit its box/edges are. Say it "
                "(`units={'cell': 'Angstrom'}`, --unit cell=UNIT)."
            )
        step = int(steps[index])
        of_atoms = [n for n in self.names if n in _OF_ATOMS]
        unknown = {n for n in of_atoms if n in _RESULTS.values() and self.stated_unit(n) is None}
        frame = {n: self._frame_at(n, step, replica) for n in of_atoms if n not in unknown}
        positions = frame["positions"]
        cell = frame.get("cell")
        atoms = Atoms(
            numbers=self.system.numbers,
            positions=positions,
            cell=self.system.cell if cell is None else cell,
            pbc=self.system.pbc,
        )
        atoms.set_masses(self.system.masses)
        if self.system.charge is not None:
            atoms.info["charge"] = self.system.charge
        if (velocities := frame.get("velocities")) is not None:
            atoms.set_velocities(velocities)
        results: dict[str, Any] = {
            ase_name: value
            for ase_name, ours in _RESULTS.items()
            if (value := frame.get(ours)) is not None
        }
        alpha = results.pop("polarizability", None)
        if alpha is not None:  # ASE's results know no polarizability; nine numbers survive extxyz
            atoms.info["polarizability"] = np.asarray(alpha).reshape(9)
            atoms.info["polarizability_unit"] = KINDS["polarizability"].spellings[0]
        if results:
            if "energy" in results:
                results["energy"] = float(results["energy"])
            atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info["step"] = step
        element = self._element("positions")
        if element.times is not None and element.time_unit is not None:
            atoms.info["time_fs"] = float(element.times[index]) * self._to_fs(element)
        # Last, since ASE's own setters would obey them.
        atoms.set_constraint(constraints_of(self.system.constraints))
        return atoms

    def iterate_atoms(self, stride: int = 1) -> Iterator[Atoms]:
        """Frames in order as :class:`ase.Atoms`, one in memory at a time."""
        for index in range(0, self.n_frames("positions"), stride):
            yield self.atoms(index)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def __enter__(self) -> TrajectoryReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- details -------------------------------------------------------------------------------

    def _element(self, name: str) -> _Element:
        try:
            return self._elements[name]
        except KeyError:
            raise TrajectoryError(
                f"{self.path} holds no {name}; it has {', '.join(self._elements) or 'nothing'}. "
                "`painn-ase evaluate` can add dipoles, polarizabilities and fluxes."
            ) from None

    def _to_fs(self, element: _Element) -> float:
        where = f"{self.path}: times of {element.channel.name}"
        return channel_factor(str(element.time_unit), "time", where) * ase_time_to_fs

    def _factor(self, element: _Element) -> float:
        """File unit to ASE's."""
        name = element.channel.name
        if element.unit is None:
            raise TrajectoryError(
                f"{self.path} does not say in which unit its {name} are. Say it "
                f"(`units={{{name!r}: {element.channel.unit!r}}}`, --unit {name}=UNIT), or read "
                "them as stored with `ase_units=False`."
            )
        return channel_factor(element.unit, name, f"{self.path}: {element.channel.path}")

    def _unit_of(self, node: h5py.HLObject, name: str) -> str | None:
        """The unit an HDF5 object names; some programs say ``units`` where H5MD says ``unit``."""
        stated = attribute(node, "unit", attribute(node, "units"))
        unit = (as_text(stated).strip() or None) if stated is not None else None
        if (typed := self._units.get(name)) is None:
            return unit
        where = f"{self.path}: {name}"
        if unit is not None and not math.isclose(
            channel_factor(typed, name, where), channel_factor(unit, name, where), rel_tol=1e-6
        ):
            warn_of_typed_unit(str(self.path), name, typed, unit)
        return typed

    def _frame_at(self, name: str, step: int, replica: int) -> NDArray[np.float64] | None:
        """The frame of `name` at a step of the run; None where it was not recorded then."""
        steps = self._element(name).steps
        index = int(np.searchsorted(steps, step))
        if index == len(steps) or steps[index] != step:
            return None
        frame = self.read(name, index, index + 1)[0]
        return np.asarray(frame[replica]) if self.system.n_replicas is not None else frame

    def _read_provenance(self) -> dict[str, Any]:
        assert self._file is not None
        record = group_at(self._file, "parameters/painn_ase")
        if record is None:
            return {}
        names = [name for name in record.attrs if name.startswith("provenance_")]
        texts = {name: attribute(record, name) for name in names}
        for key in record:
            if key.startswith("provenance_"):
                texts[key] = whole_of(dataset_at(record, key))
        return {k.removeprefix("provenance_"): json.loads(as_text(v)) for k, v in texts.items()}

    def _find_elements(self) -> dict[str, _Element]:
        assert self._file is not None
        found = {}
        for channel in CHANNELS.values():
            group = self._element_at(channel)
            if group is not None and "value" in group:
                found[channel.name] = self._read_element(channel, group)
        if unknown := set(self._keys) - set(found):
            raise TrajectoryError(
                f"{self.path} has no {self._keys[min(unknown)]!r} for the {min(unknown)}; its "
                f"observables are {', '.join(self.observables) or 'none'}."
            )
        return found

    @property
    def observables(self) -> tuple[str, ...]:
        """Names of all time-dependent observables of the file, also of other programs'."""
        assert self._file is not None
        top = group_at(self._file, "observables")
        names: list[str] = []
        for name in top or ():
            inner = group_at(top, name)
            if inner is not None and "value" in inner:
                names.append(name)
            elif inner is not None:  # of a group of particles
                deeper = ((k, group_at(inner, k)) for k in inner)
                names += [f"{name}/{k}" for k, g in deeper if g is not None and "value" in g]
        return tuple(names)

    def _element_at(self, channel: Channel) -> h5py.Group | None:
        """Where a quantity stands: by the user's word, in its place, or under another name."""
        assert self._file is not None
        particles = self._particles.name.lstrip("/")
        if (key := self._keys.get(channel.name)) is not None:
            places = (key.strip("/"), f"observables/{key}", f"{particles}/{key}")
            return next((g for p in places if (g := group_at(self._file, p)) is not None), None)
        usual = group_at(self._file, channel.path.replace("particles/all", particles, 1))
        if usual is not None or channel.name not in SPECTRAL:
            return usual
        ends = {name.rpartition("/")[2]: name for name in self.observables}
        if (other := find_key(channel.name, ends, {})) is None:
            return None
        group = group_at(self._file, f"observables/{ends[other]}")
        frame = () if group is None else dataset_at(group, "value").shape[1:]
        return group if int(np.prod(frame)) == int(np.prod(SPECTRAL[channel.name])) else None

    def _frame_shape(self, channel: Channel) -> tuple[int, ...]:
        return channel.frame_shape(len(self.system.numbers), self.system.n_beads)

    def _read_element(self, channel: Channel, group: h5py.Group) -> _Element:
        value = dataset_at(group, "value")
        refuse_empty_claims(value)
        n_atoms, copies = len(self.system.numbers), self.system.n_replicas
        frame = self._frame_shape(channel)
        size = int(np.prod(frame)) * (copies or 1)
        if channel.name == "cell" and value.shape[1:] == (3,):  # lengths of a cuboid
            size = 3
        if value.ndim < 1 or int(np.prod(value.shape[1:])) != size:
            raise TrajectoryError(
                f"{self.path}: {channel.path} has frames of shape {value.shape[1:]}, expected "
                f"{frame} for {n_atoms} atoms."
            )
        steps = progression_at(group, "step", value.shape[0])
        clock = dataset_at(group, "time") if "time" in group else None
        times = None if clock is None else progression_at(group, "time", value.shape[0])
        known = np.isfinite(times).all() if times is not None else True  # nor NaN
        if not ((np.abs(steps) < _LAST_STEP).all() and known):
            raise TrajectoryError(f"{self.path}: steps or times of {channel.path} are not numbers.")
        steps = steps.astype(np.int64)
        n = min(value.shape[0], len(steps), len(steps) if times is None else len(times))
        if np.any(np.diff(steps[:n]) <= 0):
            raise TrajectoryError(f"{self.path}: steps of {channel.path} do not ascend.")
        return _Element(
            channel=channel,
            value=value,
            steps=steps[:n],
            times=None if times is None else times[:n].astype(np.float64),
            time_unit=None if clock is None else self._unit_of(clock, "time"),
            unit=self._unit_of(value, channel.name),
        )

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        """Whatever HDF5 stumbles over becomes our error, with the file's name."""
        try:
            yield
        except TrajectoryError:
            raise
        except _FROM_BROKEN_FILES as error:
            raise TrajectoryError(
                f"{self.path} cannot be read as an H5MD trajectory: {error}. It may be truncated, "
                "damaged or of another format."
            ) from error


_FROM_BROKEN_FILES = (
    OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, IndexError,
    OverflowError, MemoryError, UnicodeError, RecursionError, AssertionError,
)  # fmt: skip
_RESULTS = {
    "energy": "potential_energy",
    "forces": "forces",
    "stress": "stress",
    "dipole": "dipole",
    "charges": "charges",
    "polarizability": "polarizability",
}
_OF_ATOMS = {"positions", "velocities", "cell", *_RESULTS.values()}

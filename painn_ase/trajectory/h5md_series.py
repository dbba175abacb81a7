"""Recorded quantities of an H5MD file along its run, with the units and the run that it names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from painn_ase.elements import SYMBOLS
from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.raw import Fact, RawChannel, RawSeries
from painn_ase.trajectory.reader import TrajectoryReader
from painn_ase.trajectory.series import SPECTRAL

__all__ = ["TYPES_REMEDY", "raw_of_h5md"]

#: What to do where species are no atomic numbers.
TYPES_REMEDY = "where they are types, name the elements with --topology (`topology=` in Python)"

_NOT_ALONG_FRAMES = ("cell", "temperature")


def raw_of_h5md(
    path: Path,
    wanted: Collection[str] = tuple(SPECTRAL),
    keys: Mapping[str, str] | None = None,
    topology: Path | None = None,
) -> RawSeries:
    """What an H5MD file holds of the wanted quantities, those recorded most often.

    `keys` and `topology` as for :class:`TrajectoryReader`.

    Raises
    ------
    TrajectoryError
        For a file that cannot be read.
    """
    with TrajectoryReader(path, keys=keys, topology=topology) as reader:
        names = [n for n in wanted if n in reader.names and reader.n_frames(n)]
        if not names:
            held = ", ".join(dict.fromkeys((*reader.names, *reader.observables))) or "nothing"
            raise TrajectoryError(
                f"{path} holds {held}, but none of {', '.join(wanted)}. Name its place (`--key "
                "dipole=NAME`, `keys=` in Python), or let a model add dipoles, polarizabilities "
                "and fluxes: `painn-ase evaluate`."
            )
        lengths = {n: reader.n_frames(n) for n in names}
        kept = [n for n in names if lengths[n] == max(lengths.values())]
        notes = tuple(
            f"{n} was recorded less often ({lengths[n]} frames) and is left out"
            for n in names
            if n not in kept
        )
        if reader.may_be_types:
            kinds = ", ".join(SYMBOLS[z] for z in np.unique(reader.system.numbers))
            notes = (*notes, f"the file's species are taken for elements ({kinds}), {TYPES_REMEDY}")
        times, unit = reader.clock(kept[0])
        replicas = reader.system.n_replicas is not None
        channels = {}
        for name in (*kept, *(n for n in _NOT_ALONG_FRAMES if n in reader.names)):
            values = reader.read(name, ase_units=False)
            if replicas and name != "cell":
                values = np.swapaxes(values, 0, 1)
            if len(values):
                stated = reader.stated_unit(name)
                channels[name] = RawChannel(
                    values, stated, f"the file's {name}" if stated else f"{name} of the file"
                )
        system = reader.system
        if reader.unscaled_cell is not None:
            channels["cell"] = RawChannel(reader.unscaled_cell[None], None, "box/edges of the file")
        if "cell" not in channels and np.abs(system.cell).max() > 0.0:
            channels["cell"] = RawChannel(system.cell[None], "Angstrom", "the file's cell")
        structure = None
        if "positions" in reader.names and reader.n_frames("positions"):
            frame = reader.read(
                "positions", 0, 1, ase_units=reader.stated_unit("positions") is not None
            )[0]
            structure = frame[0] if replicas else frame
        thermostat, friction, target = _of_the_run(reader.provenance)
        return RawSeries(
            source=str(path),
            channels=channels,
            time=None if unit is None and times is None else times,
            time_unit=unit,
            steps=reader.steps(kept[0]),
            time_origin="the file's times",
            numbers=system.numbers,
            masses=system.masses,
            pbc=system.pbc,
            # A ring polymer's distribution is that of its settings; its momenta scatter about it.
            temperature=target if system.n_beads > 1 or "temperature" not in channels else None,
            runs=replicas,
            structure=structure,
            thermostat=thermostat,
            friction=friction,
            available=reader.names,
            notes=notes,
        )


def _of_the_run(provenance: dict[str, Any]) -> tuple[str | None, float | None, Fact | None]:
    """Thermostat, friction (1/fs) and target temperature (K), where our own runs say them."""
    config = provenance.get("config", provenance.get("replicas"))
    if not isinstance(config, dict):
        return None, None, None
    ensemble = str(config.get("ensemble", "nve")).lower()
    kelvin, friction = config.get("temperature"), config.get("friction")
    target = None
    if isinstance(kelvin, int | float) and ensemble != "nve":
        target = Fact(float(kelvin), "the run's settings")
    langevin = ensemble in ("langevin", "baoab")
    return (
        "NVE" if ensemble == "nve" else ensemble,
        float(friction) if langevin and isinstance(friction, int | float) else None,
        target,
    )

"""What a spectrum is made of: a time series with its units, or arrays whose unit is stated.

A number without a unit is a factor that nobody checks: Å³ and e²Å²/eV differ by 14.4, and a
spectrum by its square. So a :class:`~painn_ase.trajectory.TimeSeries` brings its units along, and
plain arrays name theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError, UnitError
from painn_ase.spectra.advice import check_positive, warn_about_aliasing
from painn_ase.spectra.spectrum import Spectrum
from painn_ase.unit_names import known_spellings, unit_factor
from painn_ase.units import per_ase_time_to_per_fs

if TYPE_CHECKING:
    from painn_ase.trajectory.series import TimeSeries

__all__ = ["Recorded", "recorded"]


@dataclass(frozen=True)
class _Scaled:
    """Another array's numbers times a factor, as they are read."""

    source: Any
    factor: float

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape)

    @property
    def dtype(self) -> Any:
        return self.source.dtype

    def __getitem__(self, key: Any) -> NDArray[np.float64]:
        part: NDArray[np.float64] = np.asarray(self.source[key], dtype=np.float64) * self.factor
        return part


@dataclass(frozen=True)
class Recorded:
    """A quantity or its flux along a run, in the unit of the spectra, with the run's facts.

    Attributes
    ----------
    values, flux : array-like or None
        Exactly one of them is there; per fs for a flux.
    timestep, temperature : float
        fs, K.
    series : TimeSeries or None
        Where it comes from, if from one.
    """

    values: Any
    flux: Any
    timestep: float
    temperature: float
    series: TimeSeries | None = None

    def fact(self, name: str, given: Any) -> Any:
        """What was given, else what the series says."""
        return given if given is not None or self.series is None else getattr(self.series, name)

    def described(self, spectrum: Spectrum) -> Spectrum:
        """The spectrum with source, units and origins of its input in its provenance."""
        if self.series is None:
            return spectrum
        facts = {"source": self.series.source, "input": self._summary(spectrum)}
        if self.series.notes:
            facts["notes"] = "; ".join(self.series.notes)
        return replace(spectrum, provenance={**spectrum.provenance, **facts})

    def _summary(self, spectrum: Spectrum) -> str:
        """The series' summary, with the temperature and volume that were given in their place."""
        series = self.series
        assert series is not None
        said, origins = {"temperature": series.temperature, "volume": series.volume}, {}
        used = {
            "temperature": (spectrum.provenance.get("temperature_K"), "T = {:g} K (as given)"),
            "volume": (spectrum.provenance.get("volume_angstrom3"), "volume {:.6g} Å³ (as given)"),
        }
        for name, (value, text) in used.items():
            if value is not None and value != said[name]:
                origins[name] = text.format(value)
        if not origins:
            return series.summary
        kelvin = self.temperature if "temperature" in origins else series.temperature
        return replace(series, temperature=kelvin, origins={**series.origins, **origins}).summary


def recorded(
    series: TimeSeries | None,
    quantity: str,
    *,
    values: Any,
    flux: Any,
    input_unit: str | None,
    timestep: float | None,
    temperature: float | None,
    scale: float = 1.0,
) -> Recorded:
    """Input of a spectrum from a series, or from arrays with their unit.

    Parameters
    ----------
    series : TimeSeries or None
        Its flux is taken where it has one.
    quantity : str
        ``dipole``, ``polarizability`` or ``positions``, whose flux is ``…_flux``, or the
        ``velocities``.
    values, flux, input_unit, timestep
        Instead of a series.
    temperature : float, optional
        K; by default the series', and none that contradicts it.
    scale : float
        From the package's unit to that of the spectra.

    Raises
    ------
    DataError
        When both or neither are given, or something is missing.
    """
    rate = "velocities" if quantity == "positions" else f"{quantity}_flux"
    if series is None:
        if timestep is None or temperature is None:
            missing = "timestep (fs)" if timestep is None else "temperature (K)"
            raise DataError(f"give the {missing}, or a time series that knows it")
        if (values is None) == (flux is None):
            many = "none" if flux is None else "both"
            raise DataError(f"give exactly one of {quantity} or flux; {many} were given")
        return Recorded(
            _in_unit(values, quantity, input_unit, scale),
            _in_unit(flux, rate, input_unit, scale * per_ase_time_to_per_fs),
            timestep,
            temperature,
        )
    if not hasattr(series, "origins"):
        raise DataError(
            f"a time series is expected (painn_ase.trajectory.read_time_series), not "
            f"{type(series).__name__}; give an array by its name and unit: `{quantity}=…, "
            f"input_unit={unit_example(quantity)!r}`"
        )
    named = {"values": values, "flux": flux, "input_unit": input_unit, "timestep": timestep}
    if both := [n for n, v in named.items() if v is not None]:
        raise DataError(f"the time series says {' and '.join(both)} already; leave them out")
    kelvin = _temperature(series, temperature)
    direct, moving = getattr(series, quantity), getattr(series, rate)
    if direct is None and moving is None:
        raise DataError(f"{series.source or 'the series'} has neither {quantity} nor its flux")
    warn_about_aliasing(series.timestep, series.numbers)
    if moving is not None:
        flux, values = _times(moving, scale * per_ase_time_to_per_fs), None
    else:
        flux, values = None, _times(direct, scale)
    return Recorded(values, flux, series.timestep, kelvin, series)


def _temperature(series: TimeSeries, given: float | None) -> float:
    """The series' temperature, or the one given where the series may have it, K."""
    name, said = series.source or "the series", series.temperature
    if given is None and said is None:
        raise DataError(f"{name} names no temperature; give one in K (temperature=, -T)")
    if given is None or said is None:
        return float(given if said is None else said)  # type: ignore[arg-type]  # one is there
    check_positive(given, "temperature", "K")
    # here, because the room of trajectories brings ASE, which spectra of arrays do without
    from painn_ase.trajectory.series import same_temperature

    if same_temperature(
        said,
        given,
        measured=series.measured_temperature is not None,
        n_atoms=None if series.numbers is None else len(series.numbers),
        n_runs=series.shape[0],
    ):
        return given
    raise DataError(
        f"{name} is a run at {said:.4g} K, {given:g} K was given: intensities would be off by a "
        f"factor of {said / given:.3g}. Leave the temperature out, or say why it differs where the "
        "file is read: `read_time_series(…, temperature=…, temperature_reason='…')`"
    )


def unit_example(quantity: str) -> str:
    """The unit of a quantity to show in a message."""
    return known_spellings(quantity).split(",")[0]


def _in_unit(array: Any, quantity: str, unit: str | None, scale: float) -> Any:
    if array is None:
        return None
    if unit is None:
        raise DataError(
            f"in which unit is the {quantity}? Say it: `input_unit={unit_example(quantity)!r}`, or "
            f"another of {known_spellings(quantity)}"
        )
    try:
        return _times(array, unit_factor(unit, quantity) * scale)
    except UnitError as error:
        raise DataError(str(error)) from error


def _times(array: Any, factor: float) -> Any:
    if abs(factor - 1.0) < 1e-12:
        return array
    if not (hasattr(array, "shape") and hasattr(array, "__getitem__") and hasattr(array, "dtype")):
        try:
            array = np.asarray(array, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"not a rectangular array of numbers: {error}") from error
    return _Scaled(array, factor)

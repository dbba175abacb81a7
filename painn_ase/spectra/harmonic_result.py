"""The HarmonicResult record: normal modes with intensities, as table, sticks, spectrum, animation.

The analysis itself is in ``normal_modes``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import DataError
from painn_ase.replacing import write_text
from painn_ase.spectra.advice import check_positive, check_temperature
from painn_ase.spectra.scattering import component_weights, raman_factor
from painn_ase.spectra.spectrum import Spectrum
from painn_ase.units import boltzmann_constant, ev_to_invcm, fs_to_ase_time

__all__ = ["HarmonicResult"]

Array = NDArray[np.float64]
_FORMAT = "painn_ase harmonic 1"


@dataclass(frozen=True, eq=False)
class HarmonicResult:
    """Normal modes of a structure, vibrations only, ascending in frequency.

    Attributes
    ----------
    frequencies : ndarray (n_modes,)
        cm⁻¹; imaginary ones are negative.
    modes : ndarray (n_modes, n_atoms, 3)
        Mass-weighted, orthonormal; displacements are modes/√mass.
    masses : ndarray (n_atoms,)
        amu.
    positions : ndarray (n_atoms, 3)
        Å.
    symbols : tuple of str
    infrared : ndarray (n_modes,) or None
        km/mol.
    raman : ndarray (n_modes,) or None
        Å⁴/amu.
    depolarisation : ndarray (n_modes,) or None
        For plane-polarised light, 0 where the mode is inactive.
    n_held : int
        Coordinates that were held: above 0, these are modes of the partial Hessian of the others.
    frequency_std : ndarray (n_modes,) or None
        Standard deviation over the members of a committee, each at its own minimum, cm⁻¹.
    """

    frequencies: Array
    modes: Array
    masses: Array
    positions: Array
    symbols: tuple[str, ...]
    infrared: Array | None = None
    raman: Array | None = None
    depolarisation: Array | None = None
    n_held: int = 0
    frequency_std: Array | None = None

    def __post_init__(self) -> None:
        n_modes, n_atoms = len(self.frequencies), len(self.masses)
        shapes = {
            "frequencies": (n_modes,),
            "modes": (n_modes, n_atoms, 3),
            "masses": (n_atoms,),
            "positions": (n_atoms, 3),
            "infrared": (n_modes,),
            "raman": (n_modes,),
            "depolarisation": (n_modes,),
            "frequency_std": (n_modes,),
        }
        for name, shape in shapes.items():
            given = getattr(self, name)
            if given is None:
                continue
            array = np.array(given, dtype=np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise DataError(f"{name} of a harmonic analysis must be finite and {shape}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if len(self.symbols) != n_atoms:
            raise DataError(f"{len(self.symbols)} symbols for {n_atoms} atoms")

    # ------------------------------------------------------------------ numbers

    @property
    def n_imaginary(self) -> int:
        """Number of imaginary frequencies: 0 at a minimum, 1 at a saddle point."""
        return int(np.sum(self.frequencies < 0.0))

    @property
    def n_free_motions(self) -> int:
        """Modes of frequency 0: motions of the whole beside what is held."""
        return int(np.sum(self.frequencies == 0.0)) if self.n_held else 0

    @property
    def energies(self) -> Array:
        """hν of the real modes, eV (n_real,)."""
        return np.asarray(self.frequencies[self.frequencies > 0.0] / ev_to_invcm)

    @property
    def zero_point_energy(self) -> float:
        """½ Σ hν over the real modes, eV."""
        return 0.5 * float(self.energies.sum())

    @property
    def reduced_masses(self) -> Array:
        """Reduced mass of each mode, amu (n_modes,): ``1/Σ|∂r/∂Q|²``."""
        return np.asarray(1.0 / np.sum(self.modes**2 / self.masses[:, None], axis=(1, 2)))

    def infrared_sticks(self) -> Array:
        """Frequencies (cm⁻¹) and intensities (km/mol) of the real modes (n_real, 2)."""
        return self._sticks(self._known("infrared"))

    def raman_sticks(self) -> Array:
        """Frequencies (cm⁻¹) and activities (Å⁴/amu) of the real modes (n_real, 2)."""
        return self._sticks(self._known("raman"))

    def _sticks(self, heights: Array) -> Array:
        real = self.frequencies > 0.0
        return np.column_stack([self.frequencies[real], heights[real]])

    def _known(self, name: str) -> Array:
        values = getattr(self, name)
        if values is None:
            head = "dipole" if name == "infrared" else "polarizability"
            raise DataError(f"no {name} intensities here: the analysis had no {head} derivatives")
        return np.asarray(values)

    # ------------------------------------------------------------------ spectra

    def infrared_spectrum(
        self, fwhm: float = 10.0, *, shape: str = "lorentzian", frequency: ArrayLike | None = None
    ) -> Spectrum:
        """The infrared sticks as lines of full width ``fwhm`` cm⁻¹, in km/mol per cm⁻¹."""
        return self._broadened(
            self.infrared_sticks(), fwhm, shape, frequency, "km/mol/cm^-1", "molar absorption"
        )

    def raman_activity_spectrum(
        self, fwhm: float = 10.0, *, shape: str = "lorentzian", frequency: ArrayLike | None = None
    ) -> Spectrum:
        """The Raman activities as lines of full width ``fwhm`` cm⁻¹, in Å⁴/amu per cm⁻¹."""
        sticks = self.raman_sticks()
        unit = "angstrom^4/amu/cm^-1"
        return self._broadened(sticks, fwhm, shape, frequency, unit, "Raman activity")

    def raman_cross_sections(
        self,
        *,
        temperature: float = 300.0,
        laser_wavenumber: float = 1e7 / 532.0,
        component: str = "unpolarised",
    ) -> Array:
        """Frequencies (cm⁻¹) and Stokes cross sections (1e-40 m²/sr) of the real modes (n, 2).

        Modes beyond the laser are left out. ``component`` as for
        :func:`painn_ase.spectra.raman`.
        """
        check_temperature(temperature)
        isotropic, anisotropic = component_weights(component)
        activity, ratio = self._known("raman"), self._known("depolarisation")
        # ρ = 3γ'²/(45a'² + 4γ'²) and the activity 45a'² + 7γ'²
        squared_anisotropy = activity * ratio / (3.0 + 3.0 * ratio)
        squared_mean = (activity - 7.0 * squared_anisotropy) / 45.0
        sticks = self._sticks(isotropic * squared_mean + anisotropic * squared_anisotropy)
        sticks = sticks[sticks[:, 0] < laser_wavenumber]
        # a classical mode has ∫S dν̃ = a'² kT/(2c)
        thermal = boltzmann_constant * temperature * fs_to_ase_time**2  # amu Å²/fs²
        sticks[:, 1] *= thermal / (2.0 * _C_CM_PER_FS)
        sticks[:, 1] *= raman_factor(sticks[:, 0], laser_wavenumber, temperature, "harmonic")
        return sticks

    def raman_spectrum(
        self,
        fwhm: float = 10.0,
        *,
        temperature: float = 300.0,
        laser_wavenumber: float = 1e7 / 532.0,
        component: str = "unpolarised",
        shape: str = "lorentzian",
        frequency: ArrayLike | None = None,
    ) -> Spectrum:
        """Raman cross section, in the unit and scale of :func:`raman` from dynamics."""
        lines = self.raman_cross_sections(
            temperature=temperature, laser_wavenumber=laser_wavenumber, component=component
        )
        spectrum = self._broadened(
            lines,
            fwhm,
            shape,
            frequency,
            "1e-40 m^2/sr/cm^-1",
            f"Raman cross section, {component}",
        )
        facts: dict[str, str | float | int] = {
            **spectrum.provenance,
            "temperature_K": float(temperature),
            "laser_invcm": float(laser_wavenumber),
            "component": component,
        }
        return replace(spectrum, provenance=facts)

    def _broadened(
        self,
        sticks: Array,
        fwhm: float,
        shape: str,
        frequency: ArrayLike | None,
        unit: str,
        quantity: str,
    ) -> Spectrum:
        check_positive(fwhm, "fwhm", "cm^-1")
        if shape not in ("gaussian", "lorentzian"):
            raise DataError(f"unknown line shape {shape!r}; allowed are 'gaussian', 'lorentzian'")
        if frequency is None:
            top = float(sticks[:, 0].max(initial=1000.0)) + 25.0 * fwhm
            frequency = np.arange(0.0, top, fwhm / 10.0)
        grid = np.asarray(frequency, dtype=np.float64)
        intensity = np.zeros_like(grid)
        for centre, area in sticks:
            u = (grid - centre) / fwhm
            if shape == "gaussian":
                line = np.exp(-4.0 * math.log(2.0) * u**2) * math.sqrt(
                    4.0 * math.log(2.0) / math.pi
                )
            else:
                line = 2.0 / math.pi / (1.0 + 4.0 * u**2)
            intensity += area * line / fwhm
        facts = {"approximation": "harmonic", "line_shape": shape}
        return Spectrum(grid, intensity, unit=unit, quantity=quantity, fwhm=fwhm, provenance=facts)

    # ------------------------------------------------------------------ text

    def table(self) -> str:
        """The modes as a text table, one a line."""
        columns: list[tuple[str, str, Callable[[int], str]]] = [
            ("mode", "", lambda k: f"{k + 1}"),
            ("frequency", "cm^-1", lambda k: _frequency_text(float(self.frequencies[k]))),
        ]
        if self.frequency_std is not None:
            columns.append(("±", "cm^-1", _formatter(self.frequency_std, 1)))
        columns.append(("red. mass", "amu", lambda k: f"{self.reduced_masses[k]:.4f}"))
        for title, unit, values, digits in (
            ("IR", "km/mol", self.infrared, 3),
            ("Raman", "Å^4/amu", self.raman, 3),
            ("depol.", "", self.depolarisation, 4),
        ):
            if values is not None:
                columns.append((title, unit, _formatter(values, digits)))
        rows = [[c[0] for c in columns], [c[1] for c in columns]]
        rows += [[c[2](k) for c in columns] for k in range(len(self.frequencies))]
        widths = [max(len(row[j]) for row in rows) for j in range(len(columns))]
        lines = ["  ".join(f"{t:>{w}}" for t, w in zip(row, widths, strict=True)) for row in rows]
        lines.insert(2, "  ".join("-" * w for w in widths))
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def animation(self, mode: int, amplitude: float = 0.3, n_frames: int = 24) -> str:
        """One period of a mode as multi-frame XYZ text, for any molecule viewer.

        ``amplitude`` is the largest displacement of an atom, Å. DataError for an unknown mode.
        """
        if not 0 <= mode < len(self.frequencies):
            raise DataError(
                f"mode {mode} does not exist; allowed are 0 to {len(self.frequencies) - 1}"
            )
        if n_frames < 2:
            raise DataError(f"an animation needs at least 2 frames, not {n_frames}")
        displacement = self.modes[mode] / np.sqrt(self.masses)[:, None]
        displacement = displacement / np.max(np.linalg.norm(displacement, axis=1))
        title = f"mode {mode + 1}, {_frequency_text(float(self.frequencies[mode]))} cm^-1"
        frames = []
        for k in range(n_frames):
            moved = self.positions + amplitude * math.sin(2.0 * math.pi * k / n_frames) * (
                displacement
            )
            atoms = (
                f"{s:<2} {x:14.8f} {y:14.8f} {z:14.8f}"
                for s, (x, y, z) in zip(self.symbols, moved.tolist(), strict=True)
            )
            frames.append("\n".join([str(len(self.symbols)), title, *atoms]))
        return "\n".join(frames) + "\n"

    # ------------------------------------------------------------------ files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON."""
        record: dict[str, Any] = {"format": _FORMAT, "symbols": list(self.symbols)}
        record["n_held"] = self.n_held
        for name, unit in _UNITS.items():
            values = getattr(self, name)
            record[name] = None if values is None else values.tolist()
            record[f"{name}_unit"] = unit
        try:
            write_text(Path(path), json.dumps(record, indent=1))
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> HarmonicResult:
        """Read what :meth:`save` wrote, or DataError."""
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: not JSON ({error})") from error
        if not isinstance(record, dict) or record.get("format") != _FORMAT:
            raise DataError(f"{path}: not a harmonic analysis of this package ({_FORMAT!r})")
        symbols = record.get("symbols")
        if not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols):
            raise DataError(f"{path}: symbols are missing or no list of names")
        try:
            arrays = {
                name: None if record.get(name) is None else np.array(record[name], dtype=np.float64)
                for name in _UNITS
            }
            if arrays["modes"] is not None:
                arrays["modes"] = arrays["modes"].reshape(-1, len(symbols), 3)
            n_held = int(record.get("n_held", 0))
            return cls(symbols=tuple(symbols), n_held=n_held, **arrays)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error


_UNITS = {
    "frequencies": "cm^-1",
    "modes": "mass-weighted, orthonormal",
    "masses": "amu",
    "positions": "angstrom",
    "infrared": "km/mol",
    "raman": "angstrom^4/amu",
    "depolarisation": "1",
    "frequency_std": "cm^-1",
}
#: speed of light, cm/fs
_C_CM_PER_FS = 2.99792458e-5


def _frequency_text(frequency: float) -> str:
    return f"{abs(frequency):.2f}{'i' if frequency < 0.0 else ''}"


def _formatter(values: Array, digits: int) -> Callable[[int], str]:
    return lambda k: f"{values[k]:.{digits}f}"

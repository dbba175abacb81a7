"""The AnharmonicResult record: fundamentals, overtones, combinations beside the harmonic modes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.replacing import write_text
from painn_ase.spectra.anharmonic_constants import Resonance
from painn_ase.spectra.anharmonic_levels import LevelList

__all__ = ["AnharmonicResult"]

Array = NDArray[np.float64]
#: fundamentals from two sets of displacements that differ by more are not determined, cm⁻¹
AGREEMENT = 5.0
#: overtones and combinations weaker than this share of the strongest line are left out of the table
SHOWN = 1e-2


@dataclass(frozen=True, eq=False)
class AnharmonicResult:
    """Levels by second-order vibrational perturbation theory.

    Attributes
    ----------
    harmonic : ndarray (n_modes,)
        Harmonic wavenumbers, cm⁻¹.
    fundamentals : ndarray (n_modes,)
        cm⁻¹; of a frozen mode its harmonic wavenumber.
    infrared : ndarray (n_modes,) or None
        Intensities of the fundamentals, km/mol, to second order with resonances mixed; of frozen
        modes harmonic.
    raman : ndarray (n_modes,) or None
        Raman activities of the fundamentals, Å⁴/amu, likewise.
    depolarisation : ndarray (n_modes,) or None
        Of the fundamentals, for plane-polarised light.
    harmonic_infrared, harmonic_raman : ndarray (n_modes,) or None
        Those of the harmonic modes.
    levels : LevelList
        States of one and two quanta of the modes that are not frozen.
    x : ndarray (n_modes, n_modes)
        Anharmonic constants x_rs without the resonances, cm⁻¹; 0 for frozen modes.
    zero_point : float
        Zero-point energy, cm⁻¹; resonances change nothing in it.
    rotation : ndarray (3,) or None
        Rotational constants A, B, C at the minimum, cm⁻¹.
    ground_rotation : ndarray (3,) or None
        The same of the vibrational ground state, without centrifugal distortion.
    frozen : tuple of int
        Modes left out of every sum.
    resonances : tuple of Resonance
    check : ndarray (n_modes,) or None
        Fundamentals from the field's other displacements.
    """

    harmonic: Array
    fundamentals: Array
    infrared: Array | None
    raman: Array | None
    depolarisation: Array | None
    harmonic_infrared: Array | None
    harmonic_raman: Array | None
    levels: LevelList
    x: Array
    zero_point: float
    rotation: Array | None
    ground_rotation: Array | None
    frozen: tuple[int, ...]
    resonances: tuple[Resonance, ...]
    check: Array | None

    @property
    def harmonic_zero_point(self) -> float:
        """½ Σ ω, cm⁻¹."""
        return 0.5 * float(self.harmonic.sum())

    @property
    def undetermined(self) -> tuple[int, ...]:
        """Modes whose fundamentals from two sets of displacements differ by more than 5 cm⁻¹."""
        if self.check is None:
            return ()
        apart = np.abs(self.check - self.fundamentals) > AGREEMENT
        return tuple(int(k) for k in np.flatnonzero(apart))

    def infrared_sticks(self) -> Array:
        """Wavenumbers (cm⁻¹) and intensities (km/mol) of all levels (n_lines, 2), ascending.

        DataError where the field had no dipoles.
        """
        return self._sticks("infrared", "dipole")

    def raman_sticks(self) -> Array:
        """Wavenumbers (cm⁻¹) and Raman activities (Å⁴/amu) of all levels (n_lines, 2), ascending.

        DataError where the field had no polarizabilities.
        """
        return self._sticks("raman", "polarizability")

    def _sticks(self, name: str, of: str) -> Array:
        strengths, own = getattr(self.levels, name), getattr(self, name)
        if strengths is None or own is None:
            raise DataError(f"no {name} intensities here: the field has no {of} derivatives")
        held = list(self.frozen)
        wavenumbers = np.concatenate([self.levels.wavenumbers, self.fundamentals[held]])
        sticks = np.column_stack([wavenumbers, np.concatenate([strengths, own[held]])])
        sorted_sticks: Array = sticks[np.argsort(sticks[:, 0], kind="stable")]
        return sorted_sticks

    # ------------------------------------------------------------------ text

    def table(self) -> str:
        """Fundamentals, the stronger overtones and combinations, resonances and constants."""
        parts = [self._fundamental_table()]
        combinations = self._combination_table()
        if combinations:
            parts.append(combinations)
        parts.append(self._summary())
        return "\n".join(parts)

    def _fundamental_table(self) -> str:
        columns: list[tuple[str, str, Callable[[int], str]]] = [
            ("mode", "", lambda k: f"{k + 1}"),
            ("harmonic", "cm^-1", lambda k: f"{self.harmonic[k]:.2f}"),
            ("fundamental", "cm^-1", lambda k: f"{self.fundamentals[k]:.2f}"),
        ]
        if self.check is not None:
            check = self.check
            columns.append(("check", "cm^-1", lambda k: f"{check[k]:.2f}"))
        for name, unit, bare, own in (
            ("IR", "km/mol", self.harmonic_infrared, self.infrared),
            ("Raman", "A^4/amu", self.harmonic_raman, self.raman),
        ):
            if bare is not None and own is not None:
                columns.append(("harmonic", unit, _decimals(bare)))
                columns.append((name, unit, _decimals(own)))
        if self.infrared is not None or self.raman is not None:
            columns.append(("order", "", self._order))
        shares = self._shares()
        columns.append(("", "", lambda k: self._remark(k, float(shares[k]))))
        rows = [[c[0] for c in columns], [c[1] for c in columns]]
        rows += [[c[2](k) for c in columns] for k in range(len(self.harmonic))]
        return _aligned(rows)

    def _kept(self) -> list[int]:
        return [k for k in range(len(self.harmonic)) if k not in self.frozen]

    def _order(self, mode: int) -> str:
        """How a fundamental's intensity was found."""
        if mode in self.frozen:
            return "-"
        return self._order_of_level(self._kept().index(mode))

    def _order_of_level(self, n: int) -> str:
        return f"{self.levels.orders[n]}{', coupled' if self.levels.coupled[n] else ''}"

    def _shares(self) -> Array:
        shares = np.ones(len(self.harmonic))
        kept = self._kept()
        shares[kept] = self.levels.shares[: len(kept)]
        return shares

    def _remark(self, mode: int, share: float) -> str:
        words = []
        if mode in self.frozen:
            words.append("frozen, harmonic")
        if mode in self.undetermined:
            words.append("not determined by the model")
        if share < 0.9:
            words.append(f"{100.0 * share:.0f} % of the level")
        return "; ".join(words)

    def _combination_table(self) -> str:
        kept = self._kept()
        given = [
            (name, unit, strengths)
            for name, unit, strengths in (
                ("IR", "km/mol", self.levels.infrared),
                ("Raman", "A^4/amu", self.levels.raman),
            )
            if strengths is not None
        ]
        rows = [
            ["overtones,", "level", *(name for name, _, _ in given), "order"],
            ["combinations", "cm^-1", *(unit for _, unit, _ in given), ""],
        ]
        shown = np.zeros(len(self.levels.wavenumbers), dtype=bool)
        for _, _, strengths in given:
            shown |= strengths >= SHOWN * float(strengths.max(initial=0.0))
        order = np.argsort(self.levels.wavenumbers, kind="stable")
        for n in (int(k) for k in order if k >= len(kept) and shown[k]):
            quanta = self.levels.quanta[n]
            name = " + ".join(
                f"{'2 ' if quanta[k] == 2 else ''}v{kept[k] + 1}" for k in np.flatnonzero(quanta)
            )
            numbers = [f"{strengths[n]:.3f}" for _, _, strengths in given]
            place = f"{self.levels.wavenumbers[n]:.2f}"
            rows.append([name, place, *numbers, self._order_of_level(n)])
        return _aligned(rows) if len(rows) > 2 else ""

    def _summary(self) -> str:
        lines = [
            f"zero-point energy  {self.zero_point:.2f} cm^-1 (harmonic "
            f"{self.harmonic_zero_point:.2f})"
        ]
        if self.rotation is not None and self.ground_rotation is not None:
            for name, values in (("B_e", self.rotation), ("B_0", self.ground_rotation)):
                text = "  ".join(f"{b:.5f}" for b in values)
                lines.append(f"rotation {name}       {text} cm^-1")
        for r in self.resonances:
            pair = f"2 v{r.i + 1}" if r.i == r.j else f"v{r.i + 1} + v{r.j + 1}"
            lines.append(f"resonance          {pair} ~ v{r.k + 1}, gap {r.gap:.1f} cm^-1")
        return "\n".join(lines) + "\n"

    # ------------------------------------------------------------------ files

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, modes counted from 1; wavenumbers in cm⁻¹."""
        infrared, raman = self.levels.infrared, self.levels.raman
        ratios = self.levels.depolarisation
        kept = [k + 1 for k in self._kept()]
        levels = []
        for n, quanta in enumerate(self.levels.quanta):
            levels.append(
                {
                    "quanta": {str(kept[k]): int(quanta[k]) for k in np.flatnonzero(quanta)},
                    "wavenumber": float(self.levels.wavenumbers[n]),
                    "share": float(self.levels.shares[n]),
                    "infrared": None if infrared is None else float(infrared[n]),
                    "raman": None if raman is None else float(raman[n]),
                    "depolarisation": None if ratios is None else float(ratios[n]),
                    "order": int(self.levels.orders[n]),
                    "coupled": bool(self.levels.coupled[n]),
                }
            )
        return {
            "format": "painn_ase anharmonic 1",
            "unit": "cm^-1",
            "infrared_unit": "km/mol",
            "raman_unit": "angstrom^4/amu",
            "harmonic": self.harmonic.tolist(),
            "fundamentals": self.fundamentals.tolist(),
            "check": _listed(self.check),
            "undetermined": [k + 1 for k in self.undetermined],
            "frozen": [k + 1 for k in self.frozen],
            "infrared": _listed(self.infrared),
            "raman": _listed(self.raman),
            "depolarisation": _listed(self.depolarisation),
            "harmonic_infrared": _listed(self.harmonic_infrared),
            "harmonic_raman": _listed(self.harmonic_raman),
            "levels": levels,
            "x": self.x.tolist(),
            "zero_point": self.zero_point,
            "harmonic_zero_point": self.harmonic_zero_point,
            "rotation": _listed(self.rotation),
            "ground_rotation": _listed(self.ground_rotation),
            "resonances": [
                {"pair": [r.i + 1, r.j + 1], "with": r.k + 1, "gap": r.gap, "error": r.error}
                for r in self.resonances
            ],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`as_dict` as JSON."""
        try:
            write_text(Path(path), json.dumps(self.as_dict(), indent=1))
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error


def _decimals(values: Array) -> Callable[[int], str]:
    return lambda k: f"{values[k]:.3f}"


def _listed(values: Array | None) -> list[float] | None:
    return None if values is None else [float(v) for v in values]


def _aligned(rows: list[list[str]]) -> str:
    """Rows of text as a table with a rule below the two heading lines."""
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    lines = ["  ".join(f"{t:>{w}}" for t, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(2, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines) + "\n"

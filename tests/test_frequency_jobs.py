"""Frequency jobs of other programs as cclib reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import DataError
from painn_ase.spectra import HarmonicResult, Spectrum, harmonic_from_arrays, save_spectrum
from painn_ase.units import bohr_to_angstrom
from painn_ase.vibrations import load_harmonic, read_frequency_job


def _section(name: str, kind: str, values: np.ndarray) -> list[str]:
    """A section of Gaussian's formatted checkpoint file (Gaussian manual, "formchk")."""
    flat = np.ravel(values)
    width, form = (6, "{:12d}") if kind == "I" else (5, "{:16.8E}")
    cells = [form.format(v) for v in flat]
    rows = ["".join(cells[n : n + width]) for n in range(0, len(cells), width)]
    return [f"{name:<43}{kind}   N={len(flat):12d}", *rows]


def _water() -> HarmonicResult:
    """Normal modes of some symmetric Hessian, with point charges for the dipole."""
    rng = np.random.default_rng(3)
    positions = np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    half = rng.normal(size=(9, 9))
    born = np.array([-0.8, 0.4, 0.4])[:, None, None] * np.eye(3)
    masses = np.array([15.999, 1.008, 1.008])
    return harmonic_from_arrays(
        masses, positions, half @ half.T, born_charges=born, symbols=("O", "H", "H")
    )


def _fchk(path: Path, result: HarmonicResult) -> Path:
    n = len(result.frequencies)
    shifts = result.modes / np.sqrt(result.masses)[:, None]
    shifts = shifts / np.sqrt(np.sum(shifts**2, axis=(1, 2), keepdims=True))  # as Gaussian
    table = np.zeros((14, n))
    table[0], table[3] = result.frequencies, result.infrared
    lines = [
        "water",
        f"{'Freq':<10}{'RHF':<30}{'STO-3G':>30}",
        f"{'Number of atoms':<43}I{3:17d}",
        f"{'Charge':<43}I{0:17d}",
        f"{'Multiplicity':<43}I{1:17d}",
        f"{'Number of electrons':<43}I{10:17d}",
        f"{'Number of alpha electrons':<43}I{5:17d}",
        f"{'Number of beta electrons':<43}I{5:17d}",
        f"{'Number of basis functions':<43}I{7:17d}",
        f"{'Number of independent functions':<43}I{7:17d}",
        *_section("Alpha Orbital Energies", "R", np.linspace(-20.0, 1.0, 7)),
        *_section("Atomic numbers", "I", np.array([8, 1, 1])),
        *_section("Current cartesian coordinates", "R", result.positions / bohr_to_angstrom),
        *_section("Real atomic weights", "R", result.masses),
        f"{'Number of Normal Modes':<43}I{n:17d}",
        *_section("Vib-E2", "R", table),
        *_section("Vib-Modes", "R", shifts),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_formatted_checkpoint_gives_its_modes_and_intensities(tmp_path: Path) -> None:
    pytest.importorskip("cclib")
    result = _water()
    found = read_frequency_job(_fchk(tmp_path / "water.fchk", result))
    np.testing.assert_allclose(found.frequencies, result.frequencies, rtol=1e-7)
    np.testing.assert_allclose(found.infrared, result.infrared, rtol=1e-6)
    np.testing.assert_allclose(found.positions, result.positions, atol=1e-6)
    assert found.symbols == ("O", "H", "H")
    overlaps = np.einsum("iax,iax->i", found.modes, result.modes)
    np.testing.assert_allclose(np.abs(overlaps), 1.0, atol=1e-6)


def test_sticks_of_a_frequency_job_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("cclib")
    grid = np.linspace(400.0, 4000.0, 50)
    spectrum = Spectrum(grid, np.exp(-((grid - 1600.0) ** 2) / 1e4), unit="km/mol/cm^-1")
    save_spectrum(spectrum, tmp_path / "ir.csv")
    job = _fchk(tmp_path / "water.fchk", _water())
    picture = tmp_path / "ir.png"
    arguments = ["plot", str(tmp_path / "ir.csv"), "--sticks", str(job), "-o", str(picture)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert picture.stat().st_size > 5000


def test_a_file_without_frequencies_says_so(tmp_path: Path) -> None:
    pytest.importorskip("cclib")
    (tmp_path / "a.log").write_text("nothing of that\n")
    with pytest.raises(DataError, match="no frequencies"):
        load_harmonic(tmp_path / "a.log")
    _water().save(tmp_path / "modes.json")
    assert len(load_harmonic(tmp_path / "modes.json").frequencies) == len(_water().frequencies)

"""`painn-ase spectrum` on dipoles that jump: unfolded and counted, or refused; and its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import DataError
from painn_ase.spectra import infrared, load_spectrum, power
from painn_ase.trajectory import TimeSeries
from painn_ase.units import debye_to_e_angstrom, invcm_to_radians_per_fs

runner = CliRunner()
LENGTH = 12.4


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, int]:
    """A continuous and a folded dipole in Debye with a polarizability, and the number of jumps."""
    rng = np.random.default_rng(0)
    t = np.arange(3000)[:, None]
    slow = 9.0 * np.cos(invcm_to_radians_per_fs * 8.0 * t + rng.uniform(0, 6, 3))
    dipole = slow + 0.1 * np.cos(invcm_to_radians_per_fs * 1700.0 * t + rng.uniform(0, 6, 3))
    alpha = 90.0 * np.eye(3) + (0.2 * np.cos(invcm_to_radians_per_fs * 1000.0 * t))[:, :, None]
    alpha[:, 0, 0] += 0.4 * np.cos(invcm_to_radians_per_fs * 2000.0 * t[:, 0])
    folded = dipole - LENGTH * np.rint(dipole / LENGTH)
    paths = []
    for name, values in (("true", dipole), ("folded", folded)):
        paths.append(tmp_path / f"{name}.npz")
        np.savez(paths[-1], dipole=values / debye_to_e_angstrom, polarizability=alpha, timestep=1.0)
    jumps = int(np.any(np.abs(np.diff(folded, axis=0)) > 0.5 * LENGTH, axis=1).sum())
    return paths[0], paths[1], jumps


def spectrum(path: Path, *options: str):
    units = ["--dipole-unit", "Debye", "--polarizability-unit", "Angstrom^3", "--unit", "time=fs"]
    folder = path.with_suffix("")
    arguments = ["spectrum", str(path), "-T", "300", *units, "--overwrite", "-o", str(folder)]
    return folder, runner.invoke(app, [*arguments, *options])


def test_a_folded_dipole_is_unfolded_counted_and_drawn(files: tuple[Path, Path, int]) -> None:
    true, folded, jumps = files
    cell = ["--cell", f"{LENGTH} {LENGTH} {LENGTH}"]
    good_folder, good = spectrum(true, *cell)
    assert good.exit_code == 0, (good.output, good.exception)
    assert "jumped" not in good.output
    folder, result = spectrum(folded, *cell, "--polarised", "--descending")
    assert result.exit_code == 0, (result.output, result.exception)
    assert f"jumped {jumps} times" in result.output
    mended = load_spectrum(folder / "infrared.csv")
    right = load_spectrum(good_folder / "infrared.csv")
    assert mended.provenance["jumps_unfolded"] == jumps
    assert mended.band_area().value == pytest.approx(right.band_area().value, rel=1e-6)
    parts = [load_spectrum(folder / f"raman_{g}.csv").intensity for g in ("vv", "vh")]
    whole = load_spectrum(folder / "raman.csv").intensity
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-9, atol=1e-9 * whole.max())
    assert (folder / "spectra.png").stat().st_size > 10_000


def test_without_a_cell_it_is_refused_and_the_user_can_insist(
    files: tuple[Path, Path, int],
) -> None:
    _, folded, jumps = files
    _, result = spectrum(folded, "--molecule")
    assert isinstance(result.exception, DataError)
    for words in (f"jumps {jumps} times", "--cell", "--jumps keep"):
        assert words in str(result.exception)
    _, kept = spectrum(folded, "--molecule", "--jumps", "keep")
    assert kept.exit_code == 0, (kept.output, kept.exception)
    _, wrong = spectrum(folded, "--molecule", "--jumps", "mend")
    assert "'check' and 'keep'" in str(wrong.exception)


def test_python_takes_the_cell_from_the_series(files: tuple[Path, Path, int]) -> None:
    smooth, jumpy = (np.load(f)["dipole"] * debye_to_e_angstrom for f in files[:2])
    cell = LENGTH * np.eye(3)
    with pytest.warns(UserWarning, match="unfolded"):
        mended = infrared(TimeSeries(timestep=1.0, dipole=jumpy, cell=cell), temperature=300.0)
    right = infrared(dipole=smooth, input_unit="e*Angstrom", timestep=1.0, temperature=300.0)
    assert mended.band_area().value == pytest.approx(right.band_area().value, rel=1e-9)
    with pytest.warns(UserWarning, match="unfolded"):
        debye = infrared(
            dipole=jumpy / debye_to_e_angstrom,
            input_unit="Debye",
            timestep=1.0,
            temperature=300.0,
            cell=cell,
        )
    assert debye.band_area().value == pytest.approx(right.band_area().value, rel=1e-9)


def test_density_of_states_of_wrapped_positions_is_that_of_the_paths() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(4000)[:, None, None]
    drift = 0.01 * rng.normal(size=(1, 5, 3)) * t
    path = drift + 0.05 * np.cos(
        invcm_to_radians_per_fs * 1200.0 * t + rng.uniform(0, 6, (1, 5, 3))
    )
    wrapped = path - LENGTH * np.floor(path / LENGTH)
    masses = np.full(5, 16.0)
    facts = {"timestep": 1.0, "temperature": 300.0, "masses": masses}
    with pytest.warns(UserWarning, match="crossed the cell"):
        found = power(TimeSeries(positions=wrapped, cell=LENGTH * np.eye(3), **facts))
    with pytest.warns(UserWarning, match="error bar|standard error|temperature of"):
        right = power(TimeSeries(positions=path, **facts))
    np.testing.assert_allclose(found.intensity, right.intensity, rtol=1e-6, atol=1e-12)
    with pytest.raises(DataError, match="wrapped positions"):
        power(TimeSeries(positions=wrapped, **facts))

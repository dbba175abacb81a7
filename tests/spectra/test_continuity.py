"""A dipole that is folded back is unfolded or refused; an honest one is never touched."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.spectra import infrared, raman
from painn_ase.spectra.continuity import continuous
from painn_ase.units import invcm_to_radians_per_fs

CUBE = 12.4 * np.eye(3)


def bulk(n: int = 4000, timestep: float = 1.0, seed: int = 0) -> np.ndarray:
    """A dipole (n, 3), e·Å, as 64 waters have it: a slow wander under lines at 500, 1700, 3400."""
    rng = np.random.default_rng(seed)
    t = timestep * np.arange(n)[:, None]
    slow = sum(
        a * np.cos(invcm_to_radians_per_fs * w * t + rng.uniform(0, 6, 3))
        for w, a in ((3.0, 2.5), (11.0, 1.0), (60.0, 0.4))
    )
    fast = sum(
        a * np.cos(invcm_to_radians_per_fs * w * t + rng.uniform(0, 6, 3))
        for w, a in ((500.0, 0.15), (1700.0, 0.05), (3400.0, 0.06))
    )
    return slow + fast


def folded(dipole: np.ndarray, cell: np.ndarray, origin: float = 0.0) -> np.ndarray:
    """As a program writes it that gives the dipole modulo e times the cell."""
    share = dipole @ np.linalg.inv(cell) - origin
    return (share - np.floor(share) + origin) @ cell


def quiet_infrared(dipole: np.ndarray, **options: object):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaiNNWarning)
        return infrared(
            input_unit="e*Angstrom", dipole=dipole, timestep=1.0, temperature=300.0, **options
        )


# -- what jumps do, and what is done about them ------------------------------------------------


def test_folded_dipole_gives_the_spectrum_of_the_continuous_one() -> None:
    true = bulk()
    wrong = folded(true, CUBE)
    jumps = int((np.abs(np.diff(wrong, axis=0)) > 6.0).any(axis=1).sum())
    assert jumps > 20
    good = quiet_infrared(true, volume=12.4**3)
    as_it_is = quiet_infrared(wrong, volume=12.4**3, jumps="keep")
    assert as_it_is.band_area().value > 40.0 * good.band_area().value
    with pytest.warns(PaiNNWarning, match=f"jumped {jumps} times .* unfolded"):
        mended = infrared(
            input_unit="e*Angstrom",
            dipole=wrong,
            timestep=1.0,
            temperature=300.0,
            volume=12.4**3,
            cell=CUBE,
        )
    np.testing.assert_allclose(mended.intensity, good.intensity, rtol=1e-8, atol=1e-9)
    assert mended.provenance["jumps_unfolded"] == jumps
    assert "jumps_unfolded" not in good.provenance
    with pytest.raises(DataError, match=rf"jumps {jumps} times .*--cell.*--jumps keep"):
        quiet_infrared(wrong, volume=12.4**3)


def test_one_jump_of_ten_angstrom_is_not_believed() -> None:
    t = np.arange(2000)[:, None]
    line = 0.05099 * np.cos(invcm_to_radians_per_fs * 1700.0 * t) * np.ones(3)
    good = quiet_infrared(line).band_area().value
    assert good == pytest.approx(1563.0, rel=5e-3)
    jumped = line.copy()
    jumped[1000:, 0] += 10.0
    assert quiet_infrared(jumped, jumps="keep").band_area().value > 3e5
    with pytest.raises(DataError, match=r"jumps 1 times in run 0, first between frames 999 and"):
        quiet_infrared(jumped)
    mended = quiet_infrared(jumped, cell=10.0 * np.eye(3))
    assert mended.band_area().value == pytest.approx(good, rel=1e-9)


def test_jumps_of_one_run_among_several_are_found() -> None:
    runs = np.stack([bulk(seed=k) for k in range(3)])
    wrong = runs.copy()
    wrong[1] = folded(runs[1], CUBE)
    values, count = continuous(wrong, (3,), "dipole", cell=CUBE)
    assert count > 0
    np.testing.assert_allclose(values - values[:, :1], runs - runs[:, :1], atol=1e-9)
    with pytest.raises(DataError, match="in run 1"):
        continuous(wrong, (3,), "dipole")


def test_polarizability_that_jumps_is_refused() -> None:
    alpha = 1.4 * np.eye(3) + 0.01 * bulk()[:, :, None] * np.ones(3)
    alpha = 0.5 * (alpha + alpha.transpose(0, 2, 1))
    options = {"timestep": 1.0, "temperature": 300.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaiNNWarning)
        good = raman(input_unit="Angstrom^3", polarizability=alpha, **options)
        alpha[500] += 40.0
        with pytest.raises(DataError, match="polarizability jumps 2 times"):
            raman(input_unit="Angstrom^3", polarizability=alpha, **options)
        kept = raman(input_unit="Angstrom^3", polarizability=alpha, **options, jumps="keep")
    assert kept.band_area(100, 4000).value > 10.0 * good.band_area(100, 4000).value


def test_fractional_charges_of_wrapped_positions_are_no_quantum() -> None:
    dipole = bulk()
    dipole[1000:, 1] += 0.41 * 12.4
    dipole[3000:, 1] -= 0.82 * 12.4
    for cell in (None, CUBE):
        with pytest.raises(DataError, match=r"unwrapped positions|cannot be told apart"):
            continuous(dipole, (3,), "dipole", cell=cell)


def test_motion_as_large_as_the_quantum_asks() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(DataError, match="motion and folding cannot be told apart"):
        continuous(rng.normal(0.0, 4.0, (500, 3)), (3,), "dipole", cell=CUBE)
    kept, count = continuous(rng.normal(0.0, 4.0, (500, 3)), (3,), "dipole", jumps="keep")
    assert count == 0
    assert kept.shape == (500, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jumps": "drop"}, "'check' and 'keep'"),
        ({"cell": np.zeros((3, 3))}, "no lattice vector"),
        ({"cell": np.eye(2)}, r"allowed are finite lattice vectors \(3, 3\)"),
        ({"cell": np.full((3, 3), np.nan)}, "finite"),
    ],
)
def test_bad_options_name_what_is_allowed(options: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        continuous(bulk(100), (3,), "dipole", **options)


# -- properties ----------------------------------------------------------------------------------


@st.composite
def cells(draw: st.DrawFn) -> np.ndarray:
    """Lattice vectors as rows, 8 to 30 Å, skewed and turned."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = rng.uniform(8.0, 30.0, 3)
    cell = np.diag(lengths) + np.tril(rng.uniform(-0.3, 0.3, (3, 3)), -1) * lengths.min()
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return cell @ turn


@given(cell=cells(), seed=st.integers(0, 1000), origin=st.floats(-1.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_every_folded_dipole_is_repaired_with_a_cell(
    cell: np.ndarray, seed: int, origin: float
) -> None:
    true = 2.0 * bulk(1500, 2.0, seed)
    wrong = folded(true, cell, origin)
    values, count = continuous(wrong, (3,), "dipole", cell=cell)
    # the branch is that of the first frame
    np.testing.assert_allclose(values - values[0], true - true[0], atol=1e-8)
    assert (count > 0) == (not np.allclose(np.diff(wrong, axis=0), np.diff(true, axis=0)))


@given(cell=cells(), seed=st.integers(0, 1000), origin=st.floats(-1.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_every_folded_dipole_is_refused_without_a_cell(
    cell: np.ndarray, seed: int, origin: float
) -> None:
    true = 2.0 * bulk(1500, 1.0, seed)
    wrong = folded(true, cell, origin)
    if np.allclose(wrong - wrong[0], true - true[0]):
        continuous(wrong, (3,), "dipole")
    else:
        with pytest.raises(DataError, match="jumps"):
            continuous(wrong, (3,), "dipole")


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_breathing_cell_is_followed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = 2.0 * bulk(1500, 2.0, seed)
    breath = 1.0 + 0.01 * np.sin(np.arange(1500) / 40.0 + rng.uniform(0, 6))
    cell = breath[:, None, None] * CUBE
    share = np.floor(np.einsum("ta,tab->tb", true, np.linalg.inv(cell)))
    wrong = true - np.einsum("ta,tab->tb", share - share[0], cell)
    values, _ = continuous(wrong, (3,), "dipole", cell=cell)
    np.testing.assert_allclose(values, true, atol=1e-8)


@st.composite
def honest(draw: st.DrawFn) -> np.ndarray:
    """A continuous dipole sampled below its Nyquist wavenumber: lines, rotation, drift, noise."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from([20, 64, 300, 2000, 10_000]))
    timestep = draw(st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]))
    highest = min(16678.2 / timestep, 4000.0)
    t = timestep * np.arange(n)[:, None]
    total = np.zeros((n, 3))
    for _ in range(draw(st.integers(1, 12))):
        frequency = invcm_to_radians_per_fs * rng.uniform(1.0, highest)
        amplitude = 10.0 ** rng.uniform(-3.0, 0.0) * rng.normal(size=3)
        wave = np.cos(frequency * t + rng.uniform(0.0, 6.3, 3))
        if rng.random() < 0.4:  # energy that comes and goes between modes
            beat = rng.uniform(200.0, 5000.0)
            wave *= 0.5 * (1.0 + np.cos(2.0 * np.pi * t / beat + rng.uniform(0.0, 6.3)))
        total += amplitude * wave
    if rng.random() < 0.5:  # a rotor as fast as HCl's and slower
        spin = invcm_to_radians_per_fs * rng.uniform(1.0, 0.3 * highest)
        angle = spin * t[:, 0]
        total += rng.uniform(0.0, 3.0) * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    if rng.random() < 0.3:  # an ion that moves away
        total += rng.normal(0.0, 0.01, 3) * t
    if rng.random() < 0.5:
        total += 10.0 ** rng.uniform(-6.0, 0.0) * rng.normal(size=(n, 3))
    if rng.random() < 0.3:  # a file with few digits
        total = np.round(total, int(rng.integers(1, 5)))
    if rng.random() < 0.2:  # a linear molecule
        total[:, :2] = 0.0
    return total


@given(dipole=honest())
@settings(max_examples=150, deadline=None)
def test_honest_dipoles_are_never_called_folded(dipole: np.ndarray) -> None:
    values, count = continuous(dipole, (3,), "dipole")
    assert values is dipole
    assert count == 0


def test_dynamics_of_water_at_any_stride_is_honest(water_series) -> None:
    for stride in (1, 2, 4, 8, 16, 32):
        continuous(water_series.dipole[::stride], (3,), "dipole")
        continuous(water_series.polarizability[::stride], (3, 3), "polarizability")
        continuous(water_series.dipole[::stride], (3,), "dipole", cell=CUBE)

"""Infrared and Raman intensities of perturbation theory against exact diagonalisation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from oscillators import coupled, exact, morse

from painn_ase.errors import DataError
from painn_ase.spectra import PropertySurface, QuarticField, Rotor, anharmonic
from painn_ase.spectra.anharmonic_constants import fermi_resonances

Array = NDArray[np.float64]


def surface(n: int, scale: float, shape: tuple[int, ...] = (3,), seed: int = 3) -> PropertySurface:
    """Every derivative that second order asks for; they go with scale and its square."""
    rng = np.random.default_rng(seed)
    slopes = 0.05 * rng.uniform(0.4, 1.0, (n, *shape)) * rng.choice([-1.0, 1.0], (n, *shape))
    curvatures = 0.05 * scale * rng.uniform(-1.0, 1.0, (n, n, *shape))
    curvatures = curvatures + curvatures.swapaxes(0, 1)
    thirds = 0.08 * scale**2 * rng.uniform(-1.0, 1.0, (n, n, *shape))
    if shape == (3, 3):
        slopes, curvatures, thirds = (
            (v + v.swapaxes(-1, -2)) / 2.0 for v in (slopes, curvatures, thirds)
        )
    return PropertySurface(slopes, curvatures, thirds)


def rotor(n: int, seed: int = 7) -> Rotor:
    zeta = np.random.default_rng(seed).uniform(-1.0, 1.0, (3, n, n))
    zeta = (zeta - zeta.transpose(0, 2, 1)) / 2.0
    return Rotor(np.array([20.0, 12.0, 7.0]), zeta, np.zeros((n, 3, 3)))


def apart(levels: Array, moments: Array, wavenumbers: Array, ours: Array) -> Array:
    """Relative errors of |moment|² of levels that are the nearest exact ones."""
    rows = [int(np.argmin(np.abs(levels - levels[0] - value))) for value in wavenumbers]
    true = np.sum(moments[rows] ** 2, axis=1)
    return np.abs(np.sum(ours**2, axis=1) / true - 1.0)


def test_a_morse_oscillator_with_a_cubic_dipole_is_that_of_its_wave_functions() -> None:
    """Second order leaves a 16th when the anharmonicity halves, an overtone's first order a 4th."""
    w = 3000.0
    q = np.linspace(-6.5, 16.0, 500)
    d = np.subtract.outer(np.arange(500), np.arange(500))
    sinc = np.where(d == 0, np.pi**2 / 3.0, 2.0 * (-1.0) ** d / np.where(d == 0, 1, d) ** 2)
    errors = []
    for scale in (1.0, 0.5):
        wx = 60.0 * scale**2
        a = math.sqrt(2.0 * wx / w)
        potential = w * w / (4.0 * wx) * (1.0 - np.exp(-a * q)) ** 2
        kinetic = 0.5 * w * sinc / (q[1] - q[0]) ** 2
        values, states = np.linalg.eigh(kinetic + np.diag(np.minimum(potential, 2e6)))
        np.testing.assert_allclose(values[1] - values[0], w - 2.0 * wx, atol=1e-4)
        slope, curvature, third = 0.1, -0.03 * scale, -0.04 * scale**2
        dipole = slope * q + curvature * q**2 / 2.0 + third * q**3 / 6.0
        true = (states[:, 0] * dipole) @ states[:, 1:3]
        along = np.array([0.0, 0.6, 0.8])
        given = PropertySurface(
            slope * along[None], curvature * along[None, None], third * along[None, None]
        )
        result = anharmonic(replace(morse(w, wx), dipole=given))
        moments = result.levels.moments
        assert moments is not None
        ours = np.linalg.norm(moments, axis=1)
        errors.append(np.abs((ours / true) ** 2 - 1.0))
        harmonic = abs((slope**2 / 2.0) / true[0] ** 2 - 1.0)
        assert errors[-1][0] < harmonic / 5.0
        assert result.levels.orders.tolist() == [2, 1]
    assert errors[0][0] < 0.06
    np.testing.assert_array_less(np.abs(errors[1]), np.abs(errors[0]) / [12.0, 3.0])


@pytest.mark.parametrize("turning", [False, True])
@pytest.mark.parametrize("frequencies", [(1500.0, 2700.0), (1100.0, 1700.0, 2500.0)])
def test_errors_of_coupled_modes_fall_sixteenfold_when_anharmonicity_halves(
    frequencies: tuple[float, ...], turning: bool
) -> None:
    n = len(frequencies)
    errors, plain = [], []
    for scale in (0.4, 0.2):
        field = replace(coupled(frequencies, scale), dipole=surface(n, scale))
        if turning:
            bare = rotor(n)
            constants = 4.0 * scale**2 * bare.constants  # of second order, as the quartic is
            field = replace(field, rotor=replace(bare, constants=constants))
        result = anharmonic(field, threshold=1e9, mixing=1e9, frozen=())
        levels, moments = exact(field, 16, field.dipole, 22 if n == 2 else 15)
        ours = result.levels
        assert ours.moments is not None
        assert not ours.coupled.any()
        errors.append(apart(levels, moments, ours.wavenumbers, ours.moments))
        assert field.dipole is not None
        first = field.dipole.slopes / math.sqrt(2.0)
        plain.append(apart(levels, moments, ours.wavenumbers[:n], first))
    fundamentals, others = np.s_[:n], np.s_[n:]
    assert np.linalg.norm(errors[1][fundamentals]) < np.linalg.norm(errors[0][fundamentals]) / 12.0
    assert np.linalg.norm(errors[1][others]) < np.linalg.norm(errors[0][others]) / 3.0
    # the slope alone errs to second order
    assert np.linalg.norm(plain[1]) > 20.0 * np.linalg.norm(errors[1][fundamentals])


def test_second_order_of_coriolis_terms_is_in_the_intensities() -> None:
    field = replace(coupled((1100.0, 1700.0, 2500.0), 0.0), dipole=surface(3, 0.0))
    field = replace(field, rotor=rotor(3))
    result = anharmonic(field)
    levels, moments = exact(field, 9, field.dipole, 8)
    ours = result.levels
    assert ours.moments is not None
    off = apart(levels, moments, ours.wavenumbers[:3], ours.moments[:3])
    assert field.dipole is not None
    without = apart(levels, moments, ours.wavenumbers[:3], field.dipole.slopes / math.sqrt(2.0))
    assert off.max() < without.max() / 10.0
    assert without.max() > 1e-3


def test_polarizability_is_the_same_code_with_nine_components() -> None:
    n, scale = 3, 0.2
    field = coupled((1100.0, 1700.0, 2500.0), scale)
    given = surface(n, scale, (3, 3))
    result = anharmonic(replace(field, polarizability=given), threshold=1e9, mixing=1e9, frozen=())
    levels, moments = exact(field, 16, given, 15)
    ours = result.levels
    assert ours.moments is None
    assert ours.polarizabilities is not None
    found = apart(levels, moments, ours.wavenumbers, ours.polarizabilities.reshape(-1, 9))
    assert found[:n].max() < 2e-3
    assert found[n:].max() < 0.1
    # each component by itself, not only their squares
    row = int(np.argmin(np.abs(levels - levels[0] - ours.wavenumbers[0])))
    sign = np.sign(moments[row] @ ours.polarizabilities[0].ravel())
    np.testing.assert_allclose(
        ours.polarizabilities[0].ravel(),
        sign * moments[row],
        atol=2e-3 * np.abs(moments[row]).max(),
    )


@pytest.mark.parametrize(
    ("frequencies", "triple", "scale"),
    [((1510.0, 3000.0), (0, 0, 1), 0.2), ((1000.0, 1500.0, 2510.0), (0, 1, 2), 0.15)],
)
def test_lines_of_a_fermi_resonance_are_those_of_the_diagonalisation(
    frequencies: tuple[float, ...], triple: tuple[int, ...], scale: float
) -> None:
    """Second order beside the resonance, and both lines of the pair."""
    n = len(frequencies)
    field = coupled(frequencies, scale, fixed={triple: 110.0})
    field = replace(field, dipole=surface(n, scale))
    result = anharmonic(field)
    assert triple in [(r.i, r.j, r.k) for r in result.resonances]
    levels, moments = exact(field, 18, field.dipole, 17)
    ours = result.levels
    assert ours.moments is not None
    two = np.bincount(triple[:2], minlength=n)
    pair = [n - 1, int(np.flatnonzero((ours.quanta == two).all(axis=1))[0])]
    assert ours.coupled[pair].all()
    assert (ours.shares[pair] < 0.9).all()
    found = apart(levels, moments, ours.wavenumbers[pair], ours.moments[pair])
    assert found.max() < 0.005
    rest = slice(n - 1)
    assert apart(levels, moments, ours.wavenumbers[rest], ours.moments[rest]).max() < 5e-4


def test_a_weak_coupling_over_a_small_gap_moves_intensity_though_not_energy() -> None:
    field = coupled((1500.0, 2992.0), 0.02, fixed={(0, 0, 1): 12.0})
    field = replace(field, dipole=surface(2, 0.02))
    levels, moments = exact(field, 12, field.dipole, 11)
    assert fermi_resonances(field, mixing=1e9) == ()
    errors = []
    for mixing in (0.2, 1e9):
        ours = anharmonic(field, mixing=mixing).levels
        assert ours.moments is not None
        errors.append(apart(levels, moments, ours.wavenumbers[1:3], ours.moments[1:3]).max())
    assert errors[0] < 0.02
    assert errors[1] > 0.1


@pytest.mark.parametrize("gap", [3.0, 20.0])
def test_fundamentals_that_second_order_mixes_are_coupled(gap: float) -> None:
    """By d_iiij alone, with no cubic constant: the second order's own 1/(ω_i − ω_j)."""
    quartic = np.zeros((3, 3, 3))
    for i, j in ((1, 2), (2, 1)):
        quartic[i, i, j] = quartic[i, j, i] = 40.0
    field = QuarticField(np.array([700.0, 1500.0, 1500.0 + gap]), np.zeros((3, 3, 3)), quartic)
    field = replace(field, dipole=surface(3, 0.0))
    levels, moments = exact(field, 12, field.dipole, 11)
    result = anharmonic(field)
    ours = result.levels
    assert ours.moments is not None
    assert ours.coupled[:3].tolist() == [False, True, True]
    assert ours.orders[:3].tolist() == [2, 2, 2]
    found = apart(levels, moments, ours.wavenumbers[:3], ours.moments[:3])
    assert found.max() < 0.02
    assert "2, coupled" in result.table()


def test_second_order_that_is_no_small_correction_is_left_out_and_said() -> None:
    field = coupled((1500.0, 2700.0), 0.1)
    given = PropertySurface(
        np.array([[0.1, 0.0, 0.0], [0.0, 0.02, 0.0]]),
        thirds=np.array([[[0.0] * 3] * 2, [[0.6, 0.0, 0.0], [0.0] * 3]]),
    )
    result = anharmonic(replace(field, dipole=given))
    assert result.levels.orders.tolist() == [1, 2, 1, 1, 1]
    assert result.infrared is not None
    assert result.harmonic_infrared is not None
    ratio = result.fundamentals / result.harmonic
    np.testing.assert_allclose(result.infrared[0], (result.harmonic_infrared * ratio)[0])
    assert abs(result.infrared[1] / (result.harmonic_infrared * ratio)[1] - 1.0) > 1e-4


def test_properties_without_sense_are_refused() -> None:
    field = coupled((1500.0, 2700.0), 0.1)
    with pytest.raises(DataError, match="slopes"):
        replace(field, dipole=PropertySurface(np.zeros((2, 3, 3))))
    with pytest.raises(DataError, match="slopes"):
        replace(field, polarizability=PropertySurface(np.zeros((3, 3, 3))))
    with pytest.raises(DataError, match="thirds"):
        PropertySurface(np.zeros((2, 3)), thirds=np.zeros((2, 3)))
    with pytest.raises(DataError, match="order of their two modes"):
        PropertySurface(np.zeros((2, 3)), np.arange(12.0).reshape(2, 2, 3))
    with pytest.raises(DataError, match="no raman intensities"):
        anharmonic(replace(field, dipole=surface(2, 0.1)), frozen=()).raman_sticks()

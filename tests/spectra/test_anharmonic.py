"""Second-order perturbation theory against closed forms and exact diagonalisation."""

from __future__ import annotations

import cProfile
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oscillators import coupled, exact, morse

from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.spectra import PropertySurface, QuarticField, Rotor, anharmonic, rotor_of
from painn_ase.spectra.anharmonic_constants import VibrationalConstants, fermi_resonances

Array = NDArray[np.float64]


def test_a_morse_oscillator_is_exact() -> None:
    w, wx = 4401.21, 121.34  # H2
    result = anharmonic(morse(w, wx))
    np.testing.assert_allclose(result.x, [[-wx]], rtol=1e-12)
    np.testing.assert_allclose(result.fundamentals, [w - 2 * wx], rtol=1e-12)
    np.testing.assert_allclose(result.levels.wavenumbers, [w - 2 * wx, 2 * w - 6 * wx], rtol=1e-12)
    np.testing.assert_allclose(result.zero_point, w / 2 - wx / 4, rtol=1e-12)


@pytest.mark.parametrize("frequencies", [(1500.0, 2700.0), (1100.0, 1700.0, 2500.0)])
def test_errors_fall_sixteenfold_when_anharmonicity_halves(frequencies: tuple[float, ...]) -> None:
    n = len(frequencies)
    errors = []
    for scale in (0.5, 0.25):
        field = coupled(frequencies, scale)
        result = anharmonic(field, threshold=1e9, frozen=())
        levels, _ = exact(field, 22 if n == 2 else 10)
        above = levels - levels[0]
        ours = result.levels.wavenumbers if n == 2 else result.fundamentals
        near = [above[np.argmin(np.abs(above - value))] for value in ours]
        errors.append([result.zero_point - levels[0], *(ours - near)])
    before, after = np.abs(errors)
    assert before.max() < 20.0
    assert np.linalg.norm(after) < np.linalg.norm(before) / 12.0
    assert abs(after[0]) < abs(before[0]) / 12.0 + 1e-3


def test_the_constant_of_three_modes_enters_the_zero_point() -> None:
    alone = np.zeros((3, 3, 3))
    for p in itertools.permutations(range(3)):
        alone[p] = 100.0
    field = QuarticField(np.array([1100.0, 1700.0, 2500.0]), alone, np.zeros((3, 3, 3)))
    levels, _ = exact(field, 10)
    result = anharmonic(field, threshold=1e9)
    assert abs(levels[0] - result.harmonic_zero_point) > 0.2  # it matters
    np.testing.assert_allclose(result.zero_point, levels[0], atol=0.005)
    np.testing.assert_allclose(result.fundamentals[:2], levels[1:3] - levels[0], atol=0.1)


def test_a_fermi_pair_is_that_of_the_diagonalisation() -> None:
    field = coupled((1510.0, 3000.0), 0.3, fixed={(0, 0, 1): 150.0})
    result = anharmonic(field)
    assert [(r.i, r.j, r.k) for r in result.resonances] == [(0, 0, 1)]
    levels, _ = exact(field, 26)
    ours = np.sort(result.levels.wavenumbers)[:3]
    np.testing.assert_allclose(ours, levels[1:4] - levels[0], atol=0.6)
    plain = VibrationalConstants.of(field).excitations(np.eye(2))
    assert abs(plain[1] - result.fundamentals[1]) > 20.0  # second order alone is far off


def test_a_fermi_triad_of_three_modes_is_that_of_the_diagonalisation() -> None:
    field = coupled((1000.0, 1500.0, 2510.0), 0.15, fixed={(0, 1, 2): 110.0})
    result = anharmonic(field)
    assert (0, 1, 2) in [(r.i, r.j, r.k) for r in result.resonances]
    levels, _ = exact(field, 10)
    above = levels - levels[0]
    apart = [np.min(np.abs(above - value)) for value in result.fundamentals]
    np.testing.assert_allclose(apart, 0.0, atol=0.3)
    pair = result.levels.wavenumbers[result.levels.shares < 0.95]
    assert np.ptp(pair[:2]) > 60.0


@pytest.mark.parametrize("gap", [20.0, 60.0])
def test_overtones_of_two_near_modes_repel_as_in_the_diagonalisation(gap: float) -> None:
    """Two stretches of unlike symmetry and a bend: 2ν₂ and 2ν₃ share their second order."""
    errors = []
    for scale in (1.0, 0.5):
        cubic, quartic = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
        constants = {(0, 0, 0): -200, (0, 0, 1): 90, (0, 1, 1): 120, (0, 2, 2): 150}
        constants |= {(1, 1, 1): -900, (1, 2, 2): -880}
        for t, value in constants.items():
            for p in itertools.permutations(t):
                cubic[p] = scale * value
        for (i, j), value in {(0, 0): 60, (0, 1): -90, (0, 2): -100, (1, 1): 320}.items():
            quartic[i, j, j] = quartic[j, i, i] = scale**2 * value
        quartic[1, 2, 2] = quartic[2, 1, 1] = 310.0 * scale**2
        quartic[2, 2, 2] = 330.0 * scale**2
        field = QuarticField(np.array([1650.0, 3830.0, 3830.0 + gap]), cubic, quartic)
        result = anharmonic(field)
        levels, _ = exact(field, 11)
        above = levels - levels[0]
        alike = (result.levels.quanta[:, 1:] == [2, 0]) | (result.levels.quanta[:, 1:] == [0, 2])
        pair = result.levels.wavenumbers[alike.all(axis=1)]
        errors.append(max(np.min(np.abs(above - value)) for value in pair))
        plain = VibrationalConstants.of(field, result.resonances)
        apart = plain.excitations([[0, 2, 0], [0, 0, 2]])
        assert np.ptp(pair) > np.ptp(apart) + 2.0 * scale**2  # they repel
    assert errors[1] < errors[0] / 8.0


def test_a_resonance_goes_on_into_states_of_two_quanta() -> None:
    """2ν₁ ~ ν₂ couples 2ν₂ to states of three and four quanta."""
    field = coupled((1505.0, 3000.0), 0.2, fixed={(0, 0, 1): 120.0})
    result = anharmonic(field)
    levels, _ = exact(field, 30)
    above = levels - levels[0]
    apart = [np.min(np.abs(above - value)) for value in result.levels.wavenumbers]
    np.testing.assert_allclose(apart, 0.0, atol=1.5)


@pytest.mark.parametrize("gap", [10.0, 60.0, 150.0])
def test_the_zero_point_does_not_depend_on_which_resonances_are_taken_out(gap: float) -> None:
    field = coupled((1100.0, 1600.0, 2700.0 - gap), 0.5)
    taken = fermi_resonances(field, threshold=1e-6)
    assert taken
    with_all = VibrationalConstants.of(field)
    without = VibrationalConstants.of(field, taken)
    assert np.max(np.abs(with_all.x - without.x)) > 1.0
    np.testing.assert_allclose(without.zero_point, with_all.zero_point, rtol=1e-12)


def test_intensities_of_a_resonance_are_shared_as_in_the_diagonalisation() -> None:
    field = coupled((1510.0, 3000.0), 0.15, fixed={(0, 0, 1): 100.0})
    slopes = np.array([[0.02, 0.0, 0.0], [0.05, 0.03, 0.0]])
    field = QuarticField(
        field.frequencies, field.cubic, field.quartic, dipole=PropertySurface(slopes)
    )
    result = anharmonic(field)
    levels, moments = exact(field, 24, field.dipole)
    ours = result.levels
    assert ours.moments is not None
    for value, moment in zip(ours.wavenumbers[:3], ours.moments[:3], strict=True):
        k = int(np.argmin(np.abs(levels - levels[0] - value)))
        np.testing.assert_allclose(moment @ moment, moments[k] @ moments[k], rtol=0.04)


def test_overtones_and_combinations_borrow_through_cubic_constants() -> None:
    slopes = np.array([[0.02, 0.01, 0.0], [0.0, 0.03, 0.02], [0.05, 0.0, 0.01]])
    errors = []
    for scale in (0.2, 0.1):
        base = coupled((1100.0, 1730.0, 2500.0), scale)
        field = QuarticField(
            base.frequencies, base.cubic, base.quartic, dipole=PropertySurface(slopes)
        )
        ours = anharmonic(field, threshold=1e9, frozen=()).levels
        levels, moments = exact(field, 9, field.dipole)
        assert ours.moments is not None
        apart = []
        for value, moment in zip(ours.wavenumbers[3:6], ours.moments[3:6], strict=True):
            k = int(np.argmin(np.abs(levels - levels[0] - value)))
            apart.append(abs(np.linalg.norm(moment) / np.linalg.norm(moments[k]) - 1.0))
        errors.append(max(apart))
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 3.0  # the first term left out is two orders higher


def test_the_curvature_of_the_dipole_makes_overtones_bright() -> None:
    curvature = np.zeros((1, 1, 3))
    curvature[0, 0, 2] = 0.04
    w = np.array([1000.0])
    nothing = np.zeros((1, 1, 1))
    field = QuarticField(w, nothing, nothing, dipole=PropertySurface(np.zeros((1, 3)), curvature))
    moments = anharmonic(field).levels.moments
    assert moments is not None
    # <0|½ μ'' q²|2> = μ''/(2√2)
    np.testing.assert_allclose(moments[1, 2], 0.04 / (2.0 * math.sqrt(2.0)), rtol=1e-12)


def test_sticks_are_all_lines_and_need_a_dipole() -> None:
    base = coupled((200.0, 1500.0, 2700.0), 0.3)
    slopes = np.array([[0.1, 0.0, 0.0], [0.0, 0.05, 0.0], [0.0, 0.0, 0.07]])
    field = QuarticField(base.frequencies, base.cubic, base.quartic, dipole=PropertySurface(slopes))
    with pytest.warns(PaiNNWarning, match="frozen"):
        result = anharmonic(field, frozen=np.array([0]))
    sticks = result.infrared_sticks()
    assert sticks.shape == (1 + 2 + 3, 2)  # a frozen mode, fundamentals, states of two quanta
    assert (np.diff(sticks[:, 0]) > 0.0).all()
    assert result.infrared is not None
    assert set(result.infrared) <= set(sticks[:, 1])
    with pytest.raises(DataError, match="no infrared intensities"):
        anharmonic(base, frozen=()).infrared_sticks()
    assert "km/mol" not in anharmonic(base, frozen=()).table()
    with pytest.raises(DataError, match="must be numbers"):
        anharmonic(base, frozen="none")  # type: ignore[arg-type]


def test_large_amplitude_modes_are_frozen_and_said() -> None:
    field = coupled((200.0, 1500.0, 2700.0), 0.5)
    quartic = field.quartic.copy()
    quartic[0, 0, 0] = 900.0
    field = QuarticField(field.frequencies, field.cubic, quartic)
    with pytest.warns(PaiNNWarning, match="frozen"):
        result = anharmonic(field)
    assert result.frozen == (0,)
    rest = QuarticField(field.frequencies[1:], field.cubic[1:, 1:, 1:], field.quartic[1:, 1:, 1:])
    alone = anharmonic(rest)
    np.testing.assert_allclose(result.fundamentals, [200.0, *alone.fundamentals])
    np.testing.assert_allclose(result.zero_point, alone.zero_point + 100.0)
    assert "frozen, harmonic" in result.table()


def test_a_check_that_disagrees_is_said_in_the_table_and_as_a_warning(tmp_path: Path) -> None:
    field, other = morse(3000.0, 60.0), morse(3000.0, 66.0)
    both = QuarticField(field.frequencies, field.cubic, field.quartic, check=other)
    with pytest.warns(PaiNNWarning, match=r"2880 or 2868"):
        result = anharmonic(both)
    assert result.undetermined == (0,)
    assert "not determined" in result.table()
    result.save(tmp_path / "levels.json")
    record = json.loads((tmp_path / "levels.json").read_text(encoding="utf-8"))
    assert record["undetermined"] == [1]
    np.testing.assert_allclose(record["fundamentals"], [2880.0])


def test_levels_do_not_depend_on_the_order_of_the_modes() -> None:
    field = coupled((1000.0, 1500.0, 2510.0), 0.3)
    order = np.array([2, 0, 1])
    cube = np.ix_(order, order, order)
    shuffled = QuarticField(field.frequencies[order], field.cubic[cube], field.quartic[cube])
    a, b = anharmonic(field, frozen=()), anharmonic(shuffled, frozen=())
    np.testing.assert_allclose(a.fundamentals[order], b.fundamentals, rtol=1e-10)
    np.testing.assert_allclose(a.zero_point, b.zero_point, rtol=1e-12)


def test_the_closed_formulas_take_no_more_calls_for_21_modes_than_for_4() -> None:
    """Arrays over all modes, no loop over them."""
    rng = np.random.default_rng(1)
    fields = [coupled(tuple(np.sort(rng.uniform(400.0, 3700.0, n))), 0.05) for n in (4, 21)]
    calls = []
    for field in fields:
        profile = cProfile.Profile()
        profile.runcall(VibrationalConstants.of, field)
        calls.append(sum(entry.callcount for entry in profile.getstats()))
    assert calls[0] == calls[1] < 1000
    result = anharmonic(fields[1])
    assert len(result.levels.wavenumbers) == 21 + 231
    assert np.isfinite(result.levels.wavenumbers).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_coriolis_constants_and_slopes_turn_with_the_molecule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masses = rng.uniform(1.0, 16.0, 4)
    positions = rng.normal(size=(4, 3)) * [2.0, 1.3, 0.7]
    modes = rng.normal(size=(6, 4, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    a = rotor_of(masses, positions, modes)
    b = rotor_of(masses, positions @ turn + 3.0, modes @ turn)
    np.testing.assert_allclose(a.constants, b.constants, rtol=1e-9)
    np.testing.assert_allclose(a.coriolis**2, b.coriolis**2, atol=1e-8)
    np.testing.assert_allclose(a.slopes**2, b.slopes**2, rtol=1e-6, atol=1e-6)
    # the slope of the inertia tensor is its derivative along the mode
    step = 1e-5
    moved = [positions + s * step * modes[2] / np.sqrt(masses)[:, None] for s in (1, -1)]
    traces = [_inertia_trace(masses, x) for x in moved]
    centred = modes[2] - np.sqrt(masses)[:, None] * (np.sqrt(masses) @ modes[2] / masses.sum())
    slope = rotor_of(masses, positions, centred[None]).slopes[0]
    np.testing.assert_allclose(
        (traces[0] - traces[1]) / (2.0 * step), np.trace(slope), rtol=1e-5, atol=1e-5
    )


def _inertia_trace(masses: Array, positions: Array) -> float:
    x = positions - masses @ positions / masses.sum()
    return 2.0 * float(np.sum(masses[:, None] * x**2))


@pytest.mark.parametrize(
    ("positions", "word"),
    [
        ([[0, 0, 0], [0, 0, 1.1], [0, 0, -1.2]], "linear"),
        ([[0, 0, 0.1], [1, 0, 0], [-0.5, 0.8660254, 0], [-0.5, -0.8660254, 0]], "symmetric"),
    ],
)
def test_linear_molecules_and_symmetric_tops_are_refused_by_name(
    positions: list[list[float]], word: str
) -> None:
    n = len(positions)
    with pytest.raises(DataError, match=word):
        rotor_of(np.array([14.0] + [1.0] * (n - 1)), np.array(positions), np.zeros((1, n, 3)))


def test_fields_without_sense_are_refused() -> None:
    good = coupled((1500.0, 2700.0), 0.5)
    with pytest.raises(DataError, match="no minimum"):
        QuarticField(np.array([-100.0, 2700.0]), good.cubic, good.quartic)
    lopsided = good.cubic.copy()
    lopsided[0, 0, 1] += 1.0
    with pytest.raises(DataError, match="order of their indices"):
        QuarticField(good.frequencies, lopsided, good.quartic)
    with pytest.raises(DataError, match="all modes are frozen"):
        anharmonic(good, frozen=(0, 1))
    with pytest.raises(DataError, match="allowed are 0 to 1"):
        anharmonic(good, frozen=(2,))
    with pytest.raises(DataError, match="finite"):
        Rotor(np.array([1.0, np.nan, 1.0]), np.zeros((3, 2, 2)), np.zeros((2, 3, 3)))

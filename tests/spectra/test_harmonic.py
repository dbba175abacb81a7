"""Harmonic analysis against PySCF, analytic cases and its own symmetries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from painn_ase import units
from painn_ase.errors import (
    DataError,
    GeometryError,
    NonFiniteError,
    PaiNNWarning,
    UnsupportedPropertyError,
)
from painn_ase.spectra import HarmonicResult, harmonic, harmonic_from_arrays, infrared, raman
from painn_ase.vibrations import compare_with_ase, harmonic_thermochemistry, ideal_gas

# ---------------------------------------------------------------------- B, C


def test_water_agrees_with_pyscf(arrays_of: Any) -> None:
    """B: H2O, RHF/6-31G*."""
    result = harmonic_from_arrays(**arrays_of("H2O"))
    np.testing.assert_allclose(result.frequencies, [1826.506, 4056.397, 4174.511], atol=2e-3)
    np.testing.assert_allclose(result.infrared, [110.0935, 18.2996, 59.7406], rtol=2e-5)
    np.testing.assert_allclose(result.raman, [5.6133, 73.8314, 38.9227], rtol=2e-5)
    np.testing.assert_allclose(result.depolarisation, [0.5263, 0.1904, 0.7500], atol=5e-5)


def test_carbon_dioxide_obeys_mutual_exclusion(arrays_of: Any) -> None:
    """C: what absorbs does not scatter and the other way round; four modes of a linear molecule."""
    result = harmonic_from_arrays(**arrays_of("CO2"))
    np.testing.assert_allclose(result.frequencies, [751.39, 751.39, 1518.56, 2590.78], atol=5e-3)
    np.testing.assert_allclose(result.infrared, [69.551, 69.551, 0.0, 989.907], atol=1e-3)
    np.testing.assert_allclose(result.raman, [0.0, 0.0, 12.2284, 0.0], atol=1e-4)
    np.testing.assert_allclose(result.depolarisation, [0.0, 0.0, 0.1962, 0.0], atol=5e-5)


def test_hydrogen_chloride_agrees_with_pyscf(arrays_of: Any) -> None:
    """C: HCl, RHF/6-31G*; tensors by finite fields, the figures from PySCF's own analysis."""
    result = harmonic_from_arrays(**arrays_of("HCl"))
    np.testing.assert_allclose(result.frequencies, [3179.12], atol=2e-3)
    np.testing.assert_allclose(result.infrared, [24.4955], rtol=5e-5)
    np.testing.assert_allclose(result.raman, [126.139], rtol=5e-5)


def test_spectroscopic_water_surface_agrees_with_its_reference(reference: Path) -> None:
    record = json.loads((reference / "harmonic_water_ps_avila.json").read_text())
    result = harmonic_from_arrays(
        record["masses_amu"],
        record["positions_A"],
        np.array(record["hessian_Ha_bohr2"]) * units.hartree_to_ev / units.bohr_to_angstrom**2,
        born_charges=np.array(record["dmu_dR_e"]).reshape(3, 3, 3).transpose(0, 2, 1),
        polarizability_derivatives=np.array(record["dalpha_dR_bohr2"]).reshape(3, 3, 3, 3)
        * units.bohr_to_angstrom**2,
    )
    np.testing.assert_allclose(result.frequencies, record["freq_cm1"], atol=0.02)
    np.testing.assert_allclose(result.infrared, record["ir_km_mol"], rtol=2e-4)
    np.testing.assert_allclose(result.raman, record["raman_A4_amu"], rtol=2e-4)


def test_water_stands_near_its_experiment(reference: Path) -> None:
    """K: gas-phase 1595, 3657, 3756 cm⁻¹ (62.5, 2.9, 41.7 km/mol), less anharmonicity."""
    record = json.loads((reference / "harmonic_water_ps_avila.json").read_text())
    np.testing.assert_allclose(record["freq_cm1"], [1595.0, 3657.0, 3756.0], rtol=0.06)
    np.testing.assert_allclose(record["ir_km_mol"], [62.5, 2.9, 41.7], rtol=0.55)


def test_diatomic_has_the_textbook_frequency_and_intensity() -> None:
    """D: ω = √(k/μ), A = 974.8801 q²/μ."""
    k, q, masses = 30.0, 0.3, np.array([1.008, 34.97])
    hessian = np.zeros((2, 3, 2, 3))
    hessian[:, 2, :, 2] = k * np.array([[1.0, -1.0], [-1.0, 1.0]])
    born = np.zeros((2, 3, 3))
    born[:, 2, 2] = [q, -q]
    result = harmonic_from_arrays(
        masses, [[0, 0, 0], [0, 0, 1.27]], hessian, born_charges=born, symbols=("H", "Cl")
    )
    reduced = masses.prod() / masses.sum()
    expected = np.sqrt(k / reduced) * units.sqrt_ev_per_angstrom2_amu_to_invcm
    np.testing.assert_allclose(result.frequencies, [expected])
    np.testing.assert_allclose(result.infrared, [974.8801 * q**2 / reduced], rtol=1e-6)
    assert result.zero_point_energy == pytest.approx(0.5 * expected / units.ev_to_invcm)


def test_an_atom_has_no_vibrations_and_a_crystal_rotates_not() -> None:
    atom = harmonic_from_arrays([4.0], [[0.0, 0.0, 0.0]], np.zeros((1, 3, 1, 3)))
    assert len(atom.frequencies) == 0
    assert atom.table()
    rng = np.random.default_rng(0)
    root = rng.normal(size=(9, 9))
    crystal = harmonic_from_arrays(
        [1.0, 2.0, 3.0], rng.normal(size=(3, 3)), root @ root.T, periodic=True
    )
    assert len(crystal.frequencies) == 6


# ---------------------------------------------------------------------- J


@settings(max_examples=30, deadline=None)
@given(
    quaternion=st.tuples(*[st.floats(-1.0, 1.0)] * 4).filter(
        lambda q: sum(c * c for c in q) > 0.01
    ),
    shift=st.floats(-100.0, 100.0),
    order=st.permutations(range(3)),
    name=st.sampled_from(["H2O", "CO2"]),
)
def test_analysis_knows_no_place_no_direction_no_labels(
    arrays_of: Any, quaternion: tuple[float, ...], shift: float, order: list[int], name: str
) -> None:
    given = arrays_of(name)
    r = Rotation.from_quat(quaternion).as_matrix()
    moved = {
        "masses": np.array(given["masses"])[order],
        "positions": given["positions"][order] @ r.T + shift,
        "hessian": np.einsum("ac,icjd,bd->iajb", r, given["hessian"], r)[order][:, :, order],
        "born_charges": np.einsum("ac,icd,bd->iab", r, given["born_charges"], r)[order],
        "polarizability_derivatives": np.einsum(
            "cf,ad,be,ifde->icab", r, r, r, given["polarizability_derivatives"]
        )[order],
    }
    a, b = harmonic_from_arrays(**given), harmonic_from_arrays(**moved)
    np.testing.assert_allclose(a.frequencies, b.frequencies, atol=1e-5)
    np.testing.assert_allclose(np.sort(a.infrared), np.sort(b.infrared), atol=1e-4)
    np.testing.assert_allclose(a.raman, b.raman, atol=1e-6)
    np.testing.assert_allclose(a.depolarisation, b.depolarisation, atol=1e-6)


# ---------------------------------------------------------------------- what is made of it


def test_broadened_sticks_keep_their_areas(arrays_of: Any) -> None:
    result = harmonic_from_arrays(**arrays_of("H2O"))
    for shape in ("gaussian", "lorentzian"):
        spectrum = result.infrared_spectrum(8.0, shape=shape)
        area = spectrum.band_area(1500.0, 2200.0).value
        assert area == pytest.approx(110.0935, rel=0.02)
    assert "Å^4/amu" in result.table()
    assert result.raman_activity_spectrum().band_area(0.0, 2500.0).value == pytest.approx(
        5.613, rel=0.1
    )


@pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning")
def test_harmonic_and_dynamic_cross_sections_share_one_scale(arrays_of: Any) -> None:
    """A trajectory made of the modes at kT each gives the spectra of the sticks."""
    given = arrays_of("H2O")
    result = harmonic_from_arrays(**given)
    kelvin = 300.0
    t = np.arange(8000) * 0.5
    speed = np.sqrt(2.0 * units.boltzmann_constant * kelvin) * units.fs_to_ase_time
    rates = speed * np.cos(units.invcm_to_radians_per_fs * result.frequencies[:, None] * t)  # dQ/dt
    steps = result.modes / np.sqrt(result.masses)[:, None]
    velocities = np.einsum("kt,kia->tia", rates, steps)
    slopes = given["polarizability_derivatives"]
    alpha_flux = np.einsum("icab,tic->tab", slopes, velocities)
    dipole_flux = np.einsum("iab,tib->ta", given["born_charges"], velocities)
    moving = raman(
        input_unit="Angstrom^3/fs",
        flux=alpha_flux,
        timestep=0.5,
        temperature=kelvin,
        resolution=13.0,
    )
    light = infrared(
        input_unit="e*Angstrom/fs",
        flux=dipole_flux,
        timestep=0.5,
        temperature=kelvin,
        resolution=13.0,
    )
    still = result.raman_spectrum(5.0, temperature=kelvin, shape="gaussian")
    bands = [(1700.0, 1950.0), (3950.0, 4115.0), (4115.0, 4300.0)]
    for (low, high), area in zip(bands, result.infrared, strict=True):
        ratio = moving.band_area(low, high).value / still.band_area(low, high).value
        assert ratio == pytest.approx(1.0, rel=5e-3)
        assert light.band_area(low, high).value == pytest.approx(area, rel=5e-3)


def test_animation_is_a_closed_xyz_movie(arrays_of: Any) -> None:
    result = harmonic_from_arrays(**arrays_of("H2O"))
    lines = result.animation(0, amplitude=0.2, n_frames=12).splitlines()
    assert len(lines) == 12 * 5
    assert lines[0] == "3"
    assert "1826.51" in lines[1]
    coordinates = np.array(
        [[float(c) for c in line.split()[1:]] for line in lines if line[0] in "OH"]
    )
    frames = coordinates.reshape(12, 3, 3)
    np.testing.assert_allclose(frames[0], result.positions, atol=1e-8)
    assert np.linalg.norm(frames - frames[0], axis=-1).max() == pytest.approx(0.2, abs=1e-6)
    with pytest.raises(DataError, match="0 to 2"):
        result.animation(3)


def test_result_survives_a_round_trip(arrays_of: Any, tmp_path: Path) -> None:
    result = harmonic_from_arrays(**arrays_of("CO2"))
    result.save(tmp_path / "modes.json")
    again = HarmonicResult.load(tmp_path / "modes.json")
    np.testing.assert_array_equal(again.modes, result.modes)
    np.testing.assert_array_equal(again.raman, result.raman)
    assert again.symbols == result.symbols


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"format": "painn_ase harmonic 1"}',
        '{"format": "other"}',
        '{"format": "painn_ase harmonic 1", "symbols": ["H"], "frequencies": [1], "modes": [2],'
        ' "masses": [1], "positions": [[0, 0, 0]]}',
        '{"format": "painn_ase harmonic 1", "symbols": ["H"], "frequencies": "x"}',
    ],
)
def test_damaged_results_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bad\.json"):
        HarmonicResult.load(path)


def test_nonsense_is_refused() -> None:
    with pytest.raises(DataError, match="transpose"):
        harmonic_from_arrays([1.0], np.zeros((1, 3)), np.triu(np.ones((3, 3))))
    with pytest.raises(DataError, match="shape"):
        harmonic_from_arrays([1.0], np.zeros((1, 3)), np.zeros((2, 2)))
    with pytest.raises(DataError, match="masses"):
        harmonic_from_arrays([-1.0], np.zeros((1, 3)), np.zeros((3, 3)))
    with pytest.raises(NonFiniteError, match="hessian"):
        harmonic_from_arrays([1.0], np.zeros((1, 3)), np.full((3, 3), np.nan))
    bare = harmonic_from_arrays([1.0, 1.0], [[0, 0, 0], [0, 0, 1.0]], np.zeros((6, 6)))
    with pytest.raises(DataError, match="dipole derivatives"):
        bare.infrared_sticks()


# ---------------------------------------------------------------------- with a calculator


class Spring(Calculator):
    """A charged harmonic molecule with exact derivatives, independent of any network."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012

    def __init__(self, equilibrium: np.ndarray, stiffness: float = 25.0) -> None:
        super().__init__()
        self.pairs = [(0, 1), (0, 2), (1, 2)]
        self.lengths = {
            p: np.linalg.norm(equilibrium[p[0]] - equilibrium[p[1]]) for p in self.pairs
        }
        self.stiffness = stiffness
        self.charges = np.array([-0.8, 0.4, 0.4])

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        positions = self.atoms.positions
        forces, energy = np.zeros((3, 3)), 0.0
        for i, j in self.pairs:
            d = positions[j] - positions[i]
            r = np.linalg.norm(d)
            stretch = r - self.lengths[i, j]
            energy += 0.5 * self.stiffness * stretch**2
            forces[i] += self.stiffness * stretch * d / r
            forces[j] -= self.stiffness * stretch * d / r
        self.results = {"energy": energy, "forces": forces, "dipole": self.charges @ positions}

    def get_hessian(self, atoms: Atoms) -> np.ndarray:
        """Exact at equilibrium: k n nᵀ for each spring."""
        hessian = np.zeros((3, 3, 3, 3))
        for i, j in self.pairs:
            n = atoms.positions[j] - atoms.positions[i]
            block = self.stiffness * np.outer(n, n) / (n @ n)
            for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
                hessian[a, :, b, :] += sign * block
        return hessian

    def get_born_charges(self, atoms: Atoms) -> np.ndarray:
        return self.charges[:, None, None] * np.eye(3)

    def get_polarizability_derivatives(self, atoms: Atoms) -> np.ndarray:
        raise UnsupportedPropertyError("no polarizability head")


@pytest.fixture
def water() -> Atoms:
    positions = np.array([[0.0, 0.0, 0.119], [0.0, 0.763, -0.477], [0.0, -0.763, -0.477]])
    atoms = Atoms("OH2", positions)
    atoms.calc = Spring(positions)
    return atoms


def test_calculator_and_ase_vibrations_agree(water: Atoms) -> None:
    comparison = compare_with_ase(water, displacement=0.002)
    assert comparison.largest_difference < 0.05
    np.testing.assert_allclose(comparison.our_intensities, comparison.ase_intensities, rtol=1e-3)
    assert "km/mol" in comparison.table()


def test_missing_heads_leave_their_columns_out(water: Atoms) -> None:
    result = harmonic(water)
    assert result.infrared is not None
    assert result.raman is None
    assert "Raman" not in result.table()


def test_thermochemistry_of_a_gas_is_ases(water: Atoms) -> None:
    thermo = ideal_gas(water, symmetry_number=2)
    gibbs = thermo.get_gibbs_energy(300.0, 101325.0, verbose=False)
    assert -1.0 < gibbs < 1.0
    zero_point = harmonic_thermochemistry(water).get_helmholtz_energy(10.0, verbose=False)
    assert zero_point == pytest.approx(harmonic(water).zero_point_energy, rel=1e-6)
    water.pbc = True
    with pytest.raises(GeometryError, match="harmonic_thermochemistry"):
        ideal_gas(water, symmetry_number=2)


def test_unrelaxed_structures_are_advised_and_saddle_points_refused(water: Atoms) -> None:
    water.positions[1, 1] += 0.1
    with pytest.warns(PaiNNWarning, match="relax"):
        harmonic(water)
    water.calc.stiffness = -25.0
    with pytest.warns(PaiNNWarning), pytest.raises(DataError, match="imaginary"):
        ideal_gas(water, symmetry_number=2)


def test_calculator_without_hessian_is_named(water: Atoms) -> None:
    water.calc = None
    with pytest.raises(UnsupportedPropertyError, match="get_hessian"):
        harmonic(water)

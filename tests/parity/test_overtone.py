"""Perturbation theory beside another program, `overtone-vpt2` (GPL; run, where it is installed)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms

from painn_ase.spectra import QuarticField, anharmonic, harmonic_from_arrays, rotor_of

overtone = pytest.importorskip("overtone")


def four_atoms(seed: int) -> tuple[Atoms, QuarticField, np.ndarray]:
    """Six modes of four atoms with every constant that the theory asks for, and their vectors."""
    rng = np.random.default_rng(seed)
    atoms = Atoms("CO2H", rng.normal(size=(4, 3)) * [1.6, 1.1, 0.8])
    random = rng.normal(size=(12, 12))
    modes = harmonic_from_arrays(
        atoms.get_masses(), atoms.positions, random @ random.T + 10.0 * np.eye(12)
    )
    n = 6
    cubic, quartic = np.zeros((n, n, n)), np.zeros((n, n, n))
    for t in itertools.combinations_with_replacement(range(n), 3):
        value = 120.0 * rng.uniform(-1.0, 1.0)
        for p in itertools.permutations(t):
            cubic[p] = value
    for i, j in itertools.combinations_with_replacement(range(n), 2):
        quartic[i, j, j] = quartic[j, i, i] = 60.0 * rng.uniform(0.2, 1.0)
    rotor = rotor_of(modes.masses, modes.positions, modes.modes)
    return atoms, QuarticField(modes.frequencies, cubic, quartic, rotor), modes.modes


def theirs(atoms: Atoms, field: QuarticField, modes: np.ndarray, method: str):  # type: ignore[no-untyped-def]
    n = 12
    cubic, quartic = np.zeros((n,) * 3), np.zeros((n,) * 4)
    cubic[6:, 6:, 6:] = field.cubic
    for i, j in itertools.product(range(6), repeat=2):
        for p in itertools.permutations((i, i, j, j)):
            quartic[tuple(k + 6 for k in p)] = field.quartic[i, j, j]
    vectors = np.zeros((n, n))
    vectors[:, 6:] = modes.reshape(6, n).T
    config = overtone.VPT2Config(
        freq=np.concatenate([np.zeros(6), field.frequencies]),
        active_modes=list(range(6, 12)),
        min_mode_idx=6,
        max_mode_idx=12,
        len_modes=n,
        masses=np.repeat(atoms.get_masses(), 3),
        modes=vectors,
        atoms=atoms,
        method=method,
    )
    return overtone.VPT2Solver(config, (cubic, quartic)).calculate()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_constants_and_fundamentals_are_those_of_overtone(seed: int) -> None:
    atoms, field, modes = four_atoms(seed)
    ours = anharmonic(field, threshold=1e12, mixing=1e9, frozen=())
    plain = theirs(atoms, field, modes, "standard")
    np.testing.assert_allclose(ours.x, plain.X[6:, 6:], atol=1e-2, rtol=1e-5)
    np.testing.assert_allclose(ours.fundamentals, plain.anharm_freq[6:], atol=0.02)


def test_resonances_and_constants_without_them_are_those_of_overtone() -> None:
    found = 0
    for seed in range(4):
        atoms, field, modes = four_atoms(seed)
        ours = anharmonic(field, mixing=1e9, frozen=())
        deperturbed = theirs(atoms, field, modes, "deperturbed")
        pairs = {(r.i, r.i, r.k) for r in ours.resonances if r.i == r.j}
        found += len(ours.resonances)
        assert len(deperturbed.fermi_type1) == len(pairs)
        assert len(deperturbed.fermi_type2) == len(ours.resonances) - len(pairs)
        np.testing.assert_allclose(ours.x, deperturbed.X[6:, 6:], atol=1e-2, rtol=1e-5)
    assert found > 0

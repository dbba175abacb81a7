"""Ring polymers against closed forms of P beads."""

from __future__ import annotations

import ase.units
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from painn_ase.md.ring_modes import beads_for, harmonic_energy, mode_frequencies, mode_matrix
from painn_ase.md.stepper import BatchState, Copies
from painn_ase.md.stepper_ring import RingPolymer, Thermostat
from painn_ase.units import boltzmann_constant, sqrt_ev_per_angstrom2_amu_to_invcm

HYDROGEN = 1.008
PIMD, TRPMD, RPMD = Thermostat(1.0, 0.05 / ase.units.fs), Thermostat(0.5, 0.0), Thermostat(0.0, 0.0)


class Wells:
    """Many hydrogen atoms, each in its own harmonic well of three equal frequencies."""

    def __init__(
        self,
        invcm: float,
        n_replicas: int,
        n_beads: int,
        thermostat: Thermostat,
        timestep: float = 0.5,
        temperature: float = 300.0,
        seed: int = 0,
    ) -> None:
        self.stiffness = HYDROGEN * (invcm / sqrt_ev_per_angstrom2_amu_to_invcm) ** 2
        self.n_beads = n_beads
        held = np.zeros((1, 3), dtype=bool)
        self.stepper = RingPolymer(
            Copies(n_replicas, np.array([HYDROGEN]), held, 3), timestep * ase.units.fs,
            torch.device("cpu"), n_beads=n_beads, temperature=temperature, thermostat=thermostat,
            seed=seed,
        )  # fmt: skip
        x = torch.zeros((n_replicas * n_beads, 3), dtype=torch.float64)
        self.state = BatchState(x, x, -x, x.sum(dim=1))
        self.stepper.start(self.state)

    def forces_of(self, x):
        return 0.5 * self.stiffness * x.square().sum(dim=1), -self.stiffness * x

    def run(self, steps: int, see=None) -> np.ndarray:
        seen = []
        for _ in range(steps):
            self.stepper.step(self.state, self.forces_of)
            if see is not None:
                seen.append(see(self))
        return np.array(seen)


@given(st.integers(1, 40), st.floats(10.0, 1000.0))
def test_modes_are_those_of_a_ring_of_springs(n_beads: int, temperature: float) -> None:
    c = mode_matrix(n_beads)
    np.testing.assert_allclose(c @ c.T, np.eye(n_beads), atol=1e-13)
    ring = 2 * np.eye(n_beads) - np.roll(np.eye(n_beads), 1, 0) - np.roll(np.eye(n_beads), -1, 0)
    omega_p = (
        n_beads * boltzmann_constant * temperature / (ase.units._hbar * ase.units.J * ase.units.s)
    )
    springs = np.diag((mode_frequencies(n_beads, temperature) / omega_p) ** 2)
    np.testing.assert_allclose(c @ ring @ c.T, springs, atol=1e-6)


def test_energies_of_many_beads_go_to_the_quantum_oscillator() -> None:
    quantum = 0.25 * 3800.0 / 8065.543937 / np.tanh(0.5 * 3800.0 / (0.6950348 * 300.0))
    assert harmonic_energy(3800.0, 4096, 300.0) == pytest.approx(quantum, rel=1e-5)
    assert harmonic_energy(3800.0, 1, 300.0) == pytest.approx(0.5 * boltzmann_constant * 300.0)
    assert harmonic_energy(3800.0, 32, 300.0) == pytest.approx(0.11328, abs=1e-5)
    assert beads_for(3700.0, 300.0) == 64
    assert beads_for(3700.0, 300.0, 0.05) == 32
    assert beads_for(0.0, 300.0) == 1


@pytest.mark.parametrize("n_beads", [8, 32])
def test_beads_in_a_harmonic_well_have_their_exact_energy(n_beads: int) -> None:
    wells = Wells(3800.0, 60, n_beads, PIMD)
    wells.run(200)

    def energies(w):
        e = w.stepper.energies(w.state)
        return [float(e[n].sum() / 180) for n in ("potential_energy", "kinetic_virial")]

    # Far from 117.8 meV, where OBABO with exact modes ends for 32 beads at this time step.
    found = wells.run(1000, energies).mean(axis=0)
    np.testing.assert_allclose(found, harmonic_energy(3800.0, n_beads, 300.0), rtol=0.015)


def test_estimators_over_the_exact_distribution_of_beads_in_a_well() -> None:
    """Rings drawn from their Gaussian distribution: no dynamics, no error of a time step."""
    n_beads, invcm, n, kt = 8, 700.0, 60_000, boltzmann_constant * 300.0
    wells = Wells(invcm, n, n_beads, PIMD)
    omega = invcm / sqrt_ev_per_angstrom2_amu_to_invcm
    squares = omega**2 + mode_frequencies(n_beads, 300.0) ** 2
    noise = np.random.default_rng(1).standard_normal((n, n_beads, 3))
    modes = noise * np.sqrt(n_beads * kt / HYDROGEN / squares)[:, None]
    state = wells.state
    state.positions = torch.from_numpy((mode_matrix(n_beads).T @ modes).reshape(-1, 3))
    state.energy, state.forces = wells.forces_of(state.positions)
    found = {k: v.numpy() for k, v in wells.stepper.energies(state).items()}
    exact = 3 * harmonic_energy(invcm, n_beads, 300.0)
    assert found["potential_energy"].mean() == pytest.approx(exact, rel=0.01)
    assert found["kinetic_virial"].mean() == pytest.approx(exact, rel=0.01)
    gyration = np.square(found["radius_of_gyration"]).mean()
    assert gyration == pytest.approx(3 * kt / HYDROGEN * np.sum(1 / squares[1:]), rel=0.01)
    virial = found["potential_energy"] + found["kinetic_virial"][:, 0] - 1.5 * kt
    curvature = wells.stepper.virial_curvature(state, wells.forces_of).numpy()
    capacity = 1.5 + virial.var() / kt**2 - curvature.mean() / kt
    warm, cold = (harmonic_energy(invcm, n_beads, 300.0 + h) for h in (0.5, -0.5))
    assert capacity == pytest.approx(6 * (warm - cold) / boltzmann_constant, rel=0.03)


def _morse_of_beads(mass: float, n_beads: int, temperature: float) -> tuple[float, float]:
    """Potential and kinetic energy of P beads in a Morse well, by multiplying density matrices.

    The ring polymer's own distribution, traced on a grid: no dynamics, no sampling.
    """
    x = np.linspace(-0.55, 1.6, 500)
    kt = boltzmann_constant * temperature
    hbar = ase.units._hbar * ase.units.J * ase.units.s
    stiffness = mass * (n_beads * kt / hbar) ** 2
    spring = np.exp(-0.5 * stiffness * (x[:, None] - x) ** 2 / (n_beads * kt))
    half = np.exp(-0.5 * _morse(x)[0] / (n_beads * kt))
    density = np.diag(np.linalg.matrix_power(half[:, None] * spring * half, n_beads))
    density = density / density.sum()
    energy, slope = _morse(x)
    return float(density @ energy), float(0.5 * density @ (x * slope))


def _morse(x, depth: float = 4.8, width: float = 2.3):
    """Energy (eV) and slope of a well like that of an O–H bond, x from its minimum in Å."""
    e = np.exp(-width * np.asarray(x))
    return depth * (1 - e) ** 2, 2 * depth * width * (1 - e) * e


@pytest.mark.parametrize("mass", [1.008, 2.014])
def test_beads_in_an_anharmonic_well_have_their_exact_energy(mass: float) -> None:
    """Proton and deuteron: x in a Morse well, y and z in harmonic ones as stiff."""
    n_beads, n, stiffness = 16, 100, 2 * 4.8 * 2.3**2

    def forces_of(x):
        energy, slope = _morse(x[:, 0].numpy())
        across = 0.5 * stiffness * x[:, 1:].square().sum(dim=1)
        force = torch.cat([-torch.from_numpy(slope)[:, None], -stiffness * x[:, 1:]], dim=1)
        return torch.from_numpy(energy) + across, force

    held = np.zeros((1, 3), dtype=bool)
    stepper = RingPolymer(
        Copies(n, np.array([mass]), held, 3), 0.5 * ase.units.fs, torch.device("cpu"),
        n_beads=n_beads, temperature=300.0, thermostat=PIMD, seed=4,
    )  # fmt: skip
    x = torch.zeros((n * n_beads, 3), dtype=torch.float64)
    state = BatchState(x, x, x, x.sum(dim=1))
    stepper.start(state)
    seen = []
    for step in range(900):
        stepper.step(state, forces_of)
        if step >= 200:
            found = stepper.energies(state)
            seen.append([float(found[k].sum() / n) for k in ("potential_energy", "kinetic_virial")])
    omega = np.sqrt(stiffness / mass) * sqrt_ev_per_angstrom2_amu_to_invcm
    across = 2 * harmonic_energy(omega, n_beads, 300.0)
    exact = np.array(_morse_of_beads(mass, n_beads, 300.0)) + across
    np.testing.assert_allclose(np.mean(seen, axis=0), exact, rtol=0.01)


@pytest.mark.parametrize("thermostat", [TRPMD, RPMD], ids=["trpmd", "rpmd"])
def test_the_harmonic_line_is_where_velocity_verlet_has_it(thermostat: Thermostat) -> None:
    invcm, dt, steps = 3756.0, 0.25, 3000
    wells = Wells(invcm, 10, 16, thermostat, timestep=dt, seed=3)
    track = wells.run(steps, lambda w: w.stepper.reduce(w.state.velocities).numpy())
    padded = np.fft.rfft(track * np.hanning(steps)[:, None, None], n=16 * steps, axis=0)
    power = np.square(np.abs(padded)).sum(axis=(1, 2))
    peak = np.fft.rfftfreq(16 * steps, dt * 1e-15)[power.argmax()] / 2.99792458e10
    per_fs = 2 * np.pi * 2.99792458e-5
    verlet = 2 / dt * np.arcsin(per_fs * invcm * dt / 2) / per_fs
    assert peak == pytest.approx(verlet, abs=2.0)


def test_ring_polymer_dynamics_conserves_its_energy() -> None:
    wells = Wells(3000.0, 10, 16, RPMD, timestep=0.1)
    energy = wells.run(
        2000, lambda w: float(w.stepper.energies(w.state)["conserved_energy"].mean())
    )
    assert np.ptp(energy) < 2e-3 * energy.mean()


@pytest.mark.parametrize("globally", [False, True])
def test_one_bead_is_langevin_dynamics_at_its_temperature(globally: bool) -> None:
    wells = Wells(500.0, 300, 1, Thermostat(1.0, 0.02 / ase.units.fs, globally), timestep=1.0)
    wells.run(300)
    found = wells.run(1500, lambda w: w.state.energy.mean().item()).mean()
    assert found == pytest.approx(1.5 * boltzmann_constant * 300.0, rel=0.03)
    # A quarter of (ω dt)² is what BAOAB's momenta lack.
    temperature = wells.run(
        500, lambda w: w.stepper.energies(w.state)["temperature"].mean().item()
    ).mean()
    assert temperature == pytest.approx(300.0, rel=0.04)


def test_heat_of_the_thermostat_is_booked() -> None:
    wells = Wells(1000.0, 50, 8, PIMD, timestep=0.1)
    wells.run(200)
    energy = wells.run(300, lambda w: w.stepper.energies(w.state)["conserved_energy"].mean().item())
    assert np.ptp(energy) < 1e-3 * boltzmann_constant * 300.0 * 8

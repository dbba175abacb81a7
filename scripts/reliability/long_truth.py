"""Long runs against what statistical mechanics says of them, with the bundled ethanol model.

    python scripts/reliability/long_truth.py nve --steps 1000000
    python scripts/reliability/long_truth.py water --steps 200000
    python scripts/reliability/long_truth.py timestep
    python scripts/reliability/long_truth.py langevin --steps 1000000
    python scripts/reliability/long_truth.py bussi --steps 1000000

``nve``: drift of the total energy per atom and nanosecond, temperature, momentum; ``water``: the
same of 64 molecules in a periodic box, with the model of ``painn-ase train
model_recipes/liquid.toml`` and, to start from, a frame of its training data. ``timestep``: the
energy error against the time step, whose logarithms have the slope 2. ``langevin``, ``bussi``: the
kinetic energy follows a gamma distribution with half as many degrees of freedom (chi-square test
over bins of equal probability); the configurational temperature ⟨|∇U|²⟩/(k⟨∇²U⟩) is that of the
thermostat. Each writes JSON and a figure; ``--seconds`` ends it sooner, with what there is, and
``nve`` and ``water`` go on from there when started again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.io import read
from numpy.typing import NDArray
from scipy.stats import chi2, gamma

from painn_ase import PaiNNCalculator
from painn_ase.md import MDConfig, RecordConfig, run_md
from painn_ase.md.observers import Frame
from painn_ase.trajectory import TrajectoryReader
from painn_ase.units import boltzmann_constant

mpl.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["chi_square_of_kinetic_energy", "configurational_temperature", "effective_samples"]

Array = NDArray[np.float64]
EXPERIMENTS = ("nve", "water", "timestep", "langevin", "baoab", "bussi")
TEMPERATURE = 300.0
_ROOT = Path(__file__).resolve().parents[2]
#: Model and structure of the box of water.
_LIQUID = (_ROOT / "runs/liquid/liquid.safetensors", _ROOT / "model_recipes/data/liquid.extxyz")


class TimeLimit:
    """Observer that ends a run after some seconds, the way a batch system does."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def wants(self, step: int) -> bool:
        """Whether time is over."""
        return time.monotonic() > self._end

    def observe(self, frame: Frame) -> None:
        """Ask the run to stop."""
        os.kill(os.getpid(), signal.SIGTERM)


def ethanol(model: str) -> Atoms:
    """Ethanol with a calculator."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = PaiNNCalculator(model)
    return atoms


def box_of_water(model: str | Path, structure: str | Path) -> Atoms:
    """The first frame of `structure`, at rest, with a calculator."""
    frame = read(structure, index=0)
    atoms = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=True)
    atoms.calc = PaiNNCalculator(model)
    return atoms


def effective_samples(series: Array) -> tuple[float, int]:
    """Integrated autocorrelation time of a series in samples, and how many are independent."""
    x = series - series.mean()
    n = len(x)
    power = np.abs(np.fft.rfft(x, 2 * n)) ** 2
    correlation = np.fft.irfft(power)[:n] / (np.arange(n, 0, -1) * max(x.var(), 1e-300))
    tau = 0.5
    for lag in range(1, n):  # until the sum is longer than five times itself (Sokal)
        tau += float(correlation[lag])
        if lag > 5.0 * tau:
            break
    return max(tau, 0.5), max(1, int(n / (2.0 * max(tau, 0.5))))


def chi_square_of_kinetic_energy(
    kinetic: Array, degrees_of_freedom: int, temperature: float, bins: int = 20
) -> dict[str, float]:
    """Chi-square test of kinetic energies (eV) against their gamma distribution.

    Samples are thinned to twice their autocorrelation time.
    """
    tau, _ = effective_samples(kinetic)
    thin = kinetic[:: max(1, int(np.ceil(2.0 * tau)))]
    law = gamma(0.5 * degrees_of_freedom, scale=boltzmann_constant * temperature)
    bins = max(4, min(bins, len(thin) // 10))
    counts = np.histogram(law.cdf(thin), bins=bins, range=(0.0, 1.0))[0]
    expected = len(thin) / bins
    value = float(((counts - expected) ** 2).sum() / expected)
    error = kinetic.std() * np.sqrt(2.0 * tau / len(kinetic))
    to_kelvin = 2.0 / (degrees_of_freedom * boltzmann_constant)
    return {
        "samples": len(kinetic),
        "independent_samples": len(thin),
        "chi_square": round(value, 2),
        "bins": bins,
        "p_value": round(float(chi2.sf(value, bins - 1)), 4),
        "kinetic_temperature_K": round(float(kinetic.mean() * to_kelvin), 2),
        "its_standard_error_K": round(float(error * to_kelvin), 2),
    }


def configurational_temperature(atoms: Atoms, frames: Array) -> dict[str, float]:
    """⟨|∇U|²⟩/(k⟨∇²U⟩) over frames [n, n_atoms, 3], K, with a jackknife error."""
    squares, laplacians = [], []
    for positions in frames:
        atoms.positions[:] = positions
        forces = atoms.calc.get_property("forces", atoms)
        hessian = atoms.calc.get_hessian(atoms).reshape(forces.size, forces.size)
        squares.append(float((forces**2).sum()))
        laplacians.append(float(np.trace(hessian)))
    a, b = np.array(squares), np.array(laplacians)
    value = a.mean() / b.mean() / boltzmann_constant
    n = len(a)
    left_out = (a.sum() - a) / (b.sum() - b) / boltzmann_constant
    error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    return {"frames": n, "temperature_K": round(float(value), 2), "error_K": round(error, 2)}


def nve(options: argparse.Namespace) -> dict[str, Any]:
    """Drift, temperature and momentum of a long run at constant energy."""
    name = options.experiment
    if name == "water":
        atoms = box_of_water(options.model or _LIQUID[0], options.structure)
    else:
        atoms = ethanol(options.model or "ethanol")
    with tempfile.TemporaryDirectory() as folder:
        path = (options.output or Path(folder)) / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        config = MDConfig(
            steps=options.steps, temperature=TEMPERATURE, save_every=100_000,
            record=RecordConfig(positions=0, velocities=0, energies=50),
        )  # fmt: skip
        restart = path.with_suffix(".state.npz").exists()
        result = run_md(
            atoms, config, trajectory=path, restart=restart,
            observers=[TimeLimit(options.seconds)],
        )  # fmt: skip
        with TrajectoryReader(path) as reader:
            times = reader.times("conserved_energy") * 1e-6  # ns
            energy = reader.read("conserved_energy")
            temperature = reader.read("temperature")
    n = len(atoms)
    per_atom = 1e3 * (energy - energy[0]) / n
    slope, offset = np.polyfit(times, per_atom, 1)
    rest = per_atom - slope * times - offset
    tau, _ = effective_samples(rest)
    spread = rest.std() * np.sqrt(2 * tau / len(rest)) / max(times.std(), 1e-30)
    half = len(temperature) // 2
    figure, axes = plt.subplots(2, 1, figsize=(7, 5), sharex=True, constrained_layout=True)
    axes[0].plot(times, per_atom, lw=0.4)
    axes[0].plot(times, slope * times + offset, "k--", lw=1)
    axes[0].set_ylabel("energy error per atom / meV")
    axes[1].plot(times, temperature, lw=0.4)
    axes[1].set_ylabel("temperature / K")
    axes[1].set_xlabel("time / ns")
    _save(figure, options, name)
    return {
        "atoms": n,
        "steps": result.step,
        "time_step_fs": config.timestep,
        "nanoseconds": round(float(times[-1]), 4),
        "drift_meV_per_atom_and_ns": round(float(slope), 5),
        "its_standard_error": round(float(spread), 5),
        "rms_energy_error_meV_per_atom": round(float(rest.std()), 5),
        "temperature_first_half_K": round(float(temperature[:half].mean()), 2),
        "temperature_second_half_K": round(float(temperature[half:].mean()), 2),
        "momentum_per_atom_relative_to_thermal": float(
            np.linalg.norm(atoms.get_momenta().sum(axis=0))
            / np.sqrt(np.sum(atoms.get_momenta() ** 2))
        ),
        "steps_per_second": round(result.steps_per_second, 1),
    }


def timestep(options: argparse.Namespace) -> dict[str, Any]:
    """The energy error against the time step."""
    errors, sizes = [], np.array([0.1, 0.15, 0.2, 0.3, 0.4, 0.6])
    start = ethanol(options.model or "ethanol")
    duration = min(300.0, 0.1 * options.steps)
    run_md(start, MDConfig(steps=400, ensemble="bussi", temperature=TEMPERATURE))
    for size in sizes:
        atoms = ethanol(options.model or "ethanol")
        atoms.set_positions(start.positions)
        atoms.set_momenta(start.get_momenta())
        energies: list[float] = []
        watch = _Collector(lambda frame, kept=energies: kept.append(frame.conserved_energy))
        config = MDConfig(steps=int(duration / size), timestep=float(size), velocities="keep")
        run_md(atoms, config, observers=[watch])
        errors.append(float(np.std(energies)) / len(atoms))
    slope, offset = np.polyfit(np.log(sizes), np.log(errors), 1)
    figure, axes = plt.subplots(figsize=(5, 4), constrained_layout=True)
    axes.loglog(sizes, 1e3 * np.array(errors), "o")
    axes.loglog(sizes, 1e3 * np.exp(offset) * sizes**slope, "k--", label=f"slope {slope:.2f}")
    axes.set_xlabel("time step / fs")
    axes.set_ylabel("rms energy error per atom / meV")
    axes.legend()
    _save(figure, options, "timestep")
    table = {f"{s:g}": round(1e3 * e, 6) for s, e in zip(sizes, errors, strict=True)}
    return {
        "slope": round(float(slope), 3),
        "femtoseconds_each": duration,
        "rms_error_meV_per_atom_by_fs": table,
    }


class _Collector:
    """Observer that calls a function with every so-manieth frame."""

    def __init__(self, take: Callable[[Frame], object], every: int = 1) -> None:
        self._take, self._every = take, every

    def wants(self, step: int) -> bool:
        return step % self._every == 0

    def observe(self, frame: Frame) -> None:
        self._take(frame)


def thermostat(options: argparse.Namespace) -> dict[str, Any]:
    """Kinetic-energy distribution and configurational temperature under a thermostat."""
    atoms = ethanol(options.model or "ethanol")
    kinetic: list[float] = []
    temperatures: list[float] = []
    frames: list[Array] = []

    def take(frame: Frame) -> None:
        if frame.step >= options.steps // 20:
            kinetic.append(frame.kinetic_energy)
            temperatures.append(frame.temperature)

    def keep(frame: Frame) -> None:
        if frame.step >= options.steps // 20:
            frames.append(frame.atoms.positions.copy())

    every = max(1, options.steps // (20 * options.frames)) * 20
    config = MDConfig(steps=options.steps, ensemble=options.experiment, temperature=TEMPERATURE)
    watching = [_Collector(take, 10), _Collector(keep, every), TimeLimit(options.seconds)]
    result = run_md(atoms, config, observers=watching)
    energies = np.array(kinetic)
    degrees = round(float(np.median(2 * energies / (boltzmann_constant * np.array(temperatures)))))
    test = chi_square_of_kinetic_energy(energies, degrees, TEMPERATURE)
    figure, axes = plt.subplots(figsize=(6, 4), constrained_layout=True)
    law = gamma(0.5 * degrees, scale=boltzmann_constant * TEMPERATURE)
    grid = np.linspace(0.0, energies.max(), 300)
    axes.hist(energies, bins=60, density=True, alpha=0.6, label=options.experiment)
    axes.plot(grid, law.pdf(grid), "k-", lw=1, label=f"gamma, {degrees} degrees of freedom")
    axes.set_xlabel("kinetic energy / eV")
    axes.set_ylabel("density / eV$^{-1}$")
    axes.legend()
    _save(figure, options, options.experiment)
    double = ethanol(options.model or "ethanol")
    double.calc = PaiNNCalculator(options.model or "ethanol", dtype="float64", backend="eager")
    return {
        "steps": result.step,
        "degrees_of_freedom": degrees,
        "kinetic_energy": test,
        "configurational": configurational_temperature(double, np.array(frames)),
    }


def _save(figure: Any, options: argparse.Namespace, name: str) -> None:
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        figure.savefig(options.output / f"{name}.png", dpi=110)
    plt.close(figure)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=400, help="for the configurational one")
    parser.add_argument("--seconds", type=float, default=1e9, help="end the run after these")
    parser.add_argument("--model", help="instead of the bundled one or that of the recipe")
    parser.add_argument("--structure", type=Path, default=_LIQUID[1], help="of the box of water")
    parser.add_argument("--output", type=Path, help="folder for JSON and figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = {"nve": nve, "water": nve, "timestep": timestep}.get(options.experiment, thermostat)
    text = json.dumps(work(options), indent=1)
    print(text)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        target = options.output / f"truth_{options.experiment}.json"
        target.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

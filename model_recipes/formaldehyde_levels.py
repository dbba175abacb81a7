"""Whose error is it? Fundamentals of formaldehyde's labels without a network between.

A polynomial in internal coordinates is fitted to the energies and forces that the bundled model
learnt (``formaldehyde.toml`` says where they are), by linear least squares, and its quartic field
goes the same way as the model's. Degrees 6 and 7 show what the fit itself leaves open.

    OMP_NUM_THREADS=1 python model_recipes/formaldehyde_levels.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from torch import Tensor

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import PaiNNWarning
from painn_ase.quartic import quartic_field
from painn_ase.spectra import anharmonic

HERE = Path(__file__).parent
#: Gas-phase fundamentals in the order of harmonic wavenumbers, cm⁻¹.
EXPERIMENT = [1167.3, 1249.1, 1500.2, 1746.0, 2782.5, 2843.3]
#: eV; residuals count as this over this plus the energy, so that low energies count most.
SOFT = 0.05
N_TRAIN = 3400


def internals(x: Tensor) -> Tensor:
    """Six coordinates of C, O, H, H (n, 4, 3), Å, that are 0 near the minimum.

    Morse coordinates of C–O and of both C–H, their sum and difference; sum and difference of the
    angles O–C–H; the pyramid's height. Exchanged hydrogens change the sign of three.
    """
    co, a, b = (x[:, k] - x[:, 0] for k in (1, 2, 3))
    c, ra, rb = co.norm(dim=1), a.norm(dim=1), b.norm(dim=1)
    angles = [torch.arccos((co * v).sum(1) / c / r) - 2.124 for v, r in ((a, ra), (b, rb))]
    stretched = [1.0 - torch.exp(-1.9 * (r - 1.102)) for r in (ra, rb)]
    height = (co * torch.linalg.cross(a, b)).sum(1) / c / ra / rb
    return torch.stack(
        [
            1.0 - torch.exp(-2.2 * (c - 1.206)),
            stretched[0] + stretched[1],
            stretched[0] - stretched[1],
            angles[0] + angles[1],
            angles[0] - angles[1],
            height,
        ],
        dim=1,
    )


def exponents(degree: int) -> np.ndarray:
    """Powers (n_terms, 6) of the monomials that formaldehyde's symmetry allows."""
    every = itertools.product(range(degree + 1), repeat=6)
    return np.array(
        [t for t in every if sum(t) <= degree and t[5] % 2 == 0 and (t[2] + t[4]) % 2 == 0]
    )


def monomials(q: Tensor, powers: np.ndarray) -> Tensor:
    """Values (n, n_terms)."""
    each = torch.stack([q**k for k in range(int(powers.max()) + 1)])
    out = torch.ones(len(q), len(powers), dtype=q.dtype)
    for k in range(6):
        out = out * each[powers[:, k], :, k].T
    return out


def design(x: Tensor, powers: np.ndarray) -> tuple[Tensor, Tensor]:
    """Monomials (n, n_terms) and their slopes (n, 12, n_terms) along positions."""
    moved = x.clone().requires_grad_()
    q = internals(moved)
    slopes = torch.zeros(len(x), 12, len(powers), dtype=x.dtype)
    for k in range(6):
        (along,) = torch.autograd.grad(q[:, k].sum(), moved, retain_graph=True)
        lower = powers.copy()
        lower[:, k] = np.maximum(powers[:, k] - 1, 0)
        part = monomials(q.detach(), lower) * torch.tensor(powers[:, k], dtype=x.dtype)
        slopes += along.reshape(-1, 12, 1) * part[:, None, :]
    return monomials(q.detach(), powers), slopes


class Polynomial(Calculator):  # type: ignore[misc]
    """The fitted surface."""

    implemented_properties = ("energy", "forces")  # type: ignore[assignment]

    def __init__(self, coefficients: Tensor, powers: np.ndarray) -> None:
        super().__init__()
        self.coefficients, self.powers = coefficients, powers

    def value(self, x: Tensor) -> Tensor:
        """Energy of positions (4, 3), eV."""
        return (monomials(internals(x[None]), self.powers) @ self.coefficients)[0]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Energy and forces."""
        super().calculate(atoms, properties, system_changes)
        x = torch.tensor(self.atoms.positions, requires_grad=True)
        value = self.value(x)
        (slope,) = torch.autograd.grad(value, x)
        self.results = {"energy": value.item(), "forces": -slope.numpy()}

    def get_hessian(self, atoms: Atoms) -> np.ndarray:
        """Second derivatives (4, 3, 4, 3), eV/Å²."""
        found = torch.autograd.functional.hessian(self.value, torch.tensor(atoms.positions))
        return np.asarray(found)


def analysed(atoms: Atoms) -> dict[str, Any]:
    """Levels at two windows of resonances, and the scissor's own fourth derivative."""
    field = quartic_field(atoms)
    found = {w: anharmonic(field, window=w) for w in (200.0, 250.0)}
    return {
        "harmonic": found[200.0].harmonic.tolist(),
        "fundamentals": found[200.0].fundamentals.tolist(),
        "fundamentals_window_250": found[250.0].fundamentals.tolist(),
        "scissor_c_iii": float(field.cubic[2, 2, 2]),
        "scissor_d_iiii": float(field.quartic[2, 2, 2]),
    }


def fitted(data: Path, degree: int) -> dict[str, Any]:
    """A polynomial of the labels: its errors on frames held out, and what follows from it."""
    with np.load(data) as found:
        positions, energy, forces = found["R"], found["E"], found["F"]
        if found["Z"][0, :4].tolist() != [6, 8, 1, 1]:
            raise SystemExit(f"{data}: atoms are not C, O, H, H")
    x = torch.tensor(positions, dtype=torch.float64)
    e = torch.tensor(energy - energy.min(), dtype=torch.float64)
    f = torch.tensor(forces, dtype=torch.float64).reshape(-1, 12)
    powers = exponents(degree)
    values, slopes = design(x, powers)
    order = torch.tensor(np.random.default_rng(0).permutation(len(e)))
    train, test = order[:N_TRAIN], order[N_TRAIN:]
    weight = SOFT / (SOFT + e)
    rows = torch.cat(
        [
            3.0 * values[train] * weight[train, None],
            -(slopes[train] * weight[train, None, None]).reshape(-1, len(powers)),
        ]
    )
    aims = torch.cat([3.0 * e[train] * weight[train], (f[train] * weight[train, None]).reshape(-1)])
    coefficients = torch.linalg.lstsq(rows, aims, driver="gelsd").solution
    atoms = Atoms("COHH", positions[int(np.argmin(energy))])
    atoms.set_masses("most_common")
    atoms.calc = Polynomial(coefficients, powers)
    BFGS(atoms, logfile=None).run(fmax=1e-6, steps=300)
    return {
        "terms": len(powers),
        "energy_mae_ev": float((values[test] @ coefficients - e[test]).abs().mean()),
        "forces_mae_ev_per_angstrom": float((slopes[test] @ coefficients + f[test]).abs().mean()),
        **analysed(atoms),
    }


def main() -> None:
    """Fit, analyse, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=HERE / "data/h2co_ccsdt_avtz_4001.npz")
    parser.add_argument("--output", type=Path, default=HERE / "reports/formaldehyde_levels.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore", PaiNNWarning)
    atoms = molecule("H2CO")
    atoms.set_masses("most_common")
    atoms.calc = PaiNNCalculator("formaldehyde", dtype="float64", device="cpu")
    BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
    record = {
        "unit": "cm^-1",
        "experiment": EXPERIMENT,
        "model": analysed(atoms),
        **{f"labels, degree {n}": fitted(options.data, n) for n in (6, 7)},
    }
    for name, found in record.items():
        if isinstance(found, dict):
            print(f"{name:16}", *(f"{v:8.1f}" for v in found["fundamentals"]))
            print(f"{'  window 250':16}", *(f"{v:8.1f}" for v in found["fundamentals_window_250"]))
            print(f"  scissor: c {found['scissor_c_iii']:.1f}, d {found['scissor_d_iiii']:.1f}")
    print(f"{'experiment':16}", *(f"{v:8.1f}" for v in EXPERIMENT))
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()

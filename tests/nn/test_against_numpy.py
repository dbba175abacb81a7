"""The whole model against a second implementation: NumPy, loops over atoms, equations as written.

Nothing is shared with the package but the weights: a wrong sign, split or index in either shows.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import atomic_masses
from numpy.typing import NDArray

from painn_ase.graph import from_ase
from painn_ase.testing import random_atoms, random_potential

Array = NDArray[np.float64]


class WrittenOut:
    """PaiNN and its heads in NumPy, from the weights of a potential."""

    def __init__(self, potential) -> None:
        self.spec = potential.spec
        self.net = potential.spec.representation
        self.weights = {k: v.double().numpy() for k, v in potential.state_dict().items()}

    def mlp(self, name: str, x: Array) -> Array:
        layers = sorted(
            int(k.removeprefix(name + ".").split(".")[0])
            for k in self.weights
            if k.startswith(name + ".") and k.endswith(".weight")
        )
        for n in layers:
            x = self.weights[f"{name}.{n}.weight"] @ x + self.weights[f"{name}.{n}.bias"]
            if n != layers[-1]:
                x = x / (1.0 + np.exp(-x))
        return x

    def basis(self, d: float) -> Array:
        n, cutoff = np.arange(1, self.net.n_rbf + 1), self.net.cutoff
        if self.net.radial_basis == "bessel":
            return np.sin(n * np.pi * d / cutoff) / d
        width = cutoff / (self.net.n_rbf - 1)
        return np.exp(-((d - (n - 1) * width) ** 2) / (2 * width**2))

    def cutoff(self, d: float) -> float:
        x = d / self.net.cutoff
        if x >= 1:
            return 0.0
        if self.net.cutoff_function == "cosine":
            return 0.5 * (np.cos(np.pi * x) + 1)
        return 1 - 10 * x**3 + 15 * x**4 - 6 * x**5

    def neighbors(self, atoms: Atoms) -> list[list[tuple[int, Array]]]:
        """For each atom the neighbours and r_ij, over all images that can reach."""
        reach = [range(-3, 4) if periodic else range(1) for periodic in atoms.pbc]
        found: list[list[tuple[int, Array]]] = [[] for _ in atoms]
        for i, j in itertools.product(range(len(atoms)), repeat=2):
            for shift in itertools.product(*reach):
                r = atoms.positions[j] + np.array(shift) @ atoms.cell.array - atoms.positions[i]
                if 0 < np.linalg.norm(r) < self.net.cutoff:
                    found[i].append((j, r))
        return found

    def features(self, atoms: Atoms) -> tuple[Array, Array]:
        """q (n, F) and μ (n, 3, F)."""
        row = {z: k for k, z in enumerate(self.spec.elements)}
        n_features = self.net.n_features
        q = np.array(
            [self.weights["representation.embedding.weight"][row[z]] for z in atoms.numbers]
        )
        mu = np.zeros((len(atoms), 3, n_features))
        neighbors = self.neighbors(atoms)
        for block in range(self.net.n_interactions):
            f = 0 if self.net.shared_filters else block
            b = 0 if self.net.shared_interactions else block
            x = [self.mlp(f"representation.interactions.{b}.context", qi) for qi in q]
            new_q, new_mu = q.copy(), mu.copy()
            for i, around in enumerate(neighbors):
                for j, r in around:
                    d = np.linalg.norm(r)
                    w = self.mlp(f"representation.filters.{f}", self.basis(d)) * self.cutoff(d)
                    dq, dmu_r, dmu_mu = np.split(x[j] * w, 3)
                    new_q[i] += dq
                    new_mu[i] += np.outer(r / d, dmu_r) + dmu_mu * mu[j]
            q, mu = new_q, new_mu
            for i in range(len(atoms)):
                name = f"representation.mixings.{b}"
                vw = mu[i] @ self.weights[f"{name}.vector_mix.weight"].T
                v, w = vw[:, :n_features], vw[:, n_features:]
                norm = np.sqrt((v**2).sum(axis=0) + self.net.epsilon)
                a, gate, c = np.split(self.mlp(f"{name}.context", np.concatenate((q[i], norm))), 3)
                q[i] = q[i] + a + c * (v * w).sum(axis=0)
                mu[i] = mu[i] + gate * w
        return q, mu

    def gated(self, name: str, s: Array, v: Array, n_scalars: int) -> tuple[Array, Array]:
        vw = v @ self.weights[f"{name}.vector_mix.weight"].T
        left, right = np.split(vw, 2, axis=1)
        norm = np.sqrt((left**2).sum(axis=0) + 1e-8)
        out = self.mlp(f"{name}.context", np.concatenate((s, norm)))
        return out[:n_scalars], right * out[n_scalars:]

    def stack(self, name: str, q: Array, mu: Array, n_scalars: int) -> tuple[Array, Array]:
        s, v = self.gated(f"{name}.blocks.0", q, mu, max(self.net.n_features // 2, 1))
        return self.gated(f"{name}.blocks.1", s / (1 + np.exp(-s)), v, n_scalars)

    def energy(self, atoms: Atoms) -> float:
        q, _ = self.features(atoms)
        return float(sum(self.mlp("heads.energy.mlp", qi)[0] for qi in q))

    def charges(self, atoms: Atoms, charge: float) -> Array:
        q, _ = self.features(atoms)
        raw = np.array([self.mlp("heads.charges.mlp", qi)[0] for qi in q])
        return raw + (charge - raw.sum()) / len(raw)

    def from_center(self, atoms: Atoms) -> Array:
        masses = atomic_masses[atoms.numbers]
        return atoms.positions - masses @ atoms.positions / masses.sum()

    def dipole(self, atoms: Atoms, charge: float) -> Array:
        features = zip(*self.features(atoms), strict=True)
        parts = [self.stack("heads.dipole.stack", q, mu, 1) for q, mu in features]
        charges = np.array([s[0] for s, _ in parts])
        charges += (charge - charges.sum()) / len(charges)
        return sum(v[:, 0] for _, v in parts) + charges @ self.from_center(atoms)

    def local_dipole(self, atoms: Atoms) -> Array:
        features = zip(*self.features(atoms), strict=True)
        parts = [self.stack("heads.dipole.tensors.stack", q, mu, 1) for q, mu in features]
        return sum(s[0] * v[:, 0] for s, v in parts)

    def polarizability(self, atoms: Atoms) -> Array:
        total = np.zeros((3, 3))
        for (q, mu), r in zip(
            zip(*self.features(atoms), strict=True), self.from_center(atoms), strict=True
        ):
            s, v = self.stack("heads.polarizability.stack", q, mu, 1)
            total += s[0] * np.eye(3) + np.outer(v[:, 0], r) + np.outer(r, v[:, 0])
        return total

    def local_polarizability(self, atoms: Atoms) -> Array:
        rank, total = self.spec.heads.polarizability.rank, np.zeros((3, 3))
        for q, mu in zip(*self.features(atoms), strict=True):
            s, v = self.stack("heads.polarizability.tensors.stack", q, mu, rank + 1)
            total += s[rank] * np.eye(3)
            total += sum(s[k] * np.outer(v[:, k], v[:, k]) for k in range(rank))
        return total


OPTIONS = {
    "paper": {},
    "gaussian": {"radial_basis": "gaussian"},
    "polynomial": {"cutoff_function": "polynomial"},
    "shared filters": {"shared_filters": True},
    "hidden filters": {"filter_hidden": (7, 5)},
    "shared interactions": {"shared_interactions": True},
    "all shared": {"shared_filters": True, "shared_interactions": True},
    "large epsilon": {"epsilon": 0.3},
    "one block": {"n_interactions": 1},
}


def potential_with(heads=("energy",), **options):
    # Constants of the basis are stored with the weights; here they are to be exact.
    torch_default = random_potential(
        8, options.pop("n_interactions", 2), 6, 3.0, heads=heads, dtype=torch.float64, **options
    )
    basis = torch_default.representation.radial_basis
    n = torch.arange(1, 7, dtype=torch.float64)
    if hasattr(basis, "frequencies"):
        basis.frequencies.copy_(n * torch.pi / 3.0)
    else:
        basis.centers.copy_((n - 1) * 3.0 / 5.0)
        basis.widths.fill_(3.0 / 5.0)
    return torch_default


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("pbc", [False, True], ids=["molecule", "crystal"])
def test_features_and_energy_are_those_of_the_equations(option: str, pbc: bool) -> None:
    potential = potential_with(**OPTIONS[option])
    atoms = random_atoms(5, pbc=pbc, spacing=1.3, seed=3)
    written = WrittenOut(potential)
    graph = from_ase(atoms, 3.0)
    vectors = graph.positions[graph.idx_j] - graph.positions[graph.idx_i]
    vectors = vectors + graph.shifts @ graph.cell[0]
    rows = potential.element_rows[graph.numbers]
    features = potential.representation(rows, vectors, graph.idx_i, graph.idx_j)
    scalars, vector_features = written.features(atoms)
    np.testing.assert_allclose(features.scalars.numpy(), scalars, rtol=0, atol=1e-12)
    np.testing.assert_allclose(features.vectors.numpy(), vector_features, rtol=0, atol=1e-12)
    energy = potential(graph, {"energy"}).energy.item()
    assert energy == pytest.approx(written.energy(atoms), abs=1e-12)


def test_heads_with_origin_are_those_of_the_equations() -> None:
    potential = potential_with(("dipole", "polarizability", "charges"))
    atoms = random_atoms(6, seed=5)
    written = WrittenOut(potential)
    graph = from_ase(atoms, 3.0, charge=1.0)
    given = potential(graph, {"dipole", "polarizability", "charges"})
    np.testing.assert_allclose(given.dipole[0].numpy(), written.dipole(atoms, 1.0), atol=1e-12)
    np.testing.assert_allclose(
        given.polarizability[0].numpy(), written.polarizability(atoms), atol=1e-12
    )
    np.testing.assert_allclose(given.charges.numpy(), written.charges(atoms, 1.0), atol=1e-12)


def test_local_heads_are_those_of_the_equations() -> None:
    potential = potential_with(("dipole:local", "polarizability:local"))
    atoms = random_atoms(5, pbc=True, spacing=1.3, seed=6)
    written = WrittenOut(potential)
    given = potential(from_ase(atoms, 3.0), {"dipole", "polarizability"})
    np.testing.assert_allclose(given.dipole[0].numpy(), written.local_dipole(atoms), atol=1e-12)
    np.testing.assert_allclose(
        given.polarizability[0].numpy(), written.local_polarizability(atoms), atol=1e-12
    )


def test_stored_constants_of_the_bases_are_the_written_ones_to_float32() -> None:
    for kind in ("bessel", "gaussian"):
        potential = random_potential(8, 1, 6, 3.0, radial_basis=kind)
        written = WrittenOut(potential)
        d = torch.tensor([0.7, 1.9, 2.8], dtype=torch.float32)
        given = potential.representation.radial_basis(d)
        expected = np.array([written.basis(x) for x in d.double().numpy()])
        np.testing.assert_allclose(given.numpy(), expected, atol=2e-6)

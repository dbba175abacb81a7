"""The object of `pair_style mliap unified`, in an emulated KOKKOS coupling of several ranks."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from painn_ase.calculator import PaiNNCalculator
from painn_ase.engines.lammps_mliap import PaiNNUnified
from painn_ase.errors import UnknownElementError, UnsupportedPropertyError
from painn_ase.graph import from_ase
from painn_ase.models import save_model
from painn_ase.testing import random_atoms, random_potential


class Coupling:
    """One rank's arrays as LAMMPS's KOKKOS coupling shows them, other ranks being threads.

    As there, arrays without entries are None or raise, and exchanges are collective: a rank that
    stays away lets the others wait, here for a few seconds.
    """

    def __init__(self, team: list[Coupling], barrier: threading.Barrier, rank: int) -> None:
        self.team, self.barrier, self.rank = team, barrier, rank
        self.mine: list[int] = []  # own atoms, as numbers in the whole
        self.ghosts: list[tuple[int, tuple[int, ...]]] = []
        self.energy = 0.0
        self.table: Any = None

    def fill_in(self, atoms: Atoms, types: list[int], cutoff: float, owner: np.ndarray) -> None:
        graph = from_ase(atoms, cutoff)
        self.mine = np.flatnonzero(owner == self.rank).tolist()
        row = {(i, (0, 0, 0)): k for k, i in enumerate(self.mine)}
        pairs = []
        for i, j, shift in zip(
            graph.idx_i.tolist(), graph.idx_j.tolist(), graph.shifts.long().tolist(), strict=True
        ):
            if owner[i] != self.rank:
                continue
            key = (j, tuple(shift))
            if key not in row:
                row[key] = len(row)
            vector = atoms.positions[j] + np.array(shift) @ atoms.cell[:] - atoms.positions[i]
            pairs.append((row[i, (0, 0, 0)], row[key], vector))
        self.ghosts = [key for key in row if row[key] >= len(self.mine)]
        self.nlistatoms, self.ntotal, self.npairs = len(self.mine), len(row), len(pairs)
        self.whole = [i for i, _ in row]
        self._elems = np.array([types[i] for i in self.whole], dtype=np.int32)
        self._i = np.array([p[0] for p in pairs], dtype=np.int32)
        self._j = np.array([p[1] for p in pairs], dtype=np.int32)
        self._r = np.array([p[2] for p in pairs]).reshape(-1, 3)
        self._eatoms = np.zeros(self.nlistatoms)
        self.forces = np.zeros((len(atoms), 3))  # of the whole, to be added up

    def _array(self, array: np.ndarray) -> np.ndarray:
        if not len(array):
            raise ValueError("Invalid shape in axis 0: 0.")
        return array

    elems = property(lambda self: self._array(self._elems))
    pair_i = property(lambda self: self._array(self._i))
    pair_j = property(lambda self: self._array(self._j))
    rij = property(lambda self: self._array(self._r))
    eatoms = property(lambda self: self._array(self._eatoms))

    def update_pair_forces(self, gradient: torch.Tensor) -> None:
        assert gradient.dtype == torch.float64
        for i, j, g in zip(self._i, self._j, gradient.numpy(), strict=True):
            self.forces[self.whole[i]] += g
            self.forces[self.whole[j]] -= g

    def _meet(self, source: torch.Tensor) -> list[torch.Tensor]:
        self.table = source.clone()
        self.barrier.wait()
        tables = [other.table for other in self.team]
        self.barrier.wait()
        return tables

    def forward_exchange(self, source: torch.Tensor, to: torch.Tensor, width: int) -> None:
        assert source.shape == to.shape == (self.ntotal, width)
        tables = self._meet(source)
        for k, (atom, _) in enumerate(self.ghosts, start=self.nlistatoms):
            owner = next(o for o in self.team if atom in o.mine)
            to[k] = tables[owner.rank][owner.mine.index(atom)]

    def reverse_exchange(self, source: torch.Tensor, to: torch.Tensor, width: int) -> None:
        assert source.shape == to.shape == (self.ntotal, width)
        tables = self._meet(source)
        for other in self.team:
            for k, (atom, _) in enumerate(other.ghosts, start=other.nlistatoms):
                if atom in self.mine:
                    to[self.mine.index(atom)] += tables[other.rank][k]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(random_potential(8, 3, 6, 3.0, dtype=torch.float64), path)
    return path


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_ranks_give_the_calculators_numbers(model: Path, tmp_path: Path, n_ranks: int) -> None:
    """Of four ranks one has no atoms, and one atoms without neighbours' pairs of its own."""
    atoms = random_atoms(10, pbc=True, seed=3)
    PaiNNUnified(str(model)).pickle(tmp_path / "model.pkl")
    order = PaiNNUnified(str(model)).element_types
    types = [order.index(s) for s in atoms.symbols]
    owner = np.argsort(np.argsort(atoms.positions[:, 0])) * max(n_ranks - 1, 1) // len(atoms)
    barrier = threading.Barrier(n_ranks, timeout=20)
    team: list[Coupling] = []
    team.extend(Coupling(team, barrier, rank) for rank in range(n_ranks))
    for rank in team:
        rank.fill_in(atoms, types, 3.0, owner)
    assert n_ranks == 1 or team[-1].nlistatoms == team[-1].npairs == 0

    def one(rank: Coupling) -> None:
        unified = pickle.loads((tmp_path / "model.pkl").read_bytes())
        assert unified.rcutfac == 1.5
        unified.compute_descriptors(rank)
        unified.compute_gradients(rank)
        unified.compute_forces(rank)

    with ThreadPoolExecutor(n_ranks) as pool:
        list(pool.map(one, team))
    atoms.calc = PaiNNCalculator(model, backend="eager", device="cpu")
    assert sum(r.energy for r in team) == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(sum(r.forces for r in team), atoms.get_forces(), atol=1e-10)
    each = np.zeros(len(atoms))
    for rank in team:
        each[rank.mine] = rank._eatoms
    np.testing.assert_allclose(each, atoms.get_potential_energies(), atol=1e-10)


def test_it_has_what_lammps_asks_of_its_own_class(model: Path) -> None:
    try:
        from lammps.mliap.mliap_unified_abc import MLIAPUnified
    except (ImportError, OSError):  # without LAMMPS, or a Python without a shared library
        pytest.skip("LAMMPS's class is not here")
    unified = PaiNNUnified(str(model))
    for name in MLIAPUnified.__abstractmethods__:
        assert callable(getattr(unified, name))

    class Plain(MLIAPUnified):
        compute_gradients = compute_descriptors = compute_forces = None

    assert vars(Plain()).keys() <= vars(unified).keys()


def test_what_cannot_be_is_refused(model: Path, tmp_path: Path) -> None:
    unified = PaiNNUnified(str(model))
    with pytest.raises(UnsupportedPropertyError, match="only that of KOKKOS"):
        unified.compute_forces(SimpleNamespace(nlistatoms=0, ntotal=0, npairs=0))
    with pytest.raises(UnsupportedPropertyError, match=r"Take \.pkl"):
        unified.pickle(tmp_path / "model.pt")
    with pytest.raises(UnknownElementError, match="Cu"):
        PaiNNUnified(str(model), ["Cu"])
    assert b"embedding" not in pickle.dumps(unified)

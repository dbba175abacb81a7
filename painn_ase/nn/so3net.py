"""SO3net: spherical features and tensor products, on an edge list.

SchNetPack 2's network (Schütt, Hessmann, Gebauer, Lederer, Gastegger, J. Chem. Phys. 158, 144801
(2023)), a small cousin of NequIP. Products run over the allowed (l1, l2, l) alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from painn_ase.nn.cutoff import build_cutoff_function
from painn_ase.nn.network import AtomicNetwork, Exchange, Features, builds
from painn_ase.nn.radial import build_radial_basis
from painn_ase.nn.scatter import ScatterBackend, gather_rows, scatter_sum
from painn_ase.nn.spherical import allowed_paths, clebsch_gordan, harmonic_tensor, rows_of
from painn_ase.spec import SO3netSpec

__all__ = ["SO3Block", "SO3Convolution", "SO3net", "SphericalHarmonics", "TensorProduct"]


class _Exact(nn.Module):
    """Constants that follow the dtype of the weights, rounded anew from float64 each time.

    They are computed, not learnt: a file does not hold them, and a model cast to float32 and back
    has them exact again.
    """

    def __init__(self, constants: Sequence[Tensor]) -> None:
        super().__init__()
        self._exact = tuple(constants)
        for k, constant in enumerate(self._exact):
            self.register_buffer(f"constant_{k}", constant.to(_weights_like()), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _Exact:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for k, constant in enumerate(self._exact):
            setattr(self, f"constant_{k}", constant.to(getattr(self, f"constant_{k}")))
        return self

    def constant(self, k: int) -> Tensor:
        """The k-th constant in the dtype and on the device of the weights."""
        found: Tensor = getattr(self, f"constant_{k}")
        return found


def _weights_like() -> Tensor:
    """An empty tensor of the dtype and device that weights are created with."""
    return torch.empty(0)


class SphericalHarmonics(_Exact):
    """Y_lm(u) for l = 0 … lmax; (l, m) in the order of :mod:`.spherical`."""

    def __init__(self, lmax: int) -> None:
        super().__init__([harmonic_tensor(degree) for degree in range(lmax + 1)])
        self.lmax = lmax

    def forward(self, directions: Tensor) -> Tensor:
        """Values (n_edges, (lmax + 1)²) for unit vectors (n_edges, 3)."""
        n = directions.shape[0]
        power = directions.new_ones((n, 1))
        parts = [power * self.constant(0)]
        for degree in range(1, self.lmax + 1):
            power = (power.unsqueeze(-1) * directions.unsqueeze(-2)).flatten(1)
            parts.append(power @ self.constant(degree))
        return torch.cat(parts, dim=-1)


class Couplings(_Exact):
    """What a direction makes of a neighbour's features: K_l = Σ_{m1} C Y_{l1 m1} for each path.

    Directions alone enter, so one evaluation serves all blocks and all features.
    """

    def __init__(self, lmax: int) -> None:
        self.shapes: list[tuple[int, int]] = []
        matrices = []
        for degree in range(lmax + 1):
            columns = []
            for l1, l2 in allowed_paths(degree, lmax):
                part = torch.zeros(
                    ((lmax + 1) ** 2, 2 * degree + 1, 2 * l2 + 1), dtype=torch.float64, device="cpu"
                )
                part[rows_of(l1)] = clebsch_gordan(l1, l2, degree).transpose(1, 2)
                columns.append(part)
            block = torch.cat(columns, dim=-1)
            self.shapes.append((block.shape[1], block.shape[2]))
            matrices.append(block.flatten(1))
        super().__init__([torch.cat(matrices, dim=1)])

    def forward(self, harmonics: Tensor) -> list[Tensor]:
        """For each l the matrix (n_edges, 2l + 1, rows) over the paths' (l2, m2)."""
        flat = harmonics @ self.constant(0)
        sizes = [n_rows * n_columns for n_rows, n_columns in self.shapes]
        parts = flat.split(sizes, dim=1)
        return [p.unflatten(1, shape) for p, shape in zip(parts, self.shapes, strict=True)]


class SO3Convolution(nn.Module):
    """y_{i,lm} = Σ_j Σ_{l1 m1, l2 m2} C R_{l1}(d) Y_{l1 m1}(u) x_{j, l2 m2}."""

    def __init__(self, n_features: int, n_rbf: int, lmax: int) -> None:
        super().__init__()
        self.lmax, self.n_features = lmax, n_features
        self.filter = nn.Linear(n_rbf, (lmax + 1) * n_features)
        nn.init.xavier_uniform_(self.filter.weight)
        nn.init.zeros_(self.filter.bias)
        self.paths = [allowed_paths(degree, lmax) for degree in range(lmax + 1)]

    def radial(self, basis: Tensor, cutoff: Tensor) -> tuple[Tensor, ...]:
        """R_l(d), for each l (n_edges, F)."""
        weight = torch.cat((self.filter.weight, self.filter.bias.unsqueeze(-1)), dim=-1)
        filters = torch.cat((basis * cutoff, cutoff), dim=-1) @ weight.T
        parts: tuple[Tensor, ...] = filters.split(self.n_features, dim=-1)
        return parts

    def of_scalars(
        self,
        scalars: Tensor,
        radial: Sequence[Tensor],
        harmonics: Tensor,
        idx_i: Tensor,
        idx_j: Tensor,
        backend: ScatterBackend,
    ) -> Tensor:
        """Y (n_atoms, (lmax + 1)², F) where x has scalars alone: only the paths (l, 0, l) are left.

        The coefficient of such a path is 1.
        """
        sent = gather_rows(scalars, idx_j, backend)
        parts = [
            (radial[degree] * sent).unsqueeze(1) * harmonics[:, rows_of(degree)].unsqueeze(-1)
            for degree in range(self.lmax + 1)
        ]
        return scatter_sum(torch.cat(parts, dim=1), idx_i, scalars.shape[0], backend)

    def forward(
        self,
        features: Tensor,
        radial: Sequence[Tensor],
        couplings: Sequence[Tensor],
        idx_i: Tensor,
        idx_j: Tensor,
        backend: ScatterBackend,
    ) -> Tensor:
        """Y (n_atoms, (lmax + 1)², F) of features x of the same shape."""
        sent = gather_rows(features, idx_j, backend)
        filtered = [part.unsqueeze(1) * sent for part in radial]
        messages = [
            torch.bmm(
                couplings[degree],
                torch.cat([filtered[l1][:, rows_of(l2)] for l1, l2 in self.paths[degree]], dim=1),
            )
            for degree in range(self.lmax + 1)
        ]
        return scatter_sum(torch.cat(messages, dim=1), idx_i, features.shape[0], backend)


class TensorProduct(_Exact):
    """z_{lm} = Σ C a_{l1 m1} b_{l2 m2}, feature by feature."""

    def __init__(self, lmax: int) -> None:
        self.lmax = lmax
        self.paths = [allowed_paths(degree, lmax) for degree in range(lmax + 1)]
        super().__init__(
            [
                torch.cat([clebsch_gordan(*p, degree).flatten(0, 1) for p in paths]).T.contiguous()
                for degree, paths in enumerate(self.paths)
            ]
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Product (n_atoms, (lmax + 1)², F) of two of the same shape."""
        degrees = range(self.lmax + 1)
        left = [a[:, rows_of(degree)].unsqueeze(2) for degree in degrees]
        right = [b[:, rows_of(degree)].unsqueeze(1) for degree in degrees]
        pairs = {
            (l1, l2): (left[l1] * right[l2]).flatten(1, 2)
            for l1, l2 in itertools.product(degrees, repeat=2)
        }
        parts = [
            self.constant(degree) @ torch.cat([pairs[path] for path in self.paths[degree]], dim=1)
            for degree in degrees
        ]
        return torch.cat(parts, dim=1)


class SO3Block(nn.Module):
    """One block: x += D gate(B (dx + C(dx, A dx))) with dx = convolution of x."""

    def __init__(self, n_features: int, n_rbf: int, lmax: int) -> None:
        super().__init__()
        self.lmax = lmax
        self.convolution = SO3Convolution(n_features, n_rbf, lmax)
        self.mix_product = nn.Linear(n_features, n_features, bias=False)
        self.mix_before = nn.Linear(n_features, n_features, bias=False)
        self.mix_after = nn.Linear(n_features, n_features, bias=False)
        self.gate = nn.Linear(n_features, (lmax + 1) * n_features)
        for layer in (self.mix_product, self.mix_before, self.mix_after, self.gate):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.gate.bias)

    def change(self, convolved: Tensor, product: TensorProduct) -> Tensor:
        """What the block adds to its input (n_atoms, (lmax + 1)², F)."""
        dx = convolved + product(convolved, self.mix_product(convolved))
        dx = self.mix_before(dx)
        gates = torch.sigmoid(self.gate(dx[:, 0])).unflatten(1, (self.lmax + 1, -1))
        parts = [
            dx[:, rows_of(degree)] * gates[:, degree : degree + 1]
            for degree in range(self.lmax + 1)
        ]
        out: Tensor = self.mix_after(torch.cat(parts, dim=1))
        return out


@builds(SO3netSpec)
class SO3net(AtomicNetwork):
    """The network: embedding as l = 0, then L blocks; l = 0 and l = 1 are its features.

    Parameters
    ----------
    spec : SO3netSpec
    n_elements : int
        Rows of the embedding.
    """

    def __init__(self, spec: SO3netSpec, n_elements: int) -> None:
        super().__init__(spec, n_elements)
        self.spec: SO3netSpec = spec
        n_weights = 1 if spec.shared_interactions else spec.n_interactions
        self.radial_basis = build_radial_basis(spec)
        self.cutoff_function = build_cutoff_function(spec)
        self.harmonics = SphericalHarmonics(spec.lmax)
        self.couplings = Couplings(spec.lmax)
        self.product = TensorProduct(spec.lmax)
        self.interactions = nn.ModuleList(
            SO3Block(spec.n_features, spec.n_rbf, spec.lmax) for _ in range(n_weights)
        )

    def forward(
        self,
        element_idx: Tensor,
        edge_vectors: Tensor,
        idx_i: Tensor,
        idx_j: Tensor,
        exchange: Exchange | None = None,
    ) -> Features:
        """Features of every atom, see :meth:`.AtomicNetwork.forward`."""
        distances = torch.sqrt((edge_vectors * edge_vectors).sum(dim=-1))
        directions = edge_vectors / distances.unsqueeze(-1)
        basis = self.radial_basis(distances)
        cutoff = self.cutoff_function(distances, self.spec.cutoff).unsqueeze(-1)
        harmonics = self.harmonics(directions)
        backend = self.scatter_backend

        start: Tensor = self.embedding(element_idx)
        block = self._block(0)
        radial = block.convolution.radial(basis, cutoff)
        convolved = block.convolution.of_scalars(start, radial, harmonics, idx_i, idx_j, backend)
        change = block.change(convolved, self.product)
        features = torch.cat((change[:, :1] + start.unsqueeze(1), change[:, 1:]), dim=1)

        couplings = self.couplings(harmonics) if self.spec.n_interactions > 1 else []
        for k in range(1, self.spec.n_interactions):
            if exchange is not None:
                (features,) = exchange(features)
            block = self._block(k)
            if k < len(self.interactions):
                radial = block.convolution.radial(basis, cutoff)
            convolved = block.convolution(features, radial, couplings, idx_i, idx_j, backend)
            features = features + block.change(convolved, self.product)
        y, z, x = features[:, 1], features[:, 2], features[:, 3]
        return Features(features[:, 0], torch.stack((x, y, z), dim=1))

    def radial_filters(self, distances: Tensor) -> list[dict[str, Tensor]]:
        """One filter for each degree of each block, see :meth:`.AtomicNetwork.radial_filters`."""
        basis = self.radial_basis(distances)
        cutoff = self.cutoff_function(distances, self.spec.cutoff).unsqueeze(-1)
        return [
            {
                f"l = {degree}": part
                for degree, part in enumerate(self._block(k).convolution.radial(basis, cutoff))
            }
            for k in range(self.spec.n_interactions)
        ]

    def _block(self, k: int) -> SO3Block:
        return cast(SO3Block, self.interactions[k % len(self.interactions)])

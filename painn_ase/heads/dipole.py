"""Dipole heads: with latent charges for molecules, local for periodic systems, charges alone."""

from __future__ import annotations

from torch import Tensor, nn

from painn_ase.heads.energy import head_widths
from painn_ase.heads.placement import Placement
from painn_ase.heads.tensors import AtomicTensors, build_gated_stack
from painn_ase.nn.blocks import build_mlp
from painn_ase.nn.network import Features
from painn_ase.spec import DipoleSpec

__all__ = ["LatentChargeDipole", "LocalDipole", "PointChargeDipole", "build_dipole_head"]


class LatentChargeDipole(nn.Module):
    """μ = Σ_i μ_atom(μ_i, q_i) + q_atom(q_i) r_i (arXiv 2102.03150, 'dipole moments').

    Charges are corrected to the total charge. Positions count from the centre of mass, which is
    held fixed under differentiation: Born charges of an ion then sum to Q·1, as with any fixed
    origin, and the flux subtracts Q·v_com.
    """

    needs_origin = True

    def __init__(self, spec: DipoleSpec, n_features: int) -> None:
        super().__init__()
        self.scale = spec.scale
        self.stack = build_gated_stack(n_features, spec.n_hidden, (1, 1), spec.gate_epsilon)

    def forward(self, features: Features, placement: Placement) -> tuple[Tensor, Tensor]:
        """Dipole (n_systems, 3) in e·Å and charges (n_atoms,) in e, float64."""
        raw_charges, vectors = self.stack(features)
        charges = placement.corrected_charges(self.scale * raw_charges.squeeze(-1))
        lever = placement.positions - placement.centers_of_mass.detach()
        atomic = self.scale * vectors.squeeze(-1).double() + charges.unsqueeze(-1) * lever
        return placement.sum_over_atoms(atomic), charges


class LocalDipole(nn.Module):
    """μ = Σ_i Σ_k λ_k(q_i) ν_k(i): no charges, no origin, so it holds in periodic cells."""

    needs_origin = False

    def __init__(self, spec: DipoleSpec, n_features: int) -> None:
        super().__init__()
        self.scale = spec.scale
        self.tensors = AtomicTensors(
            n_features,
            order=1,
            rank=spec.rank,
            n_hidden=spec.n_hidden,
            epsilon=spec.gate_epsilon,
        )

    def forward(self, features: Features, placement: Placement) -> tuple[Tensor, None]:
        """Dipole (n_systems, 3) in e·Å, float64, and no charges."""
        atomic, _ = self.tensors(features)
        return self.scale * placement.sum_over_atoms(atomic), None


class PointChargeDipole(nn.Module):
    """μ = Σ_i q_atom(q_i) r_i: latent charges alone, for networks without vectors.

    Charges and origin are those of :class:`LatentChargeDipole`.
    """

    needs_origin = True

    def __init__(self, spec: DipoleSpec, n_features: int) -> None:
        super().__init__()
        self.scale = spec.scale
        hidden = None if spec.n_hidden is None else (spec.n_hidden,)
        self.mlp = build_mlp(head_widths(n_features, hidden))

    def forward(self, features: Features, placement: Placement) -> tuple[Tensor, Tensor]:
        """Dipole (n_systems, 3) in e·Å and charges (n_atoms,) in e, float64."""
        raw_charges = self.mlp(features.scalars).squeeze(-1)
        charges = placement.corrected_charges(self.scale * raw_charges)
        lever = placement.positions - placement.centers_of_mass.detach()
        return placement.sum_over_atoms(charges.unsqueeze(-1) * lever), charges


def build_dipole_head(spec: DipoleSpec, n_features: int) -> nn.Module:
    """The dipole head that `spec` names."""
    kinds: dict[str, type[LatentChargeDipole | LocalDipole | PointChargeDipole]] = {
        "latent_charge": LatentChargeDipole,
        "local": LocalDipole,
        "point_charge": PointChargeDipole,
    }
    return kinds[spec.kind](spec, n_features)

"""A model's dipoles, polarizabilities and fluxes for a trajectory that exists."""

from __future__ import annotations

from painn_ase.annotate.trajectory import annotate_trajectory

__all__ = ["annotate_trajectory"]

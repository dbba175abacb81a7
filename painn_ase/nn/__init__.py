"""The network: radial basis, cutoff, gated blocks, PaiNN. Knows neither ASE nor NumPy."""

from painn_ase.nn.painn import Features, PaiNN

__all__ = ["Features", "PaiNN"]

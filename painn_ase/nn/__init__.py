"""Networks: radial bases, cutoffs, blocks; each kind in its file. Knows neither ASE nor NumPy."""

from painn_ase.nn.network import AtomicNetwork, Exchange, Features, build_network, builds
from painn_ase.nn.painn import PaiNN

__all__ = ["AtomicNetwork", "Exchange", "Features", "PaiNN", "build_network", "builds"]

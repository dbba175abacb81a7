"""Networks: radial bases, cutoffs, blocks; each kind in its file. Knows neither ASE nor NumPy."""

from painn_ase.nn.network import AtomicNetwork, Exchange, Features, build_network, builds
from painn_ase.nn.painn import PaiNN
from painn_ase.nn.schnet import SchNet
from painn_ase.nn.so3net import SO3net

__all__ = [
    "AtomicNetwork",
    "Exchange",
    "Features",
    "PaiNN",
    "SO3net",
    "SchNet",
    "build_network",
    "builds",
]

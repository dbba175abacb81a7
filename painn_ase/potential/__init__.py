"""From a graph to a prediction: the network, its heads and their derivatives."""

from painn_ase.potential.core import AtomisticCore, CoreInput, core_input
from painn_ase.potential.ensemble import SPREAD_QUANTITIES, check_members, mean_and_spread
from painn_ase.potential.potential import AtomisticPotential, quantities_of
from painn_ase.potential.prediction import Prediction

__all__ = [
    "SPREAD_QUANTITIES",
    "AtomisticCore",
    "AtomisticPotential",
    "CoreInput",
    "Prediction",
    "check_members",
    "core_input",
    "mean_and_spread",
    "quantities_of",
]

"""From a graph to a prediction: the network, its heads and their derivatives."""

from painn_ase.potential.ensemble import check_members, mean_and_spread
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.potential.prediction import Prediction

__all__ = ["AtomisticPotential", "Prediction", "check_members", "mean_and_spread"]

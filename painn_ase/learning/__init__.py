"""From a molecule to a model of it: sample, label, train, judge, until it is good enough."""

from painn_ase.learning.loop import learn
from painn_ase.learning.records import LearnConfig, Learnt, Round

__all__ = ["LearnConfig", "Learnt", "Round", "learn"]

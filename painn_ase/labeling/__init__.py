"""Labels for training: energy, forces, dipole and polarizability of frames from other programs."""

from painn_ase.labeling.as_calculator import EngineCalculator, engine_calculator
from painn_ase.labeling.calculators import CalculatorEngine, TBLiteEngine
from painn_ase.labeling.engines import make_engine
from painn_ase.labeling.label_file import LabelFile
from painn_ase.labeling.labels import Engine, Labels
from painn_ase.labeling.pyscf_engine import PySCFEngine
from painn_ase.labeling.run import LabelReport, label_frames

__all__ = [
    "CalculatorEngine",
    "Engine",
    "EngineCalculator",
    "LabelFile",
    "LabelReport",
    "Labels",
    "PySCFEngine",
    "TBLiteEngine",
    "engine_calculator",
    "label_frames",
    "make_engine",
]

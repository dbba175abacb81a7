"""Training: from labelled frames to a model file. Stands at the edge; only the CLI imports it.

Reading, checking and splitting data need nothing beyond the core; :func:`train` needs the extra
``train`` (Lightning) and imports it when called.
"""

from painn_ase.training.checks import check_frames, label_table
from painn_ase.training.config import TrainConfig, read_config
from painn_ase.training.file_spec import KeysSpec, UnitsSpec
from painn_ase.training.frames import LabeledFrame
from painn_ase.training.readers import read_frames
from painn_ase.training.run import report_errors, train

__all__ = [
    "KeysSpec",
    "LabeledFrame",
    "TrainConfig",
    "UnitsSpec",
    "check_frames",
    "label_table",
    "read_config",
    "read_frames",
    "report_errors",
    "train",
]

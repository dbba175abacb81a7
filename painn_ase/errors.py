"""The package's exceptions.

Every error of ours derives from :class:`PaiNNError` and, where Python or ASE has a fitting class,
from that one too, so that existing ``except`` clauses keep working. A message names what was
given, what is allowed, and the remedy.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "DataError",
    "DeviceError",
    "GeometryError",
    "LabelingError",
    "MissingDependencyError",
    "ModelFileError",
    "NonFiniteError",
    "PaiNNError",
    "PaiNNWarning",
    "SpecError",
    "TrajectoryError",
    "UnitError",
    "UnknownElementError",
    "UnstableRunError",
    "UnsupportedPropertyError",
]


class PaiNNError(Exception):
    """Base class of every error raised on purpose by this package."""


class GeometryError(PaiNNError, ValueError):
    """A structure that has no meaning: NaN positions, coincident atoms, a periodic direction
    without a cell vector, no atoms at all.
    """


class UnknownElementError(PaiNNError, ValueError):
    """A structure holds an element the model was not trained on."""


class UnsupportedPropertyError(PaiNNError, NotImplementedError):
    """A property was asked for that this model, or this structure, cannot have."""


class SpecError(PaiNNError, ValueError):
    """A model description that is incomplete, contradictory or has unknown keys."""


class ModelFileError(PaiNNError, ValueError):
    """A model file that is truncated, foreign, from a newer schema, or refused for safety."""


class DeviceError(PaiNNError, ValueError):
    """A device or dtype that does not exist here."""


class BackendError(PaiNNError, RuntimeError):
    """A fast path that disagrees with the plain evaluation; its results are not handed out."""


class NonFiniteError(PaiNNError, ArithmeticError):
    """A result came out NaN or infinite."""


class DataError(PaiNNError, ValueError):
    """Training data or a time series that cannot be used as it is."""


class LabelingError(DataError):
    """A frame that an engine could not label; it is listed, and the others go on."""


class TrajectoryError(PaiNNError, OSError):
    """A trajectory file that cannot be read, written or continued."""


class UnitError(PaiNNError, ValueError):
    """A unit that is not known, or is the unit of another quantity."""


class MissingDependencyError(PaiNNError, ImportError):
    """An optional package is not installed; the message says how to install it."""


class PaiNNWarning(UserWarning):
    """Advice about a result that is given but should be read with care."""


class UnstableRunError(PaiNNError, RuntimeError):
    """A simulation that exploded or whose energy drifted away; its last good state is saved."""

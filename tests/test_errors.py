"""Errors: one family, each also of the class that Python or ASE has for it."""

from __future__ import annotations

import inspect
import pickle

import pytest
from ase.calculators.calculator import PropertyNotImplementedError

from painn_ase import errors
from painn_ase.calculator import PropertyUnavailableError
from painn_ase.quantities import QUANTITIES

CLASSES = [getattr(errors, name) for name in errors.__all__]
ERRORS = [c for c in CLASSES if not issubclass(c, Warning)]


@pytest.mark.parametrize("cls", ERRORS)
def test_every_error_is_of_the_family_and_documented(cls: type) -> None:
    assert issubclass(cls, errors.PaiNNError)
    assert inspect.getdoc(cls)


def test_all_public_classes_are_listed() -> None:
    defined = {
        n for n, c in vars(errors).items() if inspect.isclass(c) and c.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize(
    ("ours", "pythons"),
    [
        (errors.GeometryError, ValueError),
        (errors.UnknownElementError, ValueError),
        (errors.ModelFileError, ValueError),
        (errors.SpecError, ValueError),
        (errors.DeviceError, ValueError),
        (errors.DataError, ValueError),
        (errors.NonFiniteError, ArithmeticError),
        (errors.TrajectoryError, OSError),
        (errors.MissingDependencyError, ImportError),
        (errors.UnsupportedPropertyError, NotImplementedError),
        (PropertyUnavailableError, PropertyNotImplementedError),
        (errors.PaiNNWarning, UserWarning),
    ],
)
def test_existing_except_clauses_keep_working(ours: type, pythons: type) -> None:
    assert issubclass(ours, pythons)


@pytest.mark.parametrize("cls", [*ERRORS, PropertyUnavailableError])
def test_an_error_travels_between_processes(cls: type) -> None:
    back = pickle.loads(pickle.dumps(cls("what, allowed, remedy")))
    assert type(back) is cls
    assert str(back) == "what, allowed, remedy"


def test_the_table_of_quantities_is_consistent() -> None:
    from ase.outputs import all_outputs

    for name, quantity in QUANTITIES.items():
        assert quantity.name == name
        assert quantity.per_atom == (bool(quantity.shape) and quantity.shape[0] == "n_atoms")
        assert quantity.ase == (name in all_outputs), name
        if name != "stress":  # ASE has it as six numbers
            assert quantity.shape.count(3) == quantity.rank, name

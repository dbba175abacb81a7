"""What files say of the calculator of a run."""

from __future__ import annotations

import json
from typing import Any

from painn_ase.driven import DrivenCalculator
from painn_ase.md.identity import describe_identity
from painn_ase.spec import to_dict

__all__ = ["describe_calculator"]


def describe_calculator(calculator: Any) -> dict[str, Any]:
    """What a trajectory says of the calculator: its class and, of a model, the header."""
    record: dict[str, Any] = {"class": type(calculator).__name__}
    if isinstance(calculator, DrivenCalculator):
        record["driver"] = describe_identity(calculator)
        calculator = calculator.response
    potential = getattr(calculator, "potential", None)
    if potential is not None and hasattr(potential, "spec"):
        record["model"] = to_dict(potential.spec)
        record["dtype"] = str(getattr(calculator, "dtype", ""))
        record["device"] = str(getattr(calculator, "device", ""))
    elif getattr(calculator, "parameters", None):
        record["parameters"] = json.loads(json.dumps(dict(calculator.parameters), default=_plain))
    return record


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)

"""Who a run is: the system and the model behind it, compared by name when it goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from painn_ase.driven import DrivenCalculator
from painn_ase.errors import GeometryError, TrajectoryError
from painn_ase.graph import stated_charge
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import to_dict
from painn_ase.trajectory import constraint_records

__all__ = ["RunIdentity", "charge_of_run", "describe_identity", "fingerprint", "model_digests"]


@dataclass(frozen=True)
class RunIdentity:
    """All that makes a run this run and no other, beside its settings.

    Attributes
    ----------
    system : dict
        JSON-ready: atoms, masses, pbc, cell, charge and constraints.
    model : dict
        JSON-ready: what drives and what responds.
    """

    system: dict[str, Any]
    model: dict[str, Any]

    @classmethod
    def of(cls, atoms: Atoms, response: Any, *, changing_cell: bool = False) -> RunIdentity:
        """The identity of a run of `atoms` with their calculator and `response`.

        Parameters
        ----------
        atoms : ase.Atoms
            With calculator, and with the constraints that the user put on them.
        response : Calculator
            Source of dipoles and polarizabilities; may be the driving one.
        changing_cell : bool
            Leave out the cell, which the run itself changes.

        Raises
        ------
        GeometryError
            For a constraint that no file could hold, or calculators with different charges.
        """
        system = {
            "atoms": atoms.numbers.tolist(),
            "masses": atoms.get_masses().tolist(),
            "pbc": [bool(p) for p in atoms.pbc],
            "cell": None if changing_cell else np.asarray(atoms.cell[:]).tolist(),
            "charge": charge_of_run(atoms, response),
            "constraints": constraint_records(atoms),
        }
        model = {
            "model": describe_identity(atoms.calc),
            "response model": describe_identity(response),
        }
        return cls(system, model)

    def check(self, saved: Mapping[str, Any], where: Path | None) -> None:
        """Refuse to go on with a run of another identity.

        Parameters
        ----------
        saved : mapping
            Header of a restart file; of what files of version 0.1.0 do not say, nothing is checked.
        where : Path
            The file, for the message.

        Raises
        ------
        TrajectoryError
            Names all that differs.
        """
        before = dict(saved.get("identity", {}))
        if not before:
            before = {name: saved[name] for name in ("masses", "pbc") if name in saved}
        differing = []
        for name, now in {**self.system, **self.model}.items():
            if name in before and not _equal(name, before[name], now):
                differing.append(f"{name} ({_short(before[name])}; now {_short(now)})")
        if differing:
            raise TrajectoryError(
                f"{where} belongs to a run with other {', '.join(differing)}. Restart with the "
                "same structure and model, or begin a new run."
            )

    @property
    def weights(self) -> str | None:
        """SHA-256 of the driving model's weights; None of other calculators."""
        weights: str | None = self.model["model"].get("weights")
        return weights

    def header(self) -> dict[str, Any]:
        """What the restart file keeps."""
        return {**self.system, **self.model}


def charge_of_run(atoms: Atoms, response: Any) -> float | None:
    """The total charge that calculators see, else what the structure says; None if nothing does.

    Raises
    ------
    GeometryError
        Driving calculator and response have different ones.
    """
    calculators = (getattr(c, "response", c) for c in (atoms.calc, response))
    known = [c.total_charge(atoms) for c in calculators if hasattr(c, "total_charge")]
    if not known:
        return stated_charge(atoms)
    if known[0] != known[-1]:
        raise GeometryError(
            f"the calculator that drives takes a total charge of {known[0]:g} e, the response one "
            f'of {known[-1]:g} e. Give both the same, or say it once in atoms.info["charge"].'
        )
    return float(known[0])


def fingerprint(potentials: Sequence[AtomisticPotential]) -> str:
    """SHA-256 of the weights: the same model, or committee, wherever its files lie."""
    digest = hashlib.sha256()
    for potential in potentials:
        for name, weights in sorted(potential.state_dict().items()):
            digest.update(name.encode() + weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def model_digests(potentials: Sequence[AtomisticPotential]) -> dict[str, str]:
    """SHA-256 of the weights and of the headers but for their provenance."""
    specs = [to_dict(potential.spec) for potential in potentials]
    built = [{k: v for k, v in spec.items() if k != "provenance"} for spec in specs]
    spec_digest = hashlib.sha256(json.dumps(built, sort_keys=True).encode()).hexdigest()
    return {"weights": fingerprint(potentials), "description": spec_digest}


def describe_identity(calculator: Any) -> dict[str, Any]:
    """A calculator as far as it can be told from others: weights, or class and plain parameters."""
    if isinstance(calculator, DrivenCalculator):
        responds = calculator.response or calculator.driver
        record = {"driver": calculator.name_of_driver, **describe_identity(calculator.driver)}
        record["response"] = describe_identity(responds)
        return {**record, "weights": record["response"].get("weights")}
    potentials = getattr(calculator, "potentials", None)
    if potentials is not None and all(isinstance(p, AtomisticPotential) for p in potentials):
        return model_digests(potentials)
    parameters = getattr(calculator, "parameters", None) or {}
    return {
        "class": type(calculator).__name__,
        "parameters": {str(k): v for k, v in dict(parameters).items() if _is_plain(v)},
    }


def _is_plain(value: Any) -> bool:
    """Whether a value comes back from JSON as it went in; objects print their address."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _equal(name: str, before: Any, now: Any) -> bool:
    now = json.loads(json.dumps(now))
    if name == "constraints":
        before, now = _rounded(before), _rounded(now)
    return bool(before == now)


def _rounded(value: Any) -> Any:
    """Numbers to 1e-6: lengths of bonds taken from a structure differ in their last bits, and a
    restart goes on with the saved ones.
    """
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return {k: _rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def _short(value: Any) -> str:
    text = "none" if value in (None, []) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

"""What ``painn-ase md`` starts from: the words of the user, or those and a restart file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from painn_ase.cli.drivers import parties, require_named_driver
from painn_ase.errors import ModelFileError, SpecError, TrajectoryError

if TYPE_CHECKING:
    from ase import Atoms

    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.md import MDConfig, SavedRun

__all__ = [
    "Start",
    "Typed",
    "begin",
    "build_calculator",
    "check_named_again",
    "command_record",
    "contradiction",
    "model_record",
    "resume",
    "saved_calculator",
]

#: Options that are settings of the same name.
_SETTINGS = (
    "steps", "ensemble", "timestep", "temperature", "friction", "time_constant", "pressure",
    "seed", "log_every", "save_every",
)  # fmt: skip
#: Options that only some ensembles have.
_OF_ENSEMBLES = {
    "friction": ("langevin", "baoab", "npt"),
    "time_constant": ("bussi", "nose-hoover"),
    "pressure": ("npt",),
}


@dataclass(frozen=True)
class Typed:
    """What the user gave on the command line.

    Attributes
    ----------
    model, structure, device : str or None
    charge : float or None
    backend : str
        "auto" where nothing was given.
    config : dict
        Contents of the TOML file; empty without one.
    options : dict
        Options that were really typed, by their Python names.
    driver, response : str or None
        Another calculator, and the model beside it.
    """

    model: str | None
    structure: str | None
    device: str | None
    charge: float | None
    backend: str
    config: dict[str, Any]
    options: dict[str, Any]
    driver: str | None = None
    response: str | None = None


@dataclass(frozen=True)
class Start:
    """A run that can go off.

    Attributes
    ----------
    atoms : ase.Atoms
        With the calculator.
    config : MDConfig
    record : dict
        What a restart needs besides: model, charge, device, backend.
    going_on : bool
        Whether a restart file is behind it.
    response : PaiNNCalculator or None
        Gives dipoles beside a driver.
    """

    atoms: Atoms
    config: MDConfig
    record: dict[str, Any]
    going_on: bool
    response: PaiNNCalculator | None = None


def begin(model: str, structure: str | None, typed: Typed, defaults: Mapping[str, Any]) -> Start:
    """A new run, of the TOML file if there is one, with options that were typed before all.

    Parameters
    ----------
    model, structure : str
        Names as the user gave them.
    typed : Typed
        The rest.
    defaults : mapping
        Values of all settings and strides, typed or not.

    Raises
    ------
    SpecError
        For settings that cannot be.
    """
    from painn_ase.cli.structures import read_structure
    from painn_ase.md import MDConfig

    who = parties("md", model, structure, typed.driver, typed.response)
    ours = None
    if who.model is not None:
        ours = build_calculator(who.model, typed.device, typed.charge, typed.backend)
    given = typed.options if typed.config else defaults
    values = _merged(typed.config, _settings(given, ours))
    config = MDConfig.from_dict(values)
    for name, ensembles in _OF_ENSEMBLES.items():
        if name in typed.options and config.ensemble not in ensembles:
            raise SpecError(
                f"--{name.replace('_', '-')} does nothing in the ensemble {config.ensemble!r}: it "
                f"is of {', '.join(ensembles)}."
            )
    atoms = read_structure(who.structure)
    record = {"charge": typed.charge, "device": typed.device, "backend": typed.backend}
    if who.model is not None and ours is not None:
        record = command_record(who.model, ours, typed)
    if who.driver is None:
        atoms.calc = ours
        return Start(atoms, config, record, going_on=False)
    atoms.calc = who.driving()
    return Start(atoms, config, {**record, "driver": who.driver}, going_on=False, response=ours)


def command_record(model: str, calculator: PaiNNCalculator, typed: Typed) -> dict[str, Any]:
    """What a restart needs besides structure and settings."""
    return {
        **model_record(model, calculator),
        "charge": typed.charge,
        "device": typed.device,
        "backend": typed.backend,
    }


def resume(saved: SavedRun, typed: Typed, state: Path) -> Start:
    """The run of a restart file, with more steps if the user wants them.

    Raises
    ------
    TrajectoryError
        When something the user typed contradicts the run, or the file does not say which model.
    """
    from painn_ase.factories import make_calculator
    from painn_ase.md import MDConfig

    record = dict(saved.provenance.get("command", {}))
    driver = record.get("driver")
    if typed.driver is not None and typed.driver != driver:
        raise contradiction(state, "--driver", driver, typed.driver)
    require_named_driver(typed.driver, driver, state)
    typed = _positional(typed, driver)
    calculator = None
    if driver is None or "model" in record:
        calculator = saved_calculator(record, typed, state, saved.atoms.info.get("charge"))
    before = saved.config.to_dict()
    wanted = _merged(typed.config, _settings(typed.options, calculator))
    for name, was, now in _contradictions(before, wanted):
        raise contradiction(state, name, was, now)
    atoms = saved.atoms
    check_named_again(typed, wanted.get("steps"), saved.step, atoms, state)
    config = MDConfig.from_dict(_merged(before, wanted))
    if calculator is not None:
        record |= model_record(typed.model, calculator)
    if driver is None:
        atoms.calc = calculator
        return Start(atoms, config, record, going_on=True)
    atoms.calc = make_calculator(driver)
    return Start(atoms, config, record, going_on=True, response=calculator)


def _positional(typed: Typed, driver: str | None) -> Typed:
    """Names that were typed again, where a driver makes a single one the structure."""
    if driver is None or typed.model is None:
        return typed
    who = parties("md", typed.model, typed.structure, driver, typed.response)
    return replace(typed, model=who.model, structure=who.structure)


def model_record(model: str | None, calculator: PaiNNCalculator) -> dict[str, Any]:
    """Where a model that was named now lies, for the next restart; nothing if none was."""
    from painn_ase.md import fingerprint

    if model is None:
        return {}
    return {"model": _lasting_name(model), "weights": fingerprint(calculator.potentials)}


def check_named_again(
    typed: Typed, steps: int | None, done: int, atoms: Atoms, state: Path
) -> None:
    """Total number of steps and structure, where a restart names them, must fit the run.

    Raises
    ------
    TrajectoryError
        Says what was and what is.
    """
    from painn_ase.cli.structures import read_structure

    if steps is not None and steps < done:
        raise TrajectoryError(
            f"--steps {steps} is the total, and the run of {state} has done {done} already. Give "
            "a larger number."
        )
    if typed.structure is not None:
        _check_named(read_structure(typed.structure), atoms, state)


def _check_named(named: Atoms, atoms: Atoms, state: Path) -> None:
    """What a structure that was named again says must be what the run has."""
    from painn_ase.graph import stated_charge
    from painn_ase.trajectory import constraint_records

    if named.numbers.tolist() != atoms.numbers.tolist():
        raise contradiction(state, "structure", atoms.symbols, named.symbols)
    charge, was = stated_charge(named), atoms.info.get("charge")
    if charge is not None and charge != was:
        raise contradiction(state, "the structure's charge", was, charge)
    if named.has("masses") and (named.get_masses() != atoms.get_masses()).any():
        before, now = (a.get_masses().tolist() for a in (atoms, named))
        raise contradiction(state, "the structure's masses", before, now)
    before, now = ([r["name"] for r in constraint_records(a)] for a in (atoms, named))
    if now and now != before:
        raise contradiction(state, "the structure's constraints", before, now)


def saved_calculator(
    record: dict[str, Any], typed: Typed, state: Path, charge_before: float | None
) -> PaiNNCalculator:
    """The calculator of the run in `record`; device and backend may be others than before."""
    from painn_ase.md import fingerprint

    model = typed.model or record.get("model")
    if model is None:
        raise TrajectoryError(
            f"{state} does not say which model it ran: name it after the command."
        )
    charge = typed.charge if "charge" in typed.options else record.get("charge")
    # What the run was evaluated with, whoever said so: option, structure or model.
    was = record.get("charge") if charge_before is None else charge_before
    if record and "charge" in typed.options and charge != was:
        raise contradiction(state, "--charge", was, charge)
    device = typed.device if "device" in typed.options else record.get("device")
    backend = typed.backend if "backend" in typed.options else record.get("backend", typed.backend)
    try:
        calculator = build_calculator(model, device, charge, backend)
    except ModelFileError as error:
        if typed.model is not None:
            raise
        raise ModelFileError(
            f"the run of {state} goes on with {model}, which cannot be loaded: {error} If it was "
            "moved, name it: `painn-ase md MODEL --restart …`."
        ) from error
    if record.get("weights", weights := fingerprint(calculator.potentials)) != weights:
        raise TrajectoryError(
            f"{model} has other weights than the model of the run in {state} ({record['model']}). "
            "Name the same model, or begin a new run with another --output."
        )
    return calculator


def build_calculator(
    model: str, device: str | None, charge: float | None, backend: str
) -> PaiNNCalculator:
    """The calculator that these words mean."""
    from painn_ase.calculator import PaiNNCalculator

    return PaiNNCalculator(model, device=device, charge=charge, backend=backend)


def _lasting_name(model: str) -> str:
    """The name by which a later command finds the model, whatever folder it runs in."""
    path = Path(model)
    return str(path.resolve()) if path.exists() else model


def _settings(options: Mapping[str, Any], calculator: PaiNNCalculator | None) -> dict[str, Any]:
    """The settings that options stand for."""
    values: dict[str, Any] = {name: options[name] for name in _SETTINGS if name in options}
    strides: dict[str, int] = {}
    if "stride" in options:
        every = options["stride"]
        strides |= {"positions": every, "velocities": every, "energies": every or 10}
    strides |= {name: options[name] for name in ("dipole", "polarizability") if name in options}
    if "flux" in options:
        if calculator is None and options["flux"]:
            raise SpecError("--flux needs a model with a dipole: add --response MODEL.")
        known = () if calculator is None else calculator.potential.properties
        fluxes = [n for n in ("dipole_flux", "polarizability_flux") if n in known]
        strides |= dict.fromkeys(fluxes, options["flux"])
    if strides:
        values["record"] = strides
    return values


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the entries of `above` laid over it, tables within tables."""
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        merged[name] = _merged(inner, value) if both else value  # type: ignore[arg-type]
    return merged


def _contradictions(
    before: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Settings that are wanted otherwise than they were, and may not change."""
    from painn_ase.md.config import CHANGEABLE

    for name, value in wanted.items():
        was = before.get(name)
        if name == "record" and isinstance(value, Mapping):
            for key, stride in value.items():
                if was is not None and was.get(key) != stride:
                    yield f"record.{key}", was.get(key), stride
        elif name not in before:
            raise SpecError(f"there is no setting {name!r}; known are {', '.join(before)}.")
        elif name not in CHANGEABLE and was != value:
            yield f"--{name.replace('_', '-')}" if name in _SETTINGS else name, was, value


def contradiction(state: Path, name: str, was: Any, now: Any) -> TrajectoryError:
    """What was typed is not what the run has."""
    return TrajectoryError(
        f"{name} was {was} in the run of {state}, now it is {now}. Leave it out to go on as "
        "before, or begin a new run with another --output."
    )

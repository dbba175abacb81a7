"""Typed records from plain JSON and back; what does not fit is a SpecError that names the place."""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from painn_ase.errors import SpecError

__all__ = ["check_types", "from_dict", "require", "to_dict"]


def to_dict(spec: Any) -> dict[str, Any]:
    """Plain JSON-ready dictionary of a spec record."""
    return dataclasses.asdict(spec)


def from_dict(cls: type[Any], data: Mapping[str, Any], where: str = "") -> Any:
    """Spec record of type `cls` from a plain dictionary.

    Raises
    ------
    SpecError
        For unknown or missing keys and for values of the wrong type; names the key's full path.

    Notes
    -----
    Where `cls` stands for several kinds of record, in a table ``KINDS`` of its own, the key
    ``kind`` says which.
    """
    where = where or cls.__name__
    if not isinstance(data, Mapping):
        raise SpecError(f"{where}: expected an object with keys, got {type(data).__name__}.")
    if kinds := vars(cls).get("KINDS"):
        cls = _kind_of(data, kinds, where)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if unknown := sorted(set(data) - set(fields)):
        raise SpecError(
            f"{where}: unknown key(s) {', '.join(map(repr, unknown))}; allowed are "
            f"{', '.join(fields)}. Correct the spelling or use the painn_ase that wrote this."
        )
    hints = typing.get_type_hints(cls)
    missing = [
        n
        for n, f in fields.items()
        if n not in data
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise SpecError(f"{where}: missing key(s) {', '.join(missing)}.")
    return cls(**{k: _convert(hints[k], v, f"{where}.{k}") for k, v in data.items()})


def _kind_of(data: Mapping[str, Any], kinds: Mapping[str, type[Any]], where: str) -> type[Any]:
    """The class that the key ``kind`` of `data` names."""
    kind, known = data.get("kind"), ", ".join(map(repr, kinds))
    if kind is None:
        raise SpecError(f"{where}: missing key 'kind', one of {known}.")
    if not isinstance(kind, str) or kind not in kinds:
        raise SpecError(
            f"{where}.kind: {kind!r} is not one of {known}. Correct the spelling or use the "
            "painn_ase that wrote this."
        )
    return kinds[kind]


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint`, or a SpecError that names the place."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (inner,) = (a for a in args if a is not type(None))
        return _convert(inner, value, where)
    if origin is Literal:
        if value not in args:
            raise SpecError(f"{where}: {value!r} is not one of {', '.join(map(repr, args))}.")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(args[0], v, f"{where}[{n}]") for n, v in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_dict(hint, value, where)
    if hint in (int, float) and type(value) is bool:
        raise SpecError(f"{where}: {value!r} is not of type {hint.__name__}.")
    if hint is float and isinstance(value, numbers.Real):
        return _finite(value, where)
    if hint is int and isinstance(value, numbers.Integral):
        return int(value)
    if hint in (str, bool) and type(value) is hint:
        return value
    raise SpecError(f"{where}: {value!r} is not of type {getattr(hint, '__name__', hint)}.")


def _finite(value: numbers.Real, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise SpecError(f"{where}: {value} is not a finite number.")
    return number


def check_types(record: Any) -> None:
    """Give every field of a spec record its declared type, or raise a SpecError that names it."""
    hints = typing.get_type_hints(type(record))
    for field_ in dataclasses.fields(record):
        where = f"{type(record).__name__}.{field_.name}"
        value = _convert(hints[field_.name], getattr(record, field_.name), where)
        object.__setattr__(record, field_.name, value)


def require(condition: bool, rule: str, given: object) -> None:
    """Raise a SpecError that states `rule` unless `condition` holds."""
    if not condition:
        raise SpecError(f"{rule}; got {given!r}.")

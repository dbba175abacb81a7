"""A reader of other programs' pickles that runs no code: it rebuilds inert records.

A pickle is a small program, and Python's own reader runs it: it imports what the file names and
calls what the file says. Here a machine of our own goes through the instructions instead. It knows
the few that :func:`torch.save` writes, imports nothing, calls nothing the file names, and leaves
records: an object is its class's name and its state, a function is its name. Everything else is
refused, by name. Where the bytes come from is :mod:`painn_ase.models.schnetpack.torch_archive`.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch

from painn_ase.errors import ModelFileError
from painn_ase.models.schnetpack.foreign_records import (
    ForeignName,
    ForeignObject,
    ForeignTensor,
    describe,
)

__all__ = ["StorageSource", "rebuild_pickle"]

#: What to do about a file that asks for more than a model needs.
_REMEDY = (
    "If you trust its origin, open it with the program that wrote it and save the plain model "
    "again (without custom classes); if you do not, delete it."
)

_MAX_PICKLE_BYTES = 8 << 20
_MAX_DIMENSIONS = 8

_STORAGE_DTYPES: dict[str, torch.dtype] = {
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_DTYPE_NAMES = frozenset(
    f"torch.{name}"
    for name in (
        *("float16", "bfloat16", "float32", "float64", "bool", "uint8"),
        *("int8", "int16", "int32", "int64"),
    )
)
#: Modules whose classes may appear as records.
_RECORD_MODULES = ("schnetpack", "torch.nn.modules")
#: Modules whose functions may be referred to (activations, initialisers); they are never called.
_REFERENCE_MODULES = ("torch.nn.functional", "torch.nn.init", "torch._C._nn")


class StorageSource(Protocol):
    """Where the bytes of tensors come from."""

    def read_storage(self, key: str, n_bytes: int) -> bytes:
        """The bytes under `key`, or a ModelFileError if there are not exactly `n_bytes`."""


def rebuild_pickle(data: bytes, source: StorageSource) -> object:
    """The object that a pickle describes, as inert records; nothing it names is run.

    Parameters
    ----------
    data : bytes
        The pickle.
    source : StorageSource
        Where the numbers of its tensors lie.

    Returns
    -------
    object
        Numbers, strings, lists, tuples, dicts, sets and the records of this module.

    Raises
    ------
    ModelFileError
        For anything that is not a plain record of modules and tensors; names what it was.
    """
    if len(data) > _MAX_PICKLE_BYTES:
        raise ModelFileError(
            f"its description is {len(data)} bytes long; a model's has at most "
            f"{_MAX_PICKLE_BYTES}. This is not a model file."
        )
    machine = _Machine(source)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
    except ModelFileError:
        raise
    except Exception as error:  # genops and malformed operands fail in many ways; all mean: damaged
        raise ModelFileError(
            f"its description is damaged ({type(error).__name__}: {str(error)[:120]}). "
            "Get an undamaged copy of the file."
        ) from error
    return machine.result()


class _PlainDict(dict[object, object]):
    """An OrderedDict of a file; its further attributes (``_metadata``) are dropped."""

    __slots__ = ()


class _Machine:
    """A stack machine for the instructions :func:`torch.save` writes (pickle protocols 2 to 5)."""

    def __init__(self, source: StorageSource) -> None:
        self._source = source
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}
        self._stopped = False

    def step(self, name: str, argument: object) -> None:
        """Carry out one instruction."""
        if name in _CONSTANTS:
            self._push(_CONSTANTS[name])
        elif name in _LITERALS:
            self._push_literal(argument)
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise ModelFileError(
                f"its description holds the instruction {name}, which torch.save never writes. "
                f"Nothing from the file was executed. {_REMEDY}"
            )

    def result(self) -> object:
        """The object left at the end."""
        if not self._stopped or len(self._stack) != 1 or self._marks:
            raise _damaged("it does not end where it should")
        return self._stack[0]

    # -- stack -----------------------------------------------------------------------------------

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _push_literal(self, value: object) -> None:
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise _damaged("it holds an integer of more than 64 bits")
        self._push(value)

    def _pop(self) -> object:
        floor = self._marks[-1] if self._marks else 0
        if len(self._stack) <= floor:
            raise _damaged("an operand is missing")
        return self._stack.pop()

    def _top(self) -> object:
        value = self._pop()
        self._push(value)
        return value

    def _pop_to_mark(self) -> list[object]:
        if not self._marks:
            raise _damaged("a mark is missing")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _put(self, argument: object) -> None:
        self._memo[int(str(argument))] = self._top()

    def _memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._top()

    def _get(self, argument: object) -> None:
        index = int(str(argument))
        if index not in self._memo:
            raise _damaged("it refers to an object before describing it")
        self._push(self._memo[index])

    def _stop(self, _: object) -> None:
        self._stopped = True

    # -- containers ------------------------------------------------------------------------------

    def _tuple_of(self, n: int) -> None:
        items = [self._pop() for _ in range(n)]
        self._push(tuple(reversed(items)))

    def _append(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise _damaged(f"it appends to {describe(target)}")
        target.extend(items)

    def _append_one(self, _: object) -> None:
        item = self._pop()
        self._append([item])

    def _set_items(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise _damaged(f"it sets items of {describe(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only keys whose hash is cheap: a nest of tuples can take forever to hash.
            if not isinstance(key, str | int | ForeignName):
                raise _damaged(f"it uses {describe(key)} as a key")
            target[key] = value

    def _set_one_item(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _add_items(self, _: object) -> None:
        items = self._pop_to_mark()
        target = self._top()
        if not isinstance(target, set):
            raise _damaged(f"it adds to {describe(target)}")
        target.update(_set_of_strings(items))

    # -- names and objects -----------------------------------------------------------------------

    def _global(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self._push(_checked_name(module, name))

    def _stack_global(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise _damaged("a name is not a string")
        self._push(_checked_name(module, name))

    def _new_object(self, _: object) -> None:
        arguments, kind = self._pop(), self._pop()
        if not isinstance(kind, ForeignName) or not _is_inside(kind.module, _RECORD_MODULES):
            raise _refused_call(kind)
        if arguments != ():
            raise _damaged(f"it gives {kind} arguments, which torch.save does not")
        self._push(ForeignObject(str(kind)))

    def _build(self, _: object) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, _PlainDict):
            return
        if not isinstance(target, ForeignObject):
            raise ModelFileError(
                f"its description sets attributes of {describe(target)}, which has none. "
                f"Nothing from the file was executed. {_REMEDY}"
            )
        if target.state is not None or not isinstance(state, dict):
            raise _damaged(f"the state of {describe(target)} is {describe(state)}")
        if not all(isinstance(key, str) for key in state):
            raise _damaged(f"the state of {describe(target)} has a key that is no string")
        target.state = state

    def _reduce(self, _: object) -> None:
        arguments, function = self._pop(), self._pop()
        call = _CALLS.get(str(function)) if isinstance(function, ForeignName) else None
        if call is None:
            raise _refused_call(function)
        if not isinstance(arguments, tuple):
            raise _damaged(f"the arguments of {describe(function)} are {describe(arguments)}")
        self._push(call(arguments))

    def _persistent_id(self, _: object) -> None:
        reference = self._pop()
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise _damaged("it refers to something outside that is no storage of numbers")
        _, kind, key, _, n_elements = reference[:5]
        dtype = _STORAGE_DTYPES.get(str(kind)) if isinstance(kind, ForeignName) else None
        if dtype is None:
            raise _damaged(f"a storage is of the kind {describe(kind)}")
        if not isinstance(key, str) or any(extra is not None for extra in reference[5:]):
            raise _damaged("a storage has no proper key")
        if type(n_elements) is not int or n_elements < 0:
            raise _damaged(f"a storage has {describe(n_elements)} elements")
        n_bytes = n_elements * dtype.itemsize
        self._push(_Storage(self._source.read_storage(key, n_bytes), dtype, n_elements))


@dataclass(frozen=True, eq=False)
class _Storage:
    """Bytes of one storage and how to read them."""

    data: bytes = field(repr=False)
    dtype: torch.dtype
    n_elements: int


_CONSTANTS: Mapping[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    )
)
_STEPS: Mapping[str, Callable[[_Machine, object], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": _Machine._stop,
    "MARK": lambda machine, _: machine._marks.append(len(machine._stack)),
    "EMPTY_TUPLE": lambda machine, _: machine._push(()),
    "EMPTY_LIST": lambda machine, _: machine._push([]),
    "EMPTY_DICT": lambda machine, _: machine._push({}),
    "EMPTY_SET": lambda machine, _: machine._push(set()),
    "TUPLE": lambda machine, _: machine._push(tuple(machine._pop_to_mark())),
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "APPEND": _Machine._append_one,
    "APPENDS": lambda machine, _: machine._append(machine._pop_to_mark()),
    "SETITEM": _Machine._set_one_item,
    "SETITEMS": lambda machine, _: machine._set_items(machine._pop_to_mark()),
    "ADDITEMS": _Machine._add_items,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "NEWOBJ": _Machine._new_object,
    "BUILD": _Machine._build,
    "REDUCE": _Machine._reduce,
    "BINPERSID": _Machine._persistent_id,
}


def _checked_name(module: str, name: str) -> ForeignName:
    """The name, if a model may refer to it."""
    module = {"__builtin__": "builtins"}.get(module, module)
    full = f"{module}.{name}"
    known = (
        full in _CALLS
        or full in _STORAGE_DTYPES
        or full in _DTYPE_NAMES
        or _is_inside(module, (*_RECORD_MODULES, *_REFERENCE_MODULES))
    )
    if not known or not name.isidentifier():
        raise _refused_call(ForeignName(module[:80], name[:80]))
    return ForeignName(module, name)


def _is_inside(module: str, packages: tuple[str, ...]) -> bool:
    """Whether `module` is one of `packages` or below one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def _rebuild_tensor(arguments: tuple[object, ...]) -> ForeignTensor:
    """``torch._utils._rebuild_tensor_v2``: a view of a storage."""
    if not 6 <= len(arguments) <= 7 or (len(arguments) == 7 and arguments[6]):
        raise _damaged("a tensor is described in an unknown way")
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, _Storage):
        raise _damaged(f"a tensor's numbers are {describe(storage)}")
    if type(offset) is not int or offset < 0:
        raise _damaged(f"a tensor begins at {describe(offset)}")
    return _checked_view(storage, offset, _counts(shape), _counts(strides))


def _checked_view(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> ForeignTensor:
    """A view that lies inside its storage and repeats none of it."""
    if len(shape) != len(strides) or len(shape) > _MAX_DIMENSIONS:
        raise _damaged(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if size > storage.n_elements or (size > 0 and last >= storage.n_elements):
        raise ModelFileError(
            f"a tensor claims shape {shape} in a storage of {storage.n_elements} numbers. The file "
            "is damaged or was tampered with; get an undamaged copy."
        )
    return ForeignTensor(storage.data, storage.dtype, offset, shape, strides)


def _rebuild_parameter(arguments: tuple[object, ...]) -> ForeignTensor:
    """``torch._utils._rebuild_parameter``: a tensor that was trainable."""
    if len(arguments) != 3 or not isinstance(arguments[0], ForeignTensor):
        raise _damaged("a parameter is described in an unknown way")
    return arguments[0]


def _ordered_dict(arguments: tuple[object, ...]) -> _PlainDict:
    """``collections.OrderedDict()``; its items follow as further instructions."""
    if arguments:
        raise _damaged("an OrderedDict is described in an unknown way")
    return _PlainDict()


def _set(arguments: tuple[object, ...]) -> set[str]:
    """``set([...])`` of strings."""
    if len(arguments) != 1 or not isinstance(arguments[0], list):
        raise _damaged("a set is described in an unknown way")
    return _set_of_strings(arguments[0])


def _size(arguments: tuple[object, ...]) -> tuple[int, ...]:
    """``torch.Size((...))`` as a plain tuple."""
    if len(arguments) != 1:
        raise _damaged("a size is described in an unknown way")
    return _counts(arguments[0])


def _device(arguments: tuple[object, ...]) -> str:
    """``torch.device("cuda", 0)`` as a plain string."""
    if not 1 <= len(arguments) <= 2 or not all(isinstance(a, str | int) for a in arguments):
        raise _damaged("a device is described in an unknown way")
    return ":".join(str(a) for a in arguments)


#: All that a file may "call", and what we do instead. Nothing here runs code of the file.
_CALLS: Mapping[str, Callable[[tuple[object, ...]], object]] = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "collections.OrderedDict": _ordered_dict,
    "builtins.set": _set,
    "torch.Size": _size,
    "torch.device": _device,
}


def _set_of_strings(items: list[object]) -> set[str]:
    strings = {item for item in items if isinstance(item, str)}
    if not all(isinstance(item, str) for item in items):
        raise _damaged("a set holds something that is no string")
    return strings


def _counts(value: object) -> tuple[int, ...]:
    """A tuple of non-negative integers."""
    if not isinstance(value, tuple):
        raise _damaged(f"a shape is {describe(value)}")
    counts = tuple(n for n in value if type(n) is int and n >= 0)
    if len(counts) != len(value):
        raise _damaged("a shape holds something that is no count")
    return counts


def _refused_call(what: object) -> ModelFileError:
    name = f"'{what}'" if isinstance(what, ForeignName) else describe(what)
    return ModelFileError(
        f"it asks for {name}, which no model needs. Nothing from the file was executed: only "
        "plain modules of schnetpack and torch.nn with their tensors are read, and nothing is "
        f"ever called. {_REMEDY}"
    )


def _damaged(what: str) -> ModelFileError:
    return ModelFileError(
        f"its description is not one that torch.save writes: {what}. Nothing from the file was "
        "executed. Get an undamaged copy of the file."
    )

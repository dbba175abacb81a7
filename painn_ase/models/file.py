"""The model file: weights as safetensors, everything else as JSON in its header.

Reading a file runs no code from it: safetensors holds plain arrays, the header is JSON that must
fit :class:`~painn_ase.spec.ModelSpec` key by key. Sizes are checked against the file before
anything is allocated.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from painn_ase._version import __version__
from painn_ase.errors import ModelFileError, SpecError
from painn_ase.models.catalog import find_model
from painn_ase.potential import AtomisticPotential
from painn_ase.replacing import replace_file
from painn_ase.spec import SCHEMA_VERSION, ModelSpec, from_dict, to_dict

__all__ = ["load_model", "read_model_spec", "save_model"]

_KEY = "painn_ase"
_MAX_HEADER = 64 * 1024 * 1024
_UNITS = {
    "length": "Å",
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³",
    "charge": "e",
    "dipole": "e·Å",
    "polarizability": "e²Å²/eV",
}
#: safetensors' name → type of the weights.
_DTYPES = {"F32": torch.float32, "F64": torch.float64}


def _name_the_network(header: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 knew PaiNN alone and had no word for it; from 2 on a network says its kind."""
    model = header.get("model")
    if isinstance(model, dict) and isinstance(network := model.get("representation", {}), dict):
        header = {**header, "model": {**model, "representation": {"kind": "painn", **network}}}
    return {**header, "schema_version": 2}


#: schema version → function that turns a header of that version into one of the next, and leaves
#: the one it is given as it is: the checksum is of the description as it was written.
_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _name_the_network}


def save_model(potential: AtomisticPotential, path: str | Path) -> Path:
    """Write a potential to one ``.safetensors`` file; the old file stays until the new is whole.

    Parameters
    ----------
    potential : AtomisticPotential
        Its ``spec`` becomes the header; weights keep their dtype.
    path : str or Path

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ModelFileError
        If weights are not finite or the file cannot be written.
    """
    path = Path(path)
    weights = {name: w.detach().cpu().contiguous() for name, w in potential.state_dict().items()}
    _check_finite(weights, path)
    spec = dataclasses.replace(potential.spec, code_version=__version__)
    model = to_dict(spec)
    header = {
        "schema_version": SCHEMA_VERSION,
        "units": _UNITS,
        "model": model,
        "sha256": _checksum(model, weights),
    }
    data = serialize(weights, metadata={_KEY: json.dumps(header, ensure_ascii=False)})
    try:
        with replace_file(path) as file:
            file.write(data)
    except OSError as error:
        raise ModelFileError(
            f"could not write the model to {path}: {error}. Nothing was overwritten; check the "
            "folder, its permissions and the space left, then save again."
        ) from error
    return path


def load_model(model: str | Path, *, dtype: torch.dtype | None = None) -> AtomisticPotential:
    """The potential in a model file, on the CPU, ready to evaluate.

    Parameters
    ----------
    model : str or Path
        Path of a ``.safetensors`` file, or the name of a bundled model.
    dtype : torch.dtype, optional
        float32 or float64; the file's own if not given.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, not ours, from a newer schema, or inconsistent.
    """
    path = find_model(model)
    _check_container(path)
    # Opened once: another process may put a new file in place of this one at any moment.
    with _opened(path) as file:
        header, spec = _read_header(path, file.metadata() or {})
        arrays = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(array.get_shape()) for name, array in arrays.items()}
        types = {array.get_dtype() for array in arrays.values()}
        if len(types) != 1 or not types <= set(_DTYPES):
            raise ModelFileError(
                f"{path}: weights must all be float32 (F32) or all float64 (F64); found "
                f"{', '.join(sorted(types)) or 'none'}. Write the file again with save_model."
            )
        potential = _build_if_shapes_fit(spec, shapes, path)
        weights = {name: torch.from_numpy(file.get_tensor(name)) for name in shapes}
    _check_finite(weights, path)
    # Files written before there was a checksum have none.
    if header.get("sha256", found := _checksum(header["model"], weights)) != found:
        raise ModelFileError(
            f"{path} is damaged: its contents do not have the checksum they were written with. "
            "Copy or download it again."
        )
    potential.to(_DTYPES[types.pop()])
    potential.load_state_dict(weights)
    if dtype is not None:
        potential.to(dtype)
    return potential.eval().requires_grad_(False)


def read_model_spec(model: str | Path) -> ModelSpec:
    """What a model file says of itself, without loading the weights.

    Raises
    ------
    ModelFileError
        As for :func:`load_model`.
    """
    path = find_model(model)
    _check_container(path)
    with _opened(path) as file:
        return _read_header(path, file.metadata() or {})[1]


def _read_header(path: Path, metadata: Mapping[str, str]) -> tuple[dict[str, Any], ModelSpec]:
    """The header of a model file as it stands there, and the description in it."""
    if _KEY not in metadata:
        raise ModelFileError(
            f"{path} is a safetensors file, but not a model of painn_ase: its header has no "
            f"{_KEY!r} entry (found: {', '.join(metadata) or 'none'})."
        )
    try:
        header = json.loads(metadata[_KEY])
        return header, from_dict(ModelSpec, _migrated(header).get("model", {}), "model")
    except (ValueError, RecursionError) as error:  # SpecError is a ValueError, as is all of JSON's
        raise ModelFileError(f"{path}: the header is damaged or foreign. {error}") from error


def _checksum(model: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over the description and the weights, so that a flipped bit is noticed."""
    digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode())
    for name in sorted(weights):
        array = weights[name].numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _migrated(header: Any) -> dict[str, Any]:
    """The header in the present schema, its outermost keys checked."""
    if not isinstance(header, dict):
        raise SpecError("expected a JSON object.")
    version = header.get("schema_version")
    if type(version) is not int or version < 1:
        raise SpecError(f"schema_version must be a positive integer; got {version!r}.")
    if version > SCHEMA_VERSION:
        raise SpecError(
            f"it was written with schema {version}, this painn_ase {__version__} reads up to "
            f"{SCHEMA_VERSION}. Upgrade painn_ase."
        )
    while version < SCHEMA_VERSION:
        header = _MIGRATIONS[version](header)
        version = header["schema_version"]
    if unknown := sorted(set(header) - {"schema_version", "units", "model", "sha256"}):
        raise SpecError(f"unknown key(s) {', '.join(unknown)}.")
    if header.get("units") != _UNITS:
        raise SpecError(f"units must be {_UNITS}; got {header.get('units')!r}.")
    migrated: dict[str, Any] = header
    return migrated


def _build_if_shapes_fit(
    spec: ModelSpec, shapes: Mapping[str, tuple[int, ...]], path: Path
) -> AtomisticPotential:
    """The potential `spec` describes, once it is known to need exactly the arrays in the file."""
    layers = _n_layers(spec)
    if layers > len(shapes):
        raise ModelFileError(
            f"{path}: the header describes at least {layers} layers, the file holds only "
            f"{len(shapes)} arrays: they do not belong together."
        )
    try:
        # On the meta device nothing is allocated, whatever sizes the header claims.
        with torch.device("meta"):
            expected = {n: tuple(w.shape) for n, w in AtomisticPotential(spec).state_dict().items()}
    except (RuntimeError, OverflowError, TypeError) as error:
        raise ModelFileError(
            f"{path}: no network of the described size can exist ({str(error).splitlines()[0]})."
        ) from error
    problems = [f"missing {n} {expected[n]}" for n in expected if n not in shapes]
    problems += [f"unexpected {n} {shapes[n]}" for n in shapes if n not in expected]
    problems += [
        f"{n} has shape {shapes[n]}, the header describes {expected[n]}"
        for n in expected
        if n in shapes and shapes[n] != expected[n]
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ModelFileError(
            f"{path}: weights and header do not belong together: {'; '.join(problems[:5])}{more}."
        )
    # The layers draw weights that the file's replace: not from the user's random numbers.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        return AtomisticPotential(spec)


def _n_layers(spec: ModelSpec) -> int:
    """A lower bound of the number of arrays, known before a single layer is built."""
    heads = spec.heads
    scalar_heads = [h for h in (heads.energy, heads.charges) if h is not None]
    hidden = sum(len(head.n_hidden or ()) for head in scalar_heads)
    return spec.representation.least_arrays + hidden


def _check_container(path: Path) -> None:
    """Raise unless `path` looks like a whole safetensors file; name what it is instead."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise ModelFileError(f"could not read the model file {path}: {error}.") from error
    # A safetensors file may begin like a pickle: its first bytes are a length, then comes "{".
    kind = _foreign_kind(start) if start[8:9] != b"{" else ""
    if kind:
        raise ModelFileError(
            f"{path} is {kind}, not a model of painn_ase, and is not opened: such files can run "
            "code when loaded. A SchNetPack model is imported safely by "
            "'painn-ase convert schnetpack IN OUT'."
        )
    length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0
    if len(start) < 9 or start[8:9] != b"{":
        raise ModelFileError(f"{path} is not a safetensors file ({size} bytes).")
    if length > min(size - 8, _MAX_HEADER):
        raise ModelFileError(
            f"{path} is truncated or damaged: its header claims {length} bytes, the file has "
            f"{size}. Copy or download it again."
        )


def _foreign_kind(start: bytes) -> str:
    if start.startswith(b"PK\x03\x04"):
        return "a zip archive, as torch.save writes it"
    if len(start) > 1 and start[0] == 0x80 and start[1] <= 5:
        return "a pickle"
    return ""


def _opened(path: Path) -> Any:
    """The safetensors reader on `path`, its own errors turned into ours."""
    try:
        # As numpy arrays: for torch it opens the file a second time to read the weights, and they
        # may then be those of another file put in its place since.
        return safe_open(str(path), framework="np")
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path} is truncated or damaged ({error}). Copy or download it again."
        ) from error


def _check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    bad = [name for name, w in weights.items() if not bool(torch.isfinite(w).all())]
    if bad:
        raise ModelFileError(
            f"{path}: weights {', '.join(bad[:5])} hold NaN or infinity. The training diverged or "
            "the file is damaged; go back to an earlier checkpoint."
        )

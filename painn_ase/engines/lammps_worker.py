"""The Python process beside a rank of LAMMPS: holds the model, answers lammps_pair.cpp.

Short messages go over a socket, arrays lie in shared memory; what a message means and in which
order the arrays follow one another is written in lammps_pair.cpp, too.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import signal
import socket
import struct
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from painn_ase.engines.divided import SharedModel
from painn_ase.errors import PaiNNError, SpecError
from painn_ase.models.catalog import find_model

__all__ = ["main", "parse_options"]

#: What LAMMPS asks, and what it is answered.
_LOAD, _CHECK, _EVALUATE, _DONE = 1, 2, 3, 4
_OK, _FAILED, _FILL, _ADD, _TOTAL = 0, 1, 2, 3, 4
#: Ends of socket and memory as the pair style hands them over.
_SOCKET, _MEMORY = 3, 4
_N_RESPONSES = 9
#: xx, yy, zz, xy, xz, yz, as LAMMPS orders symmetric tensors.
_TRIANGLE = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_HEAD = struct.Struct("<2q")


class _Ended(Exception):
    """LAMMPS has closed its end."""


class Worker:
    """Answers one rank.

    Parameters
    ----------
    connection : socket
    memory : int
        Descriptor of the shared memory.
    """

    def __init__(self, connection: socket.socket, memory: int) -> None:
        self.connection, self.memory = connection, memory
        self.model: SharedModel | None = None
        self.mapped: mmap.mmap | None = None
        self.buffer: NDArray[np.float64] = np.zeros(0)
        self.n_owned = 0

    def serve(self) -> None:
        """Answer until LAMMPS ends."""
        tasks = {_LOAD: self._load, _CHECK: self._check, _EVALUATE: self._evaluate}
        while True:
            try:
                kind, body = self._receive()
            except _Ended:
                return
            try:
                answer = tasks[kind](body)
            except _Ended:
                return
            except PaiNNError as error:
                self._send(_FAILED, f"{type(error).__name__}: {error}".encode())
            except Exception as error:  # whatever it is, LAMMPS has to hear of it, or it waits
                self._send(_FAILED, f"painn_ase: {type(error).__name__}: {error}".encode())
            else:
                self._send(_OK, answer)

    # -- what LAMMPS asks --------------------------------------------------------------------------

    def _load(self, body: bytes) -> bytes:
        rank, size, n_types, n_settings, *words = body.decode().split("\0")
        options = parse_options(words[: int(n_settings)])
        model, *symbols = words[int(n_settings) :] or [""]
        if not model or len(symbols) != int(n_types):
            raise SpecError(
                f"pair_coeff * * MODEL and {n_types} elements, one for each atom type, were "
                f"expected; got {' '.join([model, *symbols]) or 'nothing'}."
            )
        if "OMP_NUM_THREADS" not in os.environ:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
            torch.set_num_threads(max(1, cores // int(size)))
        path = find_model(model)
        self.model = SharedModel(path, symbols, rank_here=int(rank), **options)
        identity = int(hashlib.sha256(path.read_bytes()).hexdigest()[:15], 16)
        width = max(1, self.model.exchange_width())
        n_responses = {(): 0, ("dipole",): 3}.get(self.model.responses, _N_RESPONSES)
        return f"{self.model.cutoff!r} {width} {n_responses} {identity}".encode()

    def _check(self, body: bytes) -> bytes:
        assert self.model is not None
        words = body.decode().split()
        self.model.check(
            [w == "1" for w in words[:3]],
            [float(w) for w in words[3:]],
            "pair_style painn_ase response no",
        )
        return b""

    def _evaluate(self, body: bytes) -> bytes:
        assert self.model is not None
        n_owned, n_atoms, n_edges, responses, n_bytes = struct.unpack("<5q", body)
        self.n_owned = n_owned
        arrays = self._layout(n_atoms, n_edges, n_bytes)
        self.buffer = arrays["buffer"]
        answer = self.model.evaluate(
            n_owned,
            self._tensor(arrays["types"].view(np.int64)) - 1,
            self._tensor(arrays["edges"].reshape(-1, 3)),
            self._tensor(arrays["idx_i"].view(np.int64)),
            self._tensor(arrays["idx_j"].view(np.int64)),
            fill=self._fill,
            add=self._add,
            total=self._total,
            masses=self._tensor(arrays["masses"]),
            positions=self._tensor(arrays["positions"].reshape(-1, 3)),
            responses=bool(responses),
        )
        arrays["energies"][:n_owned] = answer["energies"].cpu().numpy()
        arrays["gradient"][:] = answer["edge_gradient"].cpu().numpy().ravel()
        # a quantity that the model does not give is no number in LAMMPS's tables
        given = arrays["responses"]
        given[:] = math.nan
        if "dipole" in answer:
            given[:3] = answer["dipole"].cpu().numpy()
        if "polarizability" in answer:
            alpha = answer["polarizability"].cpu().numpy()
            given[3:] = [alpha[k] for k in _TRIANGLE]
        return b""

    # -- what is asked of LAMMPS -------------------------------------------------------------------

    def _fill(self, buffer: Tensor) -> Tensor:
        return self._through(_FILL, buffer)

    def _add(self, buffer: Tensor) -> Tensor:
        return self._through(_ADD, buffer)

    def _through(self, kind: int, buffer: Tensor) -> Tensor:
        """The buffer as LAMMPS's communication leaves it, of every process's."""
        n_atoms, width = buffer.shape
        shared = self.buffer[: n_atoms * width].reshape(n_atoms, width)
        shared[:] = buffer.detach().cpu().numpy()
        self._send(kind, str(width).encode())
        self._receive()
        result = torch.from_numpy(shared.copy()).to(buffer)
        if kind == _ADD:
            result[self.n_owned :] = 0.0
        return result

    def _total(self, values: Tensor) -> Tensor:
        own = values.detach().cpu().double().contiguous()
        self._send(_TOTAL, own.numpy().tobytes())
        _, body = self._receive()
        summed = torch.from_numpy(np.frombuffer(body).reshape(own.shape).copy())
        return summed.to(values)

    # -- memory and messages -----------------------------------------------------------------------

    def _layout(self, n_atoms: int, n_edges: int, n_bytes: int) -> dict[str, NDArray[np.float64]]:
        """The shared arrays by name; ``Layout`` of lammps_pair.cpp."""
        if self.mapped is None or len(self.mapped) != n_bytes:
            self.mapped = mmap.mmap(self.memory, n_bytes)
        words = np.frombuffer(self.mapped, dtype=np.float64)
        sizes = {
            "types": n_atoms,
            "masses": n_atoms,
            "positions": 3 * n_atoms,
            "edges": 3 * n_edges,
            "idx_i": n_edges,
            "idx_j": n_edges,
            "energies": n_atoms,
            "gradient": 3 * n_edges,
            "responses": _N_RESPONSES,
        }
        arrays, at = {}, 0
        for name, size in sizes.items():
            arrays[name] = words[at : at + size]
            at += size
        arrays["buffer"] = words[at:]
        return arrays

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        assert self.model is not None
        return torch.from_numpy(array.copy()).to(self.model.device)

    def _send(self, kind: int, body: bytes) -> None:
        try:
            self.connection.sendall(_HEAD.pack(kind, len(body)) + body)
        except OSError as error:
            raise _Ended from error

    def _receive(self) -> tuple[int, bytes]:
        kind, size = _HEAD.unpack(self._read(_HEAD.size))
        return kind, self._read(size)

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self.connection.recv(size - len(parts))
            if not part:
                raise _Ended
            parts += part
        return bytes(parts)


def parse_options(words: list[str]) -> dict[str, Any]:
    """Keywords of the pair style.

    Raises
    ------
    SpecError
        For another keyword, or a value it cannot have.
    """
    options: dict[str, Any] = {}
    allowed = "device NAME, dtype float32|float64, charge NUMBER, response yes|no"
    if len(words) % 2:
        raise SpecError(f"pair_style painn_ase takes keywords with values: {allowed}.")
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name in ("device", "dtype"):
            options[name] = value
        elif name == "charge":
            try:
                options[name] = float(value)
            except ValueError as error:
                raise SpecError(f"charge {value}: a number in e was expected.") from error
        elif name == "response" and value in ("yes", "no"):
            options["responses"] = value == "yes"
        else:
            raise SpecError(f"pair_style painn_ase does not know '{name} {value}': {allowed}.")
    return options


def main() -> None:
    """Serve the rank that has started this process."""
    # an interrupt reaches LAMMPS, which ends this process by closing its end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=_SOCKET) as connection:
        Worker(connection, _MEMORY).serve()

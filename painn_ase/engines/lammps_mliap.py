"""The model as LAMMPS's ``pair_style mliap unified``, for builds with KOKKOS, on GPUs too.

LAMMPS asks nothing of the object but the names below (its class ``MLIAPUnified``), and unpickles
it; the pickle holds where the model is, no weights. What divides atoms among ranks exists in the
KOKKOS coupling only. See docs/lammps.md for how to build such a LAMMPS.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from painn_ase.elements import SYMBOLS
from painn_ase.engines.divided import SharedModel
from painn_ase.errors import UnsupportedPropertyError
from painn_ase.models import read_model_spec
from painn_ase.models.catalog import find_model

__all__ = ["PaiNNUnified"]


class PaiNNUnified:
    """A model for ``pair_style mliap unified FILE 0`` and ``pair_coeff * * H O``.

    Parameters
    ----------
    model : str
        Model file, or name of a bundled model.
    symbols : sequence of str, optional
        Elements it will be asked for; all of the model's if not given.
    device, dtype : str, optional
        As of the calculator. The device must be the one LAMMPS keeps its arrays on.

    Raises
    ------
    ModelFileError, DeviceError, UnknownElementError, SpecError
        Each message names the remedy.
    """

    def __init__(
        self,
        model: str,
        symbols: Sequence[str] | None = None,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        path = find_model(model)
        if symbols is None:
            symbols = [SYMBOLS[z] for z in read_model_spec(path).elements]
        # a bundled model stays a name, which another machine knows, too
        named = str(path.resolve()) if Path(model).is_file() else model
        self._given = (named, tuple(symbols), device, dtype)
        self.model = SharedModel(path, symbols, device=device, dtype=dtype, responses=False)
        self.interface: Any = None
        self.element_types = list(symbols)
        self.ndescriptors = self.nparams = 1
        self.rcutfac = 0.5 * self.model.cutoff

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._given

    def pickle(self, path: str | Path) -> None:
        """Write what LAMMPS loads.

        Not with the suffix .pt: torch would open that, and it refuses objects.
        """
        if Path(path).suffix in (".pt", ".pth"):
            raise UnsupportedPropertyError(
                f"{path}: LAMMPS opens .pt and .pth by torch, which loads no objects. Take .pkl."
            )
        Path(path).write_bytes(pickle.dumps(self))

    def compute_descriptors(self, data: Any) -> None:
        """Nothing: there are none."""

    def compute_gradients(self, data: Any) -> None:
        """Nothing: forces come from :meth:`compute_forces`."""

    def compute_forces(self, data: Any) -> None:
        """Energies and pair forces of one rank's atoms, which may be none.

        Parameters
        ----------
        data : MLIAPDataPy
            LAMMPS's view of its arrays.

        Raises
        ------
        UnsupportedPropertyError
            From a LAMMPS without KOKKOS, whose coupling cannot exchange ghosts.
        """
        if not hasattr(data, "forward_exchange"):
            raise UnsupportedPropertyError(
                "this coupling of LAMMPS has no exchange of ghosts; only that of KOKKOS has: run "
                "lmp -k on -sf kk -pk kokkos newton on neigh half, or use pair_style painn_ase."
            )
        device, n_owned, n_pairs = self.model.device, int(data.nlistatoms), int(data.npairs)
        if device.type == "cuda":
            torch.cuda.synchronize()  # LAMMPS fills its arrays on a stream of its own

        def taken(name: str, n: int, dtype: torch.dtype, *shape: int) -> Tensor:
            # an array without entries is None, or cannot be asked for
            if not n:
                return torch.zeros((0, *shape), dtype=dtype, device=device)
            return torch.as_tensor(getattr(data, name)).to(device, dtype)

        def exchanged(exchange: Any, buffer: Tensor) -> Tensor:
            source, result = buffer.detach().contiguous(), buffer.detach().clone()
            exchange(source, result, source.shape[1])
            return result

        def fill(buffer: Tensor) -> Tensor:
            return exchanged(data.forward_exchange, buffer)

        def add(buffer: Tensor) -> Tensor:
            result = exchanged(data.reverse_exchange, buffer)
            result[n_owned:] = 0.0
            return result

        answer = self.model.evaluate(
            n_owned,
            taken("elems", int(data.ntotal), torch.int64),
            taken("rij", n_pairs, torch.float64, 3),
            taken("pair_i", n_pairs, torch.int64),
            taken("pair_j", n_pairs, torch.int64),
            fill=fill,
            add=add,
        )
        energies = answer["energies"]
        data.energy = float(energies.sum())
        if n_owned:
            torch.as_tensor(data.eatoms)[:n_owned] = energies
        if n_pairs:
            gradient = answer["edge_gradient"].contiguous()
            if device.type == "cuda":
                torch.cuda.synchronize()
            data.update_pair_forces(gradient)

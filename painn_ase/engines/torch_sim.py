"""torch-sim runs a model, with dipoles and polarizabilities, for many systems at once.

:class:`TorchSimModel` is the model as torch-sim calls it; :class:`SpectrumReporter` writes what a
spectrum needs into one H5MD file, in float64, where torch-sim's own reporter writes one file a
system. Made for torch-sim 0.6 (extra ``torch-sim``, Python 3.12 and later;
https://github.com/TorchSim/torch-sim).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.units import kB
from numpy.typing import NDArray
from torch import Tensor

from painn_ase.calculator import Model, PaiNNCalculator
from painn_ase.errors import (
    MissingDependencyError,
    NonFiniteError,
    TrajectoryError,
    UnsupportedPropertyError,
)
from painn_ase.graph import AtomGraph, NeighborPairs, VerletList
from painn_ase.md.batch import pieces
from painn_ase.potential import mean_and_spread
from painn_ase.trajectory import System, TrajectoryWriter

try:
    from torch_sim.models.interface import ModelInterface
    from torch_sim.trajectory import TrajectoryReporter
except ImportError as error:
    raise MissingDependencyError(
        "torch-sim is not installed: python -m pip install 'painn_ase[torch-sim]', with Python "
        "3.12 or later. On an older Python use painn_ase.md.run_replicas."
    ) from error

__all__ = ["SpectrumReporter", "TorchSimModel"]

#: What goes into a state's extras by default, if the model has it.
_EXTRAS = ("dipole", "polarizability")
_FLUXES = ("dipole_flux", "polarizability_flux")
#: What a reporter can write beside these.
_OF_STATE = ("positions", "velocities", "forces", "potential_energy", "kinetic_energy",
             "temperature")  # fmt: skip
#: ps; torch-sim's unit of time. More than that was meant in fs.
_LONGEST_STEP = 0.05


class TorchSimModel(ModelInterface):  # type: ignore[misc]
    """A model as torch-sim calls it.

    Parameters
    ----------
    model : str, Path, AtomisticPotential, a list of these, or PaiNNCalculator
        A list is a committee: means, with ``energy_std`` and ``forces_std`` in the extras.
    extras : sequence of str, optional
        What every call puts into the state's extras; dipole (e·Å) and polarizability (e²Å²/eV) if
        not given and the model has them. An empty one saves their time where a
        :class:`SpectrumReporter` asks for them every few steps only.
    charge : float, optional
        Total charge of each system, e; else the state's own ``charge`` [n_systems] among its
        extras, else what the model was trained on.
    device, dtype, backend, skin
        As for :class:`~painn_ase.PaiNNCalculator`. `dtype` is that of the network: states are in
        float64 whatever it is.

    Notes
    -----
    Pairs of each system are kept while nobody has moved more than half the skin. A stress is given
    for states that are periodic in all directions.
    """

    def __init__(
        self,
        model: Model | Sequence[Model] | PaiNNCalculator,
        *,
        extras: Collection[str] | None = None,
        charge: float | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        backend: str = "auto",
        skin: float = 0.5,
    ) -> None:
        super().__init__()
        if not isinstance(model, PaiNNCalculator):
            model = PaiNNCalculator(
                model, device=device, dtype=dtype, backend=backend, skin=skin, charge=charge
            )
        self.calculator = model
        self._device, self._dtype = model.device, torch.float64
        self._compute_stress = self._compute_forces = True
        known = model.potential.properties
        self.extras = tuple(n for n in _EXTRAS if n in known) if extras is None else tuple(extras)
        if moving := set(self.extras) & set(_FLUXES):
            raise UnsupportedPropertyError(
                f"{', '.join(sorted(moving))} cannot be an extra: torch-sim asks a model between "
                "two half steps of the velocities. A SpectrumReporter records it at whole steps."
            )
        if unknown := [name for name in self.extras if name not in known]:
            raise UnsupportedPropertyError(
                f"extras: this model cannot give {', '.join(unknown)}; it has {', '.join(known)}."
            )
        self._lists: list[VerletList] = []
        self._pairs: list[NeighborPairs] = []
        self._graphs: tuple[AtomGraph, ...] = ()

    @ModelInterface.compute_stress.setter  # type: ignore[untyped-decorator]
    def compute_stress(self, compute_stress: bool) -> None:
        """Whether states that are periodic in all directions get a stress."""
        self._compute_stress = compute_stress

    @ModelInterface.compute_forces.setter  # type: ignore[untyped-decorator]
    def compute_forces(self, compute_forces: bool) -> None:
        """Whether states get forces."""
        self._compute_forces = compute_forces

    def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
        """Energy [n_systems], forces [n_atoms, 3], stress [n_systems, 3, 3] and the extras.

        Raises
        ------
        UnknownElementError, UnsupportedPropertyError, GeometryError, NonFiniteError
            As of the calculator.
        """
        wanted = {"energy", *self.extras}
        if self.compute_forces:
            wanted.add("forces")
        if self.compute_stress and bool(state.pbc.all()):
            wanted.add("stress")
        try:
            found = self.quantities(state, wanted)
        except UnsupportedPropertyError as error:
            if self.extras and bool(state.pbc.any()):
                raise UnsupportedPropertyError(f"{error} Or leave it out: extras=().") from error
            raise
        if not bool(found["energy"].isfinite().all()):
            worst = torch.nonzero(~found["energy"].isfinite()).flatten().tolist()
            raise NonFiniteError(
                f"the energy of system {', '.join(map(str, worst[:8]))} is no number: its atoms "
                "are far outside what the model was trained on. Use a shorter timestep, or look at "
                "the start."
            )
        for name in ("energy", "forces", "stress"):
            if name in found:
                found[name] = found[name].to(state.positions.dtype)
        return found

    def quantities(
        self, state: Any, names: Collection[str], velocities: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Any quantities of a state's systems, float64; fluxes for `velocities` [n_atoms, 3].

        Raises
        ------
        UnknownElementError, UnsupportedPropertyError, GeometryError
            As of the calculator.
        """
        wanted, graphs = frozenset(names), self._graphs_of(state)
        moving: Sequence[Tensor | None] = [None] * len(graphs)
        if velocities is not None:
            moving = velocities.to(torch.float64).split([graph.n_atoms for graph in graphs])
        parts = []
        with torch.inference_mode(False):  # derivatives need autograd
            for graph, rows in zip(graphs, moving, strict=True):
                mean, spread = mean_and_spread(self.calculator.predict(graph, wanted, rows))
                kept = {k: v for k, v in mean.present().items() if k in wanted}
                parts.append({**kept, **spread})
        return {name: torch.cat([part[name] for part in parts]).detach() for name in parts[0]}

    def _graphs_of(self, state: Any) -> tuple[AtomGraph, ...]:
        """The state's systems, as many in a graph as a processor likes."""
        potential, counts = self.calculator.potential, _counts(state)
        positions = state.positions.detach().to(torch.float64)
        numbers = state.atomic_numbers.cpu().numpy()
        frames = positions.cpu().numpy()
        cells = state.cell.detach().to(torch.float64).mT  # torch-sim's vectors are columns
        rows, pbc = cells.cpu().numpy(), state.pbc.cpu().numpy()
        while len(self._lists) < len(counts):
            self._lists.append(VerletList(potential.cutoff, self.calculator.skin))
        ends = np.cumsum(counts)
        pairs = [
            known.update(numbers[end - n : end], frames[end - n : end], cell, pbc)
            for known, end, n, cell in zip(self._lists, ends, counts, rows, strict=False)
        ]
        charges = self._charges(state, len(counts))
        # a list that is the same object is of the same elements and periodicity
        if len(pairs) != len(self._pairs) or any(
            a is not b for a, b in zip(pairs, self._pairs, strict=True)
        ):
            potential.check_elements(numbers.tolist())
            singles = [
                _graph(numbers[end - n : end], pair, pbc)
                for end, n, pair in zip(ends, counts, pairs, strict=True)
            ]
            width = potential.spec.representation.n_features
            self._graphs = pieces(singles, width, self._device)
            self._pairs = pairs
        n_atoms = [graph.n_atoms for graph in self._graphs]
        n_systems = [graph.n_systems for graph in self._graphs]
        masses = state.masses.detach().to(torch.float64)
        return tuple(
            graph.replace(positions=x, masses=m, cell=h.contiguous(), charge=q)
            for graph, x, m, h, q in zip(
                self._graphs,
                positions.split(n_atoms),
                masses.split(n_atoms),
                cells.split(n_systems),
                charges.split(n_systems),
                strict=True,
            )
        )

    def _charges(self, state: Any, n_systems: int) -> Tensor:
        stated = state.system_extras.get("charge")
        if self.calculator.charge is None and stated is not None:
            return stated.detach().to(torch.float64).reshape(n_systems)  # type: ignore[no-any-return]
        one = self.calculator.charge
        if one is None:
            one = self.calculator.potential.spec.total_charge
        return torch.full((n_systems,), one, dtype=torch.float64, device=self._device)


def _counts(state: Any) -> list[int]:
    """Atoms of each system."""
    found: list[int] = torch.bincount(state.system_idx, minlength=state.cell.shape[0]).tolist()
    return found


def _graph(numbers: NDArray[Any], pairs: NeighborPairs, pbc: NDArray[np.bool_]) -> AtomGraph:
    """One system without what changes from call to call."""
    n = len(numbers)
    return AtomGraph(
        numbers=torch.tensor(numbers, dtype=torch.int64),
        positions=torch.zeros((n, 3), dtype=torch.float64),
        cell=torch.zeros((1, 3, 3), dtype=torch.float64),
        pbc=torch.tensor(pbc, dtype=torch.bool)[None],
        idx_i=torch.tensor(pairs.idx_i),
        idx_j=torch.tensor(pairs.idx_j),
        shifts=torch.tensor(pairs.shifts),
        system_idx=torch.zeros(n, dtype=torch.int64),
        charge=torch.zeros(1, dtype=torch.float64),
        masses=torch.ones(n, dtype=torch.float64),
    )


class SpectrumReporter(TrajectoryReporter):  # type: ignore[misc]
    """What ``painn-ase spectrum`` reads, of all copies of one system, in one H5MD file.

    Give it to ``torch_sim.integrate`` as ``trajectory_reporter``. Everything is float64.

    Parameters
    ----------
    path : str or Path
    strides : mapping of str to int
        Steps between frames: ``dipole``, ``polarizability``, their fluxes (``dipole_flux``,
        ``polarizability_flux``; of the velocities at whole steps), and ``positions``,
        ``velocities``, ``forces``, ``potential_energy``, ``kinetic_energy``, ``temperature`` (as
        often as the most frequent of the others, if not named).
    timestep : float
        ps, the number that ``integrate`` is given.
    temperature : float
        K, that of ``integrate``, for the file. A spectrum takes the mean of what was recorded.
    ensemble : str
        For the file: "nve", "nvt_langevin" …
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    TrajectoryError
        For a file that is there, a quantity that cannot be recorded, and a timestep that was
        meant in fs.
    """

    def __init__(
        self,
        path: str | Path,
        strides: Mapping[str, int],
        *,
        timestep: float,
        temperature: float,
        ensemble: str = "nve",
        overwrite: bool = False,
    ) -> None:
        if not 0.0 < timestep <= _LONGEST_STEP:
            raise TrajectoryError(
                f"timestep is {timestep:g} ps; torch-sim counts in ps, so that 0.5 fs is 0.0005, "
                f"and more than {_LONGEST_STEP:g} ps is no step of molecular dynamics."
            )
        allowed = (*_EXTRAS, *_FLUXES, *_OF_STATE)
        if not strides or set(strides) - set(allowed):
            raise TrajectoryError(
                f"a SpectrumReporter can record {', '.join(allowed)}; got "
                f"{', '.join(strides) or 'nothing'}."
            )
        super().__init__(None, state_frequency=0)
        self.path, self.timestep = Path(path), float(timestep)
        # a spectrum of a run without a thermostat is corrected for the temperature it had
        self.strides = {"temperature": min(strides.values()), **strides}
        self._about: dict[str, Any] = {
            "ensemble": ensemble, "timestep": 1000.0 * timestep, "temperature": temperature,
        }  # fmt: skip
        self._overwrite = overwrite
        self._writer: TrajectoryWriter | None = None
        self._cell: Tensor | None = None

    @property
    def mode(self) -> str:
        """Always a new file."""
        return "w"

    def report(
        self,
        state: Any,
        step: int | list[int],
        model: Any = None,
        *,
        force: bool = False,
    ) -> list[dict[str, Tensor]]:
        """Record what is due at `step`; called by torch-sim after each.

        Raises
        ------
        TrajectoryError
            For systems that are not copies of one, steps of their own or in several batches, and a
            cell that changes.
        """
        if not isinstance(step, int):
            raise TrajectoryError("a spectrum is of one run: systems with steps of their own have "
                                  "none. Use torch_sim.integrate.")  # fmt: skip
        if self._writer is None:
            self._begin(state, model)
        assert self._writer is not None
        assert self._cell is not None
        if step <= self._writer.last_step and step == 0:
            raise TrajectoryError(
                f"{self.path}: a second batch begins at step 0. Run without an autobatcher, or "
                "each batch with a reporter of its own."
            )
        names = self._writer.due(step)
        if names:
            if not torch.equal(state.cell, self._cell):
                raise TrajectoryError(
                    f"{self.path}: the cell changes, which a spectrum's run must not. Use nve."
                )
            self._writer.write(step, step * self._about["timestep"],
                               self._values(names, state, model))  # fmt: skip
        return [{} for _ in range(state.cell.shape[0])]

    def finish(self) -> None:
        """Everything to the disk; torch-sim calls it at the end."""
        if self._writer is not None:
            self._writer.close()

    close = finish

    def _begin(self, state: Any, model: Any) -> None:
        """The file, for copies of one system."""
        counts = _counts(state)
        n = counts[0]
        columns = (state.atomic_numbers, state.masses)
        alike = len(set(counts)) == 1 and all(
            bool((column.reshape(-1, n) == column[:n]).all()) for column in columns
        )
        if not alike or not bool((state.cell == state.cell[0]).all()):
            raise TrajectoryError(
                f"{self.path}: the {len(counts)} systems are not copies of one (elements, masses, "
                "cell), of which one spectrum could be made. Run each molecule by itself."
            )
        self._cell = state.cell.clone()
        pbc = [bool(p) for p in state.pbc]
        system = System(
            numbers=state.atomic_numbers[:n].cpu().numpy().astype(np.int64),
            masses=state.masses[:n].double().cpu().numpy(),
            cell=state.cell[0].double().mT.cpu().numpy(),
            pbc=(pbc[0], pbc[1], pbc[2]),
            n_replicas=len(counts),
        )
        provenance: dict[str, Any] = {"config": self._about, "engine": "torch-sim"}
        calculator = getattr(model, "calculator", None)
        if isinstance(calculator, PaiNNCalculator):
            from painn_ase.md.calculators import describe_calculator

            provenance["calculator"] = describe_calculator(calculator)
        self._writer = TrajectoryWriter.create(
            self.path, system, self.strides, provenance=provenance, overwrite=self._overwrite
        )

    def _values(self, names: Sequence[str], state: Any, model: Any) -> dict[str, NDArray[Any]]:
        """The quantities of this step; those the state lacks are asked of the model, at once."""
        values = {n: state.system_extras[n] for n in names if n in state.system_extras}
        if asked := [n for n in names if n in (*_EXTRAS, *_FLUXES) and n not in values]:
            if not isinstance(model, TorchSimModel):
                raise TrajectoryError(
                    f"{self.path}: {', '.join(asked)} is asked of a {type(model).__name__}, which "
                    "does not give it. Use a TorchSimModel, or record what the state holds."
                )
            values |= model.quantities(state, asked, state.velocities)
        there: dict[str, Callable[[], Tensor]] = {
            "positions": lambda: state.positions,
            "velocities": lambda: state.velocities,
            "forces": lambda: state.forces,
            "potential_energy": lambda: state.energy,
            "kinetic_energy": lambda: _kinetic(state),
            "temperature": lambda: 2.0 * _kinetic(state) / (kB * _moving(state)),
        }
        values |= {name: there[name]() for name in names if name in there}
        return {name: value.detach().double().cpu().numpy() for name, value in values.items()}


def _kinetic(state: Any) -> Tensor:
    """Kinetic energies [n_systems], eV."""
    each = 0.5 * state.masses * state.velocities.square().sum(dim=1)
    total = torch.zeros(state.cell.shape[0], dtype=each.dtype, device=each.device)
    return total.index_add(0, state.system_idx, each)


def _moving(state: Any) -> Tensor:
    """Degrees of freedom [n_systems]: torch-sim draws momenta without one of the centre of mass,
    which its own temperature counts all the same.
    """
    free = 3 * torch.tensor(_counts(state), device=state.cell.device) - 3
    counted: Tensor = state.get_number_of_degrees_of_freedom()
    return torch.minimum(free, counted).clamp(min=1).to(torch.float64)

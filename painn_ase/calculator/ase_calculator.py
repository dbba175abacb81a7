"""The ASE calculator: takes Atoms apart, asks the potential, hands back ASE's arrays.

No physics in here. What it adds to ASE's base class is a cheap check of whether anything changed
(ASE's own costs more than a small molecule's forces) and a total charge that counts as a change.
"""

from __future__ import annotations

import builtins
import inspect
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import (
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from painn_ase.calculator.members import Model, members_of, placed, potential_of
from painn_ase.calculator.results import check_finite, mean_of_steps, to_ase, velocities_of
from painn_ase.calculator.state import Snapshot, State, mass_bytes
from painn_ase.devices import resolve_device, resolve_dtype
from painn_ase.errors import (
    SpecError,
    UnsupportedPropertyError,
)
from painn_ase.graph import (
    AtomGraph,
    NeighborPairs,
    VerletList,
    checked_masses,
    finite_charge,
    from_ase,
    total_charge,
)
from painn_ase.kernels import select_backend
from painn_ase.potential import AtomisticPotential, Prediction, check_members

__all__ = ["PaiNNCalculator", "PropertyUnavailableError"]

FloatArray = NDArray[np.float64]

#: What comes with a quantity at no cost.
_COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "forces": ("energy", "energies"),
    "stress": ("energy", "energies", "forces"),
    "energies": ("energy",),
    "energy": ("energies",),
}
#: Functions of the velocities, which ASE's cache does not watch; they have methods of their own.
_FLUXES = ("dipole_flux", "polarizability_flux")


class PropertyUnavailableError(UnsupportedPropertyError, PropertyNotImplementedError):
    """A property that model or structure cannot have, in the class that ASE's code expects."""


class PaiNNCalculator(Calculator):
    """ASE calculator of a PaiNN model.

    Parameters
    ----------
    model : str, Path or AtomisticPotential, or a list of these
        A model file, the name of a bundled model, or a potential in memory. A list, a folder of
        model files, or the name of a bundled committee is a committee: results are means, with
        ``energy_std`` (eV), ``forces_std`` (n_atoms, 3) and ``dipole_std`` (3,) beside them in
        ``results``.
    device : str or torch.device, optional
        CUDA if there is one, else the CPU.
    dtype : str or torch.dtype, optional
        float32 or float64 for the network; the model's own if not given. Positions and sums are
        float64 in any case.
    skin : float
        Å added to the neighbour search so that the list lasts several steps.
    charge : float, optional
        Total charge, e. Else ``atoms.info["charge"]`` (or "total_charge"), else what the model was
        trained on; see :func:`painn_ase.graph.total_charge`.
    scatter : {"torch", "torch_scatter", "sorted"}, optional
        How plain torch sums messages over neighbours, by its ``index_add`` if not told otherwise;
        all give the same results. "sorted" sums in one order on every device, so that a GPU gives
        the same bits in every run, at some cost. "torch_scatter" needs the package torch-scatter
        (``pip install --no-build-isolation torch-scatter``, after torch), and makes "auto" take
        the eager backend, where such sums are made.
    backend : str
        What evaluates the model: "eager" is plain torch, "fused" the compiled CPU kernel, others as
        they are registered (:func:`~painn_ase.kernels.register_backend`); "auto" takes the fastest
        that can run and says once which, on the logger ``painn_ase``. A fast backend is compared
        with plain torch in float64 before its first answer.

    Attributes
    ----------
    implemented_properties : list of str
        Depends on the model's heads.

    Raises
    ------
    ModelFileError, DeviceError, UnknownElementError, GeometryError, PropertyUnavailableError,
    NonFiniteError
        See :mod:`painn_ase.errors`; each message names the remedy.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from painn_ase.testing import random_potential
    >>> atoms = molecule("CH3CH2OH")
    >>> atoms.calc = PaiNNCalculator(random_potential(16, 2))
    >>> atoms.get_forces().shape
    (9, 3)
    """

    # builtins: the method `set` below would be taken for the type.
    ignored_changes: builtins.set[str] = {"initial_magmoms", "initial_charges"}  # noqa: RUF012

    def __init__(
        self,
        model: Model | Sequence[Model],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        skin: float = 0.5,
        charge: float | None = None,
        scatter: str | None = None,
        backend: str = "auto",
    ) -> None:
        self._atoms: Atoms | None = None
        self._snapshot: Snapshot | None = None
        self._charge: float | None = None
        super().__init__()  # type: ignore[no-untyped-call]
        given = members_of(model)
        members = [potential_of(m) for m in given]
        check_members(members)
        self.device = resolve_device(device)
        self.dtype = members[0].dtype if dtype is None else resolve_dtype(dtype)
        self.potentials = tuple(placed(m, self.device, self.dtype, scatter) for m in members)
        self.backends = tuple(select_backend(p, backend) for p in self.potentials)
        self.charge = charge
        self.skin = skin
        self.implemented_properties = _ase_names(self.potential)
        self._list = VerletList(self.potential.cutoff, skin)
        self._graph: AtomGraph | None = None
        self._graph_charge = 0.0
        self._graph_masses = b""
        self._pairs: NeighborPairs | None = None
        self._state: State | None = None
        self._lock = threading.RLock()

    @classmethod
    def from_schnetpack(cls, path: str | Path, **options: Any) -> PaiNNCalculator:
        """The calculator of a SchNetPack 2.x PaiNN model; no code from the file is run.

        Parameters
        ----------
        path : str or Path
            A ``best_model`` or ``.model`` file.
        **options
            Keywords of :func:`painn_ase.models.schnetpack.load_schnetpack`, ``energy_unit`` for
            instance, and of :class:`PaiNNCalculator`.

        Raises
        ------
        ModelFileError, SpecError
            See :func:`painn_ase.models.schnetpack.load_schnetpack`.
        """
        from painn_ase.models.schnetpack import load_schnetpack

        importing = inspect.signature(load_schnetpack).parameters.keys() & options.keys()
        potential = load_schnetpack(path, **{name: options.pop(name) for name in importing})
        return cls(potential, **options)

    @property
    def potential(self) -> AtomisticPotential:
        """The potential, or the first member of the committee."""
        return self.potentials[0]

    @property
    def charge(self) -> float | None:
        """The total charge given to this calculator, e; None leaves it to atoms and model."""
        return self._charge

    @charge.setter
    def charge(self, charge: float | None) -> None:
        self._charge = None if charge is None else finite_charge(charge)
        self.parameters["charge"] = self._charge

    def set(self, **parameters: Any) -> dict[str, Any]:
        """Change the total charge, ``calc.set(charge=1)``, in ASE's way.

        Returns
        -------
        dict
            What is another than before.

        Raises
        ------
        SpecError
            For any other name: model, device, backend and skin stay as the calculator was made.
        """
        if unknown := sorted(parameters.keys() - {"charge"}):
            raise SpecError(
                f"a PaiNNCalculator cannot set {', '.join(unknown)}; it can set charge. Everything "
                "else is given when it is made: PaiNNCalculator(model, …)."
            )
        if "charge" not in parameters:
            return {}
        before, self.charge = self.charge, parameters["charge"]
        return {} if self.charge == before else {"charge": self.charge}

    @property
    def n_list_builds(self) -> int:
        """How often pairs were searched: what the skin is there to keep low."""
        return self._list.n_builds

    # -- ASE's cache, with a cheaper look --------------------------------------------------------

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Names of what changed since the last calculation; any change counts, however small."""
        if self._state is None:
            return list(all_changes)
        return self._state.changes(self._look(atoms))

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """A property by ASE's name, computed if it is not in the cache."""
        if name not in self.implemented_properties:
            self._refuse(name)
        with self._lock:
            if atoms is None:
                atoms = self.atoms
                if atoms is None:
                    raise PropertyUnavailableError(
                        f"no structure to compute {name!r} for: pass atoms, or set atoms.calc."
                    )
                changes: list[str] = []
            elif changes := self.check_state(atoms):
                self.reset()
            if name not in self.results:
                if not allow_calculation:
                    return None
                self.calculate(atoms, [name], changes)
            result = self.results[name]
        return result.copy() if isinstance(result, np.ndarray) else result

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Iterable[str] = ("energy",),
        system_changes: Iterable[str] = all_changes,
    ) -> None:
        """Compute `properties` of `atoms` into ``self.results``."""
        with self._lock:
            atoms = self.atoms if atoms is None else atoms
            if atoms is None:
                raise PropertyUnavailableError("no structure given: pass atoms.")
            state = self._look(atoms)
            if state != self._state:
                self.results = {}
            wanted = {n if n != "free_energy" else "energy" for n in properties}
            wanted.update(c for n in tuple(wanted) for c in _COMPANIONS.get(n, ()))
            if "dipole" in wanted and self.potential.has_latent_charges:
                wanted.add("charges")
            self.results.update(self._compute(atoms, wanted))
            self._state = state
            self.atoms = atoms

    @property
    def atoms(self) -> Atoms | None:
        """A copy of the structure the results belong to, as ASE keeps it; made when asked for."""
        if self._snapshot is not None:
            self._atoms, self._snapshot = self._snapshot.build(), None
        return self._atoms

    @atoms.setter
    def atoms(self, atoms: Atoms | None) -> None:
        self._atoms = None
        self._snapshot = None if atoms is None else Snapshot.of(atoms)

    def reset(self) -> None:
        """Forget results and structure; the neighbour list decides for itself."""
        self.atoms = None
        self.results = {}
        self._state = None

    def calculate_properties(self, atoms: Atoms, properties: Iterable[str]) -> Properties:
        """What ``atoms.get_properties`` calls: compute and export in one go."""
        with self._lock:
            return super().calculate_properties(  # type: ignore[no-untyped-call, no-any-return]
                atoms, tuple(properties)
            )

    def export_properties(self) -> Properties:
        """Results that ASE has names for, as ``atoms.get_properties`` returns them.

        ASE raises KeyError for any other name in ``results``, whatever was asked for.
        """
        return Properties({k: v for k, v in self.results.items() if k in all_outputs})

    # -- what ASE has no name for ----------------------------------------------------------------

    def get_polarizability(self, atoms: Atoms | None = None) -> FloatArray:
        """Polarizability (3, 3) in e²Å²/eV; times
        :data:`painn_ase.units.e2_angstrom2_per_ev_to_angstrom3` it is the volume in Å³.
        """
        return self._array("polarizability", atoms)

    def get_born_charges(self, atoms: Atoms | None = None) -> FloatArray:
        """Born effective charges Z*[i, a, b] = ∂μ_a/∂r_ib (n_atoms, 3, 3) in e."""
        return self._array("born_effective_charges", atoms)

    def get_polarizability_derivatives(self, atoms: Atoms | None = None) -> FloatArray:
        """[i, c, a, b] = ∂α_ab/∂r_ic (n_atoms, 3, 3, 3) in e²Å/eV."""
        return self._array("polarizability_derivatives", atoms)

    def get_hessian(self, atoms: Atoms | None = None) -> FloatArray:
        """∂²E/∂r∂r (n_atoms, 3, n_atoms, 3) in eV/Å²."""
        return self._array("hessian", atoms)

    def get_dipole_flux(self, atoms: Atoms, velocities: FloatArray | None = None) -> FloatArray:
        """dμ/dt = Σ Z*_i v_i (3,) in e·Å per ASE time unit, for the atoms' velocities.

        Never cached, because ASE's cache does not look at velocities.
        """
        flux: FloatArray = self._compute(atoms, {"dipole_flux"}, velocities)["dipole_flux"]
        return flux

    def get_polarizability_flux(
        self, atoms: Atoms, velocities: FloatArray | None = None
    ) -> FloatArray:
        """dα/dt (3, 3) in e²Å²/eV per ASE time unit, for the atoms' velocities; not cached."""
        name = "polarizability_flux"
        flux: FloatArray = self._compute(atoms, {name}, velocities)[name]
        return flux

    def get_fluxes(
        self, atoms: Atoms, velocities: FloatArray | None = None
    ) -> dict[str, FloatArray]:
        """Dipole and polarizability with their time derivatives, from one pass; not cached."""
        names = {"dipole", "polarizability", *_FLUXES} & set(self.potential.properties)
        return self._compute(atoms, names, velocities)

    # -- restarts ----------------------------------------------------------------------------------

    def restart_state(self) -> dict[str, FloatArray]:
        """What of the past the next result's last bits depend on: the pair list's origin.

        Sums over pairs round in the order of the list, and that was made for earlier positions.
        """
        reference = self._list.reference_positions
        return {} if reference is None else {"reference_positions": reference}

    def load_restart_state(self, state: Mapping[str, FloatArray], atoms: Atoms) -> None:
        """Make the pair list of `atoms` that a saved :meth:`restart_state` belongs to."""
        with self._lock:
            self.reset()
            self._list.reset()
            if (reference := state.get("reference_positions")) is not None:
                self._list.update(atoms.numbers, reference, atoms.cell.array, atoms.pbc)

    # -- work --------------------------------------------------------------------------------------

    def _array(self, name: str, atoms: Atoms | None) -> FloatArray:
        array: FloatArray = self.get_property(name, atoms)
        return array

    def _refuse(self, name: str) -> None:
        hint = ""
        if name in _FLUXES:
            hint = f" It depends on velocities: call calc.get_{name}(atoms)."
        raise PropertyUnavailableError(
            f"{name!r} is not among what this model gives: "
            f"{', '.join(self.implemented_properties)}.{hint}"
        )

    def total_charge(self, atoms: Atoms) -> float:
        """Charge the structure is evaluated with, e."""
        return total_charge(atoms, self._charge, self.potential.spec.total_charge)

    def _look(self, atoms: Atoms) -> State:
        arrays = atoms.arrays
        return State(
            arrays["positions"].tobytes(),
            arrays["numbers"].tobytes(),
            atoms.cell.array.tobytes(),
            atoms.pbc.tobytes(),
            mass_bytes(atoms),
            self.total_charge(atoms),
        )

    def _compute(
        self, atoms: Atoms, names: Iterable[str], velocities: FloatArray | None = None
    ) -> dict[str, Any]:
        wanted = frozenset(names)
        if all(wanted <= backend.step_properties for backend in self.backends):
            return self._compute_lean(atoms, wanted)
        moving = None
        if wanted & set(_FLUXES):
            moving = velocities_of(atoms, velocities, self.device)
        # The pair list and the graph on the device are shared by all threads. Derivatives need
        # autograd, also inside somebody's inference mode.
        with self._lock, torch.inference_mode(False):
            graph = self._graph_of(atoms)
            return to_ase(self.predict(graph, wanted, moving), atoms)

    def _compute_lean(self, atoms: Atoms, wanted: frozenset[str]) -> dict[str, Any]:
        """What a step of dynamics asks for, by backends' lean steps: no tensor on the way."""
        arrays, cell = atoms.arrays, atoms.cell.array
        if "stress" in wanted:
            self._check_stress(atoms.pbc)
        with self._lock:
            pairs = self._list.update(arrays["numbers"], arrays["positions"], cell, atoms.pbc)
            answers = [
                backend.step(arrays["positions"], arrays["numbers"], cell, pairs, wanted)
                for backend in self.backends
            ]
        answer, spread = (answers[0], {}) if len(answers) == 1 else mean_of_steps(answers)
        energy = float(answer["energy"][0])
        forces = answer.get("forces")
        # One sum tells of any NaN or infinity in the forces; which it is comes later.
        total = energy if forces is None else energy + float(forces.sum())
        results: dict[str, Any] = {"energy": energy, "free_energy": energy, **spread}
        results["energies"] = answer["energies"]
        if "forces" in wanted:
            results["forces"] = forces
        if "stress" in wanted:
            results["stress"] = full_3x3_to_voigt_6_stress(answer["stress"][0])
        if not math.isfinite(total):
            check_finite(results, atoms)
        return results

    def _check_stress(self, pbc: NDArray[np.bool_]) -> None:
        try:
            self.potential.check_properties(("stress",), torch.as_tensor(pbc), 1)
        except UnsupportedPropertyError as error:
            raise PropertyUnavailableError(str(error)) from None

    def predict(
        self,
        graph: AtomGraph,
        properties: Iterable[str],
        velocities: torch.Tensor | None = None,
    ) -> list[Prediction]:
        """What each member says of `graph`, without cache: for batches and drivers.

        Raises
        ------
        PropertyUnavailableError
            For a property that model or structures cannot have.
        """
        names = frozenset(properties)
        try:
            return [backend(graph, names, velocities) for backend in self.backends]
        except UnsupportedPropertyError as error:
            raise PropertyUnavailableError(str(error)) from None

    def _graph_of(self, atoms: Atoms) -> AtomGraph:
        """The graph of `atoms` on the device; only positions travel while the pairs hold."""
        arrays = atoms.arrays
        pairs = self._list.update(
            arrays["numbers"], arrays["positions"], atoms.cell.array, atoms.pbc
        )
        charge = self.total_charge(atoms)
        if self._graph is None or pairs is not self._pairs:
            self.potential.check_elements(arrays["numbers"].tolist())
            graph = from_ase(atoms, self.potential.cutoff, charge=charge, pairs=pairs)
            self._graph = graph.to(self.device)
            self._pairs, self._graph_charge = pairs, charge
            self._graph_masses = mass_bytes(atoms)
            return self._graph
        positions = torch.tensor(arrays["positions"], dtype=torch.float64)
        changes = {"positions": positions.to(self.device)}
        if (masses := mass_bytes(atoms)) != self._graph_masses:
            changes["masses"] = torch.from_numpy(checked_masses(atoms)).to(self.device)
            self._graph_masses = masses
        if charge != self._graph_charge:
            changes["charge"] = torch.full_like(self._graph.charge, charge)
            self._graph_charge = charge
        self._graph = self._graph.replace(**changes)
        return self._graph

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()


def _ase_names(potential: AtomisticPotential) -> list[str]:
    """What ``get_property`` answers: everything but functions of the velocities."""
    names = [n for n in potential.properties if n not in _FLUXES]
    return [*names, "free_energy"] if "energy" in names else names

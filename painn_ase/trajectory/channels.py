"""What a trajectory can hold: each quantity's place in the H5MD file, its shape and its unit.

Files carry the units of the trade (Å, fs, eV) in attributes other programs understand; readers
give ASE's units back, in which velocities and fluxes are per Å·√(amu/eV) of time.
"""

from __future__ import annotations

from dataclasses import dataclass

from painn_ase.errors import TrajectoryError, UnitError
from painn_ase.unit_names import unit_factor

__all__ = ["CHANNELS", "Channel", "channel_factor", "channel_named"]


@dataclass(frozen=True)
class Channel:
    """One quantity along a trajectory.

    Attributes
    ----------
    name : str
        The key in calls; ASE's spelling where ASE has one.
    path : str
        Place of its H5MD element.
    shape : tuple of str or int
        Shape of one frame; ``"n_atoms"`` and ``"n_beads"`` stand for their numbers.
    unit : str
        In the file, spelled as H5MD's ``units`` module asks.
    """

    name: str
    path: str
    shape: tuple[str | int, ...]
    unit: str

    def frame_shape(self, n_atoms: int, n_beads: int = 1) -> tuple[int, ...]:
        """Shape of one frame for so many atoms, in ring polymers of so many beads."""
        sizes = {"n_atoms": n_atoms, "n_beads": n_beads}
        return tuple(sizes[n] if isinstance(n, str) else n for n in self.shape)


_N = "n_atoms"
CHANNELS: dict[str, Channel] = {
    c.name: c
    for c in (
        Channel("positions", "particles/all/position", (_N, 3), "Angstrom"),
        Channel("velocities", "particles/all/velocity", (_N, 3), "Angstrom fs-1"),
        # Not eV: MDAnalysis opens no file whose forces are in a unit it does not know.
        Channel("forces", "particles/all/force", (_N, 3), "kJ mol-1 Angstrom-1"),
        Channel("charges", "particles/all/charge", (_N,), "e"),
        Channel("cell", "particles/all/box/edges", (3, 3), "Angstrom"),
        Channel("potential_energy", "observables/potential_energy", (), "eV"),
        Channel("kinetic_energy", "observables/kinetic_energy", (), "eV"),
        Channel("conserved_energy", "observables/conserved_energy", (), "eV"),
        Channel("temperature", "observables/temperature", (), "K"),
        Channel("kinetic_virial", "observables/kinetic_virial", (_N,), "eV"),
        Channel("virial_curvature", "observables/virial_curvature", (), "eV"),
        Channel("radius_of_gyration", "observables/radius_of_gyration", (_N,), "Angstrom"),
        Channel("bead_positions", "observables/bead_positions", ("n_beads", _N, 3), "Angstrom"),
        Channel("stress", "observables/stress", (6,), "eV Angstrom-3"),
        Channel("dipole", "observables/dipole", (3,), "e Angstrom"),
        Channel("dipole_flux", "observables/dipole_flux", (3,), "e Angstrom fs-1"),
        Channel("polarizability", "observables/polarizability", (3, 3), "e+2 Angstrom+2 eV-1"),
        Channel(
            "polarizability_flux",
            "observables/polarizability_flux",
            (3, 3),
            "e+2 Angstrom+2 eV-1 fs-1",
        ),
        Channel("born_effective_charges", "observables/born_effective_charges", (_N, 3, 3), "e"),
    )
}


def channel_named(name: str) -> Channel:
    """The channel called `name`, or a TrajectoryError that lists those there are."""
    try:
        return CHANNELS[name]
    except KeyError:
        raise TrajectoryError(
            f"A trajectory has no quantity called {name!r}; it can hold {', '.join(CHANNELS)}."
        ) from None


def channel_factor(unit: str, quantity: str, where: str) -> float:
    """What turns numbers of a channel in `unit` into ASE's units.

    Raises
    ------
    TrajectoryError
        For a unit this package does not know, or one of something else.
    """
    try:
        return unit_factor(unit, quantity)
    except UnitError as error:
        raise TrajectoryError(
            f"{where}: {error} Convert the file, or read it as stored with `ase_units=False`."
        ) from error

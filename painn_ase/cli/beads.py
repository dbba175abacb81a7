"""Options of ring polymers that several commands have."""

from __future__ import annotations

from painn_ase.errors import SpecError

__all__ = ["QUANTUM_DEFAULTS", "number_of_beads"]

#: Options of a spectrum that are others for ring polymers: a time step that their stiff springs
#: bear, fluxes as often as ever, and fewer replicas, since each is many beads.
QUANTUM_DEFAULTS = {"timestep": 0.25, "stride": 8, "replicas": 16}


def number_of_beads(text: str) -> int:
    """The beads that ``--beads`` asks for; 0 for "auto".

    Raises
    ------
    SpecError
        For anything but "auto" and a whole number above zero.
    """
    if text == "auto":
        return 0
    if not text.isdecimal() or not int(text):
        raise SpecError(f"--beads is a number of beads, 1 or more, or 'auto'; got {text!r}.")
    return int(text)

"""The names under which files keep a quantity, and the one a user means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from painn_ase.errors import TrajectoryError

__all__ = ["check_keys", "find_key"]

_NAMES: dict[str, tuple[str, ...]] = {
    "dipole": ("dipole", "dipoles", "dipole_moment", "dipole_moments", "total_dipole", "mu"),
    "dipole_flux": ("dipole_flux", "dipole_derivative", "dipole_velocity", "dmu_dt"),
    "polarizability": (
        "polarizability", "polarizabilities", "polarizability_tensor", "polarisability", "alpha",
    ),
    "polarizability_flux": ("polarizability_flux", "polarizability_derivative", "dalpha_dt"),
    "time": ("time_fs", "time_ps", "time"),
    "step": ("step", "timestep", "frame", "iteration"),
}  # fmt: skip
#: What programs put before a name to say whose value it is.
_PREFIXES = ("ref_", "dft_", "qm_", "md_", "mace_")


def find_key(quantity: str, available: Iterable[str], keys: Mapping[str, str]) -> str | None:
    """The key under which a file keeps `quantity`; None where there is none.

    Parameters
    ----------
    quantity : str
        The package's name.
    available : iterable of str
        Keys of the file.
    keys : mapping of str to str
        Quantity → key as the user named it; that one counts.

    Raises
    ------
    TrajectoryError
        When several keys fit equally well, or the one that was named is not there.
    """
    held = list(dict.fromkeys(available))
    if quantity in keys:
        if keys[quantity] in held:
            return keys[quantity]
        raise TrajectoryError(
            f"no key {keys[quantity]!r} for {quantity}; the file holds "
            f"{', '.join(held) or 'nothing'}."
        )
    names = _NAMES.get(quantity, (quantity,))
    lower = {name.lower(): name for name in held}
    for name in names:
        if name in lower:
            return lower[name]
    prefixed = [
        lower[prefix + name] for name in names for prefix in _PREFIXES if prefix + name in lower
    ]
    if len(prefixed) > 1:
        raise TrajectoryError(
            f"the file holds {' and '.join(prefixed)}: which of them is the {quantity}? Say "
            f"`--key {quantity}={prefixed[0]}` (`keys=` in Python)."
        )
    return prefixed[0] if prefixed else None


def check_keys(keys: Mapping[str, str], known: Iterable[str]) -> None:
    """Refuse a key for a quantity that is not read.

    Raises
    ------
    TrajectoryError
        Naming the quantities there are.
    """
    allowed = list(known)
    for quantity in keys:
        if quantity not in allowed:
            raise TrajectoryError(
                f"a key for {quantity!r} was given; allowed are keys for {', '.join(allowed)}."
            )

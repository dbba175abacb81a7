"""The names under which files keep a quantity, and the one a user means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from painn_ase.errors import TrajectoryError

__all__ = ["check_keys", "columns_of_key", "find_key", "joined"]

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


def columns_of_key(
    text: str, names: Sequence[str], vectors: Mapping[str, Sequence[int]], width: int, source: str
) -> list[int]:
    """Columns a user named: by what their headings share, by headings, or by numbers from 1.

    Parameters
    ----------
    text : str
        ``mu`` for columns mu_x, mu_y, mu_z; ``mu_x,mu_y,mu_z``; ``2,3,4``.
    names : sequence of str
        Heading of each column; numbers from 1 where there are none.
    vectors : mapping of str to sequence of int
        What headings share, and the columns that belong to it in their order.
    width : int
        Columns needed.
    source : str
        For the message.

    Raises
    ------
    TrajectoryError
        When there are no such columns, or not so many.
    """
    places = {name: k for k, name in enumerate(names)}
    columns: list[int] = []
    for part in text.split(","):
        word = part.strip()
        if word in places:
            columns.append(places[word])
        elif word in vectors:
            columns += vectors[word]
        elif word.isdigit() and 1 <= int(word) <= len(names):
            columns.append(int(word) - 1)
        else:
            shared = f"; vectors among them: {', '.join(vectors)}" if vectors else ""
            raise TrajectoryError(
                f"{source} has no column {word!r}; its columns are {', '.join(names)}{shared} (or "
                "say numbers from 1)."
            )
    if len(columns) != width:
        raise TrajectoryError(
            f"{source}: {len(columns)} column(s) named by {text!r}, {width} are needed."
        )
    return columns


def joined(key: str, held: Iterable[str]) -> list[str] | None:
    """Names of a file that a key lists, ``mu_x,mu_y,mu_z``; None where it is one name, or none."""
    parts = [part.strip() for part in key.split(",")]
    return parts if len(parts) > 1 and set(parts) <= set(held) else None


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

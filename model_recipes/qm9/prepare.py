"""Some molecules of QM9, drawn at random, as one labelled file and one split a size.

    python model_recipes/qm9/prepare.py        # qm9.extxyz, split_U0_500.json, …, here

Every size of a curve has the same validation and test molecules. Curves of α take the molecules
whose tensor's orientation is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.io import write
from qm9 import N_MOLECULES, read_qm9

from painn_ase.training.splits import Split, write_split

#: Validation and test molecules of each target.
_JUDGES = {"U0": (300, 1000), "mu": (300, 1000), "alpha": (150, 500)}


def main() -> None:
    """Draw, write, divide."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--molecules", type=int, default=5000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--folder", type=Path, default=Path())
    given = parser.parse_args()
    order = np.random.default_rng(0).permutation(N_MOLECULES)[: given.molecules].tolist()
    found = dict(zip(sorted(order), read_qm9(order), strict=True))
    frames = [found[n] for n in order]
    write(given.folder / "qm9.extxyz", frames, format="extxyz")
    able = [n for n, atoms in enumerate(frames) if "polarizability" in atoms.info]
    print(f"{len(frames)} molecules, {len(able)} of them with a polarizability")
    for target, judges in _JUDGES.items():
        usable = able if target == "alpha" else list(range(len(frames)))
        divide(target, usable, judges, given.sizes, given.folder)


def divide(
    target: str, usable: Sequence[int], judges: tuple[int, int], sizes: Sequence[int], folder: Path
) -> None:
    """One split a size, as far as there are molecules."""
    n_validation, n_test = judges
    largest = max(n for n in sizes if n + sum(judges) <= len(usable))
    end = largest + n_validation
    for n in (size for size in sizes if size <= largest):
        split = Split(
            tuple(usable[:n]),
            tuple(usable[largest:end]),
            tuple(usable[end : end + n_test]),
        )
        write_split(split, folder / f"split_{target}_{n}.json")


if __name__ == "__main__":
    main()

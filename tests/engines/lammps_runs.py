"""Run by `mpiexec`: LAMMPS with our pair style for some cases, and what each of them answers.

    mpiexec -n 2 python lammps_runs.py CASES.json FOLDER

A case is a list of commands. Its numbers go to FOLDER/NAME.npz; where it ends in an error, each
rank's message goes to FOLDER/NAME.RANK.txt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from painn_ase.engines.lammps import open_lammps


def numbers(lmp: Any) -> dict[str, Any]:
    """What the engine has after a run, whole; every rank takes part."""
    n = lmp.get_natoms()
    given = {name: np.array(lmp.gather_atoms(name, 1, 3)).reshape(n, 3) for name in ("x", "v", "f")}
    given |= {name: lmp.get_thermo(name) for name in ("pe", "etotal")}
    given["pressures"] = [lmp.extract_compute("pressures", 0, 1)[k] for k in range(6)]
    given["each"] = np.array(lmp.gather("c_each", 1, 1))
    given["virials"] = np.array(lmp.gather("c_virials", 1, 6)).reshape(n, 6)
    if lmp.has_id("compute", "model"):
        given["responses"] = [lmp.extract_compute("model", 0, 1)[k] for k in range(9)]
    ranks = np.array(lmp.gather("c_rank", 1, 1)).astype(int)
    given["counts"] = np.bincount(ranks, minlength=lmp.extract_setting("world_size"))
    return given


def main() -> None:
    cases, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    lmp = open_lammps(["-log", "none", "-screen", "none"])
    rank = lmp.extract_setting("world_rank")
    for name, commands in cases.items():
        lmp.command("clear")
        try:
            for command in commands:
                lmp.command(command.replace("RANK", str(rank)))
        except Exception as error:
            (folder / f"{name}.{rank}.txt").write_text(str(error))
            continue
        given = numbers(lmp)
        if rank == 0:
            np.savez(folder / f"{name}.npz", **given)
    lmp.close()
    lmp.finalize()


if __name__ == "__main__":
    main()

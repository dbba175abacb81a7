"""Learning curves on QM9: errors of U₀, |μ| and α against the number of molecules trained on.

    python model_recipes/qm9/prepare.py                 # writes qm9.extxyz and one split a size
    python model_recipes/qm9/curve.py --steps 600       # all of them, one after the other

Each training is a folder of runs/qm9 and goes on where it was stopped; each result is a file of
model_recipes/qm9/results and is not computed again while it is there. Real
curves need more: `--features 128 --batch 100`, some 100,000 steps and as many molecules.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from painn_ase.models.file import load_model
from painn_ase.training import train
from painn_ase.training.config import (
    DataSpec,
    LossSpec,
    OptimizerSpec,
    RuntimeSpec,
    ScheduleSpec,
    TrainConfig,
    network_to_train,
)
from painn_ase.training.evaluation import compare
from painn_ase.training.file_spec import UnitsSpec
from painn_ase.training.readers import read_frames
from painn_ase.units import bohr3_to_angstrom3, debye_to_e_angstrom

HERE = Path(__file__).parent
#: Target → label, and the networks that learn it.
TARGETS = {
    "U0": ("energy", ("painn", "schnet")),
    "mu": ("dipole_magnitude", ("painn",)),
    "alpha": ("polarizability", ("painn",)),
}
LABELS = ("energy", "dipole_magnitude", "polarizability")


def configuration(target: str, kind: str, n: int, given: argparse.Namespace) -> TrainConfig:
    """The training of one point."""
    label = TARGETS[target][0]
    silent = dict.fromkeys(("energy", "forces", "stress", "dipole", *LABELS), 0.0)
    name = f"{target}_{kind}_{n}"
    return TrainConfig(
        name=name,
        data=DataSpec(
            str(given.data),
            split_file=str(given.data.with_name(f"split_{target}_{n}.json")),
            units=UnitsSpec(polarizability="a.u."),
            accept_warnings=True,  # molecules of one energy each look like outliers
        ),
        network=network_to_train(kind, n_features=given.features),
        loss=LossSpec(**{**silent, label: 1.0}),
        optimizer=OptimizerSpec(batch_size=given.batch, ema_decay=0.99),
        schedule=ScheduleSpec(
            steps=given.steps, warmup_steps=given.steps // 10, validate_every=1, checkpoint_every=1
        ),
        runtime=RuntimeSpec(accelerator="cpu", compile="auto", threads=1),
        output=str(given.runs / name),
    )


def errors(target: str, model: Path, given: argparse.Namespace, split: Path) -> dict[str, float]:
    """Mean absolute errors on the test part, in the paper's units."""
    label = TARGETS[target][0]
    frames = read_frames(given.data, units=UnitsSpec(polarizability="a.u."), labels=(label,))
    chosen = [frames[n] for n in json.loads(split.read_text(encoding="utf-8"))["test"]]
    compared = compare(load_model(model), chosen, (label,))[label]
    if target == "alpha":
        difference = (compared.predicted - compared.reference).reshape(
            -1, 3, 3
        ) / bohr3_to_angstrom3
        trace = np.trace(difference, axis1=1, axis2=2) / 3.0
        return {
            "isotropic_bohr3": float(np.abs(trace).mean()),
            "components_bohr3": float(np.abs(difference).mean()),
        }
    found = compared.errors
    return (
        {"meV": found.mae * 1e3} if target == "U0" else {"debye": found.mae / debye_to_e_angstrom}
    )


def main() -> None:
    """Every point that has no result yet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("qm9.extxyz"))
    parser.add_argument("--runs", type=Path, default=Path("runs/qm9"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--features", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.results.mkdir(parents=True, exist_ok=True)
    for n in given.sizes:
        for target in given.targets:
            if given.data.with_name(f"split_{target}_{n}.json").exists():
                for kind in TARGETS[target][1]:
                    one_point(target, kind, n, given)


def one_point(target: str, kind: str, n: int, given: argparse.Namespace) -> None:
    """Train, judge and write one point, unless it is there."""
    config = configuration(target, kind, n, given)
    result = given.results / f"{config.name}.json"
    if result.exists():
        return
    begun = time.process_time()
    model = train(config, resume=(Path(str(config.output)) / "checkpoints").exists())
    spent = time.process_time() - begun
    about = {
        "target": target,
        "network": kind,
        "molecules": n,
        "features": given.features,
        "batch": given.batch,
        "steps": given.steps,
        "cpu_seconds": round(spent, 1),
        "errors": errors(target, model, given, Path(str(config.data.split_file))),
    }
    result.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(about), flush=True)


if __name__ == "__main__":
    main()

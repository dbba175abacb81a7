"""Label checks: consistent labels pass, each kind of fault is flagged with its cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from painn_ase.errors import DataError
from painn_ase.training import Frame, check_frames, label_table, read_frames
from painn_ase.training.consistency import fit_energy_forces
from painn_ase.units import (
    angstrom3_to_e2_angstrom2_per_ev,
    debye_to_e_angstrom,
    hartree_to_ev,
    kcal_per_mol_to_ev,
)

ETHANOL = Path(__file__).parents[2] / "model_recipes" / "data" / "ethanol.extxyz"


def warnings_of(frames: list[Frame]) -> dict[str, str]:
    return {f.check: f.message for f in check_frames(frames) if f.level == "warning"}


def scaled(frames: list[Frame], **factors: float) -> list[Frame]:
    return [replace(f, **{k: getattr(f, k) * v for k, v in factors.items()}) for f in frames]


def test_consistent_labels_raise_no_warning(
    spring_frames: list[Frame], water_frames: list[Frame]
) -> None:
    assert warnings_of(spring_frames) == {}
    fit = fit_energy_forces(water_frames)
    assert fit is not None
    assert fit.slope == pytest.approx(1.0, abs=0.01)
    assert fit.correlation > 0.999


@pytest.mark.parametrize(
    ("factors", "cause"),
    [
        ({"energy": 1 / kcal_per_mol_to_ev}, "energies in kcal/mol"),
        ({"energy": 1 / hartree_to_ev}, "energies in Hartree"),
        ({"forces": 1 / kcal_per_mol_to_ev}, "forces in kcal/mol"),
        ({"forces": 0.529177 / hartree_to_ev}, "forces in Hartree/Bohr"),
        ({"forces": -1.0}, "gradients"),
    ],
)
def test_mixed_units_and_signs_are_flagged(
    water_frames: list[Frame], factors: dict[str, float], cause: str
) -> None:
    found = warnings_of(scaled(water_frames[:400], **factors))
    assert cause in found["energy against forces"]


def test_few_frames_far_apart_raise_no_false_alarm_and_still_show_a_wrong_unit() -> None:
    """Fifty frames of ethanol from separate stretches: the trapezoid is poor, factors are not."""
    frames = read_frames(ETHANOL, labels=("energy", "forces"))[:1500:30]
    (finding,) = [f for f in check_frames(frames) if f.check == "energy against forces"]
    assert finding.level != "warning"
    assert abs(fit_energy_forces(frames).slope - 1) > 0.05
    bohr = warnings_of(scaled(frames, forces=1 / 0.529177))
    assert "disagree" in bohr["energy against forces"]


def test_dipoles_in_debye_read_as_e_angstrom_are_flagged(water_frames: list[Frame]) -> None:
    debye = [replace(f, dipole=3 * f.dipole / debye_to_e_angstrom) for f in water_frames[:100]]
    assert "Debye" in warnings_of(debye)["dipole"]


def test_dipoles_of_another_frame_of_axes_are_flagged(water_frames: list[Frame]) -> None:
    turned = [replace(f, dipole=np.roll(f.dipole, 1)) for f in water_frames[:300]]
    assert "dipole" in warnings_of(turned)


def test_a_neutral_dipole_that_moves_with_the_origin_is_flagged(
    spring_frames: list[Frame],
) -> None:
    moved = [replace(f, dipole=f.dipole + f.positions.mean(axis=0)) for f in spring_frames]
    assert "charge of 1" in warnings_of(moved)["dipole under shift"]


def test_folded_dipoles_of_a_cell_are_flagged(spring_frames: list[Frame]) -> None:
    cell = 12.0 * np.eye(3)
    boxed = [replace(f, cell=cell, pbc=np.ones(3, dtype=bool)) for f in spring_frames]
    assert "dipole folding" not in warnings_of(boxed)
    boxed[30:] = [replace(f, dipole=f.dipole + cell[0]) for f in boxed[30:]]
    assert "dipole folding" in warnings_of(boxed)


def test_wrong_polarizabilities_are_flagged(water_frames: list[Frame]) -> None:
    few = water_frames[:50]
    assert (
        "unit"
        in warnings_of(scaled(few, polarizability=1 / angstrom3_to_e2_angstrom2_per_ev))[
            "polarizability"
        ]
    )
    assert "sign" in warnings_of(scaled(few, polarizability=-1.0))["polarizability"]
    skew = np.array([[0, 0.02, 0], [0, 0, 0], [0, 0, 0]])
    tilted = [replace(f, polarizability=f.polarizability + skew) for f in few]
    assert "not symmetric" in warnings_of(tilted)["polarizability"]


def test_net_forces_duplicates_outliers_and_rare_elements_are_flagged(
    water_frames: list[Frame],
) -> None:
    few = water_frames[:200]
    pushed = [replace(f, forces=f.forces + 0.3) for f in few]
    assert "net force" in warnings_of(pushed)
    spin = np.cross([0.0, 0.0, 1.0], few[0].positions - few[0].positions.mean(axis=0))
    turned = [replace(f, forces=f.forces + spin) for f in few]
    assert "net torque" in warnings_of(turned)
    assert "net force" not in warnings_of(turned)
    contradicting = [*few, replace(few[0], energy=few[0].energy + 0.5)]
    assert "mixed" in warnings_of(contradicting)["duplicates"]
    far = [*few, replace(few[1], positions=few[1].positions + 1e-3, energy=50.0)]
    assert "energy" in warnings_of(far)["outliers"]
    odd = [*few, replace(few[2], numbers=np.array([16, 1, 1]))]
    assert "S stands in 1" in warnings_of(odd)["elements"]


def test_missing_labels_are_noted(water_frames: list[Frame]) -> None:
    some = [replace(f, dipole=None) if n % 2 else f for n, f in enumerate(water_frames[:40])]
    notes = [f.message for f in check_frames(some) if f.check == "missing labels"]
    assert notes == ["20 of 40 frames have no dipole"]
    table = {row.quantity: row.n_frames for row in label_table(some)}
    assert table == {"energy": 40, "forces": 40, "dipole": 20, "polarizability": 40}
    with pytest.raises(DataError):
        check_frames([])

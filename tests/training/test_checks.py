"""Label checks: consistent labels pass, each kind of fault is flagged with its cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from painn_ase.errors import DataError
from painn_ase.training import LabeledFrame, check_frames, label_table, read_frames
from painn_ase.training.check_dipoles import _predicted, check_dipoles
from painn_ase.training.check_units import ATOMIC_ENERGIES
from painn_ase.training.check_width import check_quantum_width
from painn_ase.training.consistency import fit_energy_forces
from painn_ase.training.file_spec import ORDERS
from painn_ase.units import (
    angstrom3_to_e2_angstrom2_per_ev,
    bohr_to_angstrom,
    debye_to_e_angstrom,
    ev_per_angstrom3_to_gpa,
    hartree_to_ev,
    kcal_per_mol_to_ev,
    kj_per_mol_to_ev,
)

ETHANOL = Path(__file__).parents[2] / "model_recipes" / "data" / "ethanol.extxyz"


def warnings_of(frames: list[LabeledFrame]) -> dict[str, str]:
    return {f.check: f.message for f in check_frames(frames) if f.level == "warning"}


def scaled(frames: list[LabeledFrame], **factors: float) -> list[LabeledFrame]:
    return [replace(f, **{k: getattr(f, k) * v for k, v in factors.items()}) for f in frames]


def test_consistent_labels_raise_no_warning(
    spring_frames: list[LabeledFrame], water_frames: list[LabeledFrame]
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
    water_frames: list[LabeledFrame], factors: dict[str, float], cause: str
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


@pytest.mark.parametrize("data", ["ethanol", "water"])
@pytest.mark.parametrize(
    ("factor", "named"),
    [
        (1 / kcal_per_mol_to_ev, "kcal/mol"),
        (1 / kj_per_mol_to_ev, "kJ/mol"),
        (1 / hartree_to_ev, "Hartree"),
    ],
)
def test_energies_and_forces_in_one_wrong_unit_are_flagged(
    data: str, factor: float, named: str, water_frames: list[LabeledFrame]
) -> None:
    """They are consistent with each other; water's are relative, so that only the forces tell."""
    ethanol = read_frames(ETHANOL, labels=("energy", "forces"))[:200] if data == "ethanol" else []
    frames = ethanol or water_frames[:200]
    assert "size of forces" not in warnings_of(frames)
    found = warnings_of(scaled(frames, energy=factor, forces=factor))
    assert "energy against forces" not in found
    assert named in found["size of forces"]
    if data == "ethanol":
        assert f"as for {named} read as eV" in found["size of energies"]


def test_the_table_of_atomic_energies_is_smooth_in_the_atomic_number() -> None:
    """Thomas–Fermi: E ≈ 0.7687 Z^(7/3) Eh to leading order, with corrections in Z² and Z^(5/3).

    A misprinted digit would stand out: Scott's and Schwinger's terms leave less than 1 %.
    """
    z = np.arange(6, len(ATOMIC_ENERGIES) + 1)
    expected = 0.768745 * z ** (7 / 3) - 0.5 * z**2 + 0.269900 * z ** (5 / 3)
    ratio = np.array(ATOMIC_ENERGIES)[5:] / expected
    assert np.abs(ratio - 1).max() < 0.012
    assert np.abs(np.diff(ratio, 2)).max() < 0.004


@pytest.mark.parametrize(
    ("factor", "named"),
    [(1 / debye_to_e_angstrom, "Debye"), (1 / bohr_to_angstrom, "a.u."), (-1.0, "sign")],
)
@pytest.mark.parametrize("data", ["ethanol", "water"])
def test_dipoles_of_another_unit_or_sign_are_flagged(
    data: str, factor: float, named: str, water_frames: list[LabeledFrame]
) -> None:
    ethanol = read_frames(ETHANOL, labels=("dipole",))[:200] if data == "ethanol" else []
    frames = ethanol or water_frames[:200]
    assert not {"dipole", "size of dipoles"} & set(warnings_of(frames))
    assert named in warnings_of(scaled(frames, dipole=factor))["size of dipoles"]


def test_displaced_atoms_are_no_shift_of_the_molecule() -> None:
    """Fluctuating charges of water about one place: neutral, however far each atom is moved."""
    rng = np.random.default_rng(0)
    at_rest = molecule("H2O")
    frames = []
    for _ in range(60):
        positions = at_rest.positions + 0.06 * rng.normal(size=(3, 3))
        bonds = positions[1:] - positions[0]
        charges = 0.33 + 0.2 * (np.linalg.norm(bonds, axis=1) - 0.97)
        frames.append(
            LabeledFrame(
                numbers=at_rest.numbers.astype(np.int64),
                positions=positions,
                cell=np.zeros((3, 3)),
                pbc=np.zeros(3, dtype=bool),
                dipole=charges @ bonds,
            )
        )
    assert "dipole under shift" not in warnings_of(frames)
    ions = [replace(f, dipole=f.dipole - 0.5 * f.positions[0]) for f in frames]
    assert "dipole under shift" in warnings_of(ions)


def test_dipoles_of_cells_are_said_to_be_unchecked(spring_frames: list[LabeledFrame]) -> None:
    boxed = [replace(f, cell=12.0 * np.eye(3), pbc=np.ones(3, dtype=bool)) for f in spring_frames]
    notes = [f.message for f in check_frames(boxed) if f.check == "dipole"]
    assert "not checked" in notes[0]


def copper(n: int, strain: float, rattle: float) -> list[LabeledFrame]:
    """Crystals under random strains (rotations too) with random displacements, by EMT."""
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.set_cell(
            atoms.cell @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True
        )
        atoms.positions += rattle * rng.normal(size=atoms.positions.shape)
        atoms.calc = EMT()
        frames.append(
            LabeledFrame(
                numbers=atoms.numbers.astype(np.int64),
                positions=atoms.positions,
                cell=atoms.cell.array,
                pbc=atoms.pbc,
                energy=atoms.get_potential_energy(),
                forces=atoms.get_forces(),
                stress=atoms.get_stress(voigt=False),
            )
        )
    return frames


@pytest.fixture(scope="module", params=["strained", "fixed cell"])
def crystals(request: pytest.FixtureRequest) -> list[LabeledFrame]:
    """Cells that are strained, and one cell with moving atoms: each has a relation of its own."""
    return copper(24, 0.005, 0.01) if request.param == "strained" else copper(24, 0.0, 0.1)


@pytest.mark.parametrize(
    ("factor", "named"),
    [
        (-1.0, "the sign is reversed"),
        (ev_per_angstrom3_to_gpa, "GPa read as eV/Å^3 (factor"),
        (10 * ev_per_angstrom3_to_gpa, "kbar read as eV/Å^3 (factor"),
        (-10 * ev_per_angstrom3_to_gpa, "kbar read as eV/Å^3, and the sign is reversed"),
        ("virial", "[data.keys] virial"),
        ("volume", "Vσ under the key of the stress"),
    ],
)
def test_stress_of_another_sign_or_unit_is_flagged(
    crystals: list[LabeledFrame], factor: float | str, named: str
) -> None:
    assert not [c for c in warnings_of(crystals) if "stress" in c]
    volume = abs(np.linalg.det(crystals[0].cell))
    factor = {"virial": -volume, "volume": volume}.get(factor, factor)
    (message,) = [
        m for c, m in warnings_of(scaled(crystals, stress=factor)).items() if c.startswith("stress")
    ]
    assert named in message


@pytest.mark.parametrize("order", ["vasp", "lammps", "rows"])
def test_six_numbers_in_another_order_are_flagged(
    order: str, water_frames: list[LabeledFrame]
) -> None:
    for label, frames in (
        ("stress", copper(40, 0.01, 0.02)),
        ("polarizability", water_frames[:100]),
    ):
        assert f"order of {label}" not in warnings_of(frames)
        rows, columns = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)
        wrong = []
        for frame in frames:
            tensor, six = frame.label(label), np.empty(6)
            six[list(ORDERS[order])] = tensor[rows, columns]  # as the file has them
            read = np.empty((3, 3))
            read[rows, columns] = read[columns, rows] = six  # as if they were Voigt's
            wrong.append(replace(frame, **{label: read}))
        assert repr(order) in warnings_of(wrong)[f"order of {label}"]


def test_one_geometry_in_several_cells_is_no_duplicate() -> None:
    """A curve of energy over volume, with the atom at the origin."""
    frames = [
        LabeledFrame(
            numbers=np.array([29]),
            positions=np.zeros((1, 3)),
            cell=a * (np.ones((3, 3)) - np.eye(3)),
            pbc=np.ones(3, dtype=bool),
            energy=(a - 1.8) ** 2,
        )
        for a in np.linspace(1.7, 1.9, 9)
    ]
    assert "duplicates" not in warnings_of(frames)
    assert "duplicates" in warnings_of([*frames, replace(frames[0], energy=5.0)])


def test_dipoles_in_debye_read_as_e_angstrom_are_flagged(water_frames: list[LabeledFrame]) -> None:
    debye = [replace(f, dipole=3 * f.dipole / debye_to_e_angstrom) for f in water_frames[:100]]
    assert "Debye" in warnings_of(debye)["dipole"]


def test_dipoles_of_another_frame_of_axes_are_flagged(water_frames: list[LabeledFrame]) -> None:
    turned = [replace(f, dipole=np.roll(f.dipole, 1)) for f in water_frames[:300]]
    assert "dipole" in warnings_of(turned)


def test_a_neutral_dipole_that_moves_with_the_origin_is_flagged(
    spring_frames: list[LabeledFrame],
) -> None:
    moved = [replace(f, dipole=f.dipole + f.positions.mean(axis=0)) for f in spring_frames]
    assert "charge of 1" in warnings_of(moved)["dipole under shift"]


def test_folded_dipoles_of_a_cell_are_flagged(spring_frames: list[LabeledFrame]) -> None:
    cell = 12.0 * np.eye(3)
    boxed = [replace(f, cell=cell, pbc=np.ones(3, dtype=bool)) for f in spring_frames]
    assert "dipole folding" not in warnings_of(boxed)
    boxed[30:] = [replace(f, dipole=f.dipole + cell[0]) for f in boxed[30:]]
    assert "dipole folding" in warnings_of(boxed)


def test_wrong_polarizabilities_are_flagged(water_frames: list[LabeledFrame]) -> None:
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
    water_frames: list[LabeledFrame],
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


def test_missing_labels_are_noted(water_frames: list[LabeledFrame]) -> None:
    some = [replace(f, dipole=None) if n % 2 else f for n, f in enumerate(water_frames[:40])]
    notes = [f.message for f in check_frames(some) if f.check == "missing labels"]
    assert notes == ["20 of 40 frames have no dipole"]
    table = {row.quantity: row.n_frames for row in label_table(some)}
    assert table == {"energy": 40, "forces": 40, "dipole": 20, "polarizability": 40}
    with pytest.raises(DataError):
        check_frames([])


def _displaced(name: str, charges: list[float], n: int = 30) -> list[LabeledFrame]:
    """Frames of a molecule as ASE knows it, moved at random, with dipoles of fixed charges."""
    rng = np.random.default_rng(4)
    atoms = molecule(name)
    assert sum(charges) == pytest.approx(0.0)
    frames = []
    for _ in range(n):
        moved = atoms.copy()
        moved.rotate(rng.uniform(0, 360), rng.normal(size=3))
        positions = moved.positions + 0.03 * rng.normal(size=(len(atoms), 3))
        frames.append(
            LabeledFrame(
                numbers=atoms.numbers.astype(np.int64),
                positions=positions,
                cell=np.zeros((3, 3)),
                pbc=np.zeros(3, dtype=bool),
                dipole=np.array(charges) @ positions,
            )
        )
    return frames


def test_charges_that_add_up_to_zero_are_found_where_there_are() -> None:
    """Ketene's: the best charges of any sum, shifted to add up to zero, explain less."""
    frames = _displaced("H2CCO", [-0.2, 0.5, 0.1, 0.1, -0.5])
    (found,) = [f for f in check_dipoles(frames) if f.check == "dipole"]
    assert found.level == "ok"
    assert "explain 100.0 %" in found.message


def test_dipoles_of_hydrocarbons_and_isocyanides_are_no_warning() -> None:
    ethane = [
        replace(f, dipole=0.02 * np.random.default_rng(n).normal(size=3))
        for n, f in enumerate(_displaced("C2H6", [0.0] * 8))
    ]
    (small,) = [f for f in check_dipoles(ethane) if f.check == "dipole"]
    assert small.level == "note"
    assert "too small to tell" in small.message
    # CH3NC: the carbon at the end is the negative pole, whatever electronegativities say
    atoms = molecule("CH3CN")
    end = int(np.flatnonzero(atoms.numbers == 7)[0])
    carbon = int(np.argsort(atoms.get_distances(end, range(6)))[1])
    atoms.numbers[[carbon, end]] = 7, 6
    charges = np.zeros(6)
    charges[[carbon, end]] = 0.3, -0.3
    frames = [
        replace(f, numbers=atoms.numbers.astype(np.int64))
        for f in _displaced("CH3CN", charges.tolist())
    ]
    assert not [f for f in check_dipoles(frames) if f.level == "warning"]


@pytest.mark.parametrize(
    ("name", "measured"),
    [("H2O", 1.85), ("NH3", 1.47), ("HF", 1.82), ("HCl", 1.08), ("SH2", 0.97), ("CH3OH", 1.70),
     ("CH3OCH3", 1.30), ("CH3Cl", 1.87), ("H2CO", 2.33), ("HCN", 2.98), ("CH3CN", 3.92)],
)  # fmt: skip
def test_moments_of_bonds_add_up_to_measured_dipoles(name: str, measured: float) -> None:
    """Debye, from R. D. Nelson, D. R. Lide, A. A. Maryott, NSRDS-NBS 10 (1967)."""
    atoms = molecule(name)
    frame = LabeledFrame(
        numbers=atoms.numbers, positions=atoms.positions, cell=np.zeros((3, 3)),
        pbc=np.zeros(3, dtype=bool), charge=0.0, source=name,
    )  # fmt: skip
    total = _predicted(frame)
    assert total is not None
    assert np.linalg.norm(total) / debye_to_e_angstrom == pytest.approx(measured, rel=0.33)


def test_energies_of_free_atoms_are_those_of_the_literature() -> None:
    """Hartree–Fock limits, Phys. Rev. A 46, 3691 (1992), where tables of others differed too."""
    known = {1: 0.5, 2: 2.86168, 8: 74.80940, 24: 1043.35638, 29: 1638.96374, 46: 4937.92102,
             54: 7232.13836}  # fmt: skip
    assert len(ATOMIC_ENERGIES) == 54
    assert np.all(np.diff(ATOMIC_ENERGIES) > 0.0)
    for number, energy in known.items():
        assert ATOMIC_ENERGIES[number - 1] == pytest.approx(energy, abs=1e-4)


def test_data_say_whether_they_reach_the_width_of_quantum_nuclei(
    water_frames: list[LabeledFrame],
) -> None:
    """Half of bundled water's frames are of quantum width; those of ethanol are classical."""
    (wide,) = check_quantum_width(water_frames)
    assert wide.level == "ok"
    assert "O–H 0." in wide.message
    dynamics = [f for f in water_frames if _longest_bond(f) < 1.1]
    (narrow,) = check_quantum_width(dynamics)
    assert narrow.level == "note"
    assert "painn-ase sample" in narrow.message
    (classical,) = check_quantum_width(read_frames(ETHANOL, labels=("energy",))[:500])
    assert classical.level == "note"
    assert "C–H" in classical.message
    assert "O–H" in classical.message
    # 0.069 Å: √(ħ/2μω) of an oscillator of 3700 cm⁻¹
    lengths = [_bond_of(f) for f in dynamics]
    expected = (max(map(max, lengths)) - np.median(lengths)) / 0.0693
    assert f"{expected:.1f} widths" in narrow.message
    assert not list(check_quantum_width(water_frames[:20]))


def _bond_of(frame: LabeledFrame) -> list[float]:
    return np.linalg.norm(frame.positions[1:] - frame.positions[0], axis=1).tolist()


def _longest_bond(frame: LabeledFrame) -> float:
    return max(_bond_of(frame))

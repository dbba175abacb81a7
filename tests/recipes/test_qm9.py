"""The reader of QM9: units and kind of the energies, and the frame of its polarizabilities."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[2] / "model_recipes" / "qm9"))

from orientation import into_frame_of_coordinates, thole_polarizability
from qm9 import N_MOLECULES, read_qm9

from painn_ase.errors import DataError
from painn_ase.units import hartree_to_ev

#: Row → what `python model_recipes/qm9/check_level.py` computes with PySCF in the coordinates'
#: frame: electronic energy (Hartree), dipole (e·Å), polarizability xx, yy, zz, yz, xz, xy (a.u.).
PYSCF = {
    2: (-76.42607826, 0.385393, (6.868, 7.580, 4.492, 0.009, -0.019, 0.745)),
    7: (-115.73034418, 0.317655, (15.898, 18.308, 16.708, 0.882, -0.686, -0.526)),
}


@pytest.mark.parametrize("row", sorted(PYSCF))
def test_labels_are_those_of_another_program(row: int) -> None:
    atoms = first(row)
    energy, dipole, (xx, yy, zz, yz, xz, xy) = PYSCF[row]
    electronic = atoms.info["energy"] / hartree_to_ev - atoms.info["zero_point_energy"]
    assert electronic == pytest.approx(energy, abs=3e-6)  # total energies, not of atomization
    assert atoms.info["dipole_magnitude"] == pytest.approx(dipole, abs=2e-5)
    expected = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    assert atoms.info["polarizability"].reshape(3, 3) == pytest.approx(expected, abs=2e-3)
    assert atoms.info["isotropic_polarizability"] == pytest.approx((xx + yy + zz) / 3, abs=6e-3)


def first(row: int):  # type: ignore[no-untyped-def]
    """A molecule of the package, which may be missing here."""
    import importlib.util

    if importlib.util.find_spec("qm9pack") is None:
        pytest.skip("qm9pack is not installed")
    return next(iter(read_qm9([row])))


@pytest.mark.parametrize("rows", [[-1], [N_MOLECULES]])
def test_rows_there_are_not_are_refused(rows: list[int]) -> None:
    with pytest.raises(DataError, match="0 to 130830"):
        next(iter(read_qm9(rows)))


@pytest.mark.parametrize("name", ["CH3CH2OH", "HCOOH", "CH3CHO", "C6H6"])
@pytest.mark.parametrize("seed", range(4))
def test_a_tensor_in_standard_orientation_is_turned_back(name: str, seed: int) -> None:
    """The model's own tensor, along the charges' axes in any order and sense."""
    rng = np.random.default_rng(seed)
    atoms = molecule(name)
    atoms.positions = Rotation.random(rng=rng).apply(atoms.positions)
    truth = thole_polarizability(atoms)
    charges = atoms.numbers.astype(float)
    lever = atoms.positions - charges @ atoms.positions / charges.sum()
    axes = np.linalg.eigh(np.einsum("n,na,nb->ab", charges, lever, lever))[1]
    axes = axes[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], size=3)
    found = into_frame_of_coordinates(atoms, axes.T @ truth @ axes)
    assert found is not None
    np.testing.assert_allclose(found, truth, atol=1e-6 * np.trace(truth))


def test_where_the_model_cannot_tell_there_is_no_label() -> None:
    """Off-diagonal numbers of the other sign, as far from the model as the right ones."""
    atoms = molecule("CH3CH2OH")
    charges = atoms.numbers.astype(float)
    lever = atoms.positions - charges @ atoms.positions / charges.sum()
    axes = np.linalg.eigh(np.einsum("n,na,nb->ab", charges, lever, lever))[1]
    tensor = axes.T @ thole_polarizability(atoms) @ axes
    tensor = np.diag(np.diag(tensor))
    z_is_normal = np.abs(axes[2]).argmax()
    a, b = (k for k in range(3) if k != z_is_normal)
    tensor[a, z_is_normal] = tensor[z_is_normal, a] = 0.5
    assert b != a
    assert into_frame_of_coordinates(atoms, tensor) is None


def test_two_isolated_atoms_have_the_closed_form_along_their_axis() -> None:
    """Far apart, where damping is gone: α∥ = 2α/(1 − 2α/r³), α⊥ = 2α/(1 + α/r³)."""
    from ase import Atoms

    from painn_ase.units import bohr_to_angstrom

    r, alpha = 12.0, 5.7494
    found = thole_polarizability(Atoms("O2", [[0, 0, 0], [0, 0, r * bohr_to_angstrom]]))
    assert found[2, 2] == pytest.approx(2 * alpha / (1 - 2 * alpha / r**3), rel=1e-4)
    assert found[0, 0] == pytest.approx(2 * alpha / (1 + alpha / r**3), rel=1e-4)

"""A page for each quantity, from the package's one table of them."""

from __future__ import annotations

import re
from pathlib import Path

from builders.writing import table, tree, write_folder
from painn_ase.kernels.fused_backend import FUSED_PROPERTIES, FUSED_RESPONSE
from painn_ase.quantities import QUANTITIES, Quantity

__all__ = ["TESTS", "engines_table", "quantities_table", "write_quantities"]

ROOT = Path(__file__).parents[2]
_DERIVATIVES = (
    "potential/test_derivatives.py::"
    "test_derivatives_of_a_molecule_are_those_of_its_energy_dipole_and_polarizability"
)
_EQUIVARIANCE = "potential/test_equivariance.py::test_every_output_of_a_molecule_is_equivariant"
_SHAPES = "calculator/test_ase_contract.py::test_results_are_float64_numpy_in_the_shapes_of_ase"
_LIMITS = "potential/test_limits.py::test_"
_HEADS = "heads/test_heads.py::test_"
_ASE = "calculator/test_ase_tools.py::test_"
_HARMONIC = "spectra/test_harmonic.py::test_"
#: Quantity → what holds, and the test below ``tests/`` that holds it there.
TESTS: dict[str, dict[str, str]] = {
    "energy": {
        "the same however the molecule is turned, mirrored, moved, numbered": _EQUIVARIANCE,
        "atoms far apart have the sum of their own energies": _LIMITS
        + "the_energy_of_atoms_far_apart_is_the_sum_of_isolated_atoms",
        "nothing jumps where a neighbour leaves": _LIMITS
        + "energy_and_force_are_continuous_where_a_neighbour_crosses_the_cutoff",
        "a crystal and its supercell agree": _LIMITS + "a_crystal_and_its_supercell_agree_per_atom",
    },
    "free_energy": {"it is the energy, in ASE's shape": _SHAPES},
    "energies": {"they sum to the energy": _LIMITS + "atomic_energies_sum_to_the_energy"},
    "forces": {
        "they are finite differences of the energy": _DERIVATIVES,
        "they sum to zero": _LIMITS + "forces_sum_to_zero_and_so_do_the_rows_of_the_hessian",
        "they exert no torque": _LIMITS + "a_molecule_exerts_no_torque_on_itself",
        "velocity Verlet's energy error goes with the square of the time step": (
            "potential/test_dynamics.py::"
            "test_the_energy_error_of_velocity_verlet_is_of_second_order_in_the_time_step"
        ),
    },
    "stress": {
        "it is the finite difference by strain, in tilted cells too": (
            "potential/test_derivatives.py::"
            "test_stress_is_the_derivative_by_strain_in_a_tilted_cell"
        ),
        "its order is ASE's": "calculator/test_ase_contract.py::test_stress_is_in_voigt_order",
        "it gives the pressure of an equation of state": _ASE
        + "pressure_is_the_slope_of_an_equation_of_state",
    },
    "hessian": {
        "it is symmetric": "potential/test_derivatives.py::test_a_hessian_is_symmetric",
        "its rows sum to zero": _LIMITS + "forces_sum_to_zero_and_so_do_the_rows_of_the_hessian",
        "its frequencies are those of `ase.vibrations`": _ASE
        + "vibrations_of_ase_agree_with_the_hessian",
    },
    "dipole": {
        "it turns with the molecule": _EQUIVARIANCE,
        "that of an ion counts from the centre of mass": _LIMITS
        + "the_dipole_of_an_ion_counts_from_its_centre_of_mass",
        "a lone neutral atom has none": _HEADS
        + "a_neutral_atom_has_no_dipole_and_an_isotropic_polarizability",
    },
    "dipole_magnitude": {
        "it is the length of the dipole": "training/test_dipole_magnitude.py::"
        "test_it_is_the_length_of_the_vector_that_other_models_give",
        "a model of lengths gives nothing that has a sign": "training/test_dipole_magnitude.py::"
        "test_a_model_of_lengths_gives_nothing_that_has_a_sign",
    },
    "charges": {
        "they sum to the total charge": _HEADS + "charges_sum_to_the_total_charge",
        "in batches each to its own": _HEADS
        + "charges_of_each_structure_in_a_batch_sum_to_its_own_total_charge",
    },
    "born_effective_charges": {
        "they are finite differences of the dipole": _DERIVATIVES,
        "they sum to the total charge": _LIMITS + "born_charges_sum_to_the_total_charge",
        "`ase.vibrations.Infrared` finds the same intensities": _ASE
        + "infrared_of_ase_agrees_with_born_charges_and_hessian",
        "intensities from them are PySCF's where the arrays are": _HARMONIC
        + "water_agrees_with_pyscf",
    },
    "dipole_flux": {
        "it is Σ Z* v": "potential/test_derivatives.py::"
        "test_fluxes_are_the_derivatives_contracted_with_the_velocities",
        "an ion that moves as a whole has none": _LIMITS
        + "an_ion_moving_as_a_whole_has_no_dipole_flux",
        "thermal velocities obey the f-sum rule": "physics/test_sum_rule.py",
    },
    "polarizability": {
        "it turns with the molecule": _EQUIVARIANCE,
        "it is symmetric": _HEADS + "a_polarizability_is_symmetric",
        "its volume is in Å³": _ASE + "conversion_of_a_polarizability_to_a_volume",
    },
    "polarizability_derivatives": {
        "they are finite differences of the polarizability": _DERIVATIVES,
        "`ase.vibrations` finds the same static Raman activities": _ASE
        + "static_raman_of_ase_agrees_with_derivatives_of_the_polarizability",
    },
    "polarizability_flux": {
        "it is Σ ∂α/∂r v": "potential/test_derivatives.py::"
        "test_fluxes_are_the_derivatives_contracted_with_the_velocities",
    },
}
#: How each is asked for of the calculator, where ASE's own name would not do.
_METHODS = {
    "energy": "atoms.get_potential_energy()",
    "free_energy": "atoms.get_potential_energy(force_consistent=True)",
    "energies": "atoms.get_potential_energies()",
    "forces": "atoms.get_forces()",
    "stress": "atoms.get_stress()",
    "charges": "atoms.get_charges()",
    "dipole": "atoms.get_dipole_moment()",
    "dipole_magnitude": 'atoms.calc.get_property("dipole_magnitude", atoms)',
    "hessian": "atoms.calc.get_hessian(atoms)",
    "born_effective_charges": "atoms.calc.get_born_charges(atoms)",
    "dipole_flux": "atoms.calc.get_dipole_flux(atoms)",
    "polarizability": "atoms.calc.get_polarizability(atoms)",
    "polarizability_derivatives": "atoms.calc.get_polarizability_derivatives(atoms)",
    "polarizability_flux": "atoms.calc.get_polarizability_flux(atoms)",
}
#: Where it comes from beside plain torch: name, page below docs/ → quantities.
ENGINES: dict[tuple[str, str], frozenset[str]] = {
    ("fused CPU kernel", "performance.md"): FUSED_PROPERTIES | FUSED_RESPONSE | {"free_energy"},
    ("i-PI", "ipi.md"): frozenset({"energy", "forces", "stress", "dipole", "polarizability"}),
    ("LAMMPS", "lammps.md"): frozenset(
        {"energy", "energies", "forces", "stress", "dipole", "polarizability"}
    ),
    ("torch-sim", "torch_sim.md"): frozenset(
        {"energy", "forces", "stress", "dipole", "polarizability"}
        | {"dipole_flux", "polarizability_flux"}
    ),
    ("metatomic", "metatomic.md"): frozenset(
        {"energy", "energies", "forces", "stress", "dipole", "polarizability"}
    ),
    ("labels of PySCF", "labels.md"): frozenset({"energy", "forces", "dipole", "polarizability"}),
    ("labels of tblite", "labels.md"): frozenset({"energy", "forces", "dipole"}),
}


def quantities_table(prefix: str) -> str:
    """Every quantity, its page at `prefix`, and the tree of the pages."""
    return table(
        ("name", "symbol", "shape", "unit", "from the head"),
        (
            (f"[`{q.name}`]({prefix}{q.name}.md)", q.symbol, _shape(q), q.unit, q.requires)
            for q in QUANTITIES.values()
        ),
    ) + tree(prefix, QUANTITIES)


#: Engine → on how many processes, with what a table says of it.
PROCESSES = {
    "i-PI": (
        "server and clients; beads of a client in one call",
        "text between server and clients",
    ),
    "LAMMPS": ("MPI ranks, each a part of the atoms", "per-atom energies as well"),
    "torch-sim": ("one; many systems in one call", "Python 3.12 or later"),
    "metatomic": ("as the program that loads the file", "one file for several programs"),
}


def engines_table() -> str:
    """What each engine gives, and on how many processes."""
    asked = ("energy", "energies", "forces", "stress", "dipole", "polarizability", "dipole_flux")
    engines = {name: (page, has) for (name, page), has in ENGINES.items() if name in PROCESSES}
    rows = [(f"`{q}`", *("yes" if q in has else "" for _, has in engines.values())) for q in asked]
    rows.append(("processes", *(PROCESSES[name][0] for name in engines)))
    rows.append(("besides", *(PROCESSES[name][1] for name in engines)))
    return table(("", *(f"[{name}]({page})" for name, (page, _) in engines.items())), rows)


def write_quantities(folder: Path) -> None:
    """Write a page for each quantity into `folder`."""
    write_folder(folder, {f"{q.name}.md": _page(q) for q in QUANTITIES.values()})


def _page(q: Quantity) -> str:
    behaviour = "adds up over parts far apart" if q.extensive else "belongs to an atom or a cell"
    rows = (
        ("symbol", q.symbol),
        ("shape", f"{_shape(q)}; rank {q.rank} under rotation"),
        ("unit", q.unit),
        ("sign and order", q.sign),
        ("from the head", f"`{q.requires}`; {behaviour}"),
        ("in ASE", "a property ASE knows" if q.ase else "beyond ASE's own names"),
        ("call", f"`{_METHODS[q.name]}`"),
    )
    tests = "".join(f"- {what}:\n  {_test(name)}\n" for what, name in TESTS[q.name].items())
    given = "".join(
        f"- [{name}](../../{page})\n" for (name, page), has in ENGINES.items() if q.name in has
    )
    return (
        f"# {q.name}\n\n{q.meaning}\n\n{table(('', ''), rows)}\n"
        f'`evaluate(model, frames, ["{q.name}"])` gives it for many structures.\n\n'
        f"## How it is tested\n\n{tests}\n"
        f'## Where it is given\n\n- plain torch (`backend="eager"`), CPU and CUDA\n{given}'
    )


def _shape(q: Quantity) -> str:
    return f"({', '.join(map(str, q.shape))})" if q.shape else "scalar"


def _test(name: str) -> str:
    """The name of a test that exists, with places to break a line."""
    file, _, function = name.partition("::")
    path = ROOT / "tests" / file
    if not path.exists() or (
        function and not re.search(rf"^def {function}\(", path.read_text("utf-8"), re.M)
    ):
        raise LookupError(f"tests/{name}, which a quantity's page names, does not exist")
    return f"`tests/{file}`" + (f" `{function}`" if function else "")

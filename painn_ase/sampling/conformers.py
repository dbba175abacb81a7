"""Molecules from SMILES, by RDKit: geometries of their conformers."""

from __future__ import annotations

from typing import Any

from ase import Atoms

from painn_ase.errors import GeometryError, MissingDependencyError
from painn_ase.sampling.filters import unlikeness

__all__ = ["conformers"]

#: Embeddings that are tried for a conformer asked for; many fall onto the same.
_TRIES = 10
#: Å; the sorted distances of two conformers differ by at least so much, root mean square.
_APART = 0.05


def conformers(smiles: str, n_conformers: int = 1, *, seed: int = 0) -> list[Atoms]:
    """Geometries of a molecule, the lowest in energy by the force field MMFF94 first.

    Parameters
    ----------
    smiles : str
        For instance ``CCO``; hydrogens are added.
    n_conformers : int
        At most so many; mirror images and copies with like atoms exchanged count as one.
    seed : int
        Of the embedding (Riniker, Landrum, J. Chem. Inf. Model. 55, 2562 (2015)).

    Returns
    -------
    list of Atoms
        ``info`` has ``smiles``, and ``charge`` where it is not 0.

    Raises
    ------
    GeometryError
        For what is no SMILES, radicals, several molecules, and molecules that cannot be embedded.
    MissingDependencyError
        Without RDKit (extra ``smiles``).
    """
    chem, all_chem = _rdkit()
    parsed = chem.MolFromSmiles(smiles)
    if parsed is None or parsed.GetNumAtoms() == 0:
        raise GeometryError(f"{smiles!r} is no SMILES that RDKit understands.")
    if "." in smiles:
        raise GeometryError(f"{smiles!r} is several molecules; give one at a time.")
    if any(atom.GetNumRadicalElectrons() for atom in parsed.GetAtoms()):
        raise GeometryError(f"{smiles!r} is a radical; give its structure as a file.")
    molecule = chem.AddHs(parsed)
    options = all_chem.ETKDGv3()
    options.randomSeed = seed + 1
    options.pruneRmsThresh = -1.0
    found = list(all_chem.EmbedMultipleConfs(molecule, _TRIES * n_conformers, options))
    if not found:
        options.useRandomCoords = True
        found = list(all_chem.EmbedMultipleConfs(molecule, _TRIES * n_conformers, options))
    if not found:
        raise GeometryError(f"RDKit finds no geometry for {smiles!r}; give a structure file.")
    if all_chem.MMFFHasAllMoleculeParams(molecule):
        energies = [e for _, e in all_chem.MMFFOptimizeMoleculeConfs(molecule, maxIters=2000)]
    else:
        energies = [e for _, e in all_chem.UFFOptimizeMoleculeConfs(molecule, maxIters=2000)]
    charge = chem.GetFormalCharge(parsed)
    info = {"smiles": smiles, **({"charge": float(charge)} if charge else {})}
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    chosen: list[Atoms] = []
    for _, k in sorted(zip(energies, found, strict=True)):
        geometry = Atoms(symbols, molecule.GetConformer(k).GetPositions(), info=dict(info))
        if all(unlikeness(geometry, other) > _APART for other in chosen):
            chosen.append(geometry)
        if len(chosen) == n_conformers:
            break
    return chosen


def _rdkit() -> tuple[Any, Any]:
    try:
        from rdkit import Chem, RDLogger
        from rdkit.Chem import AllChem
    except ImportError as error:
        raise MissingDependencyError(
            f"reading SMILES needs RDKit, which cannot be imported ({error}): "
            "python -m pip install 'painn_ase[smiles]'. Or give a structure file."
        ) from error
    logger: Any = RDLogger
    logger.DisableLog("rdApp.*")
    return Chem, AllChem

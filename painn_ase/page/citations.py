"""What a result rests on, to be cited: as a line of text and as BibTeX."""

from __future__ import annotations

from painn_ase._version import __version__
from painn_ase.page.result import PageResult

__all__ = ["citations_of"]

_ENTRIES = {
    "painn_ase": (
        f"painn_ase {__version__}",
        "@software{painn_ase,\n"
        "  author  = {{The painn\\_ase developers}},\n"
        "  title   = {painn\\_ase: PaiNN models as an ASE calculator, and infrared and Raman "
        "spectra in absolute units},\n"
        f"  version = {{{__version__}}},\n"
        "}",
    ),
    "painn": (
        "PaiNN: Schütt, Unke, Gastegger, Proc. 38th Int. Conf. Machine Learning, PMLR 139, 9377 "
        "(2021)",
        "@inproceedings{painn,\n"
        '  author    = {Sch{\\"u}tt, Kristof T. and Unke, Oliver T. and Gastegger, Michael},\n'
        "  title     = {Equivariant message passing for the prediction of tensorial properties and "
        "molecular spectra},\n"
        "  booktitle = {Proceedings of the 38th International Conference on Machine Learning},\n"
        "  series    = {PMLR},\n"
        "  volume    = {139},\n"
        "  pages     = {9377--9388},\n"
        "  year      = {2021},\n"
        "}",
    ),
    "schnet": (
        "SchNet: Schütt et al., J. Chem. Phys. 148, 241722 (2018)",
        "@article{schnet,\n"
        '  author  = {Sch{\\"u}tt, K. T. and Sauceda, H. E. and Kindermans, P.-J. and '
        'Tkatchenko, A. and M{\\"u}ller, K.-R.},\n'
        "  title   = {{SchNet}: A deep learning architecture for molecules and materials},\n"
        "  journal = {J. Chem. Phys.},\n"
        "  volume  = {148},\n"
        "  pages   = {241722},\n"
        "  year    = {2018},\n"
        "  doi     = {10.1063/1.5019779},\n"
        "}",
    ),
    "so3net": (
        "SO3net: Schütt et al., J. Chem. Phys. 158, 144801 (2023)",
        "@article{so3net,\n"
        '  author  = {Sch{\\"u}tt, Kristof T. and Hessmann, Stefaan S. P. and Gebauer, Niklas '
        "W. A. and Lederer, Jonas and Gastegger, Michael},\n"
        "  title   = {{SchNetPack} 2.0: A neural network toolbox for atomistic machine learning},\n"
        "  journal = {J. Chem. Phys.},\n"
        "  volume  = {158},\n"
        "  pages   = {144801},\n"
        "  year    = {2023},\n"
        "  doi     = {10.1063/5.0138367},\n"
        "}",
    ),
    "ase": (
        "ASE: Hjorth Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017)",
        "@article{ase,\n"
        "  author  = {Hjorth Larsen, Ask and others},\n"
        "  title   = {The atomic simulation environment: a {Python} library for working with "
        "atoms},\n"
        "  journal = {J. Phys.: Condens. Matter},\n"
        "  volume  = {29},\n"
        "  pages   = {273002},\n"
        "  year    = {2017},\n"
        "  doi     = {10.1088/1361-648X/aa680e},\n"
        "}",
    ),
    "dynamics": (
        "Spectra from dynamics: Thomas et al., Phys. Chem. Chem. Phys. 15, 6608 (2013)",
        "@article{thomas2013,\n"
        '  author  = {Thomas, Martin and Brehm, Martin and Fligg, Reinhold and V{\\"o}hringer, '
        "Peter and Kirchner, Barbara},\n"
        "  title   = {Computing vibrational spectra from ab initio molecular dynamics},\n"
        "  journal = {Phys. Chem. Chem. Phys.},\n"
        "  volume  = {15},\n"
        "  pages   = {6608--6622},\n"
        "  year    = {2013},\n"
        "  doi     = {10.1039/c3cp44302g},\n"
        "}",
    ),
    "harmonic": (
        "Harmonic intensities: Porezag & Pederson, Phys. Rev. B 54, 7830 (1996)",
        "@article{porezag1996,\n"
        "  author  = {Porezag, Dirk and Pederson, Mark R.},\n"
        "  title   = {Infrared intensities and {Raman}-scattering activities within "
        "density-functional theory},\n"
        "  journal = {Phys. Rev. B},\n"
        "  volume  = {54},\n"
        "  pages   = {7830--7836},\n"
        "  year    = {1996},\n"
        "  doi     = {10.1103/PhysRevB.54.7830},\n"
        "}",
    ),
    "anharmonic": (
        "Anharmonic levels: Barone, J. Chem. Phys. 122, 014108 (2005)",
        "@article{barone2005,\n"
        "  author  = {Barone, Vincenzo},\n"
        "  title   = {Anharmonic vibrational properties by a fully automated second-order "
        "perturbative approach},\n"
        "  journal = {J. Chem. Phys.},\n"
        "  volume  = {122},\n"
        "  pages   = {014108},\n"
        "  year    = {2005},\n"
        "  doi     = {10.1063/1.1824881},\n"
        "}",
    ),
    "rpmd": (
        "Ring-polymer dynamics: Craig & Manolopoulos, J. Chem. Phys. 121, 3368 (2004)",
        "@article{rpmd,\n"
        "  author  = {Craig, Ian R. and Manolopoulos, David E.},\n"
        "  title   = {Quantum statistics and classical mechanics: Real time correlation functions "
        "from ring polymer molecular dynamics},\n"
        "  journal = {J. Chem. Phys.},\n"
        "  volume  = {121},\n"
        "  pages   = {3368--3373},\n"
        "  year    = {2004},\n"
        "  doi     = {10.1063/1.1777575},\n"
        "}",
    ),
    "trpmd": (
        "Thermostatted ring-polymer dynamics: Rossi, Ceriotti, Manolopoulos, J. Chem. Phys. 140, "
        "234116 (2014)",
        "@article{trpmd,\n"
        "  author  = {Rossi, Mariana and Ceriotti, Michele and Manolopoulos, David E.},\n"
        "  title   = {How to remove the spurious resonances from ring polymer molecular "
        "dynamics},\n"
        "  journal = {J. Chem. Phys.},\n"
        "  volume  = {140},\n"
        "  pages   = {234116},\n"
        "  year    = {2014},\n"
        "  doi     = {10.1063/1.4883861},\n"
        "}",
    ),
}


def citations_of(result: PageResult) -> list[dict[str, str]]:
    """``text`` and ``bibtex`` of what a result rests on, the package first."""
    keys = ["painn_ase"]
    network = result.model.get("representation")
    if isinstance(network, dict):
        keys.append(str(network.get("kind", "painn")))
    from_dynamics = result.run is not None or any(
        spectrum.provenance.get("approximation") != "harmonic"
        for spectrum in [*([result.infrared] if result.infrared else []), *result.ramans.values()]
    )
    keys.append("ase")
    if from_dynamics:
        keys.append("dynamics")
    if result.modes is not None:
        keys.append("harmonic")
    if result.levels is not None:
        keys.append("anharmonic")
    if result.run is not None and result.run.nuclei != "classical":
        keys.append(result.run.nuclei)
    found = [
        {"text": text, "bibtex": bibtex}
        for text, bibtex in (_ENTRIES[key] for key in keys if key in _ENTRIES)
    ]
    if given := str(result.model.get("citation") or ""):
        name = str(result.model.get("name") or "model")
        found.append({"text": f"Model {name}: {given}", "bibtex": _of_model(name, given)})
    return found


def _of_model(name: str, citation: str) -> str:
    """The model's citation is one line of text, and stays one."""
    key = "".join(c for c in name if c.isalnum() and c.isascii()) or "model"
    note = citation.translate({ord(c): f"\\{c}" for c in "&%$#_{}"})
    title = name.translate({ord(c): f"\\{c}" for c in "&%$#_{}"})
    return f"@misc{{model_{key},\n  title = {{Model {title}}},\n  note  = {{{note}}},\n}}"

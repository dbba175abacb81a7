"""The tables of what things cost and how good models are, from the JSON in the repository.

A figure that stands here stands nowhere else in the documentation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import floor, log10
from pathlib import Path
from typing import Any

from builders.writing import table

__all__ = ["figures", "md_step_medians"]

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
REPORTS = ROOT / "model_recipes" / "reports"
#: System of the benchmarks → how tables call it.
SYSTEMS = {
    "ethanol": "ethanol, 9 atoms",
    "aspirin": "aspirin, 21 atoms",
    "water-192": "water, 192 atoms",
    "water-1536": "water, 1,536 atoms",
    "aspirin-x64": "64 × aspirin in one batch",
    "64 x aspirin": "64 × aspirin in one batch",
}


def figures() -> dict[str, str]:
    """Markdown of every table, by the name that pages include it by."""
    return {
        "figures_md_step.md": md_step(),
        "figures_networks.md": networks(),
        "figures_threads.md": threads(),
        "figures_kernel.md": kernel(),
        "figures_scaling.md": scaling(),
        "figures_replicas.md": replicas(),
        "figures_ring.md": ring_polymers(),
        "figures_anharmonic.md": perturbation_theory(),
        "figures_cuda.md": cuda(),
        "figures_training.md": training(),
        "figures_models.md": models(),
        "figures_harmonic.md": harmonic(),
        "figures_md17.md": md17(),
        "figures_general.md": general_model(),
        "figures_experiment.md": experiment(),
        "figures_stability.md": stability(),
    }


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _number(value: float, digits: int = 2) -> str:
    """A number with `digits` significant digits, as people write it."""
    if value == 0:
        return "0"
    places = max(0, digits - 1 - floor(log10(abs(value))))
    return f"{round(value, places):,.{places}f}"


def _source(path: Path, of: str = "") -> str:
    """Where the figures of a table are from, in a line below it."""
    return f"\n{of + '; ' if of else ''}`{path.relative_to(ROOT)}`\n"


def md_step_medians() -> dict[str, dict[str, float]]:
    """CPU milliseconds a step by system and contender; SchNetPack's is its faster set-up."""
    medians: dict[str, dict[str, float]] = {}
    for name in ("md_step_cpu_1t.json", "md_step_cpu_1t_batch.json"):
        for r in _load(RESULTS / name)["results"]:
            who = r["contender"].partition(":")[0 if "schnet" in r["contender"] else 2]
            of = medians.setdefault(r["system"], {})
            of[who] = min(r["median_cpu_ms"], of.get(who, float("inf")))
    return medians


def md_step() -> str:
    """A step of dynamics beside SchNetPack's."""
    rows = [
        (
            SYSTEMS[system],
            *(_number(ms[who]) for who in ("auto", "eager", "schnetpack")),
            _number(ms["schnetpack"] / ms["auto"]),
        )
        for system, ms in md_step_medians().items()
    ]
    record = _load(RESULTS / "md_step_cpu_1t.json")
    versions = record["versions"]["schnetpack"]
    return (
        table(("system", "painn_ase", "plain torch", "SchNetPack", "ratio"), rows)
        + f"\n{record['machine']['cpu']}, one thread, {record['dtype']}, {record['date'][:10]}, "
        f"SchNetPack {versions['schnetpack']}, torch {versions['torch']}; "
        "`benchmarks/results/md_step_cpu_1t.json`, `…_batch.json`\n"
    )


def networks() -> str:
    """A step of dynamics with the other networks, by contender."""
    rows, sources = [], []
    for network, named in (("schnet", "SchNet"), ("so3net", "SO3net")):
        record = _load(RESULTS / f"md_step_cpu_1t_{network}.json")
        medians: dict[str, dict[str, float]] = {}
        for r in record["results"]:
            medians.setdefault(r["system"], {})[r["contender"]] = r["median_cpu_ms"]
        for system, ms in medians.items():
            peer = min(value for who, value in ms.items() if who.startswith("schnetpack"))
            auto, eager = ms.get("painn_ase:auto"), ms["painn_ase:eager"]
            rows.append(
                (
                    f"{named}, {SYSTEMS[system]}",
                    "–" if auto is None else _number(auto),
                    *(_number(value) for value in (eager, peer, peer / (auto or eager))),
                )
            )
        sources.append(f"{record['machine']['cpu']}, {record['date'][:10]}")
    return table(("", "fused kernel", "plain torch", "SchNetPack", "ratio"), rows) + (
        f"\n{'; '.join(dict.fromkeys(sources))}, one thread, float32; "
        "`benchmarks/results/md_step_cpu_1t_schnet.json`, `…_so3net.json`\n"
    )


def threads() -> str:
    """What a second thread gives."""
    one, two = (
        {r["system"]: r["median_wall_ms"] for r in _load(RESULTS / name)["results"]}
        for name in ("md_step_cpu_1t_water.json", "md_step_cpu_2t_water.json")
    )
    rows = [(SYSTEMS[s], _number(one[s]), _number(two[s]), _number(one[s] / two[s])) for s in one]
    return table(("system", "one thread", "two threads", "faster"), rows) + (
        "\n`benchmarks/results/md_step_cpu_1t_water.json`, `…_2t_water.json`\n"
    )


def kernel() -> str:
    """The fused kernel alone, by what it is asked for."""
    records = _load(RESULTS / "profile.json")["records"]
    columns = (
        ("kernel alone", "energy, forces, virial"),
        ("compute(): energy", "energy only"),
        ("with dipole and polarizability", "with dipole, polarizability"),
        ("with their fluxes", "with their fluxes too"),
    )
    rows = (
        (
            SYSTEMS[r["system"]],
            *(_number(r["cpu_ms"][key]) if key in r["cpu_ms"] else "" for key, _ in columns),
        )
        for r in records
        if "kernel alone" in r["cpu_ms"]
    )
    return table(("CPU ms", *(title for _, title in columns)), rows) + _source(
        RESULTS / "profile.json"
    )


def scaling() -> str:
    """Cost against the number of atoms."""
    rows = (
        (
            f"{r['atoms']:,}",
            _number(r["cpu_ms"]),
            _number(r["us_per_atom"]),
            f"{r['peak_memory_mb']:,}",
        )
        for r in _load(RESULTS / "kernel_scaling.json")["records"]
    )
    return table(("atoms of water", "CPU ms", "µs an atom", "memory, MB"), rows) + _source(
        RESULTS / "kernel_scaling.json"
    )


def replicas() -> str:
    """Many replicas in one batch beside one alone."""
    rows = []
    for path in sorted(RESULTS.glob("replicas_*.json")):
        r = _load(path)
        speed = r["atom_steps_per_second"]
        rows.append(
            (
                f"{r['backend']}, {r['features']} features, {r['threads']} thread"
                + ("s" if r["threads"] > 1 else ""),
                f"{speed['single']['median']:,.0f}",
                f"{speed['batch']['median']:,.0f}",
                _number(r["ratio"]["median"]),
            )
        )
    return table(("backend", "single run", "batch of 64", "ratio"), rows) + (
        "\n`benchmarks/results/replicas_*.json`\n"
    )


def ring_polymers() -> str:
    """A step of ring polymers, beside SchNetPack's engine in the same run."""
    rows = []
    for path in sorted(RESULTS.glob("ring_polymer_*.json"), reverse=True):
        r = _load(path)
        for system in SYSTEMS.keys() & r["figures"].keys():
            ours, flux = r["figures"][system], r["figures"][f"{system} with flux"]
            theirs = r["figures"].get(f"{system}, SchNetPack")
            rows.append(
                (
                    f"{r['beads']} × {SYSTEMS[system]}",
                    str(r["threads"]),
                    _number(ours["cpu_ms"]),
                    f"{ours['outside_percent']:.1f} %",
                    f"{100 * (flux['cpu_ms'] / ours['cpu_ms'] - 1):.0f} %",
                    _number(theirs["cpu_ms"]) if theirs else "",
                    _number(theirs["cpu_ms"] / ours["cpu_ms"]) if theirs else "",
                )
            )
    heads = ("beads", "threads", "CPU ms", "outside the network", "dipole flux every 4th step")
    return table((*heads, "SchNetPack 2.2, CPU ms", "ratio"), sorted(rows)) + (
        "\n`benchmarks/results/ring_polymer_*.json`\n"
    )


def perturbation_theory() -> str:
    """What a field and the levels with their intensities cost."""
    record = _load(RESULTS / "anharmonic.json")
    rows = [
        (
            f"{model}, {r['modes']} modes",
            f"{r['structures']:,}",
            " and ".join(r["properties"]),
            _number(r["field_cpu_s"]),
            _number(1e3 * r["levels_cpu_s"]["median"]),
            _number(1e3 * r["levels_with_check_cpu_s"]["median"]),
        )
        for model, r in record["figures"].items()
    ]
    heads = (
        "CPU",
        "structures",
        "with",
        "field, s",
        "levels and intensities, ms",
        "with check, ms",
    )
    return table(heads, rows) + "\n`benchmarks/results/anharmonic.json`\n"


def cuda() -> str:
    """The core on a GPU, launched and as a captured graph."""
    record = _load(RESULTS / "cuda_graph.json")
    by: dict[str, list[str]] = {}
    for r in record["results"]:
        by.setdefault(r["system"], []).extend((_number(r["plain_ms"]), _number(r["graph_ms"])))
    rows = ((SYSTEMS[s], *values) for s, values in by.items())
    tests = _load(RESULTS / "gpu_tests.json")
    head = ("ms a call", "eager", "captured", "eager, with dipole and polarizability", "captured")
    return table(head, rows) + (
        f"\n{record['gpu']}, torch {record['torch']}, {record['dtype']}; "
        f"`benchmarks/results/cuda_graph.json`. Tests marked `gpu` there: {tests['tests']}, of "
        f"which {tests['failures'] + tests['errors']} failed and {tests['skipped']} were left out "
        "(`gpu_tests.json`).\n"
    )


def training() -> str:
    """A training step beside SchNetPack's."""
    rows = []
    for name in ("training_step_1t.json", "training_step_1t_batch64.json"):
        by: dict[tuple[str, int], dict[str, float]] = {}
        for r in _load(RESULTS / name)["results"]:
            by.setdefault((r["data"], r["batch"]), {})[r["contender"]] = r[
                "structures_per_cpu_second"
            ]
        for (data, batch), v in by.items():
            ours, eager, theirs = (
                v[k] for k in ("painn_ase:compiled", "painn_ase:eager", "schnetpack")
            )
            title = "ethanol and water mixed" if data == "mixed" else data
            speeds = (f"{x:.0f}" for x in (ours, eager, theirs))
            rows.append((title, str(batch), *speeds, _number(ours / theirs)))
    return table(
        ("structures a CPU second", "batch", "compiled", "plain torch", "SchNetPack", "ratio"), rows
    ) + ("\n`benchmarks/results/training_step_1t.json`, `…_batch64.json`\n")


def _reports() -> dict[str, Any]:
    """Reports of models with errors on their own test frames, by name."""
    found = {p.stem: _load(p) for p in sorted(REPORTS.glob("*.json"))}
    return {name: r for name, r in found.items() if "forces" in r.get("test", {})}


def models() -> str:
    """Errors of the bundled models on frames they never saw."""
    reports = _reports()
    lines: Iterable[tuple[str, str, float]] = (
        ("energy, meV a molecule", "energy", 1e3),
        ("forces, meV/Å", "forces", 1e3),
        ("dipole, 10⁻³ e·Å", "dipole", 1e3),
        ("polarizability, 10⁻³ Å³", "polarizability", 1e3),
    )
    rows = [["frames held out", *(str(r["test"]["n_frames"]) for r in reports.values())]]
    for title, key, factor in lines:
        rows.append([title, *(_error(r["test"].get(key), factor) for r in reports.values())])
    return table(("mean absolute error", *(f"`{n}`" for n in reports)), rows) + (
        "\n`model_recipes/reports/NAME.json`, by `python model_recipes/check.py`\n"
    )


def _error(found: dict[str, Any] | None, factor: float) -> str:
    if not found:
        return "–"
    text = _number(factor * found["mae"])
    # where the frames are few, how much the mean itself may be off
    if "standard_error" in found and found["standard_error"] > 0.05 * found["mae"]:
        text += f" ± {_number(factor * found['standard_error'], 1)}"
    return text


def harmonic() -> str:
    """Frequencies and intensities of relaxed molecules beside the surface they were learnt from."""
    rows = []
    for name, report in _reports().items():
        for conformer, found in report.items():
            if not isinstance(found, dict) or "frequency" not in found:
                continue
            mean, largest = (_number(found["frequency"][k]) for k in ("mae", "largest"))
            rows.append(
                (
                    f"`{name}`" + ("" if conformer == "minimum" else f", {conformer}"),
                    f"{mean} (largest {largest})",
                    *(_intensities(found[k]) if k in found else "–" for k in ("infrared", "raman")),
                )
            )
    head = ("mean difference", "frequencies, cm⁻¹", "infrared, km/mol", "Raman, Å⁴/amu")
    return table(head, rows) + "\n`model_recipes/reports/NAME.json`\n"


def _intensities(found: dict[str, Any]) -> str:
    """Mean difference, and how many bands are near enough."""
    near = found.get("within_margin", {}).get("bands")
    return _number(found["mae"]) + (f" ({near} bands within 5 %)" if near else "")


def general_model() -> str:
    """The general model's errors on frames, and its modes beside those of its labels' program."""
    path = REPORTS / "small_organics.json"
    report = _load(path)
    parts = (("test", "molecules it knows"), ("held_out", "molecules never trained on"))
    lines = (
        ("energy, meV an atom", "energy_per_atom", 1e3),
        ("forces, meV/Å", "forces", 1e3),
        ("dipole, 10⁻³ e·Å", "dipole", 1e3),
        ("polarizability, 10⁻³ Å³", "polarizability", 1e3),
    )
    members = report["errors_of_members"]
    rows = [
        [title]
        + [
            _number(factor * sum(m[p][key]["mae"] for m in members) / len(members))
            for p, _ in parts
        ]
        for title, key, factor in lines
    ]
    errors = table(("mean absolute error of a member", *(said for _, said in parts)), rows)
    modes = []
    for name, row in report["molecules"].items():
        modes.append(
            (
                name.replace("_", " ") + (", held out" if row["held_out"] else ""),
                f"{_number(row['frequency_mae'])} (largest {_number(row['frequency_largest'])})",
                _number(max(row["spread"])),
                *(f"{100 * row[f'{kind}_share']:.0f} %" for kind in ("infrared", "raman")),
            )
        )
    head = ("", "frequencies, cm⁻¹", "largest spread, cm⁻¹", "infrared", "Raman")
    found = report["answered"]
    said = (
        f"\nWhere no model is named, {found['in_set']} of the {found['of']} molecules that it "
        f"learnt from are answered, and {found['held_out']} of the {found['of_held_out']} that it "
        "never saw; members differ too much on the others.\n"
    )
    return errors + "\n" + table(head, modes) + said + _source(path)


def experiment() -> str:
    """The general model and the level of its labels beside measured fundamentals."""
    path = REPORTS / "small_organics_experiment.json"
    report = _load(path)
    kinds = ("harmonic_pyscf", "harmonic", "scaled", "perturbation_theory")

    def cell(row: dict[str, Any], kind: str) -> str:
        found = row.get(kind)
        return f"{found['mean']:.0f} ({found['largest']:.0f})" if found else ""

    rows = [
        (f"`{smiles}`" + (", held out" if row["held_out"] else ""), *(cell(row, k) for k in kinds))
        for smiles, row in report["molecules"].items()
    ]
    head = ("", "harmonic, PySCF", "harmonic", f"× {report['factor']:.3f}", "perturbation theory")
    return table(head, rows) + _source(path)


def stability() -> str:
    """Whether the general model holds in dynamics, and its barriers of internal rotation."""
    path, barriers = (REPORTS / f"small_organics_{n}.json" for n in ("stability", "barriers"))
    runs = _load(path)["runs"]
    fell = [name for name, row in runs.items() if row["broken"]]
    whole = [row for row in runs.values() if "drift_meV_per_atom_ps" in row]
    spread = max(runs, key=lambda name: runs[name].get("largest_spread_eV_per_A", 0.0))
    which = f": {', '.join(f'`{n}`' for n in fell)}" if fell else ""
    drift = max(row["drift_meV_per_atom_ps"] for row in whole)
    said = (
        f"{len(runs)} runs of {_load(path)['picoseconds']:.0f} ps, {len(fell)} in which a bond "
        f"broke or formed{which}. The energy drifts by at most {_number(drift, 1)} meV an atom and "
        f"ps; members differ by up to {runs[spread].get('largest_spread_eV_per_A', 0.0):.2f} eV/Å "
        f"in a component of a force (`{spread}`).\n\n"
    )
    rows = [
        (f"`{smiles}`", f"{row['pyscf']:.2f}", f"{row['model']:.2f}", f"{row['difference']:+.2f}")
        for smiles, row in _load(barriers)["barriers"].items()
        if "pyscf" in row
    ]
    head = ("barrier, kJ/mol", "PySCF", "model", "difference")
    return said + table(head, rows) + _source(barriers, f"`{path.relative_to(ROOT)}`")


def md17() -> str:
    """The exercise of the PaiNN paper."""
    path = REPORTS / "md17_ethanol.json"
    report = _load(path)
    kcal = 23.060548  # kcal/mol in an eV
    errors = report["errors"]
    rows = []
    for quantity, unit, other in (
        ("energy", "meV", "kcal/mol"),
        ("forces", "meV/Å", "kcal/mol/Å"),
    ):
        mae = errors[quantity]["mae"]
        row = (quantity, f"{_number(1e3 * mae, 3)} {unit}", f"{_number(kcal * mae, 3)} {other}")
        rows.append(row)
    return table((f"{report['n_frames']:,} frames of MD17's ethanol", "", ""), rows) + _source(path)

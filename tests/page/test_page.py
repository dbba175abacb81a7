"""The record and the page: what the folder's tables say, nothing a browser would fetch."""

from __future__ import annotations

import base64
import json
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.errors import DataError
from painn_ase.models import bundled_models
from painn_ase.page import Page, PageResult, PageRun, page_record
from painn_ase.page.character import bonds_of, mode_characters
from painn_ase.page.packing import packed
from painn_ase.spectra import (
    HarmonicResult,
    Spectrum,
    harmonic,
    harmonic_from_arrays,
    harmonic_lines,
    load_spectrum,
    save_spectrum,
)
from painn_ase.workflow import folder_result, page_of_folders

pytestmark = pytest.mark.skipif(
    not {"ethanol", "water", "formaldehyde"} <= set(bundled_models()), reason="no bundled models"
)


@pytest.fixture(scope="module")
def record(folder: Path) -> dict:
    return embedded(folder / "report.html")


class Document(HTMLParser):
    """Tags, attributes and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._inside: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs) if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self.scripts.append((self._inside, data))
            self._inside = None


def embedded(path: Path) -> dict:
    """The record inside a page."""
    for attributes, text in Document(path.read_text(encoding="utf-8")).scripts:
        if attributes.get("type") == "application/json":
            return json.loads(text)
    raise AssertionError(f"{path} holds no record")


def unpacked(found: dict) -> np.ndarray:
    raw = np.frombuffer(base64.b64decode(found["data"]), dtype=f"<i{found['bytes']}")
    return np.array(found["scale"])[:, None] * raw.reshape(found["shape"])


# -- numbers ---------------------------------------------------------------------------------------


def test_curves_are_those_of_the_tables(folder: Path, record: dict) -> None:
    curves = record["results"][0]["curves"]
    table = load_spectrum(folder / "infrared.csv")
    x = np.array(curves["infrared"]["wavenumber"])
    np.testing.assert_allclose(
        curves["infrared"]["intensity"],
        np.interp(x, table.frequency, table.intensity),
        rtol=1e-4,
        atol=1e-5 * table.intensity.max(),
    )
    table = load_spectrum(folder / "raman.csv")
    x = np.array(curves["vv"]["wavenumber"])
    total = np.add(curves["vv"]["intensity"], curves["vh"]["intensity"])
    expected = np.interp(x, table.frequency, table.intensity)
    np.testing.assert_allclose(total[3:], expected[3:], rtol=1e-3, atol=1e-5 * expected.max())


def test_areas_have_the_errors_of_band_area(folder: Path, record: dict) -> None:
    curve = record["results"][0]["curves"]["infrared"]
    x, y, error = (np.array(curve[k]) for k in ("wavenumber", "intensity", "error"))
    deviations = unpacked(curve["deviations"])
    samples = y + np.sqrt(len(deviations)) * error * deviations
    inside = (x >= 2800) & (x <= 3300)
    areas = np.trapezoid(samples[:, inside], x[inside], axis=1)
    found = areas.std(ddof=1) / np.sqrt(len(areas))
    spectrum = folder_result(folder).infrared
    expected = spectrum.band_area(x[inside][0], x[inside][-1])
    assert areas.mean() == pytest.approx(expected.value, rel=2e-3)
    assert found == pytest.approx(expected.error, rel=2e-2)


def test_sticks_are_areas_in_the_unit_of_their_curve(folder: Path, record: dict) -> None:
    modes = HarmonicResult.load(folder / "modes.json")
    lines = record["results"][0]["modes"]["lines"]
    np.testing.assert_allclose(lines["infrared"], modes.infrared, rtol=1e-4)
    unpolarised = harmonic_lines(modes, load_spectrum(folder / "raman.csv"))[:, 1]
    np.testing.assert_allclose(np.add(lines["vv"], lines["vh"]), unpolarised, rtol=1e-4)


def test_displacements_survive_packing(folder: Path, record: dict) -> None:
    modes = HarmonicResult.load(folder / "modes.json")
    found = unpacked(record["results"][0]["modes"]["displacement"])
    np.testing.assert_allclose(found, modes.modes.reshape(len(found), -1), atol=2e-5)
    assert np.abs(unpacked(packed(np.zeros((2, 3)))).max()) == 0.0


def test_the_folder_gives_the_page_that_the_outcome_gave(folder: Path, record: dict) -> None:
    again = page_of_folders([folder], names=[record["results"][0]["name"]]).record
    ours, theirs = again["results"][0], record["results"][0]
    for name in (
        "conditions",
        "curves",
        "modes",
        "molecule",
        "bands",
        "model",
        "checks",
        "methods",
    ):
        assert ours[name] == theirs[name], name


# -- the file --------------------------------------------------------------------------------------


def test_the_page_is_small_and_fetches_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 500_000
    document = Document(text)
    for tag, attributes in document.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    # the one address is the name of SVG's vocabulary
    assert set(re.findall(r"https?://[^\s'\"<]+", text)) == {"http://www.w3.org/2000/svg"}


def test_the_policy_allows_the_pages_own_script_alone(folder: Path) -> None:
    import hashlib

    document = Document((folder / "report.html").read_text(encoding="utf-8"))
    policy = next(
        a["content"] for t, a in document.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    (script,) = [text for attributes, text in document.scripts if not attributes]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--"
    curve = Spectrum(np.arange(10.0), np.ones(10), unit="km/mol/cm^-1")
    result = PageResult(evil, formula=evil, infrared=curve, model={"name": evil}, advice=(evil,))
    page = Page(page_record([result, replace(result, name="two")], [(evil, curve)]))
    path = page.save(tmp_path / "page.html")
    document = Document(path.read_text(encoding="utf-8"))
    assert [a.get("type") for t, a in document.tags if t == "script"] == ["application/json", None]
    assert embedded(path)["results"][0]["name"] == evil
    frame = Document(page._repr_html_())
    ((tag, attributes),) = frame.tags
    assert tag == "iframe"
    assert attributes["srcdoc"] == page.html
    assert "allow-same-origin" not in attributes["sandbox"]


def test_tables_say_everything_without_a_script(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    for frequency in HarmonicResult.load(folder / "modes.json").frequencies:
        assert f"{frequency:.1f}" in text
    for words in ("O–H stretch", "NVE segments", "@inproceedings{painn,", "Temperature"):
        assert words in text


# -- results of other kinds ------------------------------------------------------------------------


def test_every_part_but_one_may_be_missing() -> None:
    curve = Spectrum(np.arange(10.0), np.ones(10))
    found = page_record([PageResult("a crystal", infrared=curve)])["results"][0]
    assert found["modes"] is None
    assert found["run"] is None
    assert "curve-" in Page(page_record([PageResult("a crystal", infrared=curve)])).html
    with pytest.raises(DataError, match="neither a spectrum nor normal modes"):
        page_record([PageResult("nothing")])
    with pytest.raises(DataError, match="at least one result"):
        page_record([])


def test_what_is_no_number_is_left_out() -> None:
    """A run that exploded and a foreign model file must not take the page with them."""
    curve = Spectrum(np.arange(10.0), np.zeros(10), unit="km/mol/cm^-1")
    errors = {"test": {"forces": {"mae": float("nan"), "rmse": 1.0}, "energy": {"mae": "?"}}}
    found = page_record(
        [
            PageResult(
                "lost",
                infrared=curve,
                model={"name": "m", "provenance": {"errors": errors, "split": {"test": [1, 2]}}},
                run=PageRun(2, 1.0, 0.5, 300.0, drift=float("nan"), seconds={"all": float("inf")}),
            )
        ]
    )
    (result,) = found["results"]
    assert result["run"]["drift_meV_per_atom_ps"] is None
    assert result["run"]["seconds"] == {"all": None}
    assert result["model"]["errors"] == []
    assert result["model"]["test_frames"] is None
    assert "Energy conservation" in Page(found).html


def test_folders_are_compared_under_names_that_tell_them_apart(folder: Path, tmp_path) -> None:
    for part in ("a", "b"):
        (tmp_path / part / "run").mkdir(parents=True)
        for name in ("infrared.csv", "raman.csv"):
            (tmp_path / part / "run" / name).write_bytes((folder / name).read_bytes())
    target = tmp_path / "both.html"
    runs = [str(tmp_path / p / "run") for p in ("a", "b")]
    result = CliRunner().invoke(app, ["report", *runs, "-o", str(target)])
    assert result.exit_code == 0, result.output
    assert [r["name"] for r in embedded(target)["results"]] == ["a/run", "b/run"]
    with pytest.raises(DataError, match="--overwrite"):
        CliRunner().invoke(app, ["report", *runs, "-o", str(target)], catch_exceptions=False)


def test_harmonic_writes_a_page_and_report_writes_it_again(tmp_path: Path) -> None:
    out = tmp_path / "modes"
    result = CliRunner().invoke(app, ["harmonic", "water", "H2O", "-o", str(out)])
    assert result.exit_code == 0, result.output
    first = embedded(out / "report.html")["results"][0]
    assert first["conditions"]["harmonic"]
    assert first["model"]["name"] == "water"
    assert len(first["modes"]["lines"]["infrared"]) == 3
    table = load_spectrum(out / "raman.csv")
    total = np.add(*(first["curves"][k]["intensity"] for k in ("vv", "vh")))
    x = first["curves"]["vv"]["wavenumber"]
    expected = np.interp(x, table.frequency, table.intensity)
    np.testing.assert_allclose(total, expected, rtol=2e-3, atol=1e-6 * expected.max())
    (out / "report.html").unlink()
    assert CliRunner().invoke(app, ["report", str(out)]).exit_code == 0
    again = embedded(out / "report.html")["results"][0]
    assert again["modes"] == first["modes"]
    assert again["model"] == first["model"]


def all_names(record: dict[str, Any]) -> list[str]:
    """Overtones and combinations of a file of levels as the page calls them."""
    return [
        " + ".join(f"{'2 ' if n == 2 else ''}ν{mode}" for mode, n in level["quanta"].items())
        for level in record["levels"]
        if sum(level["quanta"].values()) > 1
    ]


def test_anharmonic_levels_stand_beside_their_modes(tmp_path: Path) -> None:
    out, other = tmp_path / "modes", tmp_path / "levels"
    for command in (
        ["harmonic", "water", "H2O", "-o", str(out)],
        ["anharmonic", "water", "H2O", "-o", str(other)],
    ):
        assert CliRunner().invoke(app, command).exit_code == 0
    levels = other / "anharmonic.json"
    command = ["report", str(out), "--anharmonic", str(levels)]
    assert CliRunner().invoke(app, command).exit_code == 0
    modes = embedded(out / "report.html")["results"][0]["modes"]
    given = json.loads(levels.read_text(encoding="utf-8"))
    np.testing.assert_allclose(modes["anharmonic"]["frequency"], given["fundamentals"], rtol=1e-5)
    assert all(h > a for h, a in zip(modes["frequency"], given["fundamentals"], strict=True))
    names = [name for name, *_ in modes["anharmonic"]["others"]]
    assert "2 ν1" in names
    lines = modes["anharmonic"]["lines"]
    assert lines.keys() == modes["lines"].keys()
    np.testing.assert_allclose(lines["infrared"][:3], given["infrared"], rtol=1e-3)
    both = {name: given["levels"][3:][k]["infrared"] for k, name in enumerate(all_names(given))}
    np.testing.assert_allclose(lines["infrared"][3:], [both[name] for name in names], rtol=1e-3)
    # both polarisations together are the activity 45a² + 7γ², over ν̃ and times (laser − ν̃)⁴
    new, old = (np.add(found["vv"], found["vh"]) for found in (lines, modes["lines"]))
    laser = 1e7 / 532.0

    def scale(v: np.ndarray) -> np.ndarray:
        return (laser - v) ** 4 / v

    for k in (1, 2):  # far above kT, where a Stokes factor is 1
        places = np.array([given["fundamentals"][k], modes["frequency"][k]])
        expected = np.array([given["raman"][k], modes["raman"][k]]) * scale(places)
        assert new[k] / old[k] == pytest.approx(expected[0] / expected[1], rel=1e-3)
    given["harmonic"][0] += 100.0
    (out / "anharmonic.json").write_text(json.dumps(given), encoding="utf-8")
    with pytest.raises(DataError, match="of other normal modes"):
        folder_result(out)


def test_two_hundred_atoms_stay_below_a_megabyte_and_a_half() -> None:
    """A made-up chain of springs: 198 atoms, 588 modes, 64 samples of three curves."""
    rng = np.random.default_rng(0)
    cells = [
        [(1.3 * k, h * (-1) ** k, z) for h, z in ((0.4, 0), (1, 0.9), (1, -0.9))] for k in range(66)
    ]
    positions = np.array(cells).reshape(-1, 3)
    slopes = rng.normal(size=(600, 594)) / 50.0
    modes = harmonic_from_arrays(
        np.tile([12.0, 1.0, 1.0], 66),
        positions,
        slopes.T @ slopes,
        born_charges=rng.normal(size=(198, 3, 3)),
        polarizability_derivatives=rng.normal(size=(198, 3, 3, 3)),
        symbols=("C", "H", "H") * 66,
    )
    x = np.arange(0.0, 4500.0, 4.2)
    samples = rng.random((64, len(x)))
    curve = Spectrum.from_samples(x, samples.mean(axis=0), samples, unit="km/mol/cm^-1")
    result = PageResult("chain", infrared=curve, polarised=(curve, curve), modes=modes)
    assert len(Page(page_record([result])).html.encode()) < 1_500_000


def test_unfinished_and_empty_folders_are_refused_with_the_remedy(folder: Path, tmp_path) -> None:
    with pytest.raises(DataError, match="holds no result"):
        folder_result(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        folder_result(tmp_path / "nowhere")
    (tmp_path / "settings.json").write_bytes((folder / "settings.json").read_bytes())
    with pytest.raises(DataError, match="--restart"):
        folder_result(tmp_path)
    with pytest.raises(DataError, match="1 names for 2 folders"):
        page_of_folders([folder, folder], names=["one"])


def test_a_run_without_its_trajectory_still_has_a_page(folder: Path, tmp_path) -> None:
    for path in folder.iterdir():
        if path.suffix in (".csv", ".json", ".extxyz"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    found = page_record([folder_result(tmp_path)])["results"][0]
    assert found["curves"]["infrared"]["error"] is not None
    assert found["curves"]["infrared"]["deviations"] is None
    assert found["run"]["time_ps"] is None


def test_a_measured_spectrum_comes_along_as_absorbance(folder: Path, tmp_path) -> None:
    x = np.arange(500.0, 4000.0, 10.0)
    share = 1.0 - 0.9 * np.exp(-(((x - 1100.0) / 50.0) ** 2))
    save_spectrum(Spectrum(x, 100.0 * share, unit="% TRANSMITTANCE"), tmp_path / "measured.csv")
    (given,) = page_of_folders([folder], experiment=tmp_path / "measured.csv").record["experiments"]
    assert given["kind"] == "infrared"
    assert x[int(np.argmax(given["y"]))] == 1100.0
    assert max(given["y"]) == pytest.approx(1.0, rel=1e-3)


# -- characters of modes ---------------------------------------------------------------------------


def leading(name: str, model: str) -> list[tuple[float, str]]:
    atoms = molecule(name)
    atoms.calc = PaiNNCalculator(model, dtype="float64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modes = harmonic(atoms)
    found = mode_characters(modes, bonds_of(modes.symbols, modes.positions))
    return [(f, c[0][0]) for f, c in zip(modes.frequencies, found, strict=True)]


def test_modes_are_called_what_chemists_call_them() -> None:
    assert [c for _, c in leading("H2O", "water")] == ["H–O–H bend"] + 2 * ["O–H stretch"]
    formaldehyde = {c: f for f, c in leading("H2CO", "formaldehyde")}
    assert {"C out of plane", "H–C–H bend", "C–O stretch", "C–H stretch"} <= formaldehyde.keys()
    assert 1100 < formaldehyde["C out of plane"] < 1300
    ethanol = leading("CH3CH2OH", "ethanol")
    assert ethanol[-1][1] == "O–H stretch"
    assert {c for f, c in ethanol if 2900 < f < 3300} == {"C–H stretch"}


def test_linear_molecules_bend_twice_and_apart_molecules_move_as_wholes() -> None:
    """Springs along CO2's bonds and angle, and two of them far apart without any force between."""
    positions = np.array([[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]])
    symbols = ("O", "C", "O")
    masses = np.array([15.999, 12.011, 15.999])
    shape = np.array([[1.0, 0, 0, -2, 0, 0, 1, 0, 0], [1.0, 0, 0, 0, 0, 0, -1, 0, 0]])
    bends = [np.eye(9)[k] - 2 * np.eye(9)[k + 3] + np.eye(9)[k + 6] for k in (1, 2)]
    hessian = sum(k * np.outer(v, v) for k, v in zip((30, 60, 3, 3), (*shape, *bends), strict=True))
    modes = harmonic_from_arrays(masses, positions, hessian, symbols=symbols)
    found = mode_characters(modes, bonds_of(symbols, positions))
    assert [c[0][0] for c in found] == 2 * ["O–C–O bend"] + 2 * ["C–O stretch"]
    assert all(c[0][1] == pytest.approx(1.0, abs=1e-3) for c in found)
    two = np.zeros((18, 18))
    two[:9, :9] = two[9:, 9:] = hessian
    two[1, 1] += 0.01  # a mode in which one molecule moves against the other
    far = np.concatenate([positions, positions + np.array([0, 8, 0])])
    modes = harmonic_from_arrays(np.tile(masses, 2), far, two, symbols=2 * symbols)
    found = mode_characters(modes, bonds_of(2 * symbols, far))
    whole = [c[0][0] == "motion of whole molecules" for c in found]
    assert sum(whole) == 4  # 12 modes, 8 of them inside the molecules
    assert not any(whole[4:])

"""The page in a browser, driven as a reader would: Debian's Chromium by playwright, offline."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.models import bundled_models
from painn_ase.page import Page, PageResult, page_record
from painn_ase.spectra import (
    HarmonicResult,
    Spectrum,
    depolarisation_ratio,
    harmonic_from_arrays,
    load_spectrum,
)
from painn_ase.spectra.foreign import as_absorbance
from painn_ase.spectra.jcamp import jcamp_text, parse_jcamp
from painn_ase.workflow import folder_result, page_of_folders

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
ASSETS = Path(importlib.import_module("painn_ase.page").__file__).parent / "assets"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif("ethanol" not in bundled_models(), reason="no bundled models"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any) -> Callable[..., Any]:
    """Opens a page; at the end the browser has said nothing and asked for nothing."""

    @contextmanager
    def open_page(path: Path, **settings: Any) -> Iterator[Any]:
        chosen = {"viewport": {"width": 1440, "height": 950}, "reduced_motion": "reduce"}
        context = browser.new_context(offline=True, **{**chosen, **settings})
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda r: r.url.startswith(("file:", "data:", "blob:")) or said.append(r.url),
        )
        page.goto(path.as_uri())
        yield page
        context.close()
        assert said == []

    return open_page


@pytest.fixture
def page(opened, folder: Path) -> Iterator[Any]:
    with opened(folder / "report.html") as page:
        yield page


def picture(page: Any) -> str:
    return page.evaluate("document.getElementById('molecule').toDataURL()")


def drag(page: Any, start: float, end: float) -> None:
    """Across the chart, from one share of its width to another."""
    box = page.locator("#chart").bounding_box()
    y = box["y"] + 100
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=4)
    page.mouse.up()


def axis(page: Any) -> list[float]:
    """Numbers along the wavenumber axis, from left to right."""
    found = page.locator("#plot > text[text-anchor=middle]:not(.maximum)").evaluate_all(
        "all => all.map((t) => [Number(t.getAttribute('x')), t.textContent])"
    )
    return [float(text) for _, text in sorted(found) if re.fullmatch(r"[\d.]+", text)]


# -- modes -----------------------------------------------------------------------------------------


def test_the_brightest_mode_is_shown_first_and_rows_pick_others(page, folder: Path) -> None:
    modes = HarmonicResult.load(folder / "modes.json")
    brightest = int(np.argmax(modes.infrared))
    assert page.text_content("#mode-title").startswith(f"Mode {brightest + 1} ")
    before = picture(page)
    page.click("tr[data-mode='20'] .words")
    assert page.text_content("#mode-title") == f"Mode 21 · {modes.frequencies[20]:.1f} cm⁻¹"
    assert page.text_content("#mode-character") == "O–H stretch 100 %"
    assert page.locator("#shares li").first.text_content().startswith("H")
    page.wait_for_function(
        "before => document.getElementById('molecule').toDataURL() !== before", arg=before
    )


def test_anharmonic_sticks_hang_in_infrared_and_raman(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    for command in ("harmonic", "anharmonic"):
        done = CliRunner().invoke(app, [command, "water", "H2O", "-o", str(tmp_path / command)])
        assert done.exit_code == 0, done.output
    levels = str(tmp_path / "anharmonic" / "anharmonic.json")
    done = CliRunner().invoke(app, ["report", str(tmp_path / "harmonic"), "--anharmonic", levels])
    assert done.exit_code == 0, done.output
    with opened(tmp_path / "harmonic" / "report.html") as page:
        groups = page.locator("#plot .levels")
        assert groups.count() == 2
        heights = [
            {
                line.get_attribute("data-mode"): float(line.get_attribute("y2"))
                - float(line.get_attribute("y1"))
                for line in group.locator("line").all()
            }
            for group in groups.all()
        ]
        # the bend is the strongest in infrared, the symmetric stretch in Raman
        modes = [max("012", key=lambda k, found=found: found[k]) for found in heights]
        assert modes == ["0", "1"]
        page.uncheck("[data-flag='levels']")
        assert page.locator("#plot .levels line").count() == 0


def test_a_stick_picks_its_mode_and_keys_step_on(page) -> None:
    stick = page.evaluate(
        "document.querySelector('#plot .sticks line[data-mode=\"20\"]')"
        ".getBoundingClientRect().toJSON()"
    )
    page.mouse.click(stick["x"] + 1, stick["y"] + 1)
    assert page.text_content("#mode-title").startswith("Mode 21 ")
    assert page.get_attribute("tr[data-mode='20'] .pick", "aria-pressed") == "true"
    page.keyboard.press("]")
    assert page.text_content("#mode-title").startswith("Mode 1 ")
    page.keyboard.press("[")
    assert page.text_content("#mode-title").startswith("Mode 21 ")


def test_the_molecule_moves_and_stops(opened, folder: Path) -> None:
    with opened(folder / "report.html", reduced_motion="no-preference") as page:
        before = picture(page)
        page.wait_for_function(
            "before => document.getElementById('molecule').toDataURL() !== before", arg=before
        )
        page.click("#play")
        page.wait_for_timeout(100)
        still = picture(page)
        page.wait_for_timeout(300)
        assert picture(page) == still


def test_a_head_of_the_table_sorts_it(page, folder: Path) -> None:
    order = np.argsort(HarmonicResult.load(folder / "modes.json").infrared)
    page.click("th[data-key=infrared] button")
    assert page.get_attribute(".mode-table tbody tr >> nth=0", "data-mode") == str(order[0])
    page.click("th[data-key=infrared] button")
    assert page.get_attribute(".mode-table tbody tr >> nth=0", "data-mode") == str(order[-1])


# -- spectra ---------------------------------------------------------------------------------------


def test_dragging_zooms_and_a_double_click_takes_it_back(page) -> None:
    whole = axis(page)
    chosen = page.text_content("#mode-title")
    drag(page, 0.3, 0.5)
    zoomed = axis(page)
    assert max(zoomed) - min(zoomed) < 0.3 * (max(whole) - min(whole))
    page.dblclick("#chart", position={"x": 300, "y": 60})
    assert axis(page) == whole
    assert page.text_content("#mode-title") == chosen
    page.focus("#chart")
    page.keyboard.press("+")
    assert len(axis(page)) > 2
    assert axis(page) != whole
    page.keyboard.press("0")
    assert axis(page) == whole
    page.click("[data-choice=descending] [data-value='1']")
    assert axis(page) == whole[::-1]


def test_the_readout_is_what_the_table_says(page, folder: Path) -> None:
    box = page.locator("#chart").bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 100)
    x = float(page.text_content("#read-x").split()[0])
    table = load_spectrum(folder / "infrared.csv")
    value, error = map(float, page.text_content("#read-infrared").split(" ± "))
    expected = float(np.interp(x, table.frequency, table.intensity))
    assert value == pytest.approx(expected, abs=0.02 * table.intensity.max())
    assert error == pytest.approx(float(np.interp(x, table.frequency, table.error)), rel=0.3)
    page.focus("#chart")
    page.keyboard.press("ArrowRight")
    assert float(page.text_content("#read-x").split()[0]) > x
    assert "cm⁻¹" in page.text_content("#said")


def test_areas_and_their_errors_are_those_of_band_area(page, folder: Path) -> None:
    page.click("[data-choice=tool] [data-value=integrate]")
    drag(page, 0.69, 0.80)
    low, high = map(float, re.findall(r"\d+", page.text_content("#integral strong")))
    found = folder_result(folder)
    said = {
        row.locator("dt").text_content(): row.locator("dd").text_content()
        for row in page.locator("#integral dl div").all()
    }
    area = found.infrared.band_area(low, high)
    value, error = map(float, re.findall(r"[\d.]+", said["infrared"])[:2])
    assert value == pytest.approx(area.value, rel=0.02)
    assert error == pytest.approx(area.error, rel=0.1)
    inside = [(low <= f <= high) for f in found.modes.frequencies]
    assert f"{sum(inside)} modes" in said["infrared"]
    harmonic = float(re.search(r"harmonic ([\d.]+)", said["infrared"])[1])
    assert harmonic == pytest.approx(found.modes.infrared[inside].sum(), rel=0.01)
    ratio = depolarisation_ratio(found.polarised[1], found.polarised[0], low, high)
    value, error = map(float, re.findall(r"[\d.]+", said["depolarisation"]))
    assert value == pytest.approx(ratio.value, rel=0.03)
    assert error == pytest.approx(ratio.error, rel=0.15)


def test_the_laser_scales_raman_by_its_fourth_power(page, folder: Path) -> None:
    def vv_area() -> float:
        page.click("[data-choice=tool] [data-value=integrate]")
        drag(page, 0.69, 0.80)
        text = page.locator("#integral dl div", has_text="Raman").locator("dd").text_content()
        value = float(re.search(r"[\d.]+", text)[0])
        power = re.search(r"10⁻([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)[1]
        return value * 10.0 ** -int(power.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))

    before = vv_area()
    page.select_option("#laser", "785")
    shift = 3000.0
    expected = ((1e7 / 785 - shift) / (1e7 / 532 - shift)) ** 4
    assert vv_area() / before == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_transmittance_points_down_in_either_theme(opened, folder: Path, theme: str) -> None:
    with opened(folder / "report.html", color_scheme=theme) as page:
        assert page.get_attribute("html", "data-theme") == theme
        page.click("[data-choice=transmittance] [data-value='1']")
        assert "transmittance" in page.locator("#plot").text_content()
        page.click("#theme")
        assert page.get_attribute("html", "data-theme") != theme


# -- measured spectra ------------------------------------------------------------------------------


def measured(factor: float, folder: Path) -> Spectrum:
    """Our own curve moved by a factor, as a spectrometer's transmittance on falling wavenumbers."""
    ours = load_spectrum(folder / "infrared.csv").cropped(400.0, 4300.0)
    absorbance = 0.8 * ours.intensity.clip(0.0) / ours.intensity.max()
    return Spectrum(
        ours.frequency * factor, 100.0 * 10.0**-absorbance, unit="% TRANSMITTANCE", quantity="T"
    )


def test_a_dropped_file_is_laid_over_and_the_factor_found(page, folder: Path) -> None:
    text = jcamp_text(measured(0.96, folder))
    data = page.evaluate_handle(
        "text => { const data = new DataTransfer();"
        " data.items.add(new File([text], 'a.jdx')); return data; }",
        text,
    )
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    page.wait_for_selector("#plot path.experiment", state="attached")
    assert "transmittance turned into absorbance" in page.text_content("#drop-note")
    page.click("#fit")
    assert page.text_content("#factor-out") == "0.960"
    assert float(re.search(r"shape ([\d.]+)", page.text_content("#drop-note"))[1]) > 0.995
    page.click("#forget")
    assert page.locator("#plot path.experiment").count() == 0


def test_a_european_csv_is_read(page, tmp_path: Path) -> None:
    rows = [f"{x:.1f};{np.exp(-(((x - 1100) / 40) ** 2)):.5f}" for x in range(4000, 400, -10)]
    path = tmp_path / "ethanol.csv"
    path.write_text("Wellenzahl;Extinktion\n" + "\n".join(rows).replace(".", ","))
    page.set_input_files("#file", str(path))
    page.wait_for_selector("#plot path.experiment", state="attached")
    assert "360 points" in page.text_content("#drop-note")


def test_a_file_of_many_points_is_drawn_with_few(page, tmp_path: Path) -> None:
    x = np.linspace(400.0, 4000.0, 150_000)
    y = np.exp(-(((x - 1100.0) / 60.0) ** 2))
    path = tmp_path / "fine.csv"
    np.savetxt(path, np.column_stack([x, y]), "%.6g", ",", header="cm-1,absorbance", comments="")
    page.set_input_files("#file", str(path))
    page.wait_for_selector("#plot path.experiment", state="attached")
    assert len(page.get_attribute("#plot path.experiment", "d")) < 400_000
    with page.expect_download() as got:
        page.click("#download summary")
        page.click("[data-get='spectra-svg']")
    assert b"experiment" in Path(got.value.path()).read_bytes()


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("wavelength (um),absorbance", lambda x: 1e4 / x),
        ("wavelength / nm;T [%]", lambda x: 1e7 / x),
        ("Wavenumber cm-1\tabsorbance", lambda x: x),
        ("", lambda x: x),
    ],
)
def test_tables_are_understood_as_load_spectrum_does(page, tmp_path, heading, column) -> None:
    x = np.linspace(4000.0, 500.0, 200)
    y = np.exp(-(((x - 1100.0) / 60.0) ** 2))
    if "%" in heading:
        y = 100.0 * 10.0**-y
    mark = next((m for m in ",;\t" if m in heading), " ")
    path = tmp_path / "measured.csv"
    rows = [f"{a:.8g}{mark}{b:.8g}" for a, b in zip(column(x), y, strict=True)]
    path.write_text("\n".join([heading, *rows] if heading else rows))
    expected = as_absorbance(load_spectrum(path))
    page.set_input_files("#file", str(path))
    page.wait_for_selector("#plot path.experiment", state="attached")
    low, high = map(int, re.findall(r"(\d+)–(\d+) cm⁻¹", page.text_content("#drop-note"))[0])
    assert (low, high) == (500, 4000)
    assert expected.frequency[0] == pytest.approx(500.0)
    assert expected.frequency[int(np.argmax(expected.intensity))] == pytest.approx(1100, abs=20)
    assert ("turned into absorbance" in page.text_content("#drop-note")) == ("%" in heading)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("##TITLE=x\n##JCAMP-DX=4.24\n##XUNITS=SECONDS\n##END=", "SECONDS"),
        ("one, two\nthree, four\n", "0 points"),
        ("\n".join(f"{2 + 0.5 * k} {k % 3}" for k in range(40)), "looks like wavelengths"),
        ("\n".join(f"{600 + 50 * k} {100 - 80 * (k == 9)}" for k in range(40)), "point downwards"),
        ("##TITLE=<img src=x onerror=alert(1)>\n##END=", "##JCAMP-DX="),
    ],
)
def test_what_is_no_spectrum_is_refused_with_its_reason(page, tmp_path, text, reason) -> None:
    path = tmp_path / "a<b>.jdx"
    path.write_text(text)
    page.set_input_files("#file", str(path))
    page.wait_for_function(
        "reason => document.getElementById('drop-note').textContent.includes(reason)", arg=reason
    )
    assert page.locator("#drop-note *").count() == 0


def test_the_pages_reader_agrees_with_ours_on_every_form(page, folder: Path) -> None:
    rng = np.random.default_rng(0)
    n, x = 301, np.linspace(400.0, 4000.0, 301)
    y = np.rint(1e3 * np.exp(-(((x - 1100) / 60) ** 2)) + rng.normal(0, 3, n)).astype(int)
    y[100:150] = 7
    head = (
        "##TITLE=a\n##JCAMP-DX=4.24\n##DATA TYPE=INFRARED SPECTRUM\n##XUNITS=1/CM\n"
        "##YUNITS=ABSORBANCE\n##XFACTOR=1\n##YFACTOR=0.001\n##FIRSTX={first}\n##LASTX={last}\n"
        f"##NPOINTS={n}\n##XYDATA=(X++(Y..Y))\n{{table}}\n##END=\n"
    )
    squeezed = dict(zip(range(-9, 10), "ihgfedcba@ABCDEFGHI", strict=True))
    differences = dict(zip(range(-9, 10), "rqponmlkj%JKLMNOPQR", strict=True))

    def lead(value: int, letters: dict[int, str]) -> str:
        digits = str(abs(int(value)))
        return letters[int(digits[0]) * (-1 if value < 0 else 1)] + digits[1:]

    def rows(form: Callable[[Any], str], per: int, xs: Any, ys: Any) -> str:
        starts = range(0, n, per)
        return "\n".join(f"{xs[k]:g}{form(ys[k : k + per])}" for k in starts)

    def dif(xs: Any, ys: Any) -> str:
        lines = []
        for k in range(0, n - 1, 20):
            row = ys[k : k + 21]
            lines.append(
                f"{xs[k]:g}{lead(row[0], squeezed)}"
                + "".join(lead(d, differences) for d in np.diff(row))
            )
        return "\n".join([*lines, f"{xs[-1]:g}{lead(ys[-1], squeezed)}"])

    rising = head.replace("{first}", "400").replace("{last}", "4000")
    falling = head.replace("{first}", "4000").replace("{last}", "400")
    spectrum = Spectrum(np.sort(rng.uniform(400, 4000, 50)), rng.random(50), unit="ABSORBANCE")
    cases = [
        rising.format(table=rows(lambda r: " " + " ".join(map(str, r)), 10, x, y)),
        rising.format(table=rows(lambda r: "".join(f"{v:+d}" for v in r), 10, x, y)),
        rising.format(table=rows(lambda r: "".join(lead(v, squeezed) for v in r), 20, x, y)),
        rising.format(table=dif(x, y)),
        falling.format(table=dif(x[::-1], y[::-1])),
        jcamp_text(spectrum),
        jcamp_text(measured(1.0, folder)),
    ]
    source = "\n".join((ASSETS / f).read_text() for f in ("numbers.js", "experiment.js"))
    blank = page.context.new_page()
    for case in cases:
        blank.goto("about:blank")
        found = blank.evaluate(f"text => {{ {source}\n return readExperiment(text, 'a'); }}", case)
        expected = parse_jcamp(case)
        np.testing.assert_allclose(found["x"], expected.frequency, rtol=1e-9)
        if "TRANSMITTANCE" not in expected.unit.upper():
            np.testing.assert_allclose(found["y"], expected.intensity, rtol=1e-9, atol=1e-12)


# -- taking away -----------------------------------------------------------------------------------


def downloaded(page: Any, what: str) -> bytes:
    page.click("#download summary")
    with page.expect_download() as got:
        page.click(f"[data-get='{what}']")
    return Path(got.value.path()).read_bytes()


def test_downloads_hold_what_is_shown(page, folder: Path) -> None:
    lines = downloaded(page, "spectra-csv").decode().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    table = load_spectrum(folder / "infrared.csv")
    x = np.array([float(r["infrared_wavenumber"]) for r in rows if r["infrared_wavenumber"]])
    y = np.array([float(r["infrared_intensity"]) for r in rows if r["infrared_intensity"]])
    expected = np.interp(x, table.frequency, table.intensity)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4 * expected.max())
    modes = list(csv.DictReader(io.StringIO(downloaded(page, "modes-csv").decode())))
    assert len(modes) == 21
    assert modes[20]["character"] == "O–H stretch 100 %"
    for what in ("spectra-svg", "molecule-svg"):
        root = ElementTree.fromstring(downloaded(page, what))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter())) > 50
    for what in ("spectra-png", "molecule-png"):
        assert downloaded(page, what).startswith(b"\x89PNG")
    page.click("tr[data-mode='20'] .words")
    frames = downloaded(page, "mode-xyz").decode().splitlines()
    assert len(frames) == 24 * 11
    assert "mode 21" in frames[1]
    assert json.loads(downloaded(page, "record-json"))["schema"] == "painn_ase page 1"


def test_print_leaves_the_controls_out(page) -> None:
    page.emulate_media(media="print")
    assert page.locator("#plot").is_visible()
    assert page.locator(".mode-table").is_visible()
    for hidden in (".toolbar", "#drop", ".actions", ".controls"):
        assert not page.locator(hidden).first.is_visible()


# -- other circumstances ---------------------------------------------------------------------------


def test_the_policy_stops_what_a_page_must_not_do(browser, folder: Path) -> None:
    context = browser.new_context()  # online, so that only the policy can refuse
    page = context.new_page()
    page.goto((folder / "report.html").as_uri())
    blocked = page.evaluate(
        """async () => {
          const stopped = [];
          addEventListener('securitypolicyviolation', (e) => stopped.push(e.effectiveDirective));
          await fetch('https://example.org/').catch(() => null);
          document.body.append(Object.assign(new Image(), { src: 'https://example.org/a.png' }));
          const script = document.createElement('script');
          script.textContent = 'window.ran = true';
          document.body.append(script);
          await new Promise((done) => setTimeout(done, 200));
          return [stopped.sort(), window.ran ?? false];
        }"""
    )
    context.close()
    assert blocked == [["connect-src", "img-src", "script-src-elem"], False]


def test_without_javascript_the_tables_stand(opened, folder: Path) -> None:
    with opened(folder / "report.html", java_script_enabled=False) as page:
        assert page.locator("noscript").text_content()
        assert page.locator(".mode-table tbody tr").count() == 21
        assert page.locator(".checks").is_visible()


def test_a_telephone_scrolls_one_way_only(opened, folder: Path) -> None:
    with opened(folder / "report.html", viewport={"width": 390, "height": 844}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_no_barrier(opened, folder: Path, tmp_path: Path, width: int, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    shutil.copytree(folder, tmp_path / "again")
    page_of_folders([folder, tmp_path / "again"]).save(tmp_path / "two.html")
    look = {"viewport": {"width": width, "height": 900}, "color_scheme": theme}
    for path in (folder / "report.html", tmp_path / "two.html"):
        with opened(path, bypass_csp=True, **look) as page:
            found = axe.run(page)
        assert found.violations_count == 0, found.generate_report()


def test_a_notebook_shows_it_in_its_frame(opened, folder: Path, tmp_path: Path) -> None:
    shown = tmp_path / "notebook.html"
    shown.write_text(
        f"<!doctype html><p>In[1]</p>{page_of_folders([folder])._repr_html_()}", encoding="utf-8"
    )
    with opened(shown) as page:
        frame = page.frame_locator("iframe")
        assert frame.locator("#mode-title").text_content().startswith("Mode ")
        frame.locator("tr[data-mode='20'] .pick").click()
        assert frame.locator("#mode-title").text_content().startswith("Mode 21 ")


def test_several_results_are_compared(opened, folder: Path, tmp_path: Path) -> None:
    path = page_of_folders([folder, folder], names=["cold", "again"]).save(tmp_path / "two.html")
    with opened(path) as page:
        assert page.locator("#plot .curve-infrared").count() == 2
        assert page.locator("#trust-0").is_visible()
        page.select_option("#active", "1")
        assert page.locator("#trust-1").is_visible()
        assert not page.locator("#trust-0").is_visible()
        page.locator(".modes[data-result='1'] tr[data-mode='20'] .pick").click()
        assert page.text_content("#mode-title").startswith("Mode 21 ")
        page.click("[data-choice=tool] [data-value=integrate]")
        page.evaluate("scrollTo(0, 0)")
        drag(page, 0.69, 0.80)
        said = page.locator("#integral dl").text_content()
        assert said.count("infrared, cold") == said.count("infrared, again") == 1


def test_modes_of_a_crystal_move_without_a_word_on_them(opened, tmp_path: Path) -> None:
    """Two atoms of a made-up crystal: three modes, bonds to images that the page does not know."""
    spring = np.kron([[1.0, -1.0], [-1.0, 1.0]], np.diag([4.0, 5.0, 6.0]))
    modes = harmonic_from_arrays(
        [12.0, 28.0], [[0, 0, 0], [1, 1, 1.0]], spring, symbols=("C", "Si"), periodic=True
    )
    record = page_record([PageResult("silicon carbide", formula="CSi", modes=modes)])
    assert record["results"][0]["modes"]["character"] == [[], [], []]
    with opened(Page(record).save(tmp_path / "crystal.html")) as page:
        assert page.text_content("#mode-title").startswith("Mode 3 ")
        assert page.text_content("#shares li b") == "C1"
        assert not page.locator("#spectra").is_visible()


def test_spectra_alone_have_a_page_without_molecule(opened, folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("infrared.csv", "raman.csv"):
        shutil.copy(folder / name, bare)
    with opened(page_of_folders([bare]).save(tmp_path / "bare.html")) as page:
        assert page.locator("#mode").count() == 0
        assert page.locator("#plot .curve-infrared").count() == 1
        page.click("[data-choice=tool] [data-value=integrate]")
        drag(page, 0.3, 0.5)
        assert "km/mol" in page.text_content("#integral")

"""The report: one file, no network, escaped text; used in a headless browser."""

from __future__ import annotations

import html
import json
import re
import sys
from html.parser import HTMLParser

import comparison_cases as cases
import numpy as np
import pytest

from moela import compare
from moela.comparison.report.data import design_text

for needed in ("jinja2", "plotly"):
    pytest.importorskip(needed, reason=f"a report needs {needed}: pip install 'moela[report]'")

EVIL = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>"


class Decoder:
    """The attributes of a problem that a report needs."""

    n_obj = 3
    objective_names = ("cost", "delay", EVIL)

    def decode(self, x):
        return f"design number {int(x[0])} {EVIL}"


class Links(HTMLParser):
    """Collects every address in a page, in any attribute."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [v for k, v in attrs if k in ("src", "href", "action", "srcset", "data")]


def comparison(n_obj=3):
    rng = np.random.default_rng(1)
    runs = [
        cases.recorded(cases.sphere(40, n_obj, rng, 1 + 0.1 * k), algorithm=name, seed=s)
        for k, name in enumerate(["MOELA", f"NSGA-II {EVIL}"])
        for s in (1, 2, 3)
    ]
    return compare(runs, problems=Decoder() if n_obj == 3 else None)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return comparison().report(tmp_path_factory.mktemp("report") / "report.html", title=EVIL)


def data_of(page):
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found)


def test_page_is_one_file_that_loads_nothing(page):
    text = page.read_text(encoding="utf-8")
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]
    own = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    links = Links()
    links.feed(own)
    assert len(links.found) > 5
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links.found)
    assert "url(" not in own
    assert "@import" not in own
    assert "default-src 'none'" in html.unescape(own)
    assert text.count("data:image/png;base64,") >= 5


def test_numbers_of_the_page_are_those_of_the_comparison(page):
    made = comparison()
    text = html.unescape(page.read_text(encoding="utf-8"))
    for row in made.summary():
        assert f"{row['median']:.4g}" in text
    (problem,) = data_of(page)["problems"]
    fronts = {a["name"]: [] for a in problem["algorithms"]}
    for point in problem["points"]:
        fronts[problem["algorithms"][point["a"]]["name"]].append(point["f"])
    for name, F in fronts.items():
        np.testing.assert_array_equal(np.array(F), made.front(algorithm=name).F)
    colors = {a["name"]: a["color"] for a in problem["algorithms"]}
    assert colors == made.colors


def test_designs_and_what_they_stand_for_are_there(page):
    made = comparison()
    (problem,) = data_of(page)["problems"]
    front = made.front(algorithm="MOELA")
    point = problem["points"][0]
    assert point["f"] == front.F[0].tolist()
    assert point["x"] == design_text(front.X[0])
    assert point["decoded"] == Decoder().decode(front.X[0])


def test_text_of_strangers_is_escaped(page):
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert "<img src=x" not in text
    assert EVIL in html.unescape(text)


def test_embedded_data_cannot_end_its_element(page):
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert not set("<>&\u2028") & set(found)
    (problem,) = json.loads(found)["problems"]
    assert problem["names"] == ["cost", "delay", EVIL]


def test_decode_that_fails_does_not_end_the_report(tmp_path):
    class Broken(Decoder):
        def decode(self, x):
            raise RuntimeError("no such design")

    made = compare(
        [cases.recorded(cases.sphere(5, 3, np.random.default_rng(1)))], problems=Broken()
    )
    page = made.report(tmp_path / "a" / "report.html")
    assert "no such design" in data_of(page)["problems"][0]["points"][0]["decoded"]


def test_a_report_that_cannot_be_written_names_its_path(tmp_path):
    made = compare({"A": [[1.0, 2.0], [2.0, 1.0]]})
    with pytest.raises(ValueError, match="'path' parameter of report must be a file"):
        made.report(tmp_path)
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ValueError, match=r"Got the folder .*report\.html"):
        made.report(tmp_path / "report.html")


def test_methods_and_settings_are_told(page):
    text = html.unescape(page.read_text(encoding="utf-8"))
    for words in ("Holm's correction", "Vargha and Delaney", "rank sum test", "Nemenyi"):
        assert words in text
    assert "<td>alpha</td><td>0.05</td>" in text
    assert "<td>moocore</td>" in text


def test_report_of_bare_points(tmp_path):
    page = compare({"A": [[1.0, 2.0], [2.0, 1.0]], "none": np.empty((0, 2))}).report(
        tmp_path / "report.html"
    )
    assert len(data_of(page)["problems"][0]["points"]) == 2


@pytest.mark.parametrize("module", ["jinja2", "plotly.offline"])
def test_missing_packages_are_named(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"moela\[report\]"):
        comparison(2).report(tmp_path / "report.html")


# ------------------------------------------------------------------------------------ in a browser

# Seconds. A page takes two, and much longer on a busy machine.
PATIENCE = 180


def opened(browser, page):
    browser.get(page.as_uri())
    wait(browser, "document.documentElement.dataset.ready === 'yes'")
    until(browser, lambda b: b.find_elements("css selector", ".plot .plot-container"))
    return browser


def until(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE).until(condition)


def wait(browser, what):
    return until(browser, lambda b: b.execute_script(f"return {what}"))


def picked(browser, point):
    """Wait until the panel shows this point, and return it."""
    wait(browser, f"document.querySelector('.picked').dataset.point === '{point}'")
    return browser.find_element("css selector", ".picked")


AT = """
const plot = document.querySelector('.plot'), full = plot._fullLayout;
const trace = plot.data[0], i = arguments[0];
plot.scrollIntoView({block: 'center', behavior: 'instant'});
const box = plot.getBoundingClientRect();
return [box.left + full.xaxis._offset + full.xaxis.d2p(trace.x[i]),
        box.top + full.yaxis._offset + full.yaxis.d2p(trace.y[i]), trace.customdata[i]];
"""


@pytest.fixture(scope="module")
def flat_page(tmp_path_factory):
    rng = np.random.default_rng(3)

    class Decoder2(Decoder):
        n_obj = 2
        objective_names = ("cost", "delay")

    runs = [
        cases.recorded(cases.sphere(12, 2, rng, 1 + 0.2 * k), algorithm=name, seed=1)
        for k, name in enumerate(["MOELA", f"rival {EVIL}"])
    ]
    made = compare(runs, problems=Decoder2())
    return made.report(tmp_path_factory.mktemp("flat") / "report.html")


def test_hovering_shows_a_design_and_clicking_picks_it(browser, flat_page):
    from selenium.webdriver.common.action_chains import ActionChains

    opened(browser, flat_page)
    (problem,) = data_of(flat_page)["problems"]
    x, y, point = browser.execute_script(AT, 3)
    pointer = ActionChains(browser)
    pointer.w3c_actions.pointer_action.move_to_location(int(x), int(y))
    pointer.perform()
    shown = wait(browser, "document.querySelector('.plot .hoverlayer .hovertext')?.textContent")
    design = problem["points"][point]["x"]
    assert "MOELA" in shown
    assert design in shown.replace("\xa0", " ")
    pointer = ActionChains(browser)
    pointer.w3c_actions.pointer_action.move_to_location(int(x), int(y)).click()
    pointer.perform()
    panel = picked(browser, point)
    decoded = panel.find_element("css selector", ".decoded").get_attribute("textContent")
    assert decoded == problem["points"][point]["decoded"]
    assert panel.find_element("css selector", ".design").text == design


def test_rows_of_designs_to_look_at_pick_them(browser, page):
    from selenium.webdriver.common.keys import Keys

    opened(browser, page)
    rows = browser.find_elements("css selector", "tr[data-point]")
    points = [int(row.get_attribute("data-point")) for row in rows]
    # The first point is shown at once, as an example of the content of the panel.
    text = picked(browser, points[0]).find_element("css selector", ".decoded")
    assert text.get_attribute("textContent").startswith("design number")
    other = next(k for k, point in enumerate(points) if point != points[0])
    browser.execute_script("arguments[0].click()", rows[other])
    picked(browser, points[other])
    assert "chosen" in rows[other].get_attribute("class")
    assert "chosen" not in rows[0].get_attribute("class")
    rows[0].send_keys(Keys.ENTER)
    picked(browser, points[0])


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_as_wide_as_its_window(browser, page, width):
    # The size changes on an empty page, so that plots are not drawn again at every size in between.
    browser.get("about:blank")
    browser.set_window_size(width, 1000)
    try:
        opened(browser, page)
        script = "return [document.documentElement.scrollWidth, window.innerWidth]"
        scrolled, inner = browser.execute_script(script)
        assert scrolled <= inner
        # No part of a plot is drawn over its border.
        for frame in browser.find_elements("css selector", ".frame"):
            drawn = frame.find_element("css selector", ".plot-container").size
            assert drawn["width"] <= frame.size["width"] - 2
    finally:
        browser.get("about:blank")
        browser.set_window_size(1280, 1000)


def test_nothing_of_a_stranger_runs_and_nothing_is_loaded(browser, page):
    browser.get_log("browser")  # of pages that were open before
    opened(browser, page)
    assert browser.title == EVIL
    # In text, attributes, plot labels and the picked design alike.
    assert (
        browser.execute_script(
            "return document.querySelectorAll('img[src=x], img[onerror]').length"
        )
        == 0
    )
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in loaded if not name.startswith("data:")] == []
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert severe == []


def test_page_allows_no_script_but_its_own(browser, page):
    opened(browser, page)
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.intruded = true';"
        "document.body.append(s);"
    )
    assert browser.execute_script("return window.intruded === undefined")
    browser.get_log("browser")

"""The page that shows a run: what its server answers, and how it looks in a browser."""

import json
import sqlite3
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

import moela
from tests.moela.watch import watch_cases as cases

pytest.importorskip("plotly", reason="the page needs plotly: pip install 'moela[report]'")

PATIENCE = 180  # seconds; the page takes two on an idle machine


@contextmanager
def serving(path):
    from moela.watch.follow import Follower
    from moela.watch.page import WatchServer

    begun = threading.Event()
    servers = []

    def serve():
        # SQLite's connections belong to the thread that opened them.
        follower = Follower(path)
        with WatchServer(follower) as server:
            servers.append(server)
            begun.set()
            server.serve_forever(poll_interval=0.05)
        follower.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert begun.wait(60)
    try:
        yield servers[0].address
    finally:
        servers[0].shutdown()
        thread.join(60)


def get(address, **headers):
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers, answer.read()


def severe(browser):
    """Return the errors on the console since the last call.

    A page that is still open when its server ends has some. So this is called before a page is
    opened, and again while it is served.
    """
    return [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]


def test_state_is_json_of_the_newest_run(finished):
    with serving(finished) as address:
        headers, body = get(address + "state.json")
    data = json.loads(body)
    assert data["run"] == 2
    assert data["share"] == 0.3
    assert data["names"] == ["mass <b>", "rise"]
    assert len(data["points"]) > 0
    assert "script-src 'self'" in headers["Content-Security-Policy"]


def minimized(path, objectives, **settings):
    moela.minimize(
        lambda d: {"cost": d["x"], "a long name of a yield": d["x"] ** 2, "noise": 5.0},
        variables={"x": (0.0, 1.0)},
        objectives=objectives,
        store=path,
        verbose=False,
        progress=False,
        **{"n_eval": 60} | settings,
    )
    return path


def test_a_run_without_a_feasible_design_has_a_page(tmp_path):
    path = minimized(tmp_path / "run.db", ["cost", "a long name of a yield"], n_eval=3)
    strict = minimized(tmp_path / "strict.db", ["cost"], constraints={"noise": (None, 1)}, n_eval=3)
    with sqlite3.connect(path) as database:  # as it is before the first batch has ended
        database.execute("delete from evaluations")
    database.close()
    for store, names in ((path, ["cost", "a long name of a yield"]), (strict, ["cost"])):
        with serving(store) as address:
            data = json.loads(get(address + "state.json")[1])
        assert (data["names"], data["points"], data["curve"]) == (names, [], [])
        assert ["non-dominated designs", "0"] in data["tiles"]


def test_only_this_host_and_these_files_are_served(finished):
    with serving(finished) as address:
        assert b"plotly.js" in get(address)[1]
        for path, headers, code in (
            ("etc/passwd", {}, 404),
            ("../secret", {}, 404),
            ("state.json", {"Host": "example.com"}, 403),
            ("state.json", {"Host": "localhost.example.com"}, 403),
            ("state.json", {"Host": "localhost:1"}, 403),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(address + path, **headers)
            assert caught.value.code == code
            caught.value.close()


def test_a_port_that_is_taken_is_named(finished, assert_rejected):
    with serving(finished) as address:
        port = address.rstrip("/").rpartition(":")[2]
        words = (f"--port {port}", "in use", "another port")
        assert_rejected(["watch", finished, "--serve", "--port", port], *words)


POINT = """
const plot = document.querySelector('.plot'), full = plot._fullLayout, trace = plot.data[0];
const i = Math.floor(trace.x.length / 2);
plot.scrollIntoView({block: 'center', behavior: 'instant'});
const box = plot.getBoundingClientRect();
return [box.left + full.xaxis._offset + full.xaxis.d2p(trace.x[i]),
        box.top + full.yaxis._offset + full.yaxis.d2p(trace.y[i]), trace.customdata[i]];
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_a_run_and_updates(browser, tmp_path, width):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    def wait(script):
        return WebDriverWait(browser, PATIENCE).until(lambda b: b.execute_script(script))

    path = cases.run(tmp_path / "run.db", 80, budget=400)
    browser.set_window_size(width, 1000)
    severe(browser)
    try:
        with serving(path) as address:
            browser.get(address)
            wait("return document.documentElement.dataset.evaluations === '80'")
            assert "80 of 400" in browser.find_element("id", "tiles").text
            assert "no mesh for #" in browser.find_element("id", "failures").text
            # The name of an objective is text, never markup.
            assert "best mass <b>" in browser.find_element("id", "tiles").text
            wait("return document.querySelector('.plot')?.data?.[0]?.x.length > 0")
            browser.execute_script(
                "const s = document.querySelectorAll('.controls select')[0]; s.value = '1';"
                "s.dispatchEvent(new Event('change'))"
            )
            cases.run(path, 200, budget=400)
            wait("return document.documentElement.dataset.evaluations === '200'")
            # The chosen axis is kept.
            assert (
                browser.execute_script(
                    "return document.querySelectorAll('.controls select')[0].value"
                )
                == "1"
            )
            # A click on a point shows its design.
            x, y, point = browser.execute_script(POINT)
            pointer = ActionChains(browser)
            pointer.w3c_actions.pointer_action.move_to_location(int(x), int(y)).click()
            pointer.perform()
            wait(f"return document.querySelector('.picked').dataset.point === '{point}'")
            assert browser.find_element("css selector", ".picked .design").text.startswith("[")
            scrolled, inner = browser.execute_script(
                "return [document.documentElement.scrollWidth, window.innerWidth]"
            )
            assert scrolled <= inner
            assert severe(browser) == []
    finally:
        browser.get("about:blank")
        browser.set_window_size(1280, 1000)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_run_without_failures_says_so_on_a_line(browser, tmp_path, width):
    from selenium.webdriver.support.ui import WebDriverWait

    path = tmp_path / "run.db"
    moela.minimize(
        lambda d: (d["x"], 1 - d["x"]),
        variables={"x": (0.0, 1.0)},
        objectives={"yield": "max", "cost": "min"},
        n_eval=60,
        store=path,
        verbose=False,
        progress=False,
    )
    browser.set_window_size(width, 1000)
    severe(browser)
    try:
        with serving(path) as address:
            browser.get(address)
            ready = "return document.documentElement.dataset.evaluations === '60'"
            WebDriverWait(browser, PATIENCE).until(lambda b: b.execute_script(ready))
            table = browser.find_element("id", "failures")
            assert table.text == "No evaluation has failed."
            assert table.size["height"] < 60  # a letter a line makes it ten times as high
            assert "best yield (max)" in browser.find_element("id", "tiles").text
            assert severe(browser) == []
    finally:
        browser.get("about:blank")
        browser.set_window_size(1280, 1000)

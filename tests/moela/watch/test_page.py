"""The page that shows a run: what its server answers, and how it looks in a browser."""

import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

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


def test_state_is_json_of_the_newest_run(finished):
    with serving(finished) as address:
        headers, body = get(address + "state.json")
    data = json.loads(body)
    assert data["run"] == 2
    assert data["share"] == 0.3
    assert data["names"] == ["mass <b>", "rise"]
    assert len(data["points"]) > 0
    assert "script-src 'self'" in headers["Content-Security-Policy"]


def test_only_this_host_and_these_files_are_served(finished):
    with serving(finished) as address:
        assert b"plotly.js" in get(address)[1]
        for path, headers, code in (
            ("etc/passwd", {}, 404),
            ("../secret", {}, 404),
            ("state.json", {"Host": "example.com"}, 403),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(address + path, **headers)
            assert caught.value.code == code
            caught.value.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_a_run_and_updates(browser, tmp_path, width):
    from selenium.webdriver.support.ui import WebDriverWait

    def wait(script):
        return WebDriverWait(browser, PATIENCE).until(lambda b: b.execute_script(script))

    path = cases.run(tmp_path / "run.db", 80, budget=400)
    browser.set_window_size(width, 1000)
    try:
        with serving(path) as address:
            browser.get(address)
            wait("return document.documentElement.dataset.evaluations === '80'")
            assert "80 of 400" in browser.find_element("id", "tiles").text
            assert "no mesh for #" in browser.find_element("id", "failures").text
            # The name of an objective is text, never markup.
            assert "best mass <b>" in browser.find_element("id", "tiles").text
            wait("return document.querySelector('.plot').data[0].x.length > 0")
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
            scrolled, inner = browser.execute_script(
                "return [document.documentElement.scrollWidth, window.innerWidth]"
            )
            assert scrolled <= inner
        severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
        assert severe == []
    finally:
        browser.get("about:blank")
        browser.set_window_size(1280, 1000)

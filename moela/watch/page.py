"""The view of a run in a browser: a page on the loopback address that updates itself."""

from __future__ import annotations

import json
import math
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources

import numpy as np

from moela._version import __version__
from moela.comparison.report.data import design_text
from moela.comparison.report.page import part
from moela.evaluation.storage.errors import StoreError
from moela.quality.json_data import finite
from moela.quality.words import duration
from moela.watch.follow import Follower
from moela.watch.state import Snapshot
from moela.watch.terminal import PAUSE_PER_SECOND

_HOST = "127.0.0.1"
_DEFAULT_PORT = 80  # which browsers leave out
# A page may ask as often as it likes; the store is read again after this many seconds.
_LEAST_SECONDS = 1.0
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
_TYPES = {"html": "text/html", "js": "text/javascript", "json": "application/json"}


class WatchServer(ThreadingHTTPServer):
    """Serves one run on the loopback address; the system chooses the port if it is 0.

    Raises
    ------
    ImportError
        plotly is not installed; it comes with the `report` extra.
    OSError
        The port is taken.
    """

    daemon_threads = True

    def __init__(self, follower: Follower, port: int = 0) -> None:
        from plotly.offline import get_plotlyjs

        self.files = {
            "/": ("html", _page(follower)),
            "/plotly.js": ("js", get_plotlyjs().encode()),
            "/watch.js": ("js", (part("front.js") + _own("watch.js")).encode()),
        }
        self._follower = follower
        self.state = b""
        self._asked = True
        self._due = 0.0
        super().__init__((_HOST, port), _Handler)
        self.service_actions()

    @property
    def hosts(self) -> set[str]:
        """The names under which browsers reach this server, with its port."""
        names = (_HOST, "localhost")
        with_port = {f"{name}:{self.server_port}" for name in names}
        return with_port | set(names) if self.server_port == _DEFAULT_PORT else with_port

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        return f"http://{_HOST}:{self.server_port}/"

    def ask(self) -> bytes:
        """Return the newest state as JSON, and have it read again soon."""
        self._asked = True
        return self.state

    def service_actions(self) -> None:
        """Read the store if a page has asked; the thread that serves calls this twice a second.

        SQLite's connections belong to one thread, so the threads of the requests don't read.
        """
        start = time.monotonic()
        if self._asked and start >= self._due:
            self._asked = False
            value = _state(self._follower)
            seconds = time.monotonic() - start
            pause = max(_LEAST_SECONDS, PAUSE_PER_SECOND * seconds)
            value["pause_ms"] = round(1000 * pause)
            self.state = json.dumps(finite(value), allow_nan=False).encode()
            self._due = time.monotonic() + pause


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer

    def do_GET(self) -> None:
        # A page of another site may reach this server under a name that it resolves to this host.
        if (self.headers.get("Host") or "").lower() not in self.server.hosts:
            self.send_error(403, explain=f"Open {self.server.address} instead.")
            return
        path = self.path.partition("?")[0]
        if path == "/state.json":
            self._send("json", self.server.ask())
        elif path in self.server.files:
            self._send(*self.server.files[path])
        else:
            self.send_error(404)

    def do_HEAD(self) -> None:
        self.do_GET()  # which leaves the content out

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{_TYPES[kind]}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: a request every two seconds is no news."""


def _own(name: str) -> str:
    return resources.files("moela.watch").joinpath("parts", name).read_text(encoding="utf-8")


def _page(follower: Follower) -> bytes:
    page = _own("watch.html")
    values = {
        "title": escape(f"Watching {follower.path.name}"),
        "style": part("page.css") + _own("watch.css"),
        "version": __version__,
    }
    for name, value in values.items():
        page = page.replace(f"{{{{ {name} }}}}", value)
    return page.encode()


def _state(follower: Follower) -> dict[str, object]:
    title = f"Watching {follower.path.name}"
    try:
        s = follower.refresh()
    except StoreError as error:
        return {"title": title, "about": str(error), "message": "Waiting for it to come back."}
    if s is None:
        return {"title": title, "about": str(follower.path), "message": "No run has begun yet."}
    return _data(s)


def _data(s: Snapshot) -> dict[str, object]:
    # Until a design is feasible, there is no front and nothing is best.
    F = np.array(s.front) if s.front else np.empty((0, len(s.names)))
    best = {"min": np.min, "max": np.max}
    ideal = (
        np.array([best[sense](F[:, j]) for j, sense in enumerate(s.senses)])
        if len(F)
        else np.zeros(len(s.names))
    )
    span = np.ptp(F, axis=0) if len(F) else np.zeros(len(s.names))
    return {
        "title": f"{s.algorithm} on {s.problem}, seed {s.seed}",
        "about": f"Run {s.run} of {s.store}. {s.unnamed}".strip(),
        "message": f"{s.state}; last batch {duration(s.idle)} ago",
        "run": s.run,
        "n_eval": s.n_eval,
        "share": s.n_eval / s.budget if s.budget else None,
        "tiles": _tiles(s),
        "algorithm": s.algorithm,
        "names": s.titles(),
        "ideal": ideal.tolist(),
        # Negative for a maximized objective, so that 0 is the best and 1 the worst.
        "span": [
            (-1.0 if sense == "max" else 1.0) * (value if value > 0 else 1.0)
            for value, sense in zip(span.tolist(), s.senses, strict=True)
        ],
        "points": [
            {"a": 0, "f": f, "x": design_text(x), "decoded": None}
            for f, x in zip(s.front, s.designs, strict=True)
        ],
        "curve": s.curve,
        "failures": s.failures,
        "workers": s.workers,
    }


def _tiles(s: Snapshot) -> list[tuple[str, str]]:
    of = "" if s.budget is None else f" of {s.budget:,}"
    tiles = [
        ("evaluations", f"{s.n_eval:,}{of}"),
        ("computed", f"{s.n_fresh:,}"),
        ("failed", f"{s.n_failed:,}"),
        ("per second", "–" if s.rate is None else f"{s.rate:.3g}"),
        ("running for", duration(s.elapsed)),
        ("left", duration(s.seconds_left) if s.state == "running" else "–"),
        ("non-dominated designs", f"{s.n_front:,}"),
    ]
    if s.volume is not None and math.isfinite(s.volume):
        tiles.append(("hypervolume", f"{100 * s.volume:.2f} %"))
    best = zip(s.titles(), s.best, strict=True) if s.best else ()
    return tiles + [(f"best {name}", f"{value:.6g}") for name, value in best]

"""Servers of this machine that answer as a test says."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Answers(BaseHTTPRequestHandler):
    """Answers with status, headers and body; to what is posted with `routed()`, if it is given.

    `asked` counts what was read, and `posted` holds the paths and contents of what was posted.
    """

    status, headers_, body, asked, routed, posted = 200, (), b"{}", 0, None, ()

    def do_GET(self):
        type(self).asked += 1
        self.answer(self.body)

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).posted = (*self.posted, (self.path, content))
        self.answer(json.dumps(self.routed()).encode())

    def answer(self, data):
        self.send_response(self.status)
        for name, value in self.headers_:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    """Return a function that starts a server, and returns its class and its address."""
    running = []

    def start(**settings):
        kind = type("Kind", (Answers,), settings)
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return kind, f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()

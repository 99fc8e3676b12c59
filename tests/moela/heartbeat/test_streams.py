"""Messages do not end a run whose standard streams are closed, full, or plain ASCII."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moela.heartbeat.streams import say

RUN = """
import moela, sys
result = moela.minimize(
    lambda d: {"Masse in µg": d["höhe"], "b": 1 - d["höhe"]},
    variables={"höhe": (0.0, 1.0)}, objectives=["Masse in µg", "b"], n_eval=20, store=sys.argv[1],
)
open("done", "w").close()
"""


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_stream_that_takes_nothing_is_no_error():
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed, Full()):
        say(stream, "text")


def test_letters_that_a_stream_lacks_are_written_by_their_numbers():
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    say(plain, "höhe\n")
    assert plain.buffer.getvalue() == b"h\\xf6he\n"


@pytest.mark.parametrize("closed", [">&- 2>&-", ""])
def test_runs_and_commands_end_well(closed, tmp_path):
    if "full" in closed and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    plain = {"PYTHONPATH": path, "PYTHONIOENCODING": "ascii"}
    (tmp_path / "run.py").write_text(RUN, encoding="utf-8")

    def ends_well(words):
        run = subprocess.run(
            f"{sys.executable} {words} {closed}", shell=True, cwd=tmp_path, capture_output=True,
            env=os.environ | plain,
        )  # fmt: skip
        if "full" not in closed:  # Python itself complains at its end, if it buffers output
            assert (run.returncode, run.stderr) == (0, b"")
        return run.stdout.decode("ascii")

    text = ends_well("run.py run.db")
    assert (tmp_path / "done").exists()
    assert ("h\\xf6he" in text) == (not closed)
    if not closed:
        assert "#" * 40 + " 100.0 %" in ends_well("-m moela watch run.db --once")
        assert "Masse in \\xb5g" in ends_well("-m moela explain run.db --design 0")

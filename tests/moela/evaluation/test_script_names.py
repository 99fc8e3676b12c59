"""Problems of a script that has another name: in processes of multiprocessing, and with runpy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SCRIPT = """
import multiprocessing
import sys

import moela


class Material:
    def __init__(self, density):
        self.density = density


MATERIALS = [Material(1.0), Material(2.0)]
SCALE = 2.0


def simulate(d):
    return d["x"] * d["m"].density * SCALE, (1 - d["x"]) ** 2 + d["m"].density


def run(**settings):
    result = moela.minimize(
        simulate,
        variables={"x": (0.0, 1.0), "m": MATERIALS},
        objectives=["a", "b"],
        n_eval=12,
        verbose=False,
        progress=False,
        **settings,
    )
    return [row["a"] for row in result.table(all=True)]


if __name__ == "__main__":
    store = sys.argv[2]
    alone = run(store=store)
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        for settings in {"n_jobs": 2}, {"store": store}:
            print(pool.apply_async(run, (), settings).get(100) == alone)
elif __name__ == "<run_path>":
    print(run(n_jobs=2) == run())
"""


def out(*arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_a_started_process_computes_and_resumes_what_its_script_does(path, store):
    assert out(path, "spawn", store) == ["True"] * 2


def test_a_script_that_runpy_runs_has_workers(path):
    assert out("-c", f"import runpy; runpy.run_path({str(path)!r})") == ["True"]

"""Makes the helper modules of these tests importable, and a result that several of them read."""

import sys
from pathlib import Path

import pytest

import moela

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def limited():
    """A result with infeasible and failed designs, and outputs called like a variable."""

    def function(d):
        if d["x"] > 0.9:
            raise RuntimeError("too\nhot")
        return {"x": d["x"], "gain": 1 - d["x"] ** 2, "n": d["n"] + 5, "note": "a\nb"}

    return moela.minimize(
        function,
        variables={"x": (0.0, 1.0), "n": (1, 3)},
        objectives={"x": "min", "gain": "max"},
        constraints={"n": (7, None)},
        n_eval=60, on_error="infeasible", verbose=False, progress=False,
    )  # fmt: skip

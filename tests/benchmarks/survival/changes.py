"""Problems that a user changes between two runs: no result of the old problem may come back.

For each change, one process stores a run. Two others, with other hash seeds and other seeds of the
run, evaluate the same designs: one for the changed problem, one for the same problem made again.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import subprocess
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

from moela import Evaluator
from tests.benchmarks.survival import Bar, Options

N_DESIGNS = 6
ROOT = Path(__file__).parents[3]


class Held(Problem):
    """A problem that holds something, and whose results say nothing of it.

    So nothing but the content itself can show a change.
    """

    def __init__(self, content: Any = None, *, private: Any = None, upper: float = 1.0):
        super().__init__(n_var=2, n_obj=2, xl=0.0, xu=np.array([1.0, upper]))
        self.content = content
        if private is not None:
            self._private = private

    def _evaluate(self, X: Any, out: Any, *args: Any, **kwargs: Any) -> None:
        out["F"] = np.column_stack([X[:, 0], 1 - X[:, 0] + X[:, 1]])


def compiled(source: str, name: str = "f", **values: Any) -> Any:
    """Return what a piece of source defines, as if it were in a module of the user."""
    scope: dict[str, Any] = {"__name__": "user_code", "np": np, "Held": Held, **values}
    exec(compile(source, "<user code>", "exec"), scope)
    return scope[name]


def user(term: object, more: str = "pass", **values: Any) -> Problem:
    """Return a problem of a user's class, whose objectives have a term that is multiplied by 0."""
    source = f"""
class User(Held):
    {more}
    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out)
        out["F"] = out["F"] + 0 * X * {term}
"""
    problem: Problem = compiled(source, "User", **values)()
    return problem


def module(v: int) -> types.ModuleType:
    made = types.ModuleType("user_settings")
    made.A = v  # type: ignore[attr-defined]
    return made


def closed_over(v: int) -> Any:
    return compiled("def g(a):\n  def f(x):\n    return x + a\n  return f", "g")(v)


def table(v: int) -> Any:
    import pandas

    return pandas.DataFrame({"a": [1.0, 2.0, 3.0 + v], "b": ["x", "y", "z"]})


def network(v: int) -> Any:
    import torch

    made = torch.nn.Linear(2, 3)
    with torch.no_grad():
        for tensor in made.parameters():
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
        made.weight[0, 0] += 1e-6 * v
    return made


def estimator(v: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    y = np.arange(20.0)
    y[5] += v
    return RandomForestRegressor(3, random_state=0).fit(y[:, None] % 7, y)


def kernel(v: int) -> Any:
    import numba

    return numba.njit(closed_over(v))


BEFORE_AND_AFTER: dict[str, Callable[[int], Problem]] = {
    "public number": lambda v: Held(1 + v),
    "integer or real number": lambda v: Held([1, 1.0][v]),
    "option in a dictionary": lambda v: Held({"mode": ["fast", "exact"][v], "n": 3}),
    "order of a dictionary": lambda v: Held(dict([("a", 1), ("b", 2)][:: 1 - 2 * v])),
    "set of texts": lambda v: Held({"north", "south", ["east", "west"][v]}),
    "one bit of an array": lambda v: Held(np.nextafter(np.arange(1.0, 2001.0), [0, 1e9][v])),
    "mask of an array": lambda v: Held(np.ma.array(np.arange(40.0), mask=np.arange(40) == v)),
    "private array": lambda v: Held(private=np.arange(40.0) + v),
    "object in an object": lambda v: Held([types.SimpleNamespace(_weights=[1.0, 2.0 + v])]),
    "table of pandas": lambda v: Held(table(v)),
    "trained network": lambda v: Held(private=network(v)),
    "trained forest": lambda v: Held(private=estimator(v)),
    "bounds": lambda v: Held(upper=1.0 + v),
    "code of the problem": lambda v: user(v),
    "method of the problem": lambda v: user("self.f()", f"f = lambda self: {v}"),
    "attribute of its class": lambda v: user("self.A", f"A = {v}"),
    "signature": lambda v: user(0, f"signature = lambda self: {{'version': {v}}}"),
    "constant of its module": lambda v: user("A", A=np.arange(2.0) + v),
    "helper function": lambda v: user("g()", g=compiled(f"f = lambda: {v}")),
    "helper of a helper": lambda v: user(
        "g()", g=compiled("f = lambda: h()", h=compiled(f"f = lambda: {v}"))
    ),
    "constant of an imported module": lambda v: user("m.A", m=module(v)),
    "lambda": lambda v: Held(compiled(f"f = lambda x: x * {2 + v}")),
    "closure": lambda v: Held(closed_over(v)),
    "default of an argument": lambda v: Held(compiled(f"def f(x, a={v}): return x + a")),
    "partial": lambda v: Held(functools.partial(pow, 2 + v)),
    "cached function": lambda v: Held(functools.lru_cache(compiled(f"def f(x): return {v}"))),
    "compiled kernel": lambda v: Held(kernel(v)),
    "generator": lambda v: Held(i + v for i in range(3)),
}
"""A problem of 0, before a change, and of 1, after it, made anew at each call."""

REFUSED = {"generator"}
"""What cannot be seen into, and is named; no result is reused then."""


def reused(name: str, store: Path, variant: int, seed: int) -> tuple[int, bool]:
    """Evaluate the designs; return how many results came from the store, and if it was refused."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("moela.evaluator").addHandler(handler)
    algorithm = NSGA2(N_DESIGNS, np.random.default_rng(0).random((N_DESIGNS, 2)))
    with Evaluator(store=store, on_mismatch="new", progress=False) as evaluator:
        problem = BEFORE_AND_AFTER[name](variant)
        minimize(problem, algorithm, ("n_eval", N_DESIGNS), seed=seed, evaluator=evaluator)
    logging.getLogger("moela.evaluator").removeHandler(handler)
    return N_DESIGNS - evaluator.n_fresh, any("cannot see into" in text for text in messages)


def run(folder: str, variant: int, seed: int) -> dict[str, tuple[int, bool]]:
    """Evaluate all problems in a new process with another hash seed each time."""
    command = [sys.executable, "-m", "tests.benchmarks.survival.changes"]
    out = subprocess.run(
        [*command, folder, str(variant), str(seed)],
        env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    return json.loads(out.splitlines()[-1])


def bars(options: Options) -> Iterator[Bar]:
    """Yield the bars of this part."""
    with tempfile.TemporaryDirectory() as folder:
        before, after, again = (
            run(folder, v, 10 * options.seed + i) for i, v in enumerate((0, 1, 0))
        )
    stale = {name: n for name, (n, _) in after.items() if n}
    what = f"results of the old problem after {len(after)} kinds of changes"
    yield Bar(what, f"{sum(stale.values())} {list(stale) or ''}".strip(), "0", not stale)
    refused = {name for name, (_, unseen) in before.items() if unseen}
    lost = [name for name, (n, _) in again.items() if name not in refused and not n]
    known = f"{len(again) - len(refused) - len(lost)} of {len(again) - len(refused)}"
    yield Bar(
        "problems recognized when made again", f"{known} {lost or ''}".strip(), "all", not lost
    )
    value = f"{len(refused)} ({', '.join(sorted(refused))})"
    yield Bar("contents that are refused by name", value, "generator", refused == REFUSED)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    place, variant, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    found = {
        name: reused(name, Path(place, f"{i}.db"), variant, seed)
        for i, name in enumerate(BEFORE_AND_AFTER)
    }
    print(json.dumps(found))

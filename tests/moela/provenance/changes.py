"""Twenty ways in which a user changes an evaluation, as programs on a disk, before and after.

A program defines `problem()`. Its objectives depend on what changes, as those of a user do.
"""

from __future__ import annotations

from typing import NamedTuple


class Change(NamedTuple):
    """A change of a user's program."""

    before: str
    after: str
    file: str = "user.py"  # which file changes
    seen: bool = True  # whether a store that has results of the old program notices


CLASS = """
import functools, json, pathlib
import numpy as np
from pymoo.core.problem import ElementwiseProblem

{top}

class Beam(ElementwiseProblem):
    {attribute}

    def __init__(self):
        super().__init__(n_var=3, n_obj=2, xl=0.0, xu={upper})
        {init}

    def _evaluate(self, x, out, *args, **kwargs):
        value = {value}
        out["F"] = [x[0] + {effect}, 1 - x[0] + x[1:].sum()]

def problem():
    return Beam()
"""


def program(
    value: object = 1.0,
    *,
    top: str = "",
    attribute: str = "",
    init: str = "",
    upper: float = 1.0,
    effect: str = "value",
) -> str:
    """Return a program whose first objective has a value, or another effect of it."""
    return CLASS.format(
        value=value, top=top, attribute=attribute, init=init, upper=upper, effect=effect
    )


def both(**texts: str) -> Change:
    """Return a change of 1 to 2 wherever `#` stands."""
    value = texts.pop("value", "1.0")
    first, second = (
        program(value.replace("#", n), **{k: v.replace("#", n) for k, v in texts.items()})
        for n in "12"
    )
    return Change(first, second)


def beside(file: str, text: str, *, seen: bool = True, **texts: str) -> tuple[str, Change]:
    """Return a program, and a change of another file from 1 to 2 where `#` stands."""
    same = program(**texts)
    return same, Change(text.replace("#", "1"), text.replace("#", "2"), file, seen)


# By name: the program, unless it is itself what changes, and the change.
CHANGES: dict[str, tuple[str, Change] | Change] = {
    "code of the problem": both(value="#.0"),
    "method of the problem": both(value="self.f()", attribute="f = lambda self: #"),
    "attribute of its class": both(value="self.A", attribute="A = #"),
    "public attribute": both(value="self.a", init="self.a = #"),
    "public array": both(value="self.a.sum()", init="self.a = np.arange(50.0) + #"),
    "private attribute": both(value="self._a", init="self._a = #"),
    "private array": both(value="self._a[7]", init="self._a = np.arange(50.0) * #"),
    "constant of the module": both(value="A", top="A = #"),
    "helper function": both(value="g()", top="def g():\n    return #"),
    "helper of a helper": both(value="g()", top="def h():\n    return #\ndef g():\n    return h()"),
    "closure": both(
        value="self._f()",
        top="def make(a):\n    return lambda: a",
        init="self._f = make(#)",
    ),
    "default of an argument": both(value="g()", top="def g(a=#):\n    return a"),
    "partial": both(value="self.f()", init="self.f = functools.partial(pow, 2, #)"),
    "bounds": Change(program(upper=1.0), program(upper=2.0)),
    "imported module": beside("helper.py", "A = #\n", value="A", top="from helper import A"),
    "module of an imported module": beside(
        "deep.py", "A = #\n", value="helper2.deep.A", top="import helper2"
    ),
    "file that is read at the start": beside(
        "data.json", "[#, 0]", value="self._d[0]",
        init="self._d = json.loads(pathlib.Path(__file__).with_name('data.json').read_text())",
    ),
    "file that is read by each evaluation": beside(
        "data.json", "[#, 0]",
        value="json.loads(pathlib.Path(__file__).with_name('data.json').read_text())[0]",
    ),
    "file that matters to few designs": beside(
        "data.json", "[#, 0]", seen=False,
        value="json.loads(pathlib.Path(__file__).with_name('data.json').read_text())[0]",
        effect="value * (x[0] > 0.97)",
    ),
    "private table that matters to few designs": beside(
        "data.json", "[#, 0]", seen=False, value="self._d[0]",
        init="self._d = json.loads(pathlib.Path(__file__).with_name('data.json').read_text())",
        effect="value * (x[0] > 0.97)",
    ),
}  # fmt: skip
FILES = {"helper2.py": "import deep\n", "deep.py": "A = 1\n", "helper.py": "A = 1\n"}

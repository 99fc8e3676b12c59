"""Functions and classes as content of a problem, and problems whose code changes."""

from __future__ import annotations

import functools
import operator
import types
from typing import Any

import numpy as np
from pymoo.core.problem import Problem

from tests.benchmarks.survival.kinds.base import Held, compiled, kind, pairs


def closed_over(v: int) -> Any:
    return compiled("def g(a):\n  def f(x):\n    return x + a\n  return f", "g")(v)


def dispatched(v: int) -> Any:
    made = functools.singledispatch(compiled("def f(x): return 0"))
    made.register(int, compiled(f"def f(x): return {v}"))
    return made


def method_of(v: int) -> Any:
    source = "class A:\n  def __init__(self, v): self._v = v\n  def f(self): return self._v"
    return compiled(source, "A")(v).f


def module_of(v: int) -> Any:
    made = types.ModuleType("user_settings")
    made.SCALE = 1 + v
    return made


def class_of(v: int, body: str) -> Any:
    return compiled(f"class A:\n  def __init__(self): self.a = 1\n  {body.format(v=v)}", "A")


def inherited(v: int) -> Any:
    return compiled(
        f"class A:\n  def f(self): return {v}\nclass B(A):\n  def g(self): return 1", "B"
    )()


pairs(
    constant_in_a_lambda=lambda v: compiled(f"f = lambda x: x * {2 + v}"),
    operation_of_a_lambda=lambda v: compiled(f"f = lambda x: x {'+-'[v]} 2"),
    name_in_a_lambda=lambda v: compiled(f"f = lambda x: np.{['sin', 'cos'][v]}(x)"),
    inner_function=lambda v: compiled(f"def f(x): return [i + {v} for i in x]"),
    default=lambda v: compiled(f"def f(x, a={v}): return x + a"),
    keyword_default=lambda v: compiled(f"def f(x, *, a={v}): return x + a"),
    closure=closed_over,
    global_value=lambda v: compiled("def f(x): return x + SCALE", SCALE=np.arange(30.0) + v),
    global_function=lambda v: compiled("def f(x): return g(x)", g=compiled(f"f = lambda x: {v}")),
    global_of_a_global_function=lambda v: compiled(
        "def f(x): return g(x)", g=compiled("def f(x): return x + A", A=v)
    ),
    value_of_a_global_module=lambda v: compiled(
        "def f(x): return settings.SCALE", settings=module_of(v)
    ),
    attribute_of_a_function=lambda v: functools.wraps(compiled("def f(x): return x", A=v))(
        compiled(f"def f(x): return {v}")
    ),
    partial=lambda v: functools.partial(pow, 2 + v),
    partial_of_a_lambda=lambda v: functools.partial(compiled(f"f = lambda a, x: x + {v}"), 1),
    cached_function=lambda v: functools.lru_cache(compiled(f"def f(x): return {v}")),
    dispatched_function=dispatched,
    method_caller=lambda v: operator.methodcaller("sum", axis=v),
    item_getter=lambda v: operator.itemgetter(v),
    attribute_getter=lambda v: operator.attrgetter("ab"[v]),
    bound_method=method_of,
    method_of_a_value=lambda v: [["a"], ["b"]][v].count,
    module=module_of,
    class_with_another_method=lambda v: class_of(v, "def f(self): return {v}"),
    object_of_a_class_with_another_method=lambda v: class_of(v, "def f(self): return {v}")(),
    attribute_of_a_class=lambda v: class_of(v, "table = [1, 2, {v}]")(),
    static_method=lambda v: class_of(v, "f = staticmethod(lambda x: {v})")(),
    property_of_a_class=lambda v: class_of(v, "f = property(lambda x: {v})")(),
    method_of_a_base=inherited,
)


@kind("closure of a compiled function", "numba")
def _(v: int) -> Any:
    import numba

    return numba.njit(closed_over(v))


@kind("body of a compiled function", "numba")
def _(v: int) -> Any:
    import numba

    return numba.njit(compiled(f"def f(x): return x + {v}"))


@kind("global of a compiled function", "numba")
def _(v: int) -> Any:
    import numba

    return numba.njit(compiled("def f(x): return x + A", A=v))


@kind("options of a compiled function", "numba")
def _(v: int) -> Any:
    import numba

    return numba.njit(fastmath=bool(v))(compiled("def f(x): return x"))


@kind("compiled ufunc", "numba")
def _(v: int) -> Any:
    import numba

    return numba.vectorize(compiled(f"def f(x): return x + {v}"))


@kind("compiled object", "numba")
def _(v: int) -> Any:
    import numba

    source = "class A:\n  def __init__(self, x): self.x = x"
    return numba.experimental.jitclass([("x", numba.float64)])(compiled(source, "A"))(1.0 + v)


class Bounded(Held):
    def __init__(self, upper: Any):
        super().__init__(None)
        self.xu = upper


BODY = """
class User(Base):
    {more}
    def _evaluate(self, X, out, *args, **kwargs):
        self.f(X, out)
    def f(self, X, out):
        out["F"] = np.column_stack([X[:, 0], 1 - X[:, 0] + X[:, 1]]) + 0 * X * {value}
"""


def user(value: Any, more: str = "", **values: Any) -> Problem:
    made: Problem = compiled(BODY.format(value=value, more=more), "User", Base=Held, **values)(None)
    return made


def replaced(v: int) -> Problem:
    made = Held(None)
    if v:
        made._evaluate = types.MethodType(Held._evaluate, made)
    return made


def counted(v: int) -> Problem:
    made = Held(None)
    made._calls = v
    return made


def signing(v: int) -> Problem:
    return user(0, f"signature = lambda self: {{'a': {v}}}")


for _text, _make in {
    "type of the bounds": lambda v: Bounded(np.array([1, 1], [int, float][v])),
    "bounds": lambda v: Bounded(np.array([1.0, 1.0 + v])),
    "code of the problem": user,
    "global value of the problem": lambda v: user("A", A=v),
    "global function of the problem": lambda v: user("g()", g=compiled(f"f = lambda: {v}")),
    "attribute of the class of the problem": lambda v: user("self.A", f"A = {v}"),
    "method set on the problem": replaced,
    "private number of the problem": counted,
    "signature of the problem": signing,
}.items():
    kind(_text, whole=True)(_make)

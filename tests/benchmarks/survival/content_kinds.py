"""Kinds of content that a problem may hold, each before and after a change.

A kind is a function of 0 (before) or 1 (after), which makes the content anew at each call.
"""

from __future__ import annotations

import array
import collections
import ctypes
import datetime
import decimal
import enum
import fractions
import functools
import importlib.util
import operator
import os
import random
import re
import tempfile
import types
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.problem import Problem

Make = Callable[[int], Any]


@dataclass(frozen=True)
class Kind:
    """Content of a problem, or a whole problem, before and after a change."""

    name: str
    make: Make
    needs: str | None = None  # a library
    whole: bool = False  # whether it makes a problem

    @property
    def possible(self) -> bool:
        """Whether the library that it needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None

    def problem(self, variant: int, *, private: bool = False) -> Problem:
        """Return a problem with this content."""
        made = self.make(variant)
        return made if self.whole else Held(made, private=private)


class Held(Problem):
    """A problem that holds something, and whose results say nothing of it.

    So nothing but the content itself can show a change.
    """

    def __init__(self, content: Any, *, private: bool = False):
        super().__init__(n_var=2, n_obj=2, xl=0.0, xu=1.0)
        if private:
            self._content = content
        else:
            self.content = content

    def _evaluate(self, X: Any, out: Any, *args: Any, **kwargs: Any) -> None:
        out["F"] = np.column_stack([X[:, 0], 1 - X[:, 0] + X[:, 1]])


KINDS: dict[str, Kind] = {}


def kind(name: str, needs: str | None = None, *, whole: bool = False) -> Callable[[Make], Make]:
    """Add a kind."""

    def add(make: Make) -> Make:
        assert name not in KINDS
        KINDS[name] = Kind(name, make, needs, whole)
        return make

    return add


def pairs(needs: str | None = None, **both: Any) -> None:
    """Add kinds given as functions of the variant."""
    for name, make in both.items():
        kind(name.replace("_", " "), needs)(make)


def compiled(source: str, name: str = "f", **values: Any) -> Any:
    """Return what a piece of source defines, as if it were in a module of the user."""
    scope: dict[str, Any] = {"__name__": "user_code", "np": np, **values}
    exec(compile(source, "<user code>", "exec"), scope)
    return scope[name]


# ---- scalars and containers ----------------------------------------------------------------------

LONG = [0.5 * i for i in range(100)]


def nested(depth: int, leaf: Any) -> Any:
    value = leaf
    for _ in range(depth):
        value = [value]
    return value


def lookalike(v: int) -> Any:
    from moela.provenance import signature

    return signature._short(LONG) if v else LONG


def circle(v: int) -> Any:
    first: dict[str, Any] = {"value": 1}
    second = {"value": 2 + v, "other": first}
    first["other"] = second
    return first


pairs(
    truth=lambda v: [1, True][v],
    integer_or_float=lambda v: [1, 1.0][v],
    sign_of_zero=lambda v: [0.0, -0.0][v],
    nan=lambda v: [float("nan"), "nan"][v],
    text_like_a_digest=lookalike,
    text_like_bytes=lambda v: [b"abc", "abc"][v],
    keys_1_and_text_1=lambda v: {[1, "1"][v]: 2.0},
    key_true_and_1=lambda v: {[1, True][v]: 2.0},
    keys_that_are_tuples=lambda v: {(0, v): 1.0, ("a", 2): 2.0},
    list_or_tuple=lambda v: [[1, 2], (1, 2)][v],
    order_of_a_dict=lambda v: dict([("a", 1), ("b", 2)][:: 1 - 2 * v]),
    order_of_an_ordered_dict=lambda v: collections.OrderedDict([("a", 1), ("b", 2)][:: 1 - 2 * v]),
    counter=lambda v: collections.Counter({"a": 2, "b": 1 + v}),
    default_of_a_defaultdict=lambda v: collections.defaultdict([int, float][v], {"a": 1}),
    deque=lambda v: collections.deque([1, 2, 3][:: 1 - 2 * v]),
    length_of_a_deque=lambda v: collections.deque([1, 2], maxlen=4 + v),
    set_of_texts=lambda v: {"north", "south", ["east", "west"][v]},
    frozensets_as_keys=lambda v: {frozenset(["a", "b"]): 1, frozenset(["c", "d"]): 2 + v},
    chain_of_maps=lambda v: collections.ChainMap({"a": v}, {"b": 2}),
    mapping_proxy=lambda v: types.MappingProxyType({"a": v}),
    namespace=lambda v: types.SimpleNamespace(_hidden=v),
    nested_20_levels=lambda v: nested(20, v),
    nested_200_levels=lambda v: nested(200, v),
    long_list=lambda v: [*range(100_000), v],
    long_list_of_dicts=lambda v: [{"a": i, "b": 0.5} for i in range(2_000)] + [{"a": v}],
    long_dict=lambda v: {f"k{i}": float(i) for i in range(20_000)} | {"k7": 7.5 + v},
    integer_of_5000_digits=lambda v: 10**5000 + v,
    circle=circle,
    bytes_of_a_bytearray=lambda v: bytearray(b"ab" + bytes([v])),
    memoryview=lambda v: memoryview(b"ab" + bytes([v])),
    array_of_python=lambda v: array.array("d", [1.0, 2.0 + v]),
    decimal=lambda v: decimal.Decimal(["1.0", "1.00"][v]),
    fraction=lambda v: fractions.Fraction(1, 3 + v),
    complex=lambda v: complex(1.0, v),
    zone_of_a_time=lambda v: datetime.datetime(
        2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=v))
    ),
    duration=lambda v: datetime.timedelta(microseconds=v),
    range=lambda v: range(0, 10, 1 + v),
    slice=lambda v: slice(0, 10, 1 + v),
    path=lambda v: Path(["a/b", "a/c"][v]),
    flags_of_a_pattern=lambda v: re.compile("a.b", [0, re.DOTALL][v]),
    end_of_a_long_pattern=lambda v: re.compile("a" * 300 + ["b", "c"][v]),
    identifier=lambda v: uuid.UUID(int=7 + v),
)


# ---- objects -------------------------------------------------------------------------------------


class Slots:
    __slots__ = ("__mine", "_b", "c")

    def __init__(self, v: int):
        self.__mine, self._b, self.c = v, 1, 2


class Plain:
    def __init__(self, **state: Any):
        vars(self).update(state)


class Computed:
    def __init__(self, v: int):
        self._value = v

    @property
    def value(self) -> int:
        return self._value * 2

    @functools.cached_property
    def square(self) -> int:
        return self._value**2


class Addressed:
    """Has a repr with an address, and is used as a key."""

    def __init__(self, v: int):
        self.v = v


class Arrayed:
    """Looks like an array to numpy, and holds more than that."""

    def __init__(self, v: int):
        self.scale, self.values = v, np.arange(3.0)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values


class Listed(list):  # type: ignore[type-arg]
    unit = "m"


class Node:
    def __init__(self, name: str):
        self.name, self._near = name, []


def own_graph(v: int) -> Any:
    nodes = [Node(str(i)) for i in range(30)]
    for i, node in enumerate(nodes):
        node._near = [nodes[i - 1], nodes[(i + 1) % 30]]
    if v:
        nodes[3]._near[0] = nodes[17]
    return nodes


def listed(v: int) -> Any:
    made = Listed([1, 2])
    made.unit = ["m", "mm"][v]
    return made


def overridden(v: int) -> Any:
    made = Computed(3)
    if v:
        vars(made)["square"] = 10
    return made


def color(v: int) -> Any:
    return enum.Enum("Color", {"RED": 1 + v, "BLUE": 5}, module="user_code").RED


class Masks(enum.IntFlag):
    A, B, C = 1, 2, 4


class Point(collections.namedtuple("Point", "x y")):
    pass


@dataclass(frozen=True, slots=True)
class Setting:
    size: int
    _more: int = 0


TARGETS = [Plain(v=0), Plain(v=1)]


def library_of_c(v: int) -> Any:
    # Not loaded: only its name counts, and the content of the file.
    path = Path(tempfile.gettempdir()) / f"survival-{os.getuid()}-library.bin"
    path.write_bytes(b"code" + bytes([v]))
    made = ctypes.CDLL.__new__(ctypes.CDLL)
    made._name = str(path)
    return made


class Pair(ctypes.Structure):
    _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_double))


class Pointing(ctypes.Structure):
    _fields_ = (("a", ctypes.POINTER(ctypes.c_int)),)


pairs(
    slots_with_hidden_names=lambda v: Slots(v),
    private_attribute=lambda v: Plain(a=1, _model={"weights": [1.0, 2.0 + v]}),
    attribute_named_cache=lambda v: Plain(a=1, cache={"a": v}),
    value_behind_a_property=lambda v: Computed(v),
    overridden_cached_property=overridden,
    keys_that_are_objects=lambda v: {Addressed(v): 1},
    more_than_an_array=lambda v: Arrayed(1 + v),
    attribute_of_a_list=listed,
    own_graph=own_graph,
    enum_with_another_value=color,
    flags=lambda v: [Masks.A | Masks.B, Masks.A | Masks.C][v],
    named_tuple=lambda v: Point(1, v),
    named_tuple_or_tuple=lambda v: [Point(1, 2), (1, 2)][v],
    dataclass_with_slots=lambda v: Setting(1, v),
    weak_reference=lambda v: weakref.ref(TARGETS[v]),
    structure_of_c=lambda v: Pair(1, v),
    array_of_c=lambda v: (ctypes.c_int * 3)(1, 2, v),
    pointer_of_c=lambda v: Pointing(ctypes.pointer(ctypes.c_int(v))),
    library_of_c=library_of_c,
    generator=lambda v: (i + v for i in range(3)),
    iterator=lambda v: iter([1, 2, v]),
    open_file=lambda v: open(["/dev/null", "/dev/zero"][v], "rb"),  # noqa: SIM115
    generator_of_python=lambda v: random.Random(v),
    generator_of_numpy=lambda v: np.random.default_rng(v),
    old_generator_of_numpy=lambda v: np.random.RandomState(v),
)


@kind("memory of cffi", "cffi")
def _(v: int) -> Any:
    import cffi

    return cffi.FFI().new("int[2]", [1, v])


# ---- numpy ---------------------------------------------------------------------------------------


class Unit(np.ndarray):
    unit = "m"


def with_unit(v: int) -> Any:
    made = np.arange(30.0).view(Unit)
    made.unit = ["m", "mm"][v]
    return made


def mapped(v: int) -> Any:
    path = Path(tempfile.mkdtemp()) / "array.bin"
    made = np.memmap(path, dtype=float, mode="w+", shape=(40,))
    made[:] = np.arange(40.0)
    made[7] += v
    return made


def changed(values: Any, v: int) -> Any:
    made = np.array(values)
    made.flat[-1] += v
    return made


STRUCTURE = np.dtype([("a", "i1"), ("b", "f8")], align=True)

pairs(
    one_bit_of_an_array=lambda v: np.nextafter(np.arange(1.0, 2001.0), [0, 1e9][v]),
    type_of_a_small_array=lambda v: np.array([1, 2], [np.float32, np.float64][v]),
    shape_of_an_array=lambda v: np.zeros([(2, 3), (3, 2)][v]),
    array_or_list=lambda v: [[1.0, 2.0], np.array([1.0, 2.0])][v],
    masked_array=lambda v: np.ma.array(np.arange(40.0), mask=np.arange(40) == v),
    structured_array=lambda v: np.array([(1, 2.0), (3, 4.0 + v)] * 20, STRUCTURE),
    array_of_times=lambda v: np.array(["2026-01-01", ["2026-01-02", "2026-01-03"][v]], "M8[D]"),
    unit_of_an_array_of_times=lambda v: np.array([1, 2], ["m8[s]", "m8[m]"][v]),
    array_of_objects=lambda v: np.array([{"a": 1}, Plain(_a=v)] * 20, dtype=object),
    matrix=lambda v: np.asmatrix(changed(np.eye(5), v)),
    memory_map=mapped,
    attribute_of_an_array=with_unit,
    array_of_long_doubles=lambda v: changed(np.arange(40, dtype=np.longdouble), v),
    array_of_texts=lambda v: np.array(["a", ["b", "c"][v]] * 20),
    array_of_strings=lambda v: np.array(["a", ["b", "c"][v] * 40] * 20, np.dtypes.StringDType()),
    array_of_one_value=lambda v: np.array(1.5 + v),
    view_with_strides=lambda v: changed(np.arange(100.0).reshape(10, 10), v)[::3, ::-3],
    scalar_of_numpy=lambda v: [np.float32(1.0), np.float64(1.0)][v],
    dtype=lambda v: np.dtype([[("a", "f4")], [("a", "f8")]][v]),
    polynomial=lambda v: np.poly1d([1, 2, v]),
    function_of_numpy=lambda v: [np.add, np.subtract][v],
    vectorized_function=lambda v: np.vectorize(compiled(f"f = lambda x: x + {v}")),
    python_function_as_ufunc=lambda v: np.frompyfunc(compiled(f"f = lambda x: x + {v}"), 1, 1),
)

# ---- functions and classes -----------------------------------------------------------------------


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


# ---- torch ---------------------------------------------------------------------------------------


def linear(v: int) -> Any:
    import torch

    made = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU())
    with torch.no_grad():
        for i, tensor in enumerate(made.parameters()):
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) + i)
        made[0].weight[0, 0] += 1e-6 * v
    return made


@kind("weight of a module", "torch")
def _(v: int) -> Any:
    return linear(v)


@kind("buffer of a module", "torch")
def _(v: int) -> Any:
    made = linear(0)
    made[1].running_mean[1] += v
    return made


@kind("mode of a module", "torch")
def _(v: int) -> Any:
    return linear(0).train(bool(v))


@kind("hook of a module", "torch")
def _(v: int) -> Any:
    made = linear(0)
    made.register_forward_hook(compiled(f"f = lambda m, x, y: y + {v}"))
    return made


@kind("compiled module", "torch")
def _(v: int) -> Any:
    import torch

    return torch.jit.script(linear(v))


@kind("traced module", "torch")
def _(v: int) -> Any:
    import torch

    return torch.jit.trace(linear(v).eval(), torch.ones(2, 2))


@kind("compiled function of torch", "torch")
def _(v: int) -> Any:
    import torch

    return torch.jit.CompilationUnit(f"def f(x):\n  return x + {v}\n").f


@kind("tensor with gradient", "torch")
def _(v: int) -> Any:
    import torch

    return torch.tensor([1.0, 2.0 + v], requires_grad=True)


@kind("tensor of 16 bits", "torch")
def _(v: int) -> Any:
    import torch

    return torch.tensor([1.0, 2.0 + v], dtype=torch.bfloat16)


@kind("tensor of 8 bits", "torch")
def _(v: int) -> Any:
    import torch

    return torch.tensor([1.0, 2.0 + v]).to(torch.float8_e4m3fn)


@kind("sparse tensor", "torch")
def _(v: int) -> Any:
    import torch

    return (torch.eye(3) * (1 + v)).to_sparse()


@kind("generator of torch", "torch")
def _(v: int) -> Any:
    import torch

    return torch.Generator().manual_seed(v)


# ---- scipy ---------------------------------------------------------------------------------------


def sparse(name: str) -> Make:
    def make(v: int) -> Any:
        import scipy.sparse

        made = np.eye(6)
        made[2, 3] = 1 + v
        return getattr(scipy.sparse, name)(made)

    return make


for _name in ("csr_array", "csc_matrix", "coo_array", "dok_array", "lil_array", "dia_array"):
    kind(f"sparse {_name}")(sparse(_name))


@kind("shape of a sparse array")
def _(v: int) -> Any:
    import scipy.sparse

    return scipy.sparse.csr_array(([1.0], ([0], [0])), shape=(3, 3 + v))


def interpolated(name: str) -> Make:
    def make(v: int) -> Any:
        import scipy.interpolate

        x = np.arange(8.0)
        y = np.sin(x)
        y[3] += 1e-9 * v
        if name in ("RBFInterpolator", "NearestNDInterpolator"):
            x = np.column_stack([x, x**2])
        return getattr(scipy.interpolate, name)(x, y)

    return make


for _name in (
    "CubicSpline", "PchipInterpolator", "make_interp_spline", "interp1d", "UnivariateSpline",
    "KroghInterpolator", "RBFInterpolator", "NearestNDInterpolator",
):  # fmt: skip
    kind(f"interpolation {_name}")(interpolated(_name))


@kind("interpolation on a grid")
def _(v: int) -> Any:
    from scipy.interpolate import RegularGridInterpolator

    return RegularGridInterpolator(([0.0, 1.0], [0.0, 1.0]), changed(np.eye(2), v))


@kind("distribution")
def _(v: int) -> Any:
    import scipy.stats

    return scipy.stats.norm(1.0, 2.0 + v)


@kind("kernel density")
def _(v: int) -> Any:
    import scipy.stats

    return scipy.stats.gaussian_kde([1.0, 2.0, 3.0 + v])


@kind("distribution of a histogram")
def _(v: int) -> Any:
    import scipy.stats

    return scipy.stats.rv_histogram(np.histogram([1.0, 2.0, 3.0 + v]))


@kind("normal distribution of vectors")
def _(v: int) -> Any:
    import scipy.stats

    return scipy.stats.multivariate_normal([0.0, v])


@kind("tree of neighbors")
def _(v: int) -> Any:
    import scipy.spatial

    return scipy.spatial.cKDTree(changed(np.random.default_rng(0).random((40, 2)), v))


@kind("triangulation")
def _(v: int) -> Any:
    import scipy.spatial

    return scipy.spatial.Delaunay(changed(np.random.default_rng(0).random((20, 2)), v))


# ---- scikit-learn --------------------------------------------------------------------------------


def fitted(module: str, name: str, **settings: Any) -> Make:
    def make(v: int) -> Any:
        import importlib

        rng = np.random.default_rng(0)
        X, y = rng.random((60, 3)), rng.random(60)
        y[5] += v
        kind_of = getattr(importlib.import_module(f"sklearn.{module}"), name)
        return kind_of(**settings).fit(X, y)

    return make


for _module, _name, _settings in (
    ("ensemble", "RandomForestRegressor", {"n_estimators": 3, "random_state": 0}),
    ("ensemble", "ExtraTreesRegressor", {"n_estimators": 3, "random_state": 0}),
    ("ensemble", "GradientBoostingRegressor", {"n_estimators": 3, "random_state": 0}),
    ("ensemble", "HistGradientBoostingRegressor", {"max_iter": 3, "random_state": 0}),
    ("tree", "DecisionTreeRegressor", {"random_state": 0}),
    ("neighbors", "KNeighborsRegressor", {"algorithm": "kd_tree"}),
    ("svm", "SVR", {}),
    ("gaussian_process", "GaussianProcessRegressor", {"random_state": 0}),
    ("linear_model", "Ridge", {}),
    ("neural_network", "MLPRegressor", {"max_iter": 1, "solver": "lbfgs", "random_state": 0}),
):
    kind(f"estimator {_name}", "sklearn")(fitted(_module, _name, **_settings))


@kind("points of a nearest neighbor", "sklearn")
def _(v: int) -> Any:
    from sklearn.neighbors import KNeighborsRegressor

    rng = np.random.default_rng(0)
    return KNeighborsRegressor(algorithm="brute").fit(
        changed(rng.random((60, 3)), v), rng.random(60)
    )


@kind("pipeline", "sklearn")
def _(v: int) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    return make_pipeline(StandardScaler(), Ridge()).fit(
        changed(rng.random((60, 3)), v), rng.random(60)
    )


# ---- graphs, tables, formulas --------------------------------------------------------------------


def graph(name: str) -> Make:
    def make(v: int) -> Any:
        import networkx

        made = getattr(networkx, name)()
        made.add_edge("a", "b", weight=1.0 + (v if name == "Graph" else 0))
        made.add_edge("b", "c" if not v or name == "Graph" else "d")
        made.add_edge("a", "c")
        _ = made.nodes, made.adj  # which networkx keeps
        return made

    return make


for _name in ("Graph", "DiGraph", "MultiGraph"):
    kind(f"graph {_name}", "networkx")(graph(_name))


@kind("attribute of a node", "networkx")
def _(v: int) -> Any:
    made = graph("Graph")(0)
    made.nodes["a"]["kind"] = v
    return made


def frame(v: int = 0, **changes: Any) -> Any:
    import pandas

    columns = {
        "a": [1.0, 2.0, 3.0 + v],
        "b": pandas.Categorical(["x", "y", "x"], categories=["x", "y"]),
        "c": pandas.to_datetime(["2026-01-01"] * 3),
        "d": ["p", "q", "r"],
        "e": pandas.array([1, None, 3], dtype="Int64"),
    }
    return pandas.DataFrame(columns | changes)


pairs(
    "pandas",
    frame=lambda v: frame(v),
    name_of_a_column=lambda v: frame().rename(columns={"a": "az"[v]}),
    order_of_columns=lambda v: frame()[["a", "d"][:: 1 - 2 * v]],
    type_of_a_column=lambda v: frame().astype({"a": ["f8", "f4"][v]}),
    categories=lambda v: frame()["b"].cat.set_categories([["x", "y"], ["x", "y", "z"]][v]),
    index=lambda v: frame().set_index(["a", "d"][v])[["c"]],
    name_of_an_index=lambda v: frame().rename_axis(["rows", "lines"][v]),
    many_levels=lambda v: frame().set_index(["a", "d"]).rename(index={"p": "ps"[v]}),
    name_of_a_series=lambda v: frame()["a"].rename("az"[v]),
    missing_value=lambda v: frame(e=[1, [None, 2][v], 3])["e"],
    zone_of_a_column=lambda v: frame()["c"].dt.tz_localize([None, "UTC"][v]),
    column_of_objects=lambda v: frame(f=[{"a": 1}, (1, 2), Plain(_a=v)]),
)


@kind("formula", "sympy")
def _(v: int) -> Any:
    import sympy

    return sympy.Symbol("x", positive=True) ** (2 + v) + sympy.Symbol("y")


@kind("assumption of a symbol", "sympy")
def _(v: int) -> Any:
    import sympy

    return sympy.Symbol("x", positive=bool(v))


@kind("table of arrow", "pyarrow")
def _(v: int) -> Any:
    import pyarrow

    return pyarrow.table({"a": [1, 2 + v]})


@kind("frame of polars", "polars")
def _(v: int) -> Any:
    import polars

    return polars.DataFrame({"a": [1, 2 + v]})


# ---- problems ------------------------------------------------------------------------------------


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

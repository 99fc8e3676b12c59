"""Plain values, containers, and numpy arrays as content of a problem."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import re
import tempfile
import types
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.survival.kinds.base import Plain, changed, compiled, pairs

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

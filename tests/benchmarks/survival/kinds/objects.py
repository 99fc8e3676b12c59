"""Objects of the user's and the standard library's classes as content of a problem."""

from __future__ import annotations

import collections
import ctypes
import enum
import functools
import os
import random
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.survival.kinds.base import Plain, kind, pairs


class Slots:
    __slots__ = ("__mine", "_b", "c")

    def __init__(self, v: int):
        self.__mine, self._b, self.c = v, 1, 2


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

"""Signatures: what problems and algorithms declare, as JSON data that is equal for the same call.

A signature has the public name of the class, sizes, bounds, `version` and public attributes, arrays
by value. The differences between two signatures can be listed by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import partial
from hashlib import blake2b
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.problem import Problem

from moela._spelling import spelled
from moela.provenance.sources import OURS, module_name

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | int | bool | None"
Signature = dict[str, Any]

# Attributes that change during a run, or that only control how it is displayed or carried out.
# fmt: off
_ALGORITHM_STATE = frozenset([
    "problem", "termination", "output", "display", "callback", "archive", "save_history",
    "return_least_infeasible", "verbose", "seed", "evaluator", "history", "pop", "off", "opt",
    "n_iter", "n_gen", "data", "is_initialized", "start_time", "random_state", "generator", "state",
])
_PROBLEM_STATE = frozenset([
    "cache", "callback", "elementwise", "elementwise_runner", "elementwise_func", "strict",
    "exclude_from_serialization", "n_var", "n_obj", "n_ieq_constr", "n_eq_constr", "xl", "xu",
    "vars", "version",
])
# fmt: on
_MAX_DEPTH = 8
_MAX_TEXT = 200
_MAX_BITS = 10_000
_MAX_SHORT = 16  # characters whose text is below _MAX_TEXT, however they are escaped
# Settings whose long values a reader of a store needs, the most needed first, and the characters
# that these values may take together.
_READ = ("outputs", "objective_names", "variable_names", "variables")
_MAX_VALUES = 1_000_000
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

LAMBDA = "the function"
"""The name of a function that has none."""

VALUES = "values"
"""The key under which a stored problem keeps `values_of` it."""


def shown_name(signature: Signature) -> str:
    """Return the name of a problem or algorithm for people: its class, or that of its function.

    >>> shown_name({"class": "moela.MOELA"})
    'MOELA'
    >>> function = ["sink.simulate", None, [], None]
    >>> shown_name({"class": "moela.FunctionProblem", "settings": {"function": function}})
    'simulate'
    """
    name = str(signature.get("class") or "-").rpartition(".")[2]
    settings = signature.get("settings")
    if name.endswith("FunctionProblem") and isinstance(settings, dict):
        function = settings.get("function")
        while isinstance(function, list) and function:  # also one with some arguments set
            function = function[0]
        if isinstance(function, dict):  # an object that can be called
            function = function.get("class")
        if isinstance(function, str):
            last = function.rpartition(".")[2]
            return LAMBDA if last == "<lambda>" else last or name
    return name


def public_name(kind: type | FunctionType) -> str:
    """Return the name of a class or function: without its module if it is one of ours."""
    module = module_name(kind)
    package = module.partition(".")[0]
    return f"{package if package in OURS else module}.{kind.__qualname__}"


def of_problem(problem: Problem, unseen: dict[str, str] | None = None) -> Signature:
    """Return the signature of a problem: class, sizes, bounds, version, settings.

    The settings are the public attributes of the object in a form that can be read and compared by
    name, large ones as a digest. If the problem has a method ``signature()``, its answer replaces
    the attributes. `unseen` receives the attributes with something of which only the name is known,
    and its type: locks, generators, objects of other languages, and what is nested too deep.
    """
    version = getattr(problem, "version", None)
    sizes = ("n_var", "n_obj", "n_ieq_constr", "n_eq_constr")
    return {
        "class": public_name(type(problem)),
        **{name: int(getattr(problem, name)) for name in sizes},
        "xl": _short(_plain(problem.xl)),
        "xu": _short(_plain(problem.xu)),
        "vars": _short(_plain(getattr(problem, "vars", None))),
        "version": None if version is None else str(version),
        "settings": _settings(problem, _PROBLEM_STATE, unseen),
    }


def values_of(problem: Problem) -> dict[str, Json]:
    """Return by digest what the digests in the signature of a problem stand for.

    Only names, directions and variables are kept, since these say what the numbers in a store mean.
    They take a megabyte at most; a list beyond that is kept as its number of items.
    """
    known: dict[str, Json] = {}
    if callable(getattr(problem, "signature", None)):  # replaces these settings
        return known
    room = _MAX_VALUES
    for name in _READ:
        found = _digested(_plain(vars(problem).get(name)))
        for digest, (text, value) in sorted(found.items(), key=lambda item: len(item[1][0])):
            if digest in known:
                continue
            if len(text) <= room:
                room -= len(text)
                known[digest] = value
            elif isinstance(value, list):
                known[digest] = len(value)
    return known


def of_algorithm(algorithm: Algorithm | None) -> Signature:
    """Return the signature of an algorithm: class and settings, without the state of the run."""
    if algorithm is None:
        return {"class": None, "settings": {}}
    settings = _settings(algorithm, _ALGORITHM_STATE)
    names = getattr(algorithm, "_setting_names", None)
    if names is not None:
        settings = {key: value for key, value in settings.items() if key in names}
    return {"class": public_name(type(algorithm)), "settings": settings}


def as_stored(value: object) -> object:
    """Return a setting as people see it when a store gives it back; objects become texts.

    Tuples and arrays become lists.

    >>> as_stored((1, 2.5)), as_stored(json.dumps)
    ([1, 2.5], 'json.dumps')
    """
    return in_words(json.loads(dump(_plain(value))))  # which puts keys in order


def in_words(stored: object) -> object:
    """Return a text in place of an object or a function, and any other setting as it is.

    >>> in_words({"class": "sink.Fin", "height": 2}), in_words({"height": 2})
    ('Fin(height=2)', "{'height': 2}")
    """
    if isinstance(stored, dict):
        if "class" not in stored:
            return repr(stored)
        inner = ", ".join(f"{k}={v!r}" for k, v in stored.items() if k != "class")
        return f"{shown_name(stored)}({inner})"
    match stored:
        case [str(name), None, [], None]:  # a function that holds no values
            return name
    return stored


def dump(signature: object) -> str:
    """Return a signature as JSON text; two texts are equal exactly if the signatures are."""
    return _ENCODER.encode(signature)


def differences(old: object, new: object, name: str) -> list[str]:
    """List the differences between two signatures as lines: ``problem.version: '1' -> '2'``."""
    return list(_differences(old, new, name))


def _differences(old: object, new: object, name: str) -> Iterator[str]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if dump(old) != dump(new):  # as text: True, 1 and 1.0 are equal, but not the same
            yield f"{name}: {old!r} -> {new!r}"
    elif old.get("class") != new.get("class"):  # two classes: their settings have little in common
        yield f"{name}.class: {old.get('class')!r} -> {new.get('class')!r}"
    else:
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}")


# Lines about a change that follow from another one, by the beginnings of both.
_FOLLOWING = {
    "problem.settings.variables": (
        "problem.settings.variable_names",
        "problem.n_var:",
        "problem.xl:",
        "problem.xu:",
    ),
    "problem.n_var:": ("problem.xl:", "problem.xu:"),
    "problem.settings.outputs": ("problem.n_obj:", "problem.n_ieq_constr:", "problem.n_eq_constr:"),
}


def each_once(changes: list[str]) -> list[str]:
    """Return the lines of `differences` without those that follow from others."""
    left_out = tuple(
        line
        for cause, lines in _FOLLOWING.items()
        if any(change.startswith(cause) for change in changes)
        for line in lines
    )
    kept = [line for line in changes if not line.startswith(left_out)] if left_out else changes
    # NSGA2 and others make as many offspring as their population is large.
    size = "algorithm.settings.pop_size:"
    value = next((line.removeprefix(size) for line in kept if line.startswith(size)), None)
    return [line for line in kept if line != f"algorithm.settings.n_offsprings:{value}"]


def _public(obj: object, skip: frozenset[str]) -> dict[str, object]:
    """Return the public attributes of an object, or what its method `signature` gives instead."""
    own = getattr(obj, "signature", None)
    if callable(own):
        return {"signature": own()}
    return {k: v for k, v in sorted(vars(obj).items()) if k not in skip and not k.startswith("_")}


def _settings(
    obj: object, skip: frozenset[str], unseen: dict[str, str] | None = None
) -> dict[str, Json]:
    settings = {}
    for key, value in _public(obj, skip).items():
        opaque: list[str] = []
        settings[key] = _short(_plain(value, opaque=opaque))
        if opaque and unseen is not None:
            unseen[f"problem.{key}"] = opaque[0]
    return settings


def _short(value: Json) -> Json:
    """Replace long values by a digest, but keep their names, so that a difference can be named."""
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    return next(iter(_digested(value)), value)


def _digested(value: Json) -> dict[str, tuple[str, Json]]:
    """Return text and value of everything that `_short` replaces, by digest."""
    if isinstance(value, dict):
        return {d: pair for inner in value.values() for d, pair in _digested(inner).items()}
    if value is None or isinstance(value, float | bool):
        return {}
    if isinstance(value, str) and len(value) <= _MAX_SHORT:
        return {}
    text = dump(value)
    if len(text) <= _MAX_TEXT:
        return {}
    return {f"digest {_digest(text.encode())}": (text, value)}


def _digest(data: bytes | memoryview) -> str:
    return blake2b(data, digest_size=8).hexdigest()


def _plain(value: Any, above: tuple[int, ...] = (), opaque: list[str] | None = None) -> Json:
    """Return a value as JSON data that is the same in any process (no addresses, no set order).

    `above` has the ids of the objects that hold the value. `opaque` receives the types of objects
    of which only the name is in the data.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str | bytes | Path):
        return _scalar(value)
    if len(above) >= _MAX_DEPTH and opaque is not None and id(value) not in above:
        opaque.append(f"more than {_MAX_DEPTH} levels")
    if len(above) >= _MAX_DEPTH or id(value) in above:
        return public_name(type(value))
    down = ((*above, id(value)), opaque)

    if isinstance(value, np.ndarray):
        if value.dtype == object or value.size <= 16:
            return [_plain(v, *down) for v in value.tolist()] if value.ndim else str(value)
        return f"{value.dtype.str}{list(value.shape)} {_digest(value.tobytes())}"  # in C order
    if isinstance(value, np.random.Generator):
        return _plain(value.bit_generator.state, *down)
    if isinstance(value, list | tuple):
        return [_plain(v, *down) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v, *down) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return [*sorted(dump(_plain(v, *down)) for v in value)]
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, type):
        return public_name(value)
    if isinstance(value, partial):
        return [_plain(v, *down) for v in (value.func, value.args, value.keywords)]
    if callable(value) and hasattr(
        value, "__qualname__"
    ):  # functions and methods: by name, with the values they hold
        cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        held = [getattr(value, "__defaults__", None), cells, getattr(value, "__self__", None)]
        return [public_name(value), *(_plain(v, *down) for v in held)]
    if isinstance(value, Enum):
        return str(value)
    if hasattr(value, "__array__"):
        try:
            return _plain(np.asarray(value), *down)
        except (TypeError, ValueError, RuntimeError):
            return _named(value, opaque)
    return _object(value, *down)


def _scalar(value: Any) -> Json:
    if isinstance(value, bytes):
        return "bytes " + _digest(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return hex(value)  # Python refuses to write so many decimal digits
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    plain: Json = value
    return plain


def _object(value: object, above: tuple[int, ...], opaque: list[str] | None) -> Json:
    slots = [s for k in type(value).__mro__ for s in _as_tuple(getattr(k, "__slots__", ()))]
    state = {s: getattr(value, s) for s in slots if hasattr(value, s) and not s.startswith("_")}
    state.update(getattr(value, "__dict__", {}))
    if not state and not hasattr(value, "__dict__"):
        text = spelled(value)
        return _named(value, opaque) if " at 0x" in text else text
    public = {
        k: _plain(v, above, opaque)
        for k, v in sorted(state.items())
        if not k.startswith("_") and k != "cache"
    }
    return {"class": public_name(type(value)), **public}


def _named(value: object, opaque: list[str] | None) -> str:
    name = public_name(type(value))
    if opaque is not None:
        opaque.append(name)
    return name


def _as_tuple(slots: str | Iterable[str]) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)

"""Names of today and of version 0.1: how the signatures in old stores and experiments are read.

A class of ours is signed by its public name, ``moela.MOELA``, whichever module it is defined in.
Version 0.1 signed it by its module and with the attributes of that time (see `version_0_1`). The
tables below translate. If version 0.1 stored only a digest of a value, `signature` computes that
digest again, as version 0.1 would have computed it for the same value.

Whenever you change a name, extend the tables in the same commit:

- You move a class to another module: nothing to do.
- You rename a class: add a line to `RENAMED_CLASSES`.
- You merge several classes into one: add a line to `MERGED_CLASSES`.
- You rename a public attribute: add a line to `RENAMED`, under the class that sets it.
- You add a public attribute, or make one public: add a line to `ADDED`, with the value at which the
  object behaves as in version 0.1.
- You remove a public attribute, or make one private: add a line to `DROPPED`, with the value whose
  behavior the object has kept. Use `ANY` if the attribute only repeated other attributes.
- You merge several attributes into one: add two functions to `COMBINED`.

Use the names of today for classes and attributes; only `DROPPED` names attributes as version 0.1
did. Write values as plain data: lists, not tuples. A line holds for subclasses, too, as long as the
class was signed in the same process. Files are also read without that (for comparisons); for a
subclass of ours, repeat the line under the subclass itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from moela.provenance.sources import module_name
from moela.provenance.version_0_1 import CLASSES, STATE, STATE_OF_ALL

if TYPE_CHECKING:
    from moela.provenance.signature import Json, Signature

PACKAGES: Final = frozenset(["moela", "problems", "moe_costmodel"])

Combine = Callable[[dict[str, Any]], dict[str, Any]]

ANY: Final = object()
"""In `DROPPED`: any value that version 0.1 has stored is accepted."""

RENAMED_CLASSES: dict[str, str] = {
    "moela.Duplicates": "moela.Seen",
    "problems.OrdinalProblem": "problems.LadderProblem",
    "problems.NoCEvaluation": "problems.Evaluation",
}
"""By public name of a class today: its public name in version 0.1."""

MERGED_CLASSES: dict[str, tuple[str, ...]] = {
    "problems.LayerCrossover": (
        "problems.LadderCrossover",
        "problems.PlacementCrossover",
        "problems.DeploymentCrossover",
    ),
    "problems.MoveMutation": (
        "problems.LadderMutation",
        "problems.PlacementMutation",
        "problems.DeploymentMutation",
    ),
    "problems.StartSampling": (
        "problems.LadderSampling",
        "problems.PlacementSampling",
        "problems.DeploymentSampling",
    ),
}
"""By public name of a class today: the classes of version 0.1 that it replaces.

The attribute ``_name_in_0_1`` of an object names the class that it had in version 0.1.
"""

_NEIGHBORS = {"n_neighbors": "n_neighbours"}
_MATING = {"prob_neighbor_mating": "prob_neighbour_mating", "scalarization": "scalarisation"}
RENAMED: dict[str, dict[str, str]] = {
    "moela.BatchMOEAD": _NEIGHBORS | _MATING,
    "moela.MOELA": _NEIGHBORS | {"ref_point": "reference"},
    "moela.MOMAD": _NEIGHBORS
    | {
        "n_explore_neighbors": "n_explore_neighbours",
        "n_perturbation_moves": "n_kicks",
        "scalarization": "scalarisation",
    },
    "moela.MOOS": _NEIGHBORS,
    "moela.MOOSTAGE": _NEIGHBORS | {"n_model_neighbors": "n_model_neighbours"},
    "moela.PublishedMOELA": _NEIGHBORS | _MATING,
    "problems.ExpertBuffering": {"aggregate": "over", "nominal": "named"},
    "problems.ExpertPlacement": {"aggregate": "over"},
    "problems.GatingThresholds": {"aggregate": "over", "nominal": "named"},
    "problems.MoEDeployment": {"aggregate": "over", "batch_sizes": "batches"},
}
"""By class: the name of an attribute today, and its name in version 0.1."""

ADDED: dict[str, dict[str, object]] = {
    "problems.ExpertBuffering": {"rules": []},
    "problems.Platform": {
        "channel_flits": None,
        "die_link": None,
        "die_size": None,
        "energy_unit": 0.0,
        "fixed_placement": False,
        "planar_links": None,
        "routing": "shortest",
        "technology": None,
        "virtual_channels": 4,
    },
    "problems.ThermalStack": {"package_offset": 0.0095, "response_factor": 0.954},
}
"""By class: an attribute that version 0.1 did not have, and the value that means the same."""

DROPPED: dict[str, dict[str, object]] = {
    "moela.MOELA": {
        "descend": "auto",
        "kicks": True,
        "n_candidates": 100,
        "prob_neighbour_mating": 0.9,
        "scalarisation": "chebyshev",
    },
    "problems.NoC3D": {"feature_names": ANY},
    "problems.MoEDeployment": {"best_policy": ANY, "layout": ANY, "levels": ANY, "placed": ANY},
}
"""By class: an attribute that only version 0.1 had, and the value that is accepted."""

_MODELS = {
    "starts": "start_model",
    "moves": "move_model",
    "hamming": "landscape",
    "surrogate_size": "surrogate_size",
}
_ALL_MODELS = {"starts": "auto", "moves": "auto", "hamming": True, "surrogate_size": 1000}
_NO_MODELS = {"starts": None, "moves": None, "hamming": True, "surrogate_size": 0}


# The default of version 0.1, which is now "auto".
_N_SEARCHES = 5


def _four_models(settings: dict[str, Any]) -> dict[str, Any]:
    """Replace `models` of MOELA by the four parameters that version 0.1 had."""
    if settings.get("n_searches") == "auto":
        settings = settings | {"n_searches": _N_SEARCHES}
    if "models" not in settings:
        return settings
    models = settings["models"]
    if not isinstance(models, dict):
        models = _NO_MODELS if models is None else _ALL_MODELS
    old = {
        was: "default" if models[name] == "auto" else models[name] for name, was in _MODELS.items()
    }
    return {key: value for key, value in settings.items() if key != "models"} | old


def _one_models(settings: dict[str, Any]) -> dict[str, Any]:
    """Replace the four parameters of MOELA in version 0.1 by `models`."""
    if settings.get("n_searches") == _N_SEARCHES:
        settings = settings | {"n_searches": "auto"}
    if not settings.keys() >= set(_MODELS.values()):
        return settings
    models = {
        name: "auto" if settings[was] == "default" else settings[was]
        for name, was in _MODELS.items()
    }
    value: Any = {"class": "moela.Models", "pair_sums": True, **models}
    if models == _ALL_MODELS:
        value = "auto"
    elif models == _NO_MODELS:
        value = None
    rest = {key: value for key, value in settings.items() if key not in _MODELS.values()}
    return rest | {"models": value}


COMBINED: dict[str, tuple[Combine, Combine]] = {"moela.MOELA": (_four_models, _one_models)}
"""By class: from the attributes of today to those of version 0.1, and back."""

_OURS = re.compile(rf"({'|'.join(sorted(PACKAGES))})(?:\.[a-z_][a-z_0-9]*)+\.(_*[A-Z][\w.]*)")
# By the name with which a class was signed in this process: its own name and those of its bases,
# as far as they are ours.
_BASES: dict[str, tuple[str, ...]] = {}


def public_name(kind: type | FunctionType) -> str:
    """Return the name of a class or function: without its module if it is one of ours."""
    module = module_name(kind)
    package = module.partition(".")[0]
    name = f"{package if package in PACKAGES else module}.{kind.__qualname__}"
    if isinstance(kind, type) and name not in _BASES:
        _BASES[name] = _bases(kind)
    return name


def old_name(kind: type | FunctionType, value: object = None) -> str:
    """Return the name that version 0.1 signed a class (of `value`) or a function with."""
    name = public_name(kind)
    old = RENAMED_CLASSES.get(name, name)
    if name in MERGED_CLASSES:
        old = getattr(value, "_name_in_0_1", MERGED_CLASSES[name][0])
    module = CLASSES.get(old, module_name(kind))
    qualname = kind.__qualname__ if old == name else old.partition(".")[2]
    return f"{module}.{qualname}"


def old_settings(kind: type, settings: Mapping[str, Json]) -> dict[str, Json]:
    """Return the attributes of an object, as plain data, as version 0.1 would have signed them."""
    bases = _bases(kind)
    settings = dict(settings)
    for base in bases:
        if base in COMBINED:
            settings = COMBINED[base][0](settings)
    names, added, dropped = (_merged(table, bases) for table in (RENAMED, ADDED, DROPPED))
    old = {
        names.get(key, key): value
        for key, value in settings.items()
        if not (key in added and added[key] == value)
    }
    return {key: value for key, value in dropped.items() if value is not ANY} | old


def modern(value: Any) -> Any:
    """Return a stored signature, or a part of one, with the names of today."""
    if isinstance(value, list):
        return [modern(inner) for inner in value]
    if isinstance(value, str):
        return _modern_name(value)
    if not isinstance(value, dict):
        return value
    read = {key: modern(inner) for key, inner in value.items()}
    name = read.get("class")
    if not isinstance(name, str):
        return read
    # Operators of pymoo have the name of their class as an attribute, too.
    if read.get("name") == str(value["class"]).rpartition(".")[2]:
        read["name"] = name.rpartition(".")[2]
    bases = _BASES.get(name, (name,))
    if isinstance(read.get("settings"), dict):
        return read | {"settings": _modern_settings(read["settings"], bases)}
    return _modern_settings(read, bases)


def as_planned(algorithm: Signature, wanted: Signature, planned: int | None) -> Signature:
    """Return the stored signature of a run of MOELA with the sizes of another one of equal effect.

    A run that was planned for fewer than 100 evaluations has ten sub-problems and initial designs
    at most. `moela.minimize` used to pass these numbers, and now leaves them to MOELA. It also used
    to leave out which designs a run starts from.
    """
    algorithm = _with_start(algorithm, wanted)
    few = planned is not None and planned < 100 and algorithm.get("class") == "moela.MOELA"
    old, new = algorithm.get("settings", {}), wanted.get("settings", {})
    sizes = {name: new.get(name) for name in ("n_subproblems", "n_init")}
    if not few or "tuned" in old or any(old.get(name) != 10 for name in sizes):
        return algorithm
    if not all(isinstance(size, int) and size >= 10 for size in sizes.values()):
        return algorithm
    return {**algorithm, "settings": {**old, **sizes}}


def _with_start(algorithm: Signature, wanted: Signature) -> Signature:
    """Return a stored signature with the designs to start from of another one, if it has none."""
    name, old = "start_designs", algorithm.get("settings", {})
    start = wanted.get("settings", {}).get(name)
    if start is None or old.get(name) is not None:
        return algorithm
    return {**algorithm, "settings": {**old, name: start}}


def without_digests(signature: Signature) -> Signature:
    """Return the signature of an object of ours without its digests, which depend on old names.

    Two problems with equal remaining signatures are the same, since they have the same version.
    """
    signature = without_content(signature)
    ours = str(signature.get("class")).partition(".")[0] in PACKAGES
    return _without_digests(signature) if ours else signature


def without_content(signature: Signature) -> Signature:
    """Return the signature of a problem as far as version 0.1 wrote it.

    Today's stores add the digests of `content`, the runs whose results a run reuses, and the values
    that digests stand for.
    """
    added = ("content", "reused", "values")
    return {key: value for key, value in signature.items() if key not in added}


def _without_digests(signature: Signature) -> Signature:
    kept: Signature = {}
    for key, value in signature.items():
        if isinstance(value, dict):
            kept[key] = _without_digests(value)
        elif not str(value).startswith("digest "):
            kept[key] = value
    return kept


def _modern_name(text: str) -> str:
    match = _OURS.fullmatch(text)
    if match is None:
        return text
    old = f"{match[1]}.{match[2]}"
    pairs = [*RENAMED_CLASSES.items()]
    pairs += [(new, was) for new, several in MERGED_CLASSES.items() for was in several]
    return next((new for new, was in pairs if was == old), old)


def _modern_settings(settings: Mapping[str, Json], bases: tuple[str, ...]) -> dict[str, Json]:
    today = {old: new for new, old in _merged(RENAMED, bases).items()}
    dropped = _merged(DROPPED, bases)
    state: set[str] = set()
    for base in bases:
        own = STATE.get(RENAMED_CLASSES.get(base, base))
        if own is not None:
            state.update(STATE_OF_ALL.split(), own.split())
    read = _merged(ADDED, bases) | {
        today.get(key, key): value
        for key, value in settings.items()
        if key not in state and not (key in dropped and dropped[key] in (ANY, value))
    }
    for base in bases:
        if base in COMBINED:
            read = COMBINED[base][1](read)
    return read


def _merged(table: Mapping[str, Mapping[str, Any]], bases: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for base in reversed(bases) for key, value in table.get(base, {}).items()}


def _bases(kind: type) -> tuple[str, ...]:
    names = (f"{base.__module__.partition('.')[0]}.{base.__qualname__}" for base in kind.__mro__)
    return tuple(name for name in names if name.partition(".")[0] in PACKAGES)

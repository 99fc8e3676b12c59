"""The names of version 0.1: what its stores and experiments call our classes and their settings.

A class of ours is signed by its public name, ``moela.MOELA``, which says nothing about the module
that it lives in. Version 0.1 signed it by its module, and with the attributes that it had then.
What it wrote is read with the tables below. Where it kept a digest only, `signature` makes that
digest again, as version 0.1 would have made it of the object at hand.

Extend the tables together with a change of names:

- A module moves: nothing to do.
- A class gets another name: a line in `RENAMED_CLASSES`.
- Several classes become one: a line in `MERGED_CLASSES`.
- A public attribute gets another name: a line in `RENAMED`, under the class that sets it.
- A public attribute is new, or becomes public: a line in `ADDED`, with the value at which the
  object does what it did in version 0.1.
- A public attribute is gone, or becomes private: a line in `DROPPED`, with the value that an object
  of today stands for, or `ANY` where it only repeated what other attributes say.
- Several attributes become one: two functions in `COMBINED`.

A line holds for subclasses, too. Where a file is only shown or compared, and no object of its
classes was signed in the same process, the bases of a class are not known, and a line under the
class itself is needed. Classes are named as they are today, and so
are attributes, but for those in `DROPPED`. Values are plain data: lists, not tuples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

PACKAGES: Final = frozenset(["moela", "problems", "moe_costmodel"])

Combine = Callable[[dict[str, Any]], dict[str, Any]]

ANY: Final = object()
"""In `DROPPED`: whatever value version 0.1 has stored is accepted."""

RENAMED_CLASSES: dict[str, str] = {
    "moela.Duplicates": "moela.Seen",
    "problems.OrdinalProblem": "problems.LadderProblem",
    "problems.NoCEvaluation": "problems.Evaluation",
}
"""The public name of a class today: the one that it would have had in version 0.1."""

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
"""The public name of a class today: the classes of version 0.1 that it replaces.

An object names its class of version 0.1 in the attribute ``_name_in_0_1``.
"""

_NEIGHBORS = {"n_neighbors": "n_neighbours"}
RENAMED: dict[str, dict[str, str]] = {
    "moela.BatchMOEAD": _NEIGHBORS
    | {"prob_neighbor_mating": "prob_neighbour_mating", "scalarization": "scalarisation"},
    "moela.MOELA": _NEIGHBORS | {"ref_point": "reference"},
    "moela.MOMAD": _NEIGHBORS
    | {
        "n_explore_neighbors": "n_explore_neighbours",
        "n_perturbation_moves": "n_kicks",
        "scalarization": "scalarisation",
    },
    "moela.MOOS": _NEIGHBORS,
    "moela.MOOSTAGE": _NEIGHBORS | {"n_model_neighbors": "n_model_neighbours"},
    "moela.PublishedMOELA": _NEIGHBORS
    | {"prob_neighbor_mating": "prob_neighbour_mating", "scalarization": "scalarisation"},
    "problems.ExpertBuffering": {"aggregate": "over", "nominal": "named"},
    "problems.ExpertPlacement": {"aggregate": "over"},
    "problems.GatingThresholds": {"aggregate": "over", "nominal": "named"},
    "problems.MoEDeployment": {"aggregate": "over", "batch_sizes": "batches"},
}
"""By class: the name of an attribute today, and the one in version 0.1."""

ADDED: dict[str, dict[str, Any]] = {}
"""By class: an attribute that version 0.1 did not have, and the value that means the same."""

DROPPED: dict[str, dict[str, Any]] = {
    "moela.MOELA": {
        "descend": "auto",
        "kicks": True,
        "n_candidates": 100,
        "prob_neighbour_mating": 0.9,
        "scalarisation": "chebyshev",
    },
    "problems.MoEDeployment": {"best_policy": ANY, "layout": ANY, "levels": ANY, "placed": ANY},
}
"""By class: an attribute of version 0.1, as it was called then, and the value that is accepted."""

_MODELS = {
    "starts": "start_model",
    "moves": "move_model",
    "hamming": "landscape",
    "surrogate_size": "surrogate_size",
}
_ALL_MODELS = {"starts": "auto", "moves": "auto", "hamming": True, "surrogate_size": 1000}
_NO_MODELS = {"starts": None, "moves": None, "hamming": True, "surrogate_size": 0}


def _four_models(settings: dict[str, Any]) -> dict[str, Any]:
    """Replace `models` of MOELA by the four parameters that version 0.1 had."""
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
    if not settings.keys() >= set(_MODELS.values()):
        return settings
    models = {
        name: "auto" if settings[was] == "default" else settings[was]
        for name, was in _MODELS.items()
    }
    value: Any = {"class": "moela.Models", **models}
    if models == _ALL_MODELS:
        value = "auto"
    elif models == _NO_MODELS:
        value = None
    rest = {key: value for key, value in settings.items() if key not in _MODELS.values()}
    return rest | {"models": value}


COMBINED: dict[str, tuple[Combine, Combine]] = {"moela.MOELA": (_four_models, _one_models)}
"""By class: from the attributes of today to those of version 0.1, and back."""

# Written from version 0.1, module by module, and not to be changed, but that a class which is gone
# without a successor is deleted. Only classes that can be part of a setting.
_HOMES = {
    "moela.algorithm": "MOELA",
    "moela.base": "ArchiveAlgorithm",
    "moela.encode": "Encoder",
    "moela.operators": "Operators",
    "moela.published": "PublishedMOELA",
    "moela.recording": "External",
    "moela.rivals.batch_moead": "BatchMOEAD",
    "moela.rivals.momad": "MOMAD",
    "moela.rivals.moo_stage": "MOOSTAGE",
    "moela.rivals.moos": "MOOS",
    "moela.seen": "Seen",
    "moela.termination": "ElapsedTime",
    "moela.testing.toys": (
        "ToyReal ToyInteger ToyBinary ToyPermutation ToyConstrained ToyInfeasible ToyMixed"
    ),
    "problems.classic.base": "ClassicProblem",
    "problems.classic.bit_operators": "BitSampling BitCrossover BitMutation",
    "problems.classic.designs": "Assignment Packing BitString",
    "problems.classic.front": "KnownFront",
    "problems.classic.knapsack": "MultiObjectiveKnapsack",
    "problems.classic.knapsack_operators": (
        "GreedySampling GreedyRepair PackingCrossover PackingMutation"
    ),
    "problems.classic.mnk": "MNKLandscape",
    "problems.classic.permutation_operators": "PermutationSampling CycleCrossover ExchangeMutation",
    "problems.classic.qap": "MultiObjectiveQAP",
    "problems.moe.base": "MoEProblem",
    "problems.moe.buffering": "BufferPlan ExpertBuffering",
    "problems.moe.deployment": "MoEDeployment",
    "problems.moe.deployment_layout": "Layout",
    "problems.moe.deployment_operators": (
        "DeploymentSampling DeploymentCrossover DeploymentMutation"
    ),
    "problems.moe.deployment_setup": "Placed",
    "problems.moe.gate_levels": "GateLevels",
    "problems.moe.gating": "GatePlan GatingThresholds",
    "problems.moe.ladders": "LadderProblem LadderSampling LadderCrossover LadderMutation",
    "problems.moe.measured_quality": "MeasuredLoss",
    "problems.moe.placement": "ExpertPlacement",
    "problems.moe.placement_operators": "PlacementSampling PlacementCrossover PlacementMutation",
    "problems.moe.placement_starts": "StartMaker",
    "problems.noc.design": "Design",
    "problems.noc.evaluation": "Evaluation",
    "problems.noc.features": "FeaturePlan Counts",
    "problems.noc.moves": "Network",
    "problems.noc.operators": "NoCSampling NoCCrossover NoCMutation",
    "problems.noc.pe_type": "PEType",
    "problems.noc.platform": "Platform",
    "problems.noc.problem": "NoC3D",
    "problems.noc.stack": "ThermalStack",
    "problems.noc.tables": "Tables",
    "moe_costmodel.apply": "PlannedLayer AppliedPlan",
    "moe_costmodel.balance_search": "OptimalPlacement",
    "moe_costmodel.buffer_cost": "BufferCost",
    "moe_costmodel.buffering": "ExpertStream MissCurves",
    "moe_costmodel.characterise": "TraceDescription",
    "moe_costmodel.deployment": "DeploymentModel",
    "moe_costmodel.deployment_layers": "Steps LayerChoice LayerSteps LayerCosts",
    "moe_costmodel.evaluation": "Evaluation",
    "moe_costmodel.export": "Export",
    "moe_costmodel.families": "Family",
    "moe_costmodel.gate_rules": "GateRule",
    "moe_costmodel.hardware": "Link Hardware",
    "moe_costmodel.latency": "ShapeError FitReport Prediction LatencyModel",
    "moe_costmodel.latency_estimators": "RoundsModel Estimator",
    "moe_costmodel.latency_features": "Points Roofline",
    "moe_costmodel.layer_table": "LayerTable",
    "moe_costmodel.measurements": "Record Measurements",
    "moe_costmodel.objectives": "Objective Predicted",
    "moe_costmodel.placement": "Placement",
    "moe_costmodel.plan": "Plan",
    "moe_costmodel.quality": "GateMass LossUnderRule LossMeter",
    "moe_costmodel.shapes": "LayerShape",
    "moe_costmodel.step": "RestOfModel MemoryModel StepModel",
    "moe_costmodel.tables": "Peaks KernelTable",
    "moe_costmodel.trace": "RoutingTrace",
    "moe_costmodel.verify": "Verified",
    "moe_costmodel.work": "Work",
}
# Version 0.1 took for settings what these had made of them before the first evaluation. Named as
# they were then.
_STATE_OF_ALL = "front n_answered seen"
_STATE = {
    "moela.BatchMOEAD": "frame members waiting",
    "moela.MOELA": (
        "assistance describe descends_on evolution kicking log n_regions ranking region restarting "
        "screen searches starts turns unsettled whole"
    ),
    "moela.MOMAD": "exploring frame home_of members phase promising searches",
    "moela.MOOS": "frame leaves n_splits searched searches sweep_best sweep_depth",
    "moela.MOOSTAGE": "examples frame model n_fitted n_learned n_rows searches",
    "moela.PublishedMOELA": (
        "children_left clusters forest frame generation home labels rows searches searches_due "
        "subproblems visited"
    ),
}
CLASSES = {
    f"{module.partition('.')[0]}.{name}": module
    for module, names in _HOMES.items()
    for name in names.split()
}
_OURS = re.compile(rf"({'|'.join(sorted(PACKAGES))})(?:\.[a-z_][a-z_0-9]*)+\.(_*[A-Z][\w.]*)")
# The classes of ours that a class is or comes from, by the name that it is signed with.
_BASES: dict[str, tuple[str, ...]] = {}


def public_name(kind: Any) -> str:
    """Return the name of a class or function: without its module if it is one of ours."""
    module = str(getattr(kind, "__module__", None))
    package = module.partition(".")[0]
    name = f"{package if package in PACKAGES else module}.{kind.__qualname__}"
    if isinstance(kind, type) and name not in _BASES:
        _BASES[name] = _bases(kind)
    return name


def old_name(kind: Any, value: object = None) -> str:
    """Return the name that version 0.1 would have signed a class or function with.

    `value` is the object of the class, if there is one.
    """
    name = public_name(kind)
    old = RENAMED_CLASSES.get(name, name)
    if name in MERGED_CLASSES:
        old = getattr(value, "_name_in_0_1", MERGED_CLASSES[name][0])
    module = CLASSES.get(old, getattr(kind, "__module__", None))
    qualname = kind.__qualname__ if old == name else old.partition(".")[2]
    return f"{module}.{qualname}"


def old_settings(kind: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an object, as plain data, as version 0.1 would have signed them."""
    bases = _bases(kind)
    for base in bases:
        if base in COMBINED:
            settings = COMBINED[base][0](dict(settings))
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
    bases = _BASES.get(name, (name,))
    if isinstance(read.get("settings"), dict):
        return read | {"settings": _renamed(read["settings"], bases)}
    return _renamed(read, bases)


def without_digests(signature: dict[str, Any]) -> dict[str, Any]:
    """Return the signature of something of ours without its digests, which hold names of old.

    Where two such are equal, their problems are of one version, and that tells them apart.
    """
    ours = str(signature.get("class")).partition(".")[0] in PACKAGES
    return _without_digests(signature) if ours else signature


def _without_digests(signature: dict[str, Any]) -> dict[str, Any]:
    kept = {}
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


def _renamed(settings: dict[str, Any], bases: tuple[str, ...]) -> dict[str, Any]:
    today = {old: new for new, old in _merged(RENAMED, bases).items()}
    dropped = _merged(DROPPED, bases)
    state: set[str] = set()
    for base in bases:
        own = _STATE.get(RENAMED_CLASSES.get(base, base))
        if own is not None:
            state.update(_STATE_OF_ALL.split(), own.split())
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

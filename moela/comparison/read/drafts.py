"""Runs as readers return them, whose names may still be missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import ArrayLike

from moela.quality.runs import ComparedRun, Designs, clean
from moela.quality.words import directions


@dataclass(frozen=True)
class RunDraft:
    """A run whose names may still be missing.

    `kind` and `maker` tell problems and algorithms of the same class apart. Without a name, the
    runs of a batch, which were read together, belong to one algorithm.
    """

    run: ComparedRun  # with empty names
    problem: str | None = None
    algorithm: str | None = None
    kind: tuple[str, str] = ("", "")  # class, sizes and version of the problem; then its settings
    maker: str = ""  # settings of the algorithm
    batch: object = field(default_factory=object)
    title: tuple[str, ...] = ()  # name of last resort: file and folders, innermost first


def one_batch(drafts: Iterable[RunDraft]) -> list[RunDraft]:
    """Return runs that were read together as one batch."""
    batch = object()
    return [replace(draft, batch=batch) for draft in drafts]


def nameless(
    F: ArrayLike,
    source: str,
    *,
    CV: ArrayLike | None = None,
    X: Designs | None = None,
    owner: str = "",
    **known: Any,
) -> ComparedRun:
    """Return a run without names from its points, cleaned, and its other `known` attributes.

    Messages call it by its owner, or else by its source.
    """
    points, designs, left_out = clean(owner or source, F, CV, X)
    fields: dict[str, Any] = {"seed": None, "left_out": left_out} | known
    return ComparedRun("", "", F=points, X=designs, source=source, **fields)


def check_objectives(
    given: Mapping[str, float] | None, recorded: Mapping[str, float], source: str
) -> None:
    """Raise a ValueError if the given objectives differ from those that a source records.

    Both are 1 for each minimized objective by name, and -1 for each maximized one; nothing recorded
    agrees with anything.
    """
    if given is None or not recorded or [*given.items()] == [*recorded.items()]:
        return
    raise ValueError(
        f"The objectives (--objectives) must be those that {source} records, in their order: "
        f"{directions(recorded)}. Got {directions(given)} instead; leave them out."
    )


def kind_of(name: str, n_var: int, n_obj: int, version: object) -> str:
    """Return class, sizes and version of a problem as one text; n_var is 0 if it is not known."""
    return json.dumps([name, int(n_var), int(n_obj), None if version is None else str(version)])


def same_kind(kind: tuple[str, str], other: tuple[str, str]) -> tuple[str, str] | None:
    """Return all that two kinds of one problem say together, None if they are of two problems.

    A number of variables that is not known, and settings that are not, fit any.
    """
    (name, n_var, *rest), (other_name, other_n_var, *other_rest) = map(
        json.loads, (kind[0], other[0])
    )
    if (name, rest) != (other_name, other_rest):
        return None
    if n_var != other_n_var and n_var and other_n_var:
        return None
    if kind[1] != other[1] and kind[1] and other[1]:
        return None
    return other[0] if not n_var else kind[0], kind[1] or other[1]

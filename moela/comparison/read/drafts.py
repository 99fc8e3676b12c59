"""Runs as readers return them, whose names may still be missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import ArrayLike

from moela.quality.runs import ComparedRun, Designs, clean


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


def kind_of(name: str, n_var: int, n_obj: int, version: object) -> str:
    """Return class, sizes and version of a problem as one text."""
    return json.dumps([name, int(n_var), int(n_obj), None if version is None else str(version)])

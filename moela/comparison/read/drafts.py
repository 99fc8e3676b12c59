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

    Attributes
    ----------
    run : ComparedRun
        With empty names.
    problem, algorithm : str or None
        None if unknown.
    kind : tuple of str
        Class, sizes and version of the problem; then its settings, if known. They tell problems of
        the same class apart.
    maker : str
        Settings of the algorithm, if known, which tell algorithms of the same class apart.
    batch : object
        Identity of what was read together: without a name, the runs of a batch belong to one
        algorithm.
    title : tuple of str
        Name of the file and of the folders above it, innermost first: a name of last resort.
    """

    run: ComparedRun
    problem: str | None = None
    algorithm: str | None = None
    kind: tuple[str, str] = ("", "")
    maker: str = ""
    batch: object = field(default_factory=object)
    title: tuple[str, ...] = ()


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
    """Return a run without names from its points.

    Parameters
    ----------
    F, CV, X
        As in `clean`.
    source : str
        Where the run was read from.
    owner : str
        Name of the run in messages. Default: the source.
    **known
        Further attributes of `ComparedRun`.
    """
    points, designs, left_out = clean(owner or source, F, CV, X)
    fields: dict[str, Any] = {"seed": None, "left_out": left_out} | known
    return ComparedRun("", "", F=points, X=designs, source=source, **fields)


def kind_of(name: str, n_var: int, n_obj: int, version: object) -> str:
    """Return class, sizes and version of a problem as one text."""
    return json.dumps([name, int(n_var), int(n_obj), None if version is None else str(version)])

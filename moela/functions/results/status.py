"""Words on a result: how the run ended, what it found, and what a table leaves out."""

from __future__ import annotations

from collections.abc import Sequence

from moela.functions.results.evaluations import Evaluations
from moela.functions.results.front import DesignFront
from moela.quality.table import Table, text
from moela.quality.words import amount, counted, harmless


def status_of(evaluations: Evaluations, front: DesignFront, ending: str, advice: str) -> str:
    """Return how a run ended, what it found, which evaluations failed and why, how to go on."""
    n, n_evaluated = len(front), len(evaluations.individuals)
    good = evaluations.succeeded
    if not good.any():
        found = "no evaluation succeeded"
    elif not evaluations.feasible:
        least = evaluations.violations[good].min()
        found = (
            f"no feasible design; the least violation is {least:.4g} (relative to the bounds), "
            f"and .front holds the {amount(n, 'design')} of least violation"
        )
    elif len(evaluations.view.names) == 1:
        found = "best: " + ", ".join(
            f"{name} {text(value)}" for name, value in front[0].objectives.items()
        )
    else:
        found = f"{n} design{'s' * (n != 1)} on the front"
    parts = [f"{ending or amount(n_evaluated, 'evaluation')}: {found}"]
    counts: dict[str, int] = {}
    for failure in evaluations.failures():
        reason = str(failure["error"])
        counts[reason] = counts.get(reason, 0) + 1
    if counts:
        parts.append(counted(counts))
    if advice:
        parts.append(advice)
    return harmless(". ".join(part.rstrip(".") for part in parts) + ".")


def shown_front(front: DesignFront, most: int) -> tuple[Table, str]:
    """Return a table of the first designs of a front, and in words what it leaves out.

    Designs that look alike share a row. A column then says which designs, by their positions on
    the front, each row stands for.
    """
    n = most
    while True:
        table, hidden = front.shown(n)
        alike: dict[tuple[str, ...], list[int]] = {}
        for i, row in enumerate(table.rows):
            alike.setdefault(tuple(map(text, row.values())), []).append(i)
        if len(alike) >= most or n >= len(front):
            break
        n *= 2
    groups = list(alike.values())[:most]
    more = left_out(len(front) - sum(map(len, groups)), hidden)
    rows = [table.rows[group[0]] for group in groups]
    if any(len(group) > 1 for group in groups):
        column = "designs (positions)" if "designs" in table.columns else "designs"
        rows = [row | {column: _spans(group)} for row, group in zip(rows, groups, strict=True)]
    return Table(rows), more


def _spans(positions: Sequence[int]) -> str:
    """Return ascending positions in words.

    >>> _spans([0, 2, 3, 4, 6])
    '0, 2 to 4, 6'
    """
    known = set(positions)
    starts = [i for i in positions if i - 1 not in known]
    ends = [i for i in positions if i + 1 not in known]
    pairs = zip(starts, ends, strict=True)
    return ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in pairs)


def left_out(designs: int, variables: int) -> str:
    """Return how many designs and variables a table leaves out, in words.

    >>> left_out(23, 0), left_out(23, 192), left_out(0, 192)
    ('23 more', '23 more designs, and 192 more variables', '192 more variables')
    """
    if not variables:
        return f"{designs} more" if designs else ""
    parts = [f"{amount(designs, 'more design')}, and "] if designs else []
    return "".join([*parts, amount(variables, "more variable")])

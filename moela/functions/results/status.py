"""Words on a result: how the run ended, what it found, and what a table leaves out."""

from __future__ import annotations

from moela.functions.results.evaluations import Evaluations
from moela.functions.results.front import DesignFront
from moela.quality.table import text
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


def left_out(designs: int, variables: int) -> str:
    """Return how many designs and variables a table leaves out, in words.

    >>> left_out(23, 0), left_out(23, 192), left_out(0, 192)
    ('23 more', '23 more designs, and 192 more variables', '192 more variables')
    """
    if not variables:
        return f"{designs} more" if designs else ""
    parts = [f"{amount(designs, 'more design')}, and "] if designs else []
    return "".join([*parts, amount(variables, "more variable")])

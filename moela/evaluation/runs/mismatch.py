"""Error message for a store that does not hold the run: how the most similar run differs."""

from __future__ import annotations

from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.schema import RunRow
from moela.provenance.signature import each_once


def message(journal: Journal, compared: list[tuple[list[str], RunRow]], seed_drawn: bool) -> str:
    """Return how the stored run most similar to the call differs from it, and how to go on.

    ``compared`` holds every run with its differences; the seed of the call may have been drawn.
    """
    changes, run = min(reversed(compared), key=_distance)
    if seed_drawn and run.seed_drawn and [line.split(":")[0] for line in changes] == ["seed"]:
        return (
            f"Run {run.id} in {journal.path} has this problem and algorithm and drew its seed, "
            f"{run.seed}. Pass seed={run.seed} to continue it, or on_mismatch='new' to begin "
            "another run in the same file."
        )
    if seed_drawn:
        changes = [f"{line} (drawn)" if line.startswith("seed:") else line for line in changes]
    lines = "\n".join(f"  {line}" for line in each_once(changes))
    return (
        f"The store {journal.path} does not hold this run. The most similar one, run {run.id}, "
        f"differs (stored -> now):\n{lines}\n{_of_script(changes)}"
        "To continue that run, undo these changes. (An attribute that changes while the object is "
        "used is not a setting: start its name with an underscore.) To begin a new run in the same "
        "file, pass Evaluator(on_mismatch='new'); it reuses the stored evaluations of the same "
        "problem. To keep the runs apart, name another file. To start a new run from the results "
        "of an old one, pass sampling=EvaluationStore(path).front() to the algorithm."
    )


def _of_script(changes: list[str]) -> str:
    """Return why the module of a function differs, if it is that of a script in one of the runs."""
    if any(".function: " in line and "'__main__." in line for line in changes):
        return (
            "A function of the script that Python runs is in the module __main__, and in another "
            "module if the script is imported. Begin and continue a run in the same way.\n"
        )
    return ""


def _distance(entry: tuple[list[str], RunRow]) -> tuple[int, int]:
    """Return how far a run is from the call at hand: classes that differ, then all changes."""
    changes, _ = entry
    return sum(change.split(":")[0].endswith(".class") for change in changes), len(changes)

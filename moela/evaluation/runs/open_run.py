"""A run of a store that is open, and a problem with what identifies it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from pymoo.core.problem import Problem

from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.schema import RunRow
from moela.provenance.code import sources_of
from moela.provenance.signature import VALUES, Signature, dump, of_problem, values_of
from moela.quality.words import harmless

# Where the JSON of a problem keeps the digest of the user's code, and the runs whose results may
# be reused.
SOURCE, REUSED = "source", "reused"


@dataclass
class OpenRun:
    """A run of a store, its open journal, and what is known of its problem."""

    run: RunRow
    journal: Journal
    resumed: bool  # whether the run had begun before
    doubt: str = ""  # why the evaluation may not be the stored one, although its definition is
    # By number of another run: the designs to evaluate again before its results are used, or, if
    # they may not be used, the reason.
    sources: dict[int, int | str] = field(default_factory=dict)

    def keep_sources(self) -> None:
        """Write the `sources` to the store."""
        run = next(run for run in self.journal.runs() if run.id == self.run.id)
        problem = json.loads(run.problem)
        problem[REUSED] = {str(number): state for number, state in self.sources.items()}
        self.journal.update_run(self.run.id, problem=dump(problem))


class Signed(NamedTuple):
    """A problem with its signature, a digest of the user's code, and what neither can show."""

    problem: Problem
    signature: Signature
    source: str
    unseen: dict[str, str]  # type by name of the attribute

    def beside(self) -> Signature:
        """Return what a store keeps of a problem beside its signature."""
        values = values_of(self.problem)
        return {SOURCE: self.source, **({VALUES: values} if values else {})}

    def doubt(self, stored: Signature) -> str:
        """Return why the evaluation of a stored problem of this signature may be another one."""
        words = []
        if self.source != stored.get(SOURCE, ""):
            words.append("the code of the problem has changed")
        if self.unseen and self.signature["version"] is None:
            words.append(f"only the name of {self.unseen_words()} can be compared")
        return "; ".join(words)

    def unseen_words(self) -> str:
        """Return the attributes that cannot be compared, as a list of the first five."""
        named = [f"{path} ({kind})" for path, kind in [*self.unseen.items()][:5]]
        return harmless(", ".join(named))


def sign(problem: Problem) -> Signed:
    """Return a problem with what identifies it."""
    unseen: dict[str, str] = {}
    signature = of_problem(problem, unseen)
    return Signed(problem, signature, sources_of(problem), unseen)


def definition(stored: Signature) -> Signature:
    """Return the signature of a stored problem, without what the store keeps beside it."""
    return {k: v for k, v in stored.items() if k not in (SOURCE, REUSED, VALUES)}


def stored_sources(run: RunRow) -> dict[int, int | str]:
    """Return the `sources` of a stored run."""
    return {int(key): value for key, value in json.loads(run.problem).get(REUSED, {}).items()}

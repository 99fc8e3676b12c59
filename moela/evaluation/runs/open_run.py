"""A run of a store that is open, and a problem with its signature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pymoo.core.problem import Problem

from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.schema import RunRow
from moela.provenance.content import CONTENT, Content, Doubts, Fingerprint, content_of
from moela.provenance.scalars import Arrays
from moela.provenance.signature import VALUES, Signature, differences, of_problem, values_of


@dataclass
class OpenRun:
    """A run of a store, its open journal, and what is known of its problem."""

    run: RunRow
    journal: Journal
    resumed: bool  # whether the run had begun before
    doubts: Doubts = field(default_factory=Doubts)  # whether the problem is still the one stored
    # By number of another run: the designs to evaluate again before its results are used, or, if
    # they may not be used, the reason.
    sources: dict[int, int | str] = field(default_factory=dict)


class Signed(NamedTuple):
    """A problem with its signature and its content."""

    problem: Problem
    signature: Signature
    content: Content

    def beside(self) -> Signature:
        """Return what a store keeps of a problem beside its signature."""
        values = values_of(self.problem)
        return {CONTENT: self.content.record(), **({VALUES: values} if values else {})}


def sign(problem: Problem) -> Signed:
    """Return a problem with its signature and its content."""
    arrays: Arrays = {}
    content = content_of(problem, arrays)
    return Signed(problem, of_problem(problem, arrays=arrays), content)


def changes(signature: Signature, fingerprint: Fingerprint | None, new: Signed) -> list[str]:
    """List the differences between two problems of one run.

    Without a fingerprint of the old content, only the signatures are compared.
    """
    lines = differences(signature, new.signature, "problem")
    if lines or fingerprint is None:
        return lines
    versioned = new.signature["version"] is not None
    differs = new.content.fingerprint().differs(fingerprint, versioned=versioned)
    return ["its content, or parts that cannot be seen into"] if differs else []

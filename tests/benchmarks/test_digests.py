"""Digests tell rounding from another result."""

import numpy as np
import pytest

from tests.benchmarks.digest_cases.encoding import Encoding, distance
from tests.benchmarks.digests import TOLERANCE, differing, write

F = np.array([[1.0, 2.0], [1.0, 3.0], [np.nan, np.inf]])
ROUNDED = F * (1 + 2e-16)
UNTIED = F + np.array([[0.0, 0.0], [2e-16, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("after", "passes"), [(F, True), (ROUNDED, True), (UNTIED, False), (F * (1 + 1e-11), False)]
)
def test_values_may_differ_in_last_bits_but_not_in_ties(after, passes):
    assert (distance(Encoding([F, "text"]).flat, Encoding([after, "text"])) <= TOLERANCE) == passes


@pytest.mark.parametrize(
    ("case", "part", "after", "wrong"),
    [
        ("noc", "evaluation", ROUNDED, 0),
        ("noc", "evaluation", UNTIED, 1),
        ("noc", "evaluation", F[:2], 1),
        ("noc", "run", ROUNDED, 1),
        ("moela qap", "best", ROUNDED, 1),
        ("moela qap", "best", F, 0),
    ],
)
def test_runs_must_be_equal(tmp_path, case, part, after, wrong):
    path = tmp_path / "before.json"
    write(path, {case: {part: Encoding(F)}})
    assert differing(path, {case: None}, {case: {part: Encoding(after)}}) == wrong

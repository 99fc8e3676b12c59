"""Violations of many individuals at once are those that pymoo gives one by one."""

import numpy as np
import pytest
from pymoo.core.population import Population

from moela.evaluation.runners.violation import violation_of, violations_of


def population(G, H=None):
    """Return individuals with these constraints; None leaves pymoo's empty ones."""
    pop = Population.new("X", np.zeros((len(G), 1)))
    for ind, g, h in zip(pop, G, [None] * len(G) if H is None else H, strict=True):
        if g is not None:
            ind.G = np.asarray(g, dtype=float)
        if h is not None:
            ind.H = np.asarray(h, dtype=float)
    return pop


def change_setting(individual, part, **setting):
    """Change a setting of pymoo's sum, for this individual only."""
    changed = {**individual.config[part], **setting}
    individual.config = {**individual.config, part: changed}


CASES = {
    "met and violated": population([[-1.0, -2.0], [0.5, -1.0], [2.0, 3.0]]),
    "equalities": population([[0.1], [-0.1]], [[1e-5, -0.5], [0.5, -1e-5]]),
    "different numbers": population([[1.0], [1.0, 2.0], None]),
    "huge": population([[1.0], [1e308]]),
    "none": population([None, None]),
}


@pytest.mark.parametrize("name", CASES)
def test_violations_are_those_of_each_individual(name):
    one_by_one = [violation_of(ind.copy()) for ind in CASES[name]]
    assert violations_of(CASES[name]).tolist() == one_by_one


def test_settings_and_violations_of_an_individual_count():
    pop = population([[3.0], [3.0], [3.0]], [[0.5], [0.5], [0.5]])
    change_setting(pop[1], "cv_ieq", pow=2)
    change_setting(pop[2], "cv_eq", eps=0.25)
    assert violations_of(pop) == pytest.approx([3.4999, 9.4999, 3.25])
    pop = population([[3.0], [4.0]])
    pop[1].CV = np.array([7.0])
    assert violations_of(pop).tolist() == [3.0, 7.0]


def test_no_individuals_have_no_violations():
    assert violations_of(population([])).shape == (0,)

"""Designs given to a problem of a function: dictionaries, tables, and earlier results."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from function_cases import QUIET
from pymoo.optimize import minimize
from pymoo.problems import get_problem

import moela
from moela import MOELA, EvaluationStore, Evaluator

VARIABLES = {"a": moela.real(1e-3, 10.0, log=True), "b": (0.0, 10.0), "k": ["u", "v"]}
DESIGNS = [{"a": 9.0, "b": 1.0, "k": "u"}, {"a": 0.01, "b": 4.0, "k": "v"}]


def fall(d):
    return d["a"] + d["b"], 1 - d["a"] + d["b"] + (d["k"] == "u")


def problem(variables=VARIABLES):
    return moela.problem(fall, variables=variables, objectives=["f", "g"])


def first_of(sampling, to_solve=None):
    """Return the first designs that a run evaluates."""
    to_solve = problem() if to_solve is None else to_solve
    algorithm = MOELA(sampling=sampling)
    algorithm.setup(to_solve, termination=("n_eval", 20), seed=1)
    asked = algorithm.ask().get("X")
    return [to_solve.decode(x) for x in asked] if hasattr(to_solve, "decode") else asked


def same(found, expected):
    for one, other in zip(found, expected, strict=False):
        assert one["k"] == other["k"]
        assert [one["a"], one["b"]] == pytest.approx([other["a"], other["b"]])
    assert len(found) >= len(expected)


def test_names_say_which_variable_a_value_belongs_to():
    table = pandas.DataFrame(DESIGNS)
    shuffled = table[["k", "b", "a"]].assign(note="text", f=1.0)
    for given in (DESIGNS, DESIGNS[0], tuple(DESIGNS), table, shuffled, shuffled.iloc[1]):
        expected = DESIGNS[1:] if isinstance(given, pandas.Series) else DESIGNS
        same(first_of(given), expected[:1] if given is DESIGNS[0] else expected)
    vectors = [problem().encode(design) for design in DESIGNS]
    same(first_of(np.array(vectors)), DESIGNS)
    same(first_of([DESIGNS[0], vectors[1]]), DESIGNS)


def test_a_table_without_the_names_of_variables_holds_vectors(tmp_path):
    vectors = np.array([problem().encode(design) for design in DESIGNS])
    same(first_of(pandas.DataFrame(vectors)), DESIGNS)
    store = tmp_path / "run.db"
    evaluator = Evaluator(store=store, progress=False)
    minimize(problem(), MOELA(sampling=DESIGNS), ("n_eval", 10), seed=1, evaluator=evaluator)
    with EvaluationStore(store) as opened:
        same(first_of(opened.to_frame()), DESIGNS)


def test_results_of_minimize_are_designs():
    settings = {"variables": VARIABLES, "objectives": ["f", "g"], "n_eval": 20, **QUIET}
    result = moela.minimize(fall, **settings)
    same(first_of(result), result.front.designs)
    real = get_problem("zdt1", n_var=3)
    result = moela.minimize(real, n_eval=20, **QUIET)
    first = first_of(result, real)
    front = np.array([list(design.values()) for design in result.front.designs])
    np.testing.assert_array_equal(np.array(first)[: len(front)], front)


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        (pandas.DataFrame({"A": [1.0], "B": [2.0], "K": ["u"]}), r"called 'a', 'b', 'k'.*Got the"),
        (pandas.DataFrame({"params_a": [1.0]}), r"Got the columns 'params_a'.*designs_of_study"),
        (pandas.DataFrame({"a": [1.0], "k": ["u"]}), r"Design 0 of 'sampling'.*none called 'b'"),
        ([{"a": 99.0, "b": 1.0, "k": "u"}], r"Design 0 of 'sampling'.*'a'.*from 0.001 to 10"),
        ([DESIGNS[0], {**DESIGNS[0], "q": 1}], r"Design 1 of 'sampling'.*'q' as well"),
    ],
)
def test_other_names_are_refused(sampling, words):
    with pytest.raises(ValueError, match=words):
        first_of(sampling)


def test_tables_to_start_from_are_refused_by_their_columns():
    settings = {"variables": VARIABLES, "objectives": ["f", "g"], "n_eval": 20, **QUIET}
    for table, words in (
        (pandas.DataFrame({"q": [1]}), r"'start'.*called 'a', 'b', 'k'.*Got the columns 'q'"),
        (pandas.DataFrame({"params_a": [1.0]}), r"'start'.*designs_of_study\(study\)"),
    ):
        with pytest.raises(ValueError, match=words):
            moela.minimize(fall, start=table, **settings)

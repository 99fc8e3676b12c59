"""More mistakes: problems, algorithms, callbacks, files, and results that are empty."""

from __future__ import annotations

import pytest
from function_cases import LINE, QUIET, line
from pymoo.core.problem import ElementwiseProblem

import moela
from moela import EvaluationError


class Beam(ElementwiseProblem):
    def __init__(self):
        super().__init__(n_var=2, n_obj=2, xl=0, xu=1)

    def _evaluate(self, x, out, *args, **kwargs):
        out["f"] = [x[0], x[1]]


class Unborn(ElementwiseProblem):
    def __init__(self):
        pass


def run(**changes):
    return moela.minimize(line, **(LINE | {"n_eval": 60} | QUIET | changes))


def of(problem):
    return moela.minimize(problem, n_eval=20, **QUIET)


def with_constraint(algorithm):
    return moela.minimize(
        lambda d: (d["x"], 1 - d["x"], d["x"]),
        **LINE,
        constraints={"c": (None, 0.5)},
        n_eval=60,
        algorithm=algorithm,
        **QUIET,
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: of(Beam), ("Got the class Beam", "make an object of it: Beam(")),
        (lambda: of(Unborn()), ("Unborn", "super().__init__(n_var=")),
        (lambda: of(Beam()), ('never set out["F"]', "Fix Beam._evaluate")),
        (lambda: run(algorithm="de"), ("2 objectives", "Got DE", "Leave 'algorithm' out")),
        (lambda: run(algorithm="ga"), ("2 objectives", "Got GA")),
        (lambda: with_constraint("moead"), ("1 constraint. Got", "Got MOEAD", "constraints")),
        (lambda: run(callback=lambda: None), ("'callback'", "one argument", "(result)")),
        (lambda: moela.compare([]), ("'results'", "at least one run", "empty list")),
        (lambda: moela.problem(line, **LINE).decode([1, 2]), ("'x'", "1 numbers", "(2,)")),
    ],
)
def test_each_says_what_to_do(call, words):
    with pytest.raises((TypeError, ValueError, EvaluationError)) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_files_in_folders_that_do_not_exist(tmp_path):
    result = run(n_eval=20)
    for write in (result.save, lambda path: result.plot(path=path)):
        with pytest.raises(FileNotFoundError, match=r"make the folder .* first"):
            write(tmp_path / "none" / "front.csv")


@pytest.mark.parametrize(
    ("function", "hinted"),
    [
        (lambda x: x**2, True),
        (lambda x: x["x"] / 0, False),
        (lambda d: d**2, False),
    ],
)
def test_a_dictionary_taken_for_a_variable_is_named(function, hinted):
    with pytest.raises(EvaluationError) as error:
        moela.minimize(function, variables={"x": (1.0, 2.0)}, objectives=["f"], n_eval=20, **QUIET)
    hint = "Its argument 'x' is a dictionary of the variables; take x['x']."
    assert (hint in str(error.value)) == hinted


def test_a_call_of_pymoo_names_its_function():
    with pytest.raises(TypeError, match=r"Got 3; .* use minimize from pymoo\.optimize\."):
        moela.minimize(Beam(), moela.MOELA(), ("n_eval", 30))

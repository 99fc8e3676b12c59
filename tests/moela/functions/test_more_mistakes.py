"""More mistakes: problems, algorithms, callbacks, files, and results that are empty."""

from __future__ import annotations

import dataclasses

import pytest
from function_cases import LINE, QUIET, line
from pymoo.algorithms.soo.nonconvex.cmaes import CMAES
from pymoo.core.problem import ElementwiseProblem

import moela
from moela import EvaluationError
from moela.cli import main


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
        (lambda: run(algorithm=CMAES()), ("2 objectives", "Got CMAES")),
        (lambda: with_constraint("moead"), ("1 constraint. Got", "Got MOEAD", "constraints")),
        (lambda: run(callback=lambda: None), ("'callback'", "one argument", "(result)")),
        (lambda: run(timeout="soon"), ("'timeout'", "'30 min'", "Got 'soon'")),
        (lambda: moela.compare([]), ("'results'", "at least one run", "empty list")),
        (lambda: moela.compare({}), ("at least one run", "empty dict")),
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


def test_a_timeout_may_be_a_text():
    assert run(n_eval=20, timeout="1 min").n_eval == 20


def test_an_assertion_of_the_function_itself_stays_one():
    def asserting(d):
        assert d["x"] > 2, "x is too small"

    with pytest.raises(EvaluationError, match="x is too small"):
        moela.minimize(asserting, **LINE, n_eval=20, **QUIET)


def test_a_store_that_does_not_exist_cannot_be_watched_once(tmp_path, capsys):
    assert main(["watch", str(tmp_path / "none.db"), "--once"]) == 2
    assert "There is no store" in capsys.readouterr().err


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


def square(x, y=2.0):
    return x**2 + y


def test_a_function_of_several_variables_is_told_how_to_get_them():
    variables = {"x": (1.0, 2.0), "y": (1.0, 2.0)}
    for function, write in (
        (square, "pass lambda d: square(**d)"),
        (lambda x, y=2.0: x**2 + y, "write lambda d: with d['x'] in place of x"),
    ):
        with pytest.raises(EvaluationError) as error:
            moela.minimize(function, variables=variables, objectives=["f"], n_eval=20, **QUIET)
        assert f"It gets a dictionary of the variables as 'x'; {write}." in str(error.value)


def test_results_of_other_kinds_are_told_how_to_become_dictionaries():
    class Series:  # as that of pandas
        def to_dict(self):
            return {"f": 1.0}

    class Frame(Series):
        columns = ("f",)

    class Tensor:
        ndim = 1

        def tolist(self):
            return [1.0]

    result = dataclasses.make_dataclass("Result", ["f"])
    for answer, hint in (
        (result(1.0), "dataclasses.asdict(...)."),
        (Series(), ".to_dict()."),
        (Frame(), ".iloc[0].to_dict()."),
        (Tensor(), ".tolist()."),
        ({"f": 1.0}.values(), "tuple(...)."),
    ):
        with pytest.raises(EvaluationError) as error:
            moela.minimize(lambda d, a=answer: a, **LINE, n_eval=5, **QUIET)
        assert f"Convert it with {hint}" in str(error.value)


def test_iterators_are_told_to_become_tuples():
    for answer in (lambda: map(float, [1]), lambda: (v for v in [1.0])):
        with pytest.raises(EvaluationError, match=r"Convert it with tuple\(\.\.\.\)"):
            moela.minimize(lambda d, a=answer: a(), **LINE, n_eval=5, **QUIET)


def test_a_call_of_pymoo_names_its_function():
    with pytest.raises(TypeError, match=r"Got 3; .* use minimize from pymoo\.optimize\."):
        moela.minimize(Beam(), moela.MOELA(), ("n_eval", 30))

"""Typical mistakes of a newcomer: each error says what was expected, what came, and what to do."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal

import pytest
from function_cases import LINE, QUIET, SINK, line, sink
from pymoo.algorithms.moo.nsga2 import NSGA2

import moela
from moela import EvaluationError, StoreError

ERRORS = (TypeError, ValueError, EvaluationError, StoreError)


def message_of(function=line, **changes):
    """Return the message with which a call of `moela.minimize` fails."""
    settings = LINE | {"n_eval": 20} | QUIET | changes
    with pytest.raises(ERRORS) as caught:
        moela.minimize(function, **{k: v for k, v in settings.items() if v is not ...})
    return str(caught.value)


def says(message, *words):
    missing = [word for word in words if word not in message]
    assert missing == [], message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ((1.0, 0.0), ("'x'", "low < high", "(1.0, 0.0)", "did you mean (0.0, 1.0)")),
        ({0.1, 0.2}, ("'x'", "Write a list", "set")),
        ("(0, 1)", ("'x'", "Got '(0, 1)' (str)", "without quotes: (0, 1)")),
        (5, ("'x'", "Got 5 (int)", "set it in the function")),
        ((0, 2**53 + 1), ("'x'", "'high'", "2**53", "9007199254740993", "multiply it")),
        (range(0, 10**12, 2), ("'x'", "at most 1,000,000", "multiply it by 2")),
        ((0.0, None), ("'x'", "numbers", "Got (0.0, None)", "a choice: [0.0, None]")),
        (float, ("'x'", "(0.0, 1.0)")),
        ({"low": 0, "high": 1}, ("'x'", "(low, high)")),
        ((0.0, float("inf")), ("'x'", "'high'", "finite", "inf")),
        (["only"], ("'x'", "at least two", "['only']")),
        (["a", "b", "a"], ("'x'", "different", "'a' twice")),
    ],
)
def test_variables(spec, words):
    says(message_of(variables={"x": spec}), *words)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: moela.real(0.0, 1.0, log=True), ("'low'", "greater than 0", "0.0")),
        (lambda: moela.integer(0.5, 8), ("'low'", "integer", "0.5", "moela.real")),
        (lambda: moela.real(1, 2, log="yes"), ("'log'", "True or False", "'yes'")),
        (lambda: moela.permutation(0), ("at least 2", "Got 0")),
        (lambda: moela.choice({"a", "b"}), ("fixed order", "list")),
        (lambda: moela.real(0, 1, when=["shape"]), ("'when'", "{'shape': 'pin'}")),
    ],
)
def test_constructors(make, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    says(str(caught.value), *words)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ("'variables'", "at least one", "{'height': (0.01, 0.06)}")),
        (["x"], ("'variables'", "dictionary", "Got ['x'] (list)")),
        ({1: (0.0, 1.0)}, ("texts", "Got 1 (int)")),
        ({"x": (0.0, 1.0), "r": moela.real(0, 1, when={"X": 1})}, ("'r'", "Did you mean 'x'?")),
        (
            {"x": (0.0, 1.0), "r": moela.real(0, 1, when={"x": 0.5})},
            ("'r'", "choice, a boolean or an integer", "real, 0 to 1"),
        ),
        (
            {"s": ["a", "b"], "x": moela.real(0, 1, when={"s": "c"})},
            ("'x'", "one of 'a', 'b'", "Got 'c'"),
        ),
        (
            {"a": moela.boolean(when={"b": True}), "b": moela.boolean(when={"a": True})},
            ("circle", "a -> b -> a", "remove"),
        ),
    ],
)
def test_sets_of_variables(variables, words):
    says(message_of(variables=variables), *words)


@pytest.mark.parametrize(
    ("objectives", "words"),
    [
        (["a", "a"], ("different", "'a' twice")),
        ([], ("at least one", "['mass', 'rise']")),
        ({"a", "b"}, ("fixed order",)),
        (7, ("names in a fixed order", "Got 7 (int)")),
        (..., ("'objectives'", "is needed", "['mass', 'rise']")),
    ],
)
def test_objectives(objectives, words):
    says(message_of(objectives=objectives), *words)


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ({"c": 33}, ("'c'", "(low, high)", "Got 33 (int)", "Did you mean (None, 33)?")),
        ({"a": (None, 1)}, ("different names", "'a' for both")),
        ({"c": (None, None)}, ("'c'", "at least one bound")),
        ({"c": "< 3"}, ("'c'", "(low, high)", "'< 3'")),
    ],
)
def test_constraints(constraints, words):
    says(message_of(constraints=constraints), *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_evals": 100}, ("no parameter 'n_evals'. Use 'n_eval'", "time_limit")),
        ({"seeds": 1}, ("no parameter 'seeds'", "Did you mean 'seed'?")),
        ({"n_eval": 0}, ("'n_eval'", "at least 1", "Got 0")),
        ({"n_eval": ...}, ("'n_eval'", "time_limit='8h'", "neither")),
        ({"seed": "one"}, ("'seed'", "integer", "'one'")),
        ({"time_limit": "soon"}, ("'time_limit'", "'8h'", "'soon'")),
        ({"timeout": "1:30"}, ("'timeout'", "'1:30'", "hh:mm:ss")),
        ({"time_limit": -3}, ("'time_limit'", "positive", "-3")),
        ({"n_jobs": 0}, ("'n_jobs' parameter of minimize", "other than 0")),
        ({"on_error": "ignore"}, ("'on_error' parameter of minimize", "'raise', 'infeasible'")),
        ({"algorithm": "nsga22"}, ("'algorithm'", "Did you mean 'nsga2'?")),
        ({"algorithm": 3}, ("'algorithm'", "NSGA2(pop_size=50)", "Got 3")),
        ({"batch_size": 0}, ("'batch_size' parameter of minimize", "at least 1", "Got 0")),
        ({"backend": "thread"}, ("'backend'", "'thread'")),
        ({"n_jobs": "2"}, ("'n_jobs'", "integer", "'2'")),
        ({"ref_point": [1]}, ("'ref_point'", "'a', 'b'", "[1]")),
        ({"ref_point": {"a": 1}}, ("'ref_point'", "Got none for 'b' in {'a': 1}")),
        ({"ref_point": {"a": 1, "B": 2}}, ("'ref_point'", "'B'", "Did you mean 'b'?")),
        ({"store": ":memory:"}, ("'store'", "or left out", "Got ':memory:'")),
    ],
)
def test_parameters(changes, words):
    says(message_of(**changes), *words)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ([{"x": 2.0}], ("Design 0", "'x'", "from 0.0 to 1.0", "2.0")),
        ([{"x": 0.5}, {}], ("Design 1", "none called 'x'", "add it")),
        ([{"x": 0.5, "y": 1}], ("Design 0", "There is no variable 'y', in {'x': 0.5")),
        ([{"X": 0.5}], ("no variable 'X'", "Did you mean 'x'?")),
        ([], ("'start'", "at least one design", "leave it out")),
        ("run.db", ("'start'", ".csv", "'run.db'", "MinimizeResult.from_store")),
    ],
)
def test_first_designs(start, words):
    says(message_of(start=start), *words)


def test_positional_parameters_are_refused():
    with pytest.raises(TypeError) as caught:
        moela.minimize(line, {"x": (0.0, 1.0)}, ["a", "b"])
    says(str(caught.value), "variables=...", "name the others")
    with pytest.raises(TypeError) as caught:
        moela.problem(line, variable={"x": (0.0, 1.0)})
    says(str(caught.value), "Did you mean 'variables'?")
    with pytest.raises(TypeError) as caught:
        moela.minimize()
    says(str(caught.value), "function", "moela.minimize(function, variables={...}")


def test_a_study_of_optuna_is_no_design():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize", "minimize"])
    says(message_of(start=study), "'start'", "pass moela.plugins.designs_of_study(study)")
    says(message_of(known=study), "'known'", "pass moela.plugins.results_of_study(study, names)")

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        return x, 1 - x

    words = "lambda d: objective(optuna.trial.FixedTrial(d))"
    says(message_of(objective), "'dict' object has no attribute 'suggest_float'", words)
    as_it_is = moela.minimize(
        lambda d: objective(optuna.trial.FixedTrial(d)), **LINE, n_eval=9, **QUIET
    )
    assert len(as_it_is.front) > 0


def test_store_that_is_a_folder(tmp_path):
    says(message_of(store=tmp_path), "'store'", "Got the folder", "run.db")
    says(message_of(store=tmp_path / "no" / "run.db"), "'store'", "folder that exists", "make")


class Model:
    def __init__(self, d):
        pass

    def run(self, d):
        return line(d)


async def slow(d):
    await asyncio.sleep(0)
    return line(d)


def yielding(d):
    yield line(d)


def of_keywords(x, y):
    return x, y


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (line({"x": 0.5}), ("'function'", "takes a dictionary", "(dict)")),
        (Model, ("the class Model", "Model(...).method")),
        (slow, ("async function slow", "asyncio.run(slow(d))")),
        (yielding, ("generator yielding", "return instead of yield")),
        (of_keywords, ("one argument", "of_keywords(x, y)", "lambda d: of_keywords(**d)")),
        (lambda x, y: x + y, ("one argument", "Got lambda x, y instead", "write lambda d:")),
    ],
)
def test_functions(function, words):
    says(message_of(function), *words)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, ("Got None", "return statement")),
        ("0.5", ("Got '0.5' (str)",)),
        (0.5, ("Got 0.5 (float)", "{'a': ..., 'b': ...}")),
        ([1, 2, 3], ("2 numbers", "Got 3")),
        ({"a": 1.0}, ("no 'b'", "Add it")),
        ({"a": 1.0, "B": 2.0}, ("no 'b' but 'a', 'B'", "Did you mean 'B'?", "Rename")),
        ({"a": float("nan"), "b": 1}, ("objective 'a'", "finite", "Got nan", "infeasible")),
        ({"a": 1 + 2j, "b": 1}, ("objective 'a'", "Got (1+2j) (complex)", "real part")),
        ({"a": "1", "b": 1}, ("objective 'a'", "'1' (str)", "float()")),
        ({"a": None, "b": 1}, ("objective 'a'", "Got None")),
        ({"a": Decimal("0.1"), "b": 1}, ("objective 'a'", "(Decimal)", "float()")),
    ],
)
def test_returned_values(returned, words):
    message = message_of(lambda d: returned)
    says(message, *words, "{'x': ", "Fix the function")
    assert "Traceback" not in message
    # Only a value that is not finite may belong to the design; the rest are mistakes.
    assert message.count("on_error='infeasible'") == ("raise an exception" in message)


def test_constraints_are_named_as_such():
    message = message_of(lambda d: line(d) | {"c": float("nan")}, constraints={"c": (None, 1)})
    says(message, "constraint 'c'", "Got nan")
    says(message_of(line, constraints={"c": (None, 1)}), "no 'c'")


def test_exceptions_come_with_the_design_and_the_traceback():
    def broken(d):
        return {"a": 1 / 0, "b": d["x"]}

    message = message_of(broken)
    says(message, "broken raised an exception for the design {'x': ", "ZeroDivisionError")
    says(message, "1 / 0", "on_error='infeasible'")


def test_functions_that_workers_cannot_get():
    lock = threading.Lock()

    def guarded(d):
        with lock:
            return line(d)

    says(message_of(guarded, n_jobs=2), "guarded", "another process", "open them in guarded")


def test_misspelled_variable_in_the_function():
    message = message_of(lambda d: {"a": d["X"], "b": 1})
    says(message, "KeyError: 'X'", "{'x': ", "Did you mean 'x'?")


def test_variable_that_does_not_exist_in_the_design():
    variables = {"fan": bool, "rpm": moela.real(1, 2, when={"fan": True})}
    message = message_of(lambda d: (d["rpm"], 1), variables=variables)
    says(message, "KeyError: 'rpm'", "{'fan': False}", "'rpm' exists only if fan is True.")


@pytest.mark.few_evaluations
def test_all_failed_although_failures_are_allowed():
    message = message_of(lambda d: None, on_error="infeasible")
    says(message, "All of the first 10 evaluations failed", "Got None", "Fix the function")
    message = message_of(lambda d: 1 / 0, on_error="infeasible", algorithm=NSGA2(15))
    says(message, "All of the first 15 evaluations failed", "ZeroDivisionError")


def test_batches_of_the_wrong_size():
    message = message_of(lambda d: {"a": d["x"], "b": 1.0}, vectorized=True)
    says(message, "vectorized", "shape ()", "'b'", "for 1 design.")
    message = message_of(lambda d: None, vectorized=True)
    says(message, "dictionary of arrays", "Got None", "return statement")


def test_parameters_of_a_function_for_a_problem():
    problem = moela.problem(line, **LINE)
    with pytest.raises(TypeError) as caught:
        moela.minimize(problem, variables={"x": (0.0, 1.0)}, n_eval=10)
    says(str(caught.value), "'variables'", "pymoo Problem", "remove")


@pytest.fixture(scope="module")
def result():
    return moela.minimize(sink, **SINK, **QUIET, n_eval=60)


def test_choosing(result):
    for call, words in (
        (lambda: result.by_weights([1]), ("'weights'", "'mass', 'rise'")),
        (lambda: result.by_weights({"mas": 1}), ("'mas'", "Did you mean 'mass'?")),
        (lambda: result.by_weights({"mass": -1, "rise": 1}), ("weights", "negative")),
        (lambda: result.by_reference({"mass": 1}), ("'point'", "'mass', 'rise'")),
        (lambda: result.explain(1000), ("from 0 to",)),
        (lambda: result.explain("best"), ("integer", "'best'")),
        (lambda: result.best, ("knee()", "mass, rise")),
        (lambda: result.save("front.xlsx"), (".csv or .json", "front.xlsx")),
    ):
        with pytest.raises((TypeError, ValueError, IndexError)) as caught:
            call()
        says(str(caught.value), *words)


def test_suspicious_variables_are_pointed_out(caplog):
    moela.minimize(
        lambda d: (d["x"], d["y"]),
        variables={"x": (0, 1), "y": [0.5, 2]},
        objectives=["a", "b"],
        n_eval=4,
        **QUIET,
    )
    says(caplog.text, "Did you mean bool, or (0.0, 1.0)", "(0.5, 2) for bounds")

"""Designs given to a problem of a function: dictionaries, tables, and earlier results."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from function_cases import QUIET
from pymoo.problems import get_problem

import moela
from moela import MOELA
from moela.functions.tables import read_designs

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


@pytest.mark.parametrize("options", [[1, "1", 2], ["a", " a"], [True, "True"]])
def test_a_table_in_which_two_options_look_the_same_is_not_guessed_at(tmp_path, options):
    def simulate(d):
        return {"a": d["x"], "b": 1 - d["x"]}

    settings = {
        "variables": {"option": moela.choice(options), "x": (0.0, 1.0)},
        "objectives": ["a", "b"],
        **QUIET,
    }
    result = moela.minimize(simulate, n_eval=30, **settings)
    table = result.save(tmp_path / "all.csv", all=True)
    for given in ("start", "known"):
        with pytest.raises(ValueError, match=r"column 'option'.*look the same in a table"):
            moela.minimize(simulate, n_eval=30, **{given: table}, **settings)


def forms(result):
    """Return the designs of a result in every form in which its user may have them."""
    designs = result.designs
    return (
        result, result.front, list(result.front), iter(result.front), designs, iter(designs),
        dict(enumerate(designs)).values(),
    )  # fmt: skip


def test_fronts_candidates_and_iterables_are_designs(tmp_path):
    settings = {"variables": VARIABLES, "objectives": ["f", "g"], "n_eval": 20, **QUIET}
    result = moela.minimize(fall, **settings)
    result.save(tmp_path / "front.csv")
    same(first_of(result.knee()), [result.knee().design])
    for given in forms(result):
        same(first_of(given), result.designs)
    for given in (*forms(result), tmp_path / "front.csv", str(tmp_path / "front.csv")):
        again = moela.minimize(fall, start=given, **settings)
        same(list(again.table(all=True)), result.designs)
    again = moela.minimize(fall, start=result.knee(), **settings)
    same(list(again.table(all=True)), [result.knee().design])


def test_a_front_whose_conditional_variable_exists_nowhere_is_a_start(tmp_path):
    variables = {"x": (0.0, 1.0), "fan": bool, "rpm": moela.real(1, 9, when={"fan": True})}
    about = {"variables": variables, "objectives": ["f", "g"], **QUIET}
    first = moela.minimize(lambda d: (d["x"], 1 - d["x"] + d.get("rpm", 0)), n_eval=60, **about)
    front = first.save(tmp_path / "front.csv")
    frame = first.to_frame()
    assert frame["rpm"].isna().all()
    for start in (front, frame, frame.drop(columns="rpm")):
        again = moela.minimize(lambda d: (d["x"], 1.0), start=start, n_eval=5, **about)
        assert again.to_frame(all=True)["x"][0] == first.designs[0]["x"]


def test_pymoo_problems_start_from_the_same_forms(tmp_path):
    bnh = get_problem("bnh")
    result = moela.minimize(bnh, n_eval=20, store=tmp_path / "run.db", **QUIET)
    result.save(tmp_path / "front.csv")
    front = [ind.X.tolist() for ind in result.front.population]
    for given in (*forms(result)[:-1], str(tmp_path / "front.csv"), tmp_path / "run.db"):
        again = moela.minimize(bnh, start=given, n_eval=20, **QUIET)
        first = [ind.X.tolist() for ind in again.population[: len(front)]]
        assert sorted(first) == sorted(front)
    again = moela.minimize(bnh, start=result.knee(), n_eval=20, **QUIET)
    assert list(again.population[0].X) == list(result.knee().design.values())


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        (pandas.DataFrame({"A": [1.0], "B": [2.0], "K": ["u"]}), r"called 'a', 'b', 'k'.*Got the"),
        (pandas.DataFrame({"params_a": [1.0]}), r"Got the columns 'params_a'.*designs_of_study"),
        (pandas.DataFrame({"a": [1.0], "k": ["u"]}), r"Design 0 of 'sampling'.*none called 'b'"),
        ([{"a": 99.0, "b": 1.0, "k": "u"}], r"Design 0 of 'sampling'.*'a'.*from 0.001 to 10"),
        ([DESIGNS[0], {**DESIGNS[0], "q": 1}], r"Design 1 of 'sampling'.*no variable 'q'"),
    ],
)
def test_other_names_are_refused(sampling, words):
    with pytest.raises(ValueError, match=words):
        first_of(sampling)


def test_a_store_in_place_of_a_table_is_refused_with_what_takes_it(tmp_path):
    settings = {"variables": VARIABLES, "objectives": ["f", "g"], "n_eval": 20, **QUIET}
    path = tmp_path / "run.db"
    moela.minimize(fall, store=path, **settings)
    with pytest.raises(ValueError, match=r"run\.db must be a table .* Got a store .*--known"):
        read_designs(path, problem())


@pytest.mark.parametrize("empty", [None, "", " "])
def test_an_empty_cell_is_the_option_that_is_written_so(tmp_path, empty):
    def choose(d):
        return d["x"], -d["x"] - (d["k"] == empty) - d.get("y", 0.0)

    variables = {
        "k": [empty, "None of these", 2],
        "only": moela.choice([empty, "a"], when={"k": 2}),
        "x": (0.0, 1.0),
        "y": moela.real(0.0, 1.0, when={"k": 2}),
    }
    settings = {"variables": variables, "objectives": ["a", "b"], "n_eval": 20, **QUIET}
    result = moela.minimize(choose, **settings)
    result.save(tmp_path / "all.csv", all=True)
    rows = [{name: row[name] for name in variables} for row in result.table(all=True)]
    assert any(row["k"] == empty for row in rows)
    starts = [tmp_path / "all.csv"]
    if empty != " ":  # pandas keeps it
        # By itself, pandas 2 rounds the last digit.
        exact = dict.fromkeys(["x", "y"], lambda cell: float(cell or "nan"))
        starts.append(pandas.read_csv(tmp_path / "all.csv", converters=exact))
    for start in starts:
        again = moela.minimize(choose, start=start, **settings).table(all=True)
        assert [{name: row[name] for name in variables} for row in again] == rows


def test_designs_beyond_the_budget_are_counted_in_a_warning(caplog):
    settings = {"variables": VARIABLES, "objectives": ["f", "g"], "n_eval": 4, **QUIET}
    start = [{"a": 1.0, "b": float(i), "k": "u"} for i in range(6)]
    for algorithm in ("moela", "nsga2"):
        caplog.clear()
        moela.minimize(fall, **settings, start=[*start, *start], algorithm=algorithm)
        (text,) = [m for m in caplog.messages if "to start from" in m]
        assert text.startswith("2 of the 6 designs to start from will not be evaluated, since")
        assert "ends after 4 evaluations. Allow more evaluations, or start from fewer" in text
    caplog.clear()
    moela.minimize(fall, **settings, start=start[:4] * 2)
    moela.minimize(get_problem("zdt1", n_var=2), n_eval=2, start=[[0.1, 0.2], [0.3, 0.4]], **QUIET)
    assert "to start from" not in caplog.text


@pytest.mark.parametrize("parameter", ["start", "known"])
@pytest.mark.parametrize("options", [["1", "2"], ["01", "2e3"], ["True", "False"]])
def test_texts_that_pandas_read_as_numbers_are_named(tmp_path, parameter, options):
    path = tmp_path / "sizes.csv"
    path.write_text(f"size,n,f,g\n{options[0]},7,1,2\n{options[1]},8,2,1\n")

    def call(given):
        return moela.minimize(
            lambda d: (1.0, 2.0), variables={"size": options, "n": [7, 8, "7"]},
            objectives=["f", "g"], n_eval=2, **{parameter: given}, **QUIET,
        )  # fmt: skip

    words = r"numbers of the texts in 'size': pass the path of the file .* dtype=\{'size': str\}"
    rows = pandas.read_csv(path)
    for given in (rows, rows[1:]):
        with pytest.raises(ValueError, match=words):
            call(given)
    call(pandas.read_csv(path, dtype={"size": str}))
    with pytest.raises(ValueError, match="must be one of 'ab', 'b'") as caught:
        moela.minimize(
            lambda d: (1.0, 2.0), variables={"size": ["ab", "b"]}, objectives=["f", "g"],
            n_eval=2, **{parameter: rows}, **QUIET,
        )  # fmt: skip
    assert "pandas" not in str(caught.value)

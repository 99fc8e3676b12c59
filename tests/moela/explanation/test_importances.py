"""Importances of variables and slices: of known functions, results and stores."""

from __future__ import annotations

import json

import numpy as np
import pytest

import moela
from moela import MinimizeResult
from moela.cli import main
from moela.explanation import forest
from moela.explanation.importances import Importances

VARIABLES = {
    "strong": (0.0, 1.0),
    "weak": (0.0, 1.0),
    "idle": (0, 9),
    "tool": ["a", "b", "c"],
    "fan": bool,
    "rpm": moela.real(1.0, 100.0, log=True, when={"fan": True}),
    "order": moela.permutation(4),
}


def known(d):
    """Return objectives of reals and of labels, beside a conditional variable and an order."""
    first = 3 * d["strong"] + 0.5 * d["weak"]
    tool = {"a": 0.0, "b": 2.0, "c": 5.0}[d["tool"]]
    second = tool + 2 * np.log(d.get("rpm", 1.0)) + d["order"].index(0)
    return {"first": first, "second": -second, "other": 1.0}


PROBLEM = {"variables": VARIABLES, "objectives": {"first": "min", "second": "max"}}


@pytest.fixture
def small_forests(monkeypatch):
    """Let forests have few trees, for tests that do not ask how good they are."""
    monkeypatch.setattr(forest, "_N_TREES", 10)
    monkeypatch.setattr(forest, "_N_REPEATS", 2)


@pytest.fixture(scope="module")
def designs():
    problem = moela.problem(known, **PROBLEM)
    X = problem._space.sample(300, np.random.default_rng(1))
    return [problem.decode(x) for x in X]


@pytest.fixture(scope="module")
def found(designs):
    F = [[known(d)["first"], known(d)["second"]] for d in designs]
    return Importances(designs, F, ["first", "second"], senses=[1, -1], log=["rpm"])


def test_variables_are_ranked_by_what_they_do(found):
    first, second = found.importances["first"], found.importances["second"]
    assert max(first, key=first.get) == "strong"
    # Shuffling "weak" loses 0.028 of the variance twice; noise is an order below.
    assert first["strong"] > 10 * first["weak"] > 0.2
    assert abs(first["tool"]) < 0.02
    assert set(sorted(second, key=second.get)[-4:]) == {"tool", "fan", "rpm", "order"}
    # R2 of three quarters of the designs; 0.9 and more is what a forest reaches here.
    assert found.r2["first"] > 0.9
    assert found.r2["second"] > 0.8
    assert "The forest predicts it well" in repr(found)


def test_noise_is_said_to_mean_nothing(designs):
    noise = np.random.default_rng(2).random((len(designs), 1))
    found = Importances(designs, noise, ["luck"])
    assert found.r2["luck"] < 0.3
    assert "mean nothing" in repr(found)
    axes = found.plot().axes[0]
    assert "means nothing" in axes.texts[0].get_text()


@pytest.mark.usefixtures("small_forests")
def test_one_seed_gives_one_result(designs):
    F = [[known(d)["first"]] for d in designs[:60]]
    runs = [Importances(designs[:60], F, ["first"], random_state=k).importances for k in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.usefixtures("small_forests")
@pytest.mark.parametrize(
    ("variable", "output", "log"),
    [
        (lambda x: 1e-9 + 5e-8 * x, lambda y: 1e-9 * y, []),
        (lambda x: 1e300 * x, lambda y: 1e200 * y, []),
        (lambda x: 1e8 + x, lambda y: 1e8 + y, []),
        (lambda x: 10.0 ** (9 * x - 9), lambda y: y, ["a"]),
    ],
)
def test_importances_and_slices_do_not_depend_on_units(variable, output, log):
    X = np.random.default_rng(0).random((100, 2))
    y = 3 * X[:, :1] + X[:, 1:] ** 2
    plain, other = (
        Importances([{"a": change(a), "b": b} for a, b in X], Y, ["f"], log=by)
        for change, Y, by in ((lambda x: x, y, []), (variable, output(y), log))
    )
    assert plain.r2["f"] > 0.8
    for name in "ab":
        assert other.importances["f"][name] == pytest.approx(plain.importances["f"][name], abs=1e-3)
    one, two = plain.slice("f", "a"), other.slice("f", "a")
    np.testing.assert_allclose(two.at, variable(one.at), rtol=1e-3)
    np.testing.assert_allclose(two.mean, output(one.mean), rtol=1e-3)


@pytest.mark.parametrize("every", [40, 4])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_penalties_do_not_hide_effects_and_are_counted(designs, every, sign, small_forests):
    values = np.array([[sign * known(d)["first"]] for d in designs])
    values[::every] = sign * 1e9
    values[::80] = sign * 1e12
    found = Importances(designs, values, ["first"], senses=[sign], log=["rpm"])
    assert found.importances["first"]["strong"] > 0.3
    assert abs(found.limits("first")[sign > 0]) < 100
    n = 300 // every + (300 % every > 0)
    assert found.moved == {"first": n}
    note = f"first: {n} of 300 values are worse than the others by orders of magnitude."
    assert note in str(found)
    assert note in found._repr_html_()
    words = f"without {n} penalty values"
    assert any(words in text.get_text() for text in found.plot().axes[0].texts)
    assert words in found.plot_slices(["strong"]).axes[0].get_title(loc="left")


def test_effects_on_a_run_that_has_settled_are_no_penalties(small_forests):
    # Most designs are at a bound, so that the quartiles nearly coincide.
    rng = np.random.default_rng(3)
    near = rng.random(90) < 0.8
    h = np.where(near, 0.01 + 1e-6 * rng.random(90), rng.uniform(0.01, 0.06, 90))
    label = rng.permutation(np.arange(90) % 6 == 0)
    designs = [{"h": float(a), "round": bool(b)} for a, b in zip(h, label, strict=True)]
    for jump in (5.0, 30.0):
        found = Importances(designs, [[100 * d["h"] + jump * d["round"]] for d in designs], ["f"])
        assert found.moved == {"f": 0}
        assert found.order()[0] == "round"
        assert "penalties" not in str(found)


def test_slices(found):
    # The line rises by 3; averages over a forest are closer together, most of all at its ends.
    rising = found.slice("first", "strong")
    assert rising.mean[-1] - rising.mean[0] == pytest.approx(2.6, abs=0.6)
    tools = found.slice("second", "tool")
    assert tools.at.tolist() == [0.0, 1.0, 2.0]
    # Tools differ by 2 and by 3.
    assert np.diff(tools.mean).tolist() == pytest.approx([-1.8, -2.7], abs=0.6)
    assert found.slice("first", "order") is None
    # Only designs with a fan have a speed.
    values, _, _ = found.points("second", "rpm")
    assert 100 < len(values) < 200
    assert np.isfinite(values).all()


def test_pictures(found, tmp_path):
    figure = found.plot(path=tmp_path / "importances.png")
    assert [axes.get_title() for axes in figure.axes] == ["first", "second"]
    assert "R2 = " in figure.axes[0].texts[0].get_text()
    slices = found.plot_slices(["rpm", "tool"], path=tmp_path / "slices.png")
    assert slices.axes[0].get_xscale() == "log"
    assert [t.get_text() for t in slices.axes[1].get_xticklabels()] == ["a", "b", "c"]
    assert (tmp_path / "importances.png").stat().st_size > 1000
    assert (tmp_path / "slices.png").stat().st_size > 1000
    # The default leaves out the permutation.
    assert len(found.plot_slices().axes) == 8
    assert "<img" in found._repr_html_()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: f.plot_slices(["strng"]), ("'strng'", "Did you mean 'strong'")),
        (lambda f: f.plot_slices([]), ("not empty",)),
        (lambda f: f.plot_slices("strong"), ("a list", "'strong'")),
        (lambda f: f.slice("firts", "strong"), ("'firts'", "'first'")),
    ],
)
def test_mistakes(found, call, words):
    with pytest.raises(ValueError, match=r".") as error:
        call(found)
    assert all(word in str(error.value) for word in words)


def test_too_few_or_equal_designs_are_refused(designs):
    with pytest.raises(ValueError, match=r"at least 30 different designs.*Got 29"):
        Importances(designs[:29] * 2, np.zeros((58, 1)), ["f"])
    with pytest.raises(ValueError, match="random_state"):
        Importances(designs, np.zeros((300, 1)), ["f"], random_state=-1)


@pytest.mark.usefixtures("small_forests")
def test_a_variable_that_never_changes_is_named(designs):
    same = [d | {"idle": 1} for d in designs]
    found = Importances(same, [[d["strong"]] for d in designs], ["first"])
    assert "The same in all designs: idle." in repr(found)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("explain") / "run.db"
    settings = PROBLEM | {"constraints": {"other": (None, 2)}, "n_eval": 60}
    result = moela.minimize(known, **settings, store=path, verbose=False, progress=False)
    return path, result


@pytest.mark.usefixtures("small_forests")
def test_a_store_gives_the_same_as_the_result(stored):
    path, result = stored
    again = MinimizeResult.from_store(path)
    assert again.front.designs == result.front.designs
    np.testing.assert_array_equal(again.front.F, result.front.F)
    assert again.front.names == ("first", "second")
    assert again.explain(0) == result.explain(0)
    assert again.importances().importances == result.importances().importances
    assert again.table(all=True).rows == result.table(all=True).rows
    assert again.ending == "run 1, done after 60 of 60 evaluations"
    with pytest.raises(Exception, match="not the function"):
        again.problem.evaluate(again.population.get("X"))


@pytest.mark.usefixtures("small_forests")
def test_the_command(stored, tmp_path, capsys):
    path, result = stored
    pictures = [tmp_path / "i.png", tmp_path / "s.png"]
    words = ["explain", str(path), "--importances", str(pictures[0]), "--slices", str(pictures[1])]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert str(result.explain(result.knee())) in text
    assert "R2" in text
    assert all(picture.stat().st_size > 1000 for picture in pictures)
    assert main(["explain", str(path), "--design", "0", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["explanation"] == str(result.explain(0))
    assert value["importances"]["first"]["of"] == result.importances().importances["first"]


@pytest.mark.usefixtures("small_forests")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--design", "900"], ("--design", "from 0 to", "900")),
        (["--run", "7"], ("'run' parameter", "7")),
        (["--slices", "s.png", "--variables", "strng"], ("Did you mean 'strong'",)),
        (["--variables", "strong"], ("--slices",)),
    ],
)
def test_mistakes_of_the_command(stored, options, words, capsys):
    assert main(["explain", str(stored[0]), *options]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)
    assert error.count("\n") == 1

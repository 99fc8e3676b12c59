"""Options that Python cannot write or print: runs, results and messages do not depend on texts."""

from __future__ import annotations

import csv

import pytest
from function_cases import QUIET

import moela
from moela._spelling import printed, spelled
from moela.quality.words import shown


class Mute:
    def __init__(self, value):
        self.value = value

    def __repr__(self):
        raise RuntimeError("no text")


class Unprintable(Mute):
    def __repr__(self):
        return f"Unprintable({self.value})"

    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("kind", [Mute, Unprintable])
def test_runs_and_results_of_options_without_a_text(tmp_path, kind, capsys):
    options = [kind(1), kind(2), kind(3)]

    def simulate(d):
        if d["x"] > 0.9:
            raise ValueError("no mesh")
        size = d["x"] * d["option"].value
        return {"a": size, "b": 1 / size + d["option"].value, "used": d["option"]}

    variables = {"x": (0.1, 1.0), "option": options}
    settings = {"variables": variables, "objectives": ["a", "b"], "on_error": "infeasible"}
    settings |= {"n_eval": 40, "store": tmp_path / "run.db"}
    result = moela.minimize(simulate, **settings, progress=False)
    assert "option  one of" in capsys.readouterr().out
    assert result.failures
    for text in (str(result), repr(result), result._repr_html_(), str(result.front[0])):
        assert kind.__name__ in text
    assert "R2" in str(result.importances())
    assert kind.__name__ in str(result.explain(result.knee()))
    with result.save(tmp_path / "all.csv", all=True).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["option"] for row in rows}) == 3
    result.save(tmp_path / "all.json", all=True)
    assert moela.minimize(simulate, **settings, **QUIET).n_eval == 40
    with pytest.raises(ValueError, match=f"must be one of .*{kind.__name__}"):
        moela.minimize(simulate, **settings, **QUIET, start={"x": 0.5, "option": kind(4)})
    with pytest.raises(ValueError, match=f"'n_eval' .* Got .*{kind.__name__}"):
        moela.minimize(simulate, **(settings | {"n_eval": kind(1)}), **QUIET)


def test_texts_of_objects_in_dictionaries_lists_and_tuples():
    mute = Mute(1)
    plain = object.__repr__(mute)
    assert spelled({"x": 0.5, "o": [mute, (mute, "a")]}) == (
        f"{{'x': 0.5, 'o': [{plain}, ({plain}, 'a')]}}"
    )
    assert spelled([1, "a"]) == "[1, 'a']"
    assert printed(Unprintable(2)) == "Unprintable(2)"
    assert shown(10**5000) == "a number of many digits"
    assert shown([mute]) == f"[{plain}]"

"""Names that are the same as texts, empty or given twice, and weights of any size."""

from __future__ import annotations

import pytest

from moela import Front, compare
from moela.cli import main

POINTS = [[1.0, 4.0], [2.0, 2.5], [4.0, 1.0]]


@pytest.mark.parametrize(
    "runs",
    [
        {1: POINTS, "1": POINTS},
        {"P": {"a": POINTS}, 7: {"a": POINTS}, "7": {"a": POINTS}},
    ],
)
def test_names_that_are_the_same_as_texts_are_refused(runs):
    with pytest.raises(ValueError, match="must have different names as texts"):
        compare(runs)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["={path}"], "without a name"), (["{path}", "--objectives", "cost,cost"], "'cost' twice")],
)
def test_empty_and_repeated_names_are_refused(tmp_path, capsys, words, message):
    path = tmp_path / "c1.csv"
    path.write_text("cost,delay\n1,4\n2,3\n")
    assert main(["compare", *(word.format(path=path) for word in words)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["explain", "run.db"], "--design"),
        (["explain", "run.db"], "--seed"),
        (["run", "function.py:simulate"], "--seed"),
    ],
)
def test_numbers_of_designs_and_seeds_begin_at_0(capsys, words, option):
    with pytest.raises(SystemExit, match="2"):
        main([*words, option, "-1"])
    assert f"argument {option}: must be an integer of at least 0" in capsys.readouterr().err


def test_weights_may_be_of_any_size():
    front = Front(POINTS)
    for weights in ([1.0, 1.7], [0.3, 0.1], [0.0, 1.0]):
        chosen = {front.by_weights([w * scale for w in weights]) for scale in (1.0, 1e308, 1e-308)}
        assert len(chosen) == 1


def test_names_of_objectives_become_texts_and_numbers_of_designs_are_said():
    assert Front(POINTS, names=[1, 2]).table().rows[0] == {"1": 1.0, "2": 4.0}
    with pytest.raises(ValueError, match=r"must be 3 of them, one per row of F\. Got 2 instead"):
        Front(POINTS, [[1], [2]])

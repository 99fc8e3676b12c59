"""Tables as text and Markdown, and the design that dominates the largest box."""

from __future__ import annotations

import numpy as np
import pytest

from moela.quality.front import largest_box
from moela.quality.table import Table

ROWS = [
    {"name": "a", "n": 5, "value": 1.23456, "known": True},
    {"name": "bcd", "n": None, "value": float("nan"), "known": False},
]


def test_numbers_are_aligned_to_the_right():
    lines = str(Table(ROWS)).splitlines()
    assert lines == [
        "name     n  value  known",
        "a        5  1.235  True",
        "bcd   None      -  False",
    ]
    assert str(Table([])) == "no rows"


def test_columns_of_numbers_have_formats():
    table = Table(ROWS, {"value": "+.1f"})
    assert "+1.2" in str(table)
    assert "+1.2" in str(table.where(n=5))
    assert table.numeric_columns == {"n", "value"}


def test_latex():
    table = Table([{"name_of": "50 % & more \\ {x}", "value": 1.23456}])
    assert table.to_latex().splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"name\_of & value \\",
        r"\midrule",
        r"50 \% \& more \textbackslash{} \{x\} & 1.235 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert Table([]).to_latex() == ""


def test_csv(tmp_path):
    path = Table(ROWS).to_csv(tmp_path / "rows.csv")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == ["name,n,value,known", "a,5,1.23456,True", "bcd,,nan,False"]
    with pytest.raises(FileNotFoundError, match="make the folder"):
        Table(ROWS).to_csv(tmp_path / "missing" / "rows.csv")


def test_markdown():
    assert Table(ROWS[:1]).to_markdown() == (
        "| name | n | value | known |\n| --- | --- | --- | --- |\n| a | 5 | 1.235 | True |"
    )
    assert Table([]).to_markdown() == ""


@pytest.mark.parametrize(
    ("ref_point", "row"),
    # Boxes of 0, 4 and 0 to the nadir; of 105, 69 and 25 to (5, 25). No point is better than
    # (0, 0), so the nadir is used.
    [(None, 1), ([5.0, 25.0], 0), ([0.0, 0.0], 1)],
)
def test_largest_box_by_hand(ref_point, row):
    F = np.array([[0.0, 4.0], [2.0, 2.0], [4.0, 0.0]])
    assert largest_box(F, ref_point) == row


def test_an_objective_without_range_does_not_count_in_the_largest_box():
    F = np.array([[0.0, 1.0, 7.0], [0.4, 0.4, 7.0], [1.0, 0.0, 7.0]])
    assert largest_box(F) == 1
    assert largest_box(F, [2.0, 2.0, 7.0]) == 1  # no row is better than it in every objective

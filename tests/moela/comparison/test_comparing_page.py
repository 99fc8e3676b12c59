"""What the page on comparing shows works."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from moela import compare
from moela.quality import indicators

PAGE = Path(__file__).parents[3] / "docs" / "comparing.md"


def test_blocks_run_one_after_another(tmp_path, monkeypatch, capsys):
    pytest.importorskip("plotly")
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {"__name__": "page"})
    assert {"report.html", "pictures", "runs"} <= {path.name for path in tmp_path.iterdir()}
    assert "largest median hypervolume" in capsys.readouterr().out


def test_sizes_named_are_those_of_the_library():
    text = PAGE.read_text(encoding="utf-8")
    said = re.search(r"Exact up to ([\d,]+) points in 5 objectives, (\d+) in 6, (\d+) in 7", text)
    sizes = [int(group.replace(",", "")) for group in said.groups()]
    assert sizes == [indicators.EXACT_UP_TO[m] for m in (5, 6, 7)]
    said = re.search(r"exact up to (\d+) points in 5 objectives, (\d+) in 6, (\d+) in 7", text)
    assert [int(n) for n in said.groups()] == [
        indicators.EXACT_CONTRIBUTIONS_UP_TO[m] for m in (5, 6, 7)
    ]


def test_table_shown_can_be_compared(tmp_path):
    (table,) = re.findall(r"```\n(algorithm,.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    comparison = compare(tmp_path / "table.csv")
    assert comparison.algorithms == ["mine", "theirs"]
    assert comparison.scales["problem"].names == ("cost", "delay")
    assert [len(run.F) for run in comparison.runs] == [2, 1]


@pytest.mark.parametrize(
    "module", ["moela.comparison.comparing", "moela.comparison.comparison", "moela.quality.front"]
)
def test_examples_of_docstrings_run(module):
    tried = doctest.testmod(importlib.import_module(module))
    assert tried.attempted > 0
    assert tried.failed == 0

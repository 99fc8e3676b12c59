"""The code on the page about networks-on-chip runs as it stands."""

import re
from pathlib import Path

import numpy as np

from problems.noc import Platform, synthetic_traffic
from problems.noc.evaluation.metrics import UNITS

PAGE = Path(__file__).parents[3] / "docs" / "noc.md"


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(("bfs", "pf", "gau")):
        traffic = synthetic_traffic(name, Platform.paper_4x4x4(), np.random.default_rng(k))
        np.savetxt(f"{name}_traffic.csv", traffic * 2e8)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    space = {}
    for block in blocks:
        exec(block, space)
    assert Platform.load("chip.json") == space["chip"]
    assert space["problem"].held_out is not None


def test_the_page_names_every_metric():
    table = PAGE.read_text(encoding="utf-8").partition("| name |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(UNITS)

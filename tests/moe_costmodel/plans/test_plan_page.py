import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

PAGE = Path(__file__).parents[3] / "docs/moe_plans.md"


def test_the_page_on_plans_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(compile(block, "moe_plans.md", "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out
    assert "What to expect" in printed
    assert "--kt-num-gpu-experts" in printed
    assert (tmp_path / "plan.json").exists()

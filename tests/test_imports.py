"""A fresh Python imports the packages without a warning, from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_imports_give_no_warning(tmp_path):
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    statement = "import moela, problems, moe_costmodel"
    command = [sys.executable, "-W", "error", "-c", statement]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")

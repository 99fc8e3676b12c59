"""A user's module that hides a package of the library is named, and is not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moela.files.packages import hidden, require

PACKAGES = ("moela", "problems", "moe_costmodel")


@pytest.mark.parametrize("package", PACKAGES)
def test_own_packages_are_found(package):
    assert hidden(package) is None
    require(package)


@pytest.mark.parametrize("package", ["problems", "moe_costmodel"])
@pytest.mark.parametrize("place", ["{}.py", "{}/__init__.py"])
def test_what_hides_a_package_is_named_and_not_run(package, place, tmp_path, monkeypatch):
    path = tmp_path / place.format(package)
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit('was run')\n")
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"hides the one that belongs to moela: .*\. Rename it"):
        require(package)
    assert str(path) in hidden(package)


def test_a_folder_without_code_hides_nothing(tmp_path, monkeypatch):
    (tmp_path / "problems").mkdir()
    monkeypatch.delitem(sys.modules, "problems", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert hidden("problems") is None


def test_a_module_put_in_place_of_a_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "problems", type(sys)("problems"))
    assert "hides" in hidden("problems")


def test_the_problems_of_moe_name_what_hides_the_cost_model(tmp_path):
    (tmp_path / "moe_costmodel.py").write_text("x = 1\n")
    code = "import sys; sys.path.insert(0, '.'); from problems import MoEDeployment"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert "ImportError: Another module named 'moe_costmodel' hides" in done.stderr
    assert "Rename it" in done.stderr

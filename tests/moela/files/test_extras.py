"""An optional package that is missing is named with the extra that brings it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from moela.files.extras import EXTRAS, how_to_install, needed_by


def test_the_extra_is_named():
    with (
        pytest.raises(
            ModuleNotFoundError, match=r"this needs pandas: pip install 'moela\[report\]'"
        ),
        needed_by("this"),
    ):
        raise ModuleNotFoundError("No module named 'pandas.core'", name="pandas.core")


def test_other_modules_keep_their_error():
    with pytest.raises(ModuleNotFoundError, match="No module named 'missing'"), needed_by("this"):
        raise ModuleNotFoundError("No module named 'missing'", name="missing")
    assert how_to_install(ModuleNotFoundError("no name")) is None


def test_extras_bring_their_packages():
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    names = {"yaml": "pyyaml", "aiconfigurator_core": "aiconfigurator-core"}
    for package, extra in EXTRAS.items():
        listed = [re.split("[>=;]", word)[0] for word in project["optional-dependencies"][extra]]
        assert names.get(package, package) in listed

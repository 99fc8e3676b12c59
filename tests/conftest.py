"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of the shared instances."""
    folder = os.environ.get("MOELA_DATA")
    if not folder:
        pytest.skip("MOELA_DATA is not set, so the shared instances cannot be read")
    return Path(folder)

"""A store that the tests of watching read."""

import pytest

from tests.moela.watch import watch_cases as cases


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return a store with two runs, the second one stopped before its end."""
    path = tmp_path_factory.mktemp("watch") / "run.db"
    cases.run(path)
    return cases.run(path, 120, budget=400, seed=2)

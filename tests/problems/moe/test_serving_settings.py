"""Settings of serving problems: what cannot be served is named before the search."""

from __future__ import annotations

import numpy as np
import pytest

from moe_costmodel import Placement, RoutingTrace, contiguous
from problems import MoEServing
from tests.moe_costmodel.silicon.tables import CONFIG, write_tables

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    root = write_tables(tmp_path_factory.mktemp("systems"))

    def made(**settings):
        known = {"n_gpus": 4, "input_tokens": 256, "output_tokens": 64, "root": root}
        return MoEServing(CONFIG, "toy", **known | settings)

    return made


def test_commands_of_mixed_plans_say_that_sglang_separates_prompts(make, tmp_path):
    for mode, backend, noted in (
        ("mixed", "sglang", True),
        ("decode", "sglang", False),
        ("mixed", "vllm", False),
    ):
        problem = make(mode=mode, backend=backend)
        (export,) = problem.plan(problem.starts()[0]).export(tmp_path, model="m")
        assert any("--enable-mixed-chunk" in note for note in export.notes) == noted

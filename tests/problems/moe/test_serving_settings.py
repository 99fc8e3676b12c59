"""Settings of serving problems: what cannot be served is named before the search."""

from __future__ import annotations

import numpy as np
import pytest

from moe_costmodel import GateRule, RoutingTrace, contiguous
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


@pytest.fixture(scope="module")
def loads():
    return RoutingTrace.from_counts(np.random.default_rng(0).integers(1, 9, (4, 8)))


def test_settings_that_nothing_serves_are_named(make, loads):
    for settings, message in (
        ({"redundant_experts": [3]}, r"'redundant_experts'.*such as 0 .*Got \[3\]"),
        (
            {"sequences": [256], "max_num_batched_tokens": [16, 32]},
            r"'max_num_batched_tokens'.*room for tokens of prompts.*256\).*Got \[16, 32\]",
        ),
        (
            {"loads": RoutingTrace.from_counts(np.ones((3, 8)))},
            "'loads' parameter of MoEServing must be traces of 4 MoE layers.*Got 3 of 8 in",
        ),
        ({"current": contiguous(4, 8, 2)}, "'current'.*None without `loads`"),
        (
            {"current": contiguous(3, 8, 2), "loads": loads},
            "'current'.*4 MoE layers of 8 experts.*Got '3 layers of 8'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make(**settings)
    assert "current" in make(loads=loads, current=contiguous(4, 8, 2)).methods


def test_batches_without_room_for_prompts_are_infinitely_slow(make):
    problem = make(
        sequences=[8, 64], max_num_batched_tokens=[32], objectives=["tpot_p99", "memory_bytes"]
    )
    row = problem.columns.base_row()
    for sequences, finite in ((0, True), (1, False)):
        row[problem.columns.pools[0].start + 1] = sequences
        assert np.isfinite(problem.served(row).values["tpot_p99"]) == finite
    starts = [problem.served(row).values["tpot_mean"] for row in problem.starts()]
    assert np.isfinite([*starts, *problem.ref_point]).all()


def test_layers_can_do_without_rules_that_always_drop(make):
    """A plan without rules loses nothing, and takes the time of all choices."""
    rng = np.random.default_rng(0)
    ids = np.argsort(rng.random((60, 4, 8)), axis=2)[:, :, :2]
    tokens = RoutingTrace(ids, rng.random((60, 4, 2)), n_experts=8)
    hard = [GateRule("skip", 0.9), GateRule("top-k", 1)]
    objectives = ("tokens_per_s_per_user", "quality_loss")
    problem, plain = (make(loads=tokens, objectives=objectives, rules=rules)
                      for rules in (hard, [*hard, GateRule("top-k", 2)]))  # fmt: skip
    row = problem.columns.base_row()
    assert problem.plan(row).gates == (None,) * 4
    assert problem.describe(row) == plain.describe(plain.columns.base_row())
    assert problem.describe(row)["quality_loss"] == 0.0
    row[problem.columns.gates] = 1
    plan = problem.plan(row)
    assert plan.gates[0] in hard
    assert plan.ungated["quality_loss"] == 0.0 < plan.objectives["quality_loss"].value

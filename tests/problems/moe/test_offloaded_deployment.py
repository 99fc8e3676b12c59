import numpy as np
import pytest

from moe_costmodel import Admission, MissCost, OffloadRule, Plan, RoutingTrace
from problems.moe import MoEDeployment

# On the example's measured machine a layer takes about 0.2 ms.
COST = MissCost(0.0, per_miss=2e-5, per_upload=6e-5, hidden=1e-4)
STATIC = OffloadRule(admission=Admission(per_step=0))
RULES = (STATIC, OffloadRule("lru"), OffloadRule("decay", Admission(after=2), half_life=256.0))
SETTINGS = {
    "n_devices": 1, "decide": ["buffers"], "batch_sizes": [4], "memory_budget": np.inf,
    "objectives": ["step_mean_s", "memory_bytes"],
}  # fmt: skip


@pytest.fixture(scope="module")
def problem():
    return MoEDeployment.example(
        cost=COST, offload_rules=RULES, start=RoutingTrace.example("code"), **SETTINGS
    )


def row_of(problem, kept, rule):
    row = problem.starts()[0].copy()
    row[problem.layout.capacities], row[problem.layout.policy] = kept, rule
    return row


def test_rules_are_chosen_and_steps_take_what_they_cost(problem):
    for i, rule in enumerate(RULES):
        row = row_of(problem, 16, i)
        plan = problem.decode(row)
        assert plan.offload == rule
        assert plan.start.shape == (6, 32)
        assert problem.decided(row)[1] == str(rule)
        F = problem.evaluate(row[None], return_values_of=["F"])[0]
        evaluation = problem.model.evaluate(plan)
        assert F[0] == evaluation["step_mean_s"]
        assert evaluation["miss_mean_s"] > 0
    resident = row_of(problem, 32, 1)
    assert problem.decode(resident).offload is None
    assert problem.decided(resident)[1] == "all resident"
    assert problem.canonical(resident[None])[0, problem.layout.policy] == 0


def test_a_plan_is_saved_with_its_rule(problem, tmp_path):
    plan = problem.decode(row_of(problem, 8, 2))
    back = Plan.load(plan.save(tmp_path / "plan.json"))
    assert back == plan
    assert back.offload == RULES[2]
    check = problem.check_plan(back, RoutingTrace.example("prose"))
    assert "step_p99_s" in str(check)


def test_the_search_has_every_rule_to_start_from_and_moves_among_them(problem):
    path = problem.layout.known["buffers"]
    assert set(path[:, -1]) == {0, 1, 2}
    random = np.random.default_rng(0)
    sampled = problem.sampled(40, random)
    problem.check(sampled)
    moved = problem.moved(sampled, random, max_moves=3)
    problem.check(moved)
    assert len(set(moved[:, problem.layout.policy])) == 3
    assert problem.features(moved).shape[1] == len(problem.feature_names)
    assert np.isfinite(problem.evaluate(moved[:5], return_values_of=["F"])).all()


def test_what_a_miss_costs_decides(problem):
    """A static list wins if uploads are dear; uploads win on other traffic if they are cheap."""
    settings = SETTINGS | {"start": RoutingTrace.example("prose"), "offload_rules": RULES}
    static, lru = row_of(problem, 16, 0), row_of(problem, 16, 1)
    for per_upload, better in ((1e-3, static), (1e-7, lru)):
        other = MoEDeployment.example(cost=MissCost(0.0, 1e-4, per_upload), **settings)
        F = other.evaluate(np.stack([static, lru]), return_values_of=["F"])[:, 0]
        assert F.argmin() == (better is lru)


def test_several_devices_have_buffers_of_their_own():
    problem = MoEDeployment.example(
        cost=COST, offload_rules=RULES, start=RoutingTrace.example("code"),
        **(SETTINGS | {"n_devices": 2, "decide": ["buffers", "placement"]}),
    )  # fmt: skip
    row = row_of(problem, 5, 2)
    assert problem.decode(row).offload == RULES[2]
    assert problem.evaluate(row[None], return_values_of=["F"])[0, 0] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"offload_rules": RULES}, "'offload_rules'.*no cost"),
        ({"cost": COST, "policies": ["lru"]}, "'policies'.*use offload_rules"),
        ({"cost": COST, "offload_rules": [STATIC]}, "no start"),
        ({"cost": COST, "offload_rules": [OffloadRule("min")]}, "the future"),
        ({"cost": COST, "replicas": 2, "n_devices": 2}, "'replicas'"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        MoEDeployment.example(**(SETTINGS | settings))

import numpy as np
import pytest

from moe_costmodel import Admission, MissCost, RoutingTrace, expert_streams, offload_curves
from problems.moe import ExpertBuffering, OffloadRule

COST = MissCost(0.0, per_miss=2e-3, per_upload=5e-3)
STATIC = OffloadRule(admission=Admission(per_step=0))
GATE = OffloadRule(admission=Admission(after=4))


@pytest.fixture(scope="module")
def trace():
    return RoutingTrace.example().head(0.2)


def test_times_are_those_of_the_replay(trace):
    rules = [STATIC, GATE, OffloadRule("lru"), OffloadRule("lru", in_place=False)]
    problem = ExpertBuffering(
        trace, expert_bytes=1.0, batch_size=2, cost=COST, rules=rules, start=trace
    )
    loads = trace.loads(2)
    streams = [row[0] for row in expert_streams(loads, [0] * 32, 1)]
    start = (loads > 0).mean(axis=0)
    for i, rule in enumerate(rules):
        plan = problem.decode(np.append(np.full(6, 12), i))
        curves = offload_curves(
            streams, [12], policies=[rule.policy], admissions=[rule.admission], start=start
        )[rule.policy]
        misses = curves.misses.sum() / curves.n_steps
        uploads = curves.uploads.sum() / curves.n_steps
        expected = 2e-3 * misses + 5e-3 * uploads if rule.in_place else 5e-3 * misses
        # Costs of steps are kept as float32.
        assert plan.objectives["miss_mean_s"] == pytest.approx(expected, rel=1e-5)
        assert plan.rule == rule
        assert plan.policy == rule.policy
        assert str(rule) in str(plan)


def test_prefetch_pays_if_an_upload_is_cheap_enough():
    misses, uploads = np.array([10]), np.array([0])
    rule = OffloadRule(admission=Admission(per_step=0), precision=0.5, recall=0.5)
    plain = OffloadRule(admission=Admission(per_step=0))
    for per_upload, pays in ((0.9e-3, True), (1.1e-3, False)):
        cost = MissCost(0.0, 2e-3, per_upload)
        with_prefetch = rule.seconds(misses, uploads, cost, 0.0)
        assert (with_prefetch < plain.seconds(misses, uploads, cost, 0.0)).all() == pays
    assert plain.seconds(misses, np.array([2]), MissCost(0, 1.0, 1.0), 5.0) == [10.0]


def test_the_search_works_on_rules(trace):
    problem = ExpertBuffering(trace, expert_bytes=1.0, batch_size=2, cost=COST, start=trace)
    starts = problem.starts()
    F = problem.evaluate(starts, return_values_of=["F"])
    assert np.isfinite(F).all()
    used = {problem.decode(row).rule for row in starts}
    assert STATIC in used
    polished = problem.polished(starts[:2])
    assert (problem.evaluate(polished)[:, 1] <= F[:2, 1] + 1e-12).all()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"cost": COST, "miss_seconds": 1.0}, "miss_seconds"),
        ({"cost": COST, "policies": ["lru"]}, "policies"),
        ({"miss_seconds": 1.0, "rules": [GATE]}, "rules"),
        ({"cost": COST, "rules": [GATE, GATE]}, "rules"),
        ({}, "miss_seconds"),
    ],
)
def test_settings_that_exclude_each_other(trace, settings, name):
    with pytest.raises(ValueError, match=f"'{name}'"):
        ExpertBuffering(trace, expert_bytes=1.0, **settings)


def test_start_is_for_one_device(trace):
    with pytest.raises(ValueError, match="'start'"):
        ExpertBuffering(trace, expert_bytes=1.0, cost=COST, n_devices=2, start=trace)
    with pytest.raises(ValueError, match="'precision'"):
        OffloadRule(precision=1.5)
    with pytest.raises(ValueError, match="'recall'"):
        OffloadRule(recall=0.5)

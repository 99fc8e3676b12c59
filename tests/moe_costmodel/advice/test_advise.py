import json
from shlex import quote

import numpy as np
import pytest

from moe_costmodel import (
    DeploymentModel,
    Migration,
    Placement,
    RoutingTrace,
    advise,
    contiguous,
    greedy,
)
from moe_costmodel.advice.windows import busiest_counts, busiest_loads
from moe_costmodel.example import measured
from moela.cli import main


def skewed(rng, n_layers=6, n_experts=32, spread=1.0):
    """Return loads of one workload, [n_layers, n_experts]."""
    return rng.gamma(1.0 / spread, spread, (n_layers, n_experts)) * 1e5 + 1.0


def drifted(rng, loads, spread=0.1):
    return loads * rng.gamma(1.0 / spread, spread, loads.shape)


def steps(rng, loads, n, tokens=400):
    shares = loads / loads.sum(axis=1, keepdims=True)
    return np.stack([[rng.multinomial(tokens, row) for row in shares] for _ in range(n)])


def by_knob(found, n=None):
    return {r.knob: r for r in found.recommendations if n in (None, r.n_devices)}


def gain(placement, running, loads):
    now = busiest_loads(running, loads[None])
    return 1.0 - (busiest_loads(placement, loads[None]) / now)[0]


def test_a_sum_of_loads_is_advised_on_and_what_it_cannot_tell_is_named(rng):
    before = skewed(rng)
    later = drifted(rng, before)
    trace = RoutingTrace.from_counts(before, source="monday")
    found = advise(trace, others=[RoutingTrace.from_counts(later, source="tuesday")], devices=[8])
    knobs = by_knob(found)
    assert set(knobs) == {"placement", "redundant experts"}
    placement = knobs["placement"]
    actual = gain(placement.placement, contiguous(6, 32, 8), later)
    assert placement.adopt
    assert placement.scored["tuesday"] == pytest.approx(actual)
    assert placement.gain.low <= actual <= placement.gain.high
    for words in ("Drift over time", "Which experts meet", "no gate weights"):
        assert any(words in text for text in found.unknown)


def test_balanced_loads_are_left_alone(rng):
    # Counts of 100 a step differ by noise alone, so a fitted placement gains on nothing else.
    noise = rng.poisson(1e5, (6, 32))
    found = advise(RoutingTrace.from_counts(noise), devices=[8])
    assert not found.adopted
    many = steps(rng, np.ones((6, 32)), 64)
    assert not by_knob(advise(RoutingTrace.from_counts(many), devices=[8]))["placement"].adopt


def test_drift_that_eats_the_gain_is_named(rng):
    before = skewed(rng)
    reverse = greedy(before[None], 8)
    # On the other traffic, experts in order of ids are balanced, and the fitted ones are not.
    other = np.ones_like(before)
    for layer, device in enumerate(reverse.device_of()):
        for d in range(8):
            own = np.flatnonzero(device == d)
            other[layer, own] += 8.0 * (d == 0)
    balanced = Placement(reverse.physical_to_logical, 8)
    assert gain(balanced, contiguous(6, 32, 8), other) < 0
    found = advise(
        RoutingTrace.from_counts(before),
        others=[RoutingTrace.from_counts(other, source="other")],
        devices=[8],
    )
    placement = by_knob(found)["placement"]
    assert not placement.adopt
    assert "Drift eats the gain on other" in placement.why


def test_migration_that_eats_the_gain_is_named(rng):
    trace = RoutingTrace.from_counts(skewed(rng))
    for serving_s, adopt in ((1.0, False), (1e9, True)):
        cost = Migration(expert_bytes=1e8, bandwidth=1e9, serving_s=serving_s)
        placement = by_knob(advise(trace, devices=[8], migration=cost))["placement"]
        assert placement.adopt == adopt
        assert ("Migration eats the gain" in placement.why) != adopt
    with pytest.raises(ValueError, match="'bandwidth'"):
        Migration(1.0, 0.0, 1.0)


def test_a_short_record_is_worth_more_than_an_old_trace(rng):
    before, later = skewed(rng, spread=1.5), skewed(rng, spread=1.5)
    trace = RoutingTrace.from_counts(before)
    record = RoutingTrace.from_counts(steps(rng, later, 1, tokens=2000)[0])
    running = contiguous(6, 32, 8)
    alone = by_knob(advise(trace, devices=[8]))["placement"].placement
    both = by_knob(advise(trace, recent=record, devices=[8]))["placement"]
    assert gain(both.placement, running, later) > gain(alone, running, later) + 0.1
    assert both.adopt


def test_steps_show_drift(rng):
    loads = skewed(rng)
    steady = advise(RoutingTrace.from_counts(steps(rng, loads, 48)), devices=[4])
    placement = by_knob(steady, 4)["placement"]
    assert placement.adopt
    assert placement.gain.low <= placement.scored["second half"] <= placement.gain.high
    assert not by_knob(steady, 4)["rearrangement"].adopt
    changing = np.concatenate([steps(rng, skewed(rng), 6) for _ in range(8)])
    found = by_knob(advise(RoutingTrace.from_counts(changing), devices=[4]))
    assert not found["placement"].adopt


def test_redundant_experts_promise_nothing_that_single_tokens_cannot_keep():
    """Copies of an expert cannot share the one token that it has in a step of few tokens."""
    trace = RoutingTrace.example("code").head(0.3)
    found = by_knob(advise(trace, devices=[4], batch_size=1, max_replicas=8))["redundant experts"]
    assert not found.adopt
    assert found.gain.value < 0.05
    assert abs(found.scored["second half"]) < 0.05


def test_a_token_goes_to_one_copy_of_its_expert():
    placement = Placement([[0, 1, 2, 0, 3, 0]], 3)
    one = np.tile([1.0, 0.0, 0.0, 0.0], (200, 1, 1))
    assert (busiest_counts(placement, one) == 1.0).all()
    assert busiest_loads(placement, one) == pytest.approx(1 / 3)
    # Copies of an expert share its many tokens evenly, up to chance.
    assert busiest_counts(placement, 3e6 * one) == pytest.approx(1e6, rel=0.01)
    single = np.random.default_rng(0).integers(0, 9, (20, 2, 6)).astype(float)
    plain = contiguous(2, 6, 3)
    assert np.array_equal(busiest_counts(plain, single), busiest_loads(plain, single))


def test_devices_that_do_not_divide_the_experts_need_redundant_ones(rng):
    found = by_knob(advise(RoutingTrace.from_counts(skewed(rng)), devices=[5], max_replicas=0))
    assert "placement" not in found
    assert found["redundant experts"].placement.n_replicas == 3


def test_thresholds_are_judged_by_measured_times():
    trace = RoutingTrace.example().head(0.2)
    latency, shape = measured.example_latency(), measured.example_shape()
    model = DeploymentModel(trace, measured.example_hardware(1), latency, shape=shape, n_devices=1)
    found = advise(trace, devices=[1], deployment=model)
    threshold = by_knob(found)["thresholds"]
    # Gate mass is no measure of quality, so a threshold is never advised without a measured loss.
    assert not threshold.adopt
    assert "measured kernel times" in threshold.why


def test_bad_parameters_are_named(rng):
    trace = RoutingTrace.from_counts(skewed(rng))
    other = RoutingTrace.from_counts(skewed(rng, n_experts=16))
    for name, settings in {
        "others": {"others": [other]},
        "recent": {"recent": other},
        "devices": {"devices": [64]},
        "slots": {"slots": 2.5},
        "running": {"running": contiguous(6, 32, 2), "devices": [4]},
        "moe_share": {"moe_share": 0.0},
        "drift": {"drift": 1.5},
    }.items():
        with pytest.raises(ValueError, match=f"'{name}'"):
            advise(trace, **settings)


@pytest.mark.parametrize("devices", [[], 2.5, True, "8", None, [4, 0]])
def test_devices_that_are_no_numbers_are_refused(rng, devices):
    with pytest.raises(ValueError, match="'devices' parameter of advise"):
        advise(RoutingTrace.from_counts(skewed(rng)), devices=devices)


@pytest.mark.parametrize("n", [1, 2, 3, 15])
@pytest.mark.parametrize("weights", [None, 1.0])
def test_a_trace_that_is_too_short_says_how_many_steps_are_needed(n, weights):
    ids = np.arange(2 * n).reshape(n, 1, 2) % 4
    weights = None if weights is None else np.full(ids.shape, 0.5)
    found = advise(RoutingTrace(ids, weights, n_experts=4), devices=[2])
    assert any(f"only {n // 2} steps, and each needs at least 8" in text for text in found.unknown)
    assert "expert buffer" not in by_knob(found)


def test_command_writes_files_and_commands(tmp_path, rng, capsys):
    loads = np.zeros((8, 32))
    loads[2:] = skewed(rng)  # two dense layers
    source, out = tmp_path / "loads.json", tmp_path / "out"
    source.write_text(json.dumps({"logical_count": loads.tolist()}))
    words = ["moe", "advise", str(source), "--gpus", "4", "--replicas", "0", "--out", str(out)]
    assert main([*words, "--model", "m"]) == 0
    printed = capsys.readouterr().out
    assert "sglang.launch_server --model-path m --tp-size 4" in printed
    assert f"--init-expert-location {quote(str(out / 'sglang_4_experts.json'))}" in printed
    rows = json.loads((out / "sglang_4_experts.json").read_text())["physical_to_logical_map"]
    assert len(rows) == 8
    assert sorted(rows[7]) == list(range(32))
    assert (out / "advice.txt").read_text() in printed
    assert main([*words[:-2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recommendations"][0]["adopt"]

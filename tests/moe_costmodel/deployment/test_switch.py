"""Switching to a plan: which links it takes, when it pays, and what is said of each knob."""

from dataclasses import replace

import pytest

from moe_costmodel.deployment.check import Switch
from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.placement.heuristics import greedy
from tests.moe_costmodel.machines import LARGER, LINKS, hardware, latency, planned


def model_of(trace, n_devices=2, n_nodes=1):
    machine = hardware(n_devices=n_devices, n_nodes=n_nodes)
    return DeploymentModel(
        trace, machine, latency(), shape=LARGER, n_devices=n_devices, n_nodes=n_nodes
    )


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        (Switch(1e6, 2.0, "device_to_device", 1e-3), "pays for itself after 2,000 steps"),
        (Switch(1e6, 2.0, "device_to_device", -1e-3), "never pays for itself on this traffic"),
        (Switch(0.0, 0.0, "device_to_device", 0.0), "costs nothing"),
    ],
)
def test_the_report_says_when_a_switch_pays(traces, switch, words):
    model = model_of(traces[0])
    found = planned(model, batch_size=4).check(traces[1], deployment=model)
    assert "switching" not in str(found)
    text = str(replace(found, switch=switch))
    (line,) = (line for line in text.splitlines() if "switching" in line)
    assert line.endswith(words)
    assert "over device_to_device" in line


def test_other_devices_start_from_nothing(traces):
    two, one = model_of(traces[0]), model_of(traces[0], n_devices=1)
    plan, running = planned(two, batch_size=4), planned(one, batch_size=4)
    switch = plan.check(traces[1], deployment=two, running=running).switch
    assert switch.link == "slow_to_fast"
    # All 8 experts of 3 layers are loaded, half on each device.
    assert switch.n_bytes == 3 * 8 * LARGER.expert_bytes
    assert switch.seconds == pytest.approx(LINKS["slow_to_fast"].seconds(switch.n_bytes / 2))
    # Steps on other devices cannot be compared.
    assert switch.saved_per_step == 0


def test_between_nodes_a_node_waits_for_all_its_devices(traces):
    model = model_of(traces[0], n_devices=4, n_nodes=2)
    running = planned(model, batch_size=4)
    plan = planned(model, batch_size=4, placement=greedy(traces[0].loads(4), 4))
    switch = plan.check(traces[1], deployment=model, running=running).switch
    assert switch.link == "node_to_node"
    arriving = (plan.placement.on_device() > 0) & (running.placement.on_device() == 0)
    by_device = arriving.sum(axis=(0, 1)) * LARGER.expert_bytes
    assert switch.n_bytes == by_device.sum() > 0
    busiest = max(by_device[:2].sum(), by_device[2:].sum())
    assert switch.seconds == pytest.approx(LINKS["node_to_node"].seconds(busiest))


def advice_of(check, knob):
    return next(item for item in check.advice if item.knob == knob)


@pytest.mark.parametrize(("value", "idle"), [(0.02, (2,)), (0.3, ())])
def test_layers_in_which_a_threshold_saves_no_time_are_named(traces, value, idle):
    model = model_of(traces[0], n_devices=1)
    # In the first layer a token keeps one expert; in the last, a low threshold drops next to none.
    gates = (GateRule("top-k", 1.0), None, GateRule("skip", value))
    found = planned(model, gates=gates, batch_size=4).check(traces[1], deployment=model)
    masses = [layer.mass.mean() for layer in found.evaluation.layers]
    assert masses[0] < masses[2] < masses[1] == 1
    advice = advice_of(found, "thresholds")
    assert advice.keep
    assert advice.layers == idle
    assert ("in layer 2 they save no time: leave them off there" in advice.why) == bool(idle)

"""Traffic of recorded routing: by hand, against a naive count, units, memory, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe_costmodel import RoutingTrace
from problems.moe_on_chip import Activations, Roles, traffic
from problems.moe_on_chip.demand import Demand
from problems.moe_on_chip.visits import StepTraffic
from problems.noc import NoC3D, Platform


def some_mapping(seed=0, n_layers=3, n_experts=8):
    return np.random.default_rng(seed).integers(0, 7, (n_layers, n_experts))


def naive(trace, placement, sizes, n, batch_size, n_attention, cycles):
    """Count flits token by token, for prefill."""
    to, back = sizes.flits(128)
    steps = trace.n_tokens // batch_size
    out = np.zeros((steps, n, n))
    for t in range(steps * batch_size):
        source = t % batch_size * n_attention // batch_size
        for layer in range(trace.n_layers):
            targets = [placement[layer][e] for e in trace.topk_ids[t, layer]]
            for target in set(targets) if sizes.once_per_tile else targets:
                if target != source:
                    out[t // batch_size, source, target] += to
                    out[t // batch_size, target, source] += back
    return out / cycles


def test_two_tokens_by_hand(chip, sizes):
    trace = RoutingTrace([[[0, 1]], [[1, 2]]], n_experts=3)
    # Token 0 lives on PE 0, token 1 on PE 3. Expert 0 is on PE 0, experts 1 and 2 on PE 5.
    flits = traffic(
        trace, placement=[[0, 5, 5]], platform=chip, activations=sizes, batch_size=2, step_cycles=10
    )
    expected = np.zeros((9, 9))
    expected[[0, 3], 5] = 2  # 32 values of one byte, in flits of 128 bits
    expected[5, [0, 3]] = 4  # of two bytes
    assert np.array_equal(flits, expected / 10)


@pytest.mark.parametrize("once", [True, False])
def test_equals_a_naive_count(trace, chip, sizes, once):
    sizes = replace(sizes, once_per_tile=once)
    mapping = some_mapping()
    flits = traffic(
        trace, placement=mapping, platform=chip, activations=sizes, batch_size=14,
        step_cycles=100.0, per_step=True,
    )  # fmt: skip
    assert flits.shape == (4, 9, 9)
    assert np.allclose(flits, naive(trace, mapping, sizes, 9, 14, 7, 100.0))
    mean = traffic(
        trace, placement=mapping, platform=chip, activations=sizes, batch_size=14, step_cycles=100.0
    )
    assert np.allclose(mean, flits.mean(axis=0))


def test_step_cycles_follow_from_the_load(trace, chip, sizes):
    settings = {"placement": some_mapping(), "platform": chip, "activations": sizes}
    # 14 tokens, 3 layers, 3 choices, 4 flits back, over 7 ports at a load of 0.5.
    cycles = 14 * 3 * 3 * 4 / (7 * 0.5)
    ours = traffic(trace, batch_size=14, load=0.5, **settings)
    assert np.allclose(ours, traffic(trace, batch_size=14, step_cycles=cycles, **settings))


def test_decoding_keeps_a_sequence_on_its_pe(chip, sizes):
    # Sequence 0 has the experts 0, sequence 1 the experts 1; the slots live on the PEs 0 and 3.
    trace = RoutingTrace([[[0]]] * 3 + [[[1]]] * 3, n_experts=2, sequence_lengths=[3, 3])
    flits = traffic(
        trace, placement=[[5, 6]], platform=chip, activations=sizes, batch_size=2, mode="decode",
        step_cycles=1, per_step=True,
    )  # fmt: skip
    assert flits.shape == (3, 9, 9)
    for step in flits:
        assert step[0, 5] == step[3, 6] == 2
        assert step.sum() == 2 * (2 + 4)


def test_caches_are_read_from_all_memory_and_written(chip):
    sizes = Activations(d_model=32, cache_values=16)  # 2 flits for each token of context
    trace = RoutingTrace([[[0]]] * 4, n_experts=1, sequence_lengths=[4])
    settings = {"platform": chip, "activations": sizes, "step_cycles": 1}
    steps = traffic(trace, placement=[[0]], batch_size=1, mode="decode", per_step=True, **settings)
    # Token t reads the t + 1 tokens up to itself, half from each LLC, and writes its own.
    assert [step[7, 0] for step in steps] == [1, 2, 3, 4]
    assert all(step[0, 7] == step[0, 8] == 1 for step in steps)
    prefill = traffic(trace, placement=[[0]], batch_size=2, per_step=True, **settings)
    # The two tokens of a step live on the PEs 0 and 3; each reads its own context.
    assert prefill[1, 7, 0], prefill[1, 7, 3] == (3, 4)


def test_experts_that_are_fetched(chip):
    sizes = Activations(d_model=32, expert_bytes=160)  # 10 flits
    trace = RoutingTrace([[[0, 2]], [[0, 1]]], n_experts=3)
    flits = traffic(
        trace, placement=[[1, 2, 3]], platform=chip, activations=sizes, batch_size=1, step_cycles=1,
        per_step=True,
    )  # fmt: skip
    # Expert e is in the memory of LLC e modulo 2.
    assert flits[0, 7, 1] == flits[0, 7, 3] == flits[1, 7, 1] == flits[1, 8, 2] == 10
    assert flits[:, 7:].sum() == 40


def test_a_mapping_near_a_known_one_is_computed_alike(trace, chip):
    sizes = Activations(d_model=32, expert_bytes=160)
    demand = Demand.checked("test", chip, sizes, Roles(), 14, "prefill", None)
    updated = StepTraffic(demand, demand.record(trace), 100.0)
    mapping = some_mapping()
    updated.matrices(mapping)
    for seed in range(1, 20):
        mapping = mapping.copy()
        mapping[seed % 3] = some_mapping(seed)[0]
        anew = StepTraffic(demand, demand.record(trace), 100.0)
        assert np.array_equal(updated.matrices(mapping), anew.matrices(mapping))


def test_steps_can_be_thinned_out(trace, chip, sizes):
    settings = {"placement": some_mapping(), "platform": chip, "activations": sizes}
    all_steps = traffic(trace, batch_size=6, step_cycles=9, per_step=True, **settings)
    some = traffic(trace, batch_size=6, step_cycles=9, per_step=True, max_steps=4, **settings)
    assert np.array_equal(some, all_steps[[0, 3, 6, 9]])


def test_goes_into_any_chip():
    trace = RoutingTrace.example("code")
    for platform in (Platform.paper_4x4x4(), Platform.mesh_8x8()):
        first = platform.pes_of("GPU")[0]
        flits = traffic(
            trace, placement=first + np.arange(6 * 32).reshape(6, 32) % 40, platform=platform,
            activations=Activations(d_model=512, cache_values=512), batch_size=80,
        )  # fmt: skip
        problem = NoC3D(flits, platform=platform, objectives=["packet_latency", "energy"])
        assert np.isfinite(problem.ref_point).all()


GOOD = {"placement": some_mapping(), "batch_size": 14}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"placement": some_mapping(n_layers=2)}, r"shape \(3, 8\)"),
        ({"placement": some_mapping() + 5}, "PEs that hold experts .0 to 6.; see expert"),
        ({"capacity": 2}, "at most 2 experts; see PE"),
        ({"batch_size": 61}, "batch_size"),
        ({"batch_size": 6, "mode": "decode"}, "batch_size"),
        ({"mode": "train"}, "'decode', 'prefill'"),
        ({"roles": Roles(attention="CPU")}, "type of the platform .GPU, LLC."),
        ({"step_cycles": 0}, "step_cycles"),
    ],
)
def test_bad_input_is_named(trace, chip, sizes, changes, message):
    settings = {"platform": chip, "activations": sizes} | GOOD | changes
    with pytest.raises(ValueError, match=message):
        traffic(trace, **settings)


def test_traces_of_loads_only_are_refused(chip, sizes):
    loads = RoutingTrace.from_counts(np.ones((2, 3, 8)))
    with pytest.raises(ValueError, match="each token's choices"):
        traffic(loads, platform=chip, activations=sizes, **GOOD)


def test_memory_needs_its_pes(trace, sizes):
    flat = Platform(grid=(3, 3, 1), pe_types={"GPU": {"count": 9, "power": 1}}, n_planar_links=12)
    traffic(trace, platform=flat, activations=sizes, **GOOD)
    with pytest.raises(ValueError, match="'memory'"):
        traffic(trace, platform=flat, activations=Activations(d_model=32, cache_values=1), **GOOD)

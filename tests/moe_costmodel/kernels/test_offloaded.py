import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from moe_costmodel import Admission, ExpertStream, offload_events  # noqa: E402
from moe_costmodel.kernels import (  # noqa: E402
    RESIDENCY_POLICIES,
    Experts,
    OffloadedExperts,
    OffloadStatistics,
    Residency,
    dynamic_gating,
    reference,
    route,
)
from tests.moe_costmodel.offloading.naive import _Simulator  # noqa: E402

ADMISSIONS = [
    Admission(),
    Admission(after=3),
    Admission(per_step=1),
    Admission(per_step=0.3, opens=7),
    Admission(per_step=0),
]
# Products of one row sum 24 terms in another order than the reference: 1e-6 of the largest output.
# In bfloat16 a term is rounded to 2^-9.
ACCURACY = {torch.float32: 1e-5, torch.bfloat16: 3e-2}


def steps_of(n_steps=80, n_experts=11, most=5, seed=1):
    random = np.random.default_rng(seed)
    popular = random.dirichlet(np.full(n_experts, 0.5)) + 1e-3
    sizes = random.integers(0, most + 1, n_steps)
    p = popular / popular.sum()
    return [sorted(random.choice(n_experts, n, replace=False, p=p).tolist()) for n in sizes]


@pytest.mark.parametrize("policy", RESIDENCY_POLICIES)
@pytest.mark.parametrize("warm", [False, True])
def test_events_are_those_of_the_replay_and_victims_those_of_a_naive_simulator(policy, warm):
    steps = steps_of()
    bounds = np.cumsum([0, *map(len, steps)])
    stream = ExpertStream(np.concatenate(steps).astype(np.int64), bounds, 11)
    start = np.arange(11.0)[::-1] % 4 if warm else None
    rules = ADMISSIONS + [Admission(margin=2.0)] * (policy in ("lfu", "decay"))
    for rule in rules:
        for capacity in (1, 4, 11):
            settings = {"start": start, "half_life": 9.0}
            residency = Residency(11, capacity, policy, rule, start_weight=2.0, **settings)
            naive = _Simulator(steps, 11, capacity, policy, rule, start, 2.0, 9.0)
            replayed = offload_events(
                stream, [capacity], policy, [rule], start_weight=2.0, **settings
            )
            flags = []
            for number, needed in enumerate(steps):
                before = dict(residency.contents())
                slots, uploads = residency.event(needed)
                assert slots == [before.get(expert, -1) for expert in needed]
                naive.event(number)
                assert residency.residents == naive.resident
                gone = {u.victim for u in uploads} - {-1}
                assert set(before) - gone | {u.expert for u in uploads} == set(residency.residents)
                uploaded = {u.expert for u in uploads}
                flags += [(s < 0, e in uploaded) for e, s in zip(needed, slots, strict=True)]
            missed, uploaded = np.array(flags).T
            assert np.array_equal(missed, replayed.missed[:, 0, 0])
            assert np.array_equal(uploaded, replayed.uploaded[:, 0, 0])


@pytest.mark.parametrize(
    "needed", [[-1], [4], [7], [100_000], [1, 1], [2, 1], [0.0], [True], [[0, 1]], ["0"]]
)
def test_events_of_no_experts_are_refused_and_change_nothing(needed):
    residency = Residency(4, 2, "lru")
    residency.event([0, 3])
    before = residency.contents()
    with pytest.raises(ValueError, match=r"'needed' parameter of Residency\.event must be diff"):
        residency.event(needed)
    assert residency.contents() == before
    assert residency.event([]).slots == []
    assert residency.event(np.array([1, 3], dtype=np.int32)).slots == [-1, dict(before)[3]]


def test_counts_that_decay_go_on_after_many_half_lives():
    residency = Residency(3, 1, "decay", half_life=2.0)
    for _ in range(1500):  # the unit of counts passes 1e200 once
        residency.event([0])
    # Expert 0 has 1 + 2^-1/2 + 2^-1 + ... = 3.4 uses in the unit of its last one.
    assert residency.event([1]).uploads == []
    for _ in range(3):
        residency.event([1])
    assert residency.residents == [1]


def steps_through(layer, experts, n_steps=12, dtype=torch.float32, exact=None):
    generator = torch.Generator().manual_seed(3)
    gate = torch.randn(8, 16, generator=generator)
    for _ in range(n_steps):
        x = torch.randn(3, 16, generator=generator)
        ids, weights = route(x, gate, 2)
        got = layer(x.to(dtype), ids, weights.to(dtype))
        expected = reference(x.to(dtype), ids, weights.to(dtype), exact or experts)
        assert got.dtype == dtype
        scale = expected.abs().max().clamp_min(1.0)
        assert ((got.double() - expected).abs().max() / scale).item() < ACCURACY[dtype]


@pytest.mark.parametrize("policy", ["lru", "least-stale", "decay"])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("background", [True, False])
def test_outputs_do_not_depend_on_what_is_resident(policy, in_place, background, tmp_path):
    experts = Experts.random(8, 16, 24, gated=True, activation="silu")
    slow = Experts.map_file(experts.save(tmp_path / "experts.safetensors"))
    layer = OffloadedExperts(
        slow, 3, policy=policy, admission=Admission(after=2), start=np.arange(8.0),
        in_place=in_place, background=background,
    )  # fmt: skip
    steps_through(layer, experts)
    counts = layer.statistics
    assert counts.steps == 12
    assert counts.hits > 0
    assert counts.misses > counts.uploads > 0
    # The slots hold what the policy says.
    layer.wait()
    for expert, slot in layer.residency.contents():
        assert torch.equal(layer.fast.up[slot], experts.up[expert])
        assert torch.equal(layer.fast.down[slot], experts.down[expert])


@pytest.mark.parametrize("in_place", [True, False])
def test_narrow_weights_in_slow_memory_are_widened(in_place):
    experts = Experts.random(8, 16, 24)
    narrow = experts.to(torch.bfloat16)
    layer = OffloadedExperts(
        narrow, 3, policy="lru", dtype=torch.float32, in_place=in_place, start=np.ones(8)
    )
    steps_through(layer, narrow, exact=narrow.to(torch.float32))
    assert layer.fast.up.dtype == torch.float32


def test_a_static_list_never_uploads_and_a_reset_begins_anew():
    experts = Experts.random(8, 16, 24)
    layer = OffloadedExperts(experts, 4, admission=Admission(per_step=0), start=np.arange(8.0))
    steps_through(layer, experts)
    first = layer.statistics
    assert first.uploads == 0
    assert sorted(layer.residency.residents) == [4, 5, 6, 7]
    layer.reset()
    assert layer.statistics == OffloadStatistics()
    steps_through(layer, experts)
    assert layer.statistics == first


def test_no_choice_is_no_work():
    experts = Experts.random(8, 16, 24)
    for in_place in (True, False):
        layer = OffloadedExperts(experts, 4, in_place=in_place)
        x, ids = torch.ones(2, 16), torch.zeros(2, 1, dtype=torch.int64)
        assert layer(x, ids, torch.zeros(2, 1)).abs().max() == 0
        assert layer.statistics == OffloadStatistics(steps=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity": 0}, "'capacity'"),
        ({"start": [1.0]}, r"shape \(8,\)"),
        ({"policy": "lru", "admission": Admission(margin=1)}, "without a margin"),
    ],
)
def test_bad_parameters_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        OffloadedExperts(Experts.random(8, 16, 24), **({"capacity": 2} | settings))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("in_place", [True, False])
def test_a_gpu_computes_hits_and_the_cpu_misses(in_place):
    experts = Experts.random(8, 16, 24)
    layer = OffloadedExperts(experts, 3, policy="lru", device="cuda", in_place=in_place)
    generator = torch.Generator().manual_seed(3)
    gate = torch.randn(8, 16, generator=generator)
    for _ in range(12):
        x = torch.randn(3, 16, generator=generator)
        ids, weights = route(x, gate, 2)
        got = layer(x.cuda(), ids.cuda(), weights.cuda()).cpu()
        assert torch.allclose(got, dynamic_gating(x, ids, weights, experts), atol=1e-5)
    assert layer.statistics.uploads > 0
    assert not math.isnan(float(got.sum()))

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_costmodel import (
    OFFLOAD_POLICIES,
    Admission,
    ExpertStream,
    RoutingTrace,
    offload_events,
)
from moe_costmodel.offloading.planner import layer_streams
from tests.moe_costmodel.offloading import naive

COUNTING = ("lfu", "decay")


@st.composite
def traffic(draw):
    n = draw(st.integers(2, 9))
    experts = st.lists(st.integers(0, n - 1), max_size=n, unique=True).map(sorted)
    return n, draw(st.lists(experts, min_size=1, max_size=25))


@st.composite
def rules(draw, margin):
    return Admission(
        after=draw(st.integers(1, 5)),
        margin=draw(st.sampled_from([0.0, 1.0, 2.5])) if margin else 0.0,
        per_step=draw(st.sampled_from([math.inf, 0.0, 0.3, 1.0, 2.0])),
        opens=draw(st.sampled_from([0, 3])),
    )


def stream_of(n, steps):
    bounds = np.cumsum([0, *(len(step) for step in steps)])
    return ExpertStream(np.array([e for s in steps for e in s], dtype=np.int64), bounds, n)


@pytest.mark.parametrize("policy", OFFLOAD_POLICIES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_event_is_that_of_a_naive_simulator(policy, data):
    n, steps = data.draw(traffic())
    warm = data.draw(st.booleans())
    start = None
    if warm:
        start = data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=n, max_size=n))
    margin = policy in COUNTING
    admissions = data.draw(st.lists(rules(margin), min_size=1, max_size=4))
    capacities = data.draw(st.lists(st.integers(1, n + 1), min_size=1, max_size=4))
    how = {"half_life": 3.0, "start_weight": data.draw(st.sampled_from([0.0, 2.0]))}
    events = offload_events(stream_of(n, steps), capacities, policy, admissions, start=start, **how)
    for i, capacity in enumerate(capacities):
        for j, rule in enumerate(admissions):
            expected = naive.replay(
                steps, n, capacity, policy, rule, start, how["start_weight"], how["half_life"]
            )
            found = np.stack((events.missed[:, i, j], events.uploaded[:, i, j]), axis=1)
            assert found.tolist() == [list(flags) for flags in expected], (capacity, rule)


# The rules of event-atomic replay, in the order of docs/offloading.md; each on the smallest traffic
# that shows it. Flags are misses and uploads of each access, with one size and one admission.


def flags(steps, slots, policy, rule=Admission(), start=None):  # noqa: B008
    n = 1 + max(max(step, default=0) for step in steps)
    n = n if start is None else len(start)
    events = offload_events(stream_of(n, steps), [slots], policy, [rule], start=start)
    return events.missed.ravel().tolist(), events.uploaded.ravel().tolist()


def test_rule_1_and_3_an_event_is_a_set():
    # Two tokens choose expert 0, one chooses 1: each is one access, and counts once.
    ids = np.array([[[0]], [[0]], [[1]]])
    trace = RoutingTrace(ids, n_experts=2, sequence_lengths=[1, 1, 1])
    stream = layer_streams(trace, batch_size=3)[0]
    assert stream.ids.tolist() == [0, 1]
    assert offload_events(stream, [2], "lfu", [Admission()]).missed.ravel().tolist() == [1, 1]


def test_rule_2_hits_are_decided_when_the_event_begins():
    # Slot of expert 1; the upload of 2 in the same event does not make 1 a miss.
    missed, uploaded = flags([[1, 2]], 1, "lru", start=[0, 1, 0])
    assert missed == [False, True]
    assert uploaded == [False, True]


def test_rule_4_priorities_are_updated_before_uploads():
    # Expert 1 ties with the resident 0 only if this event counts, and is the later one.
    missed, uploaded = flags([[0], [1], [1]], 1, "lfu", start=[1, 0])
    assert missed == [False, True, False]
    assert uploaded == [False, True, False]


def test_rule_5_the_lowest_priority_is_not_uploaded():
    missed, uploaded = flags([[0], [0], [1]], 1, "lfu", start=[1, 0])
    assert missed == [False, False, True]
    assert uploaded == [False, False, False]


def test_rule_6_ties_go_to_the_later_event_and_the_higher_id():
    # One slot, both counts are one: the later event is uploaded.
    assert flags([[1], [0]], 1, "lfu")[1] == [True, True]
    # In one event, the higher id is.
    assert flags([[0, 1]], 1, "lfu")[1] == [False, True]


def test_rule_7_first_contents_are_charged_to_nobody():
    assert flags([[0, 1]], 2, "lru", start=[1, 1]) == ([False, False], [False, False])


def test_experts_beyond_the_width_of_the_lists_are_refused():
    with pytest.raises(ValueError, match=r"at most 32,767 experts. Got 40000"):
        offload_events(stream_of(40_000, [[0, 39_999]]), [1], "fifo", [Admission()])

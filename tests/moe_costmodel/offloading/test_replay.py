import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_costmodel import (
    OFFLOAD_POLICIES,
    Admission,
    ExpertStream,
    offload_events,
)
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
@settings(max_examples=60, deadline=None)
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

"""Predicted seconds never fall when work grows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moe_costmodel import DeploymentModel, RankLoad, Request, RoutingTrace, Scheduler, StepModel
from moe_costmodel import simulate as simulated
from moe_costmodel.example import (
    example_hardware,
    example_latency,
    example_memory,
    example_rest,
    example_shape,
)
from tests.laws.cases import examples

# Rounding of sums of layers and of the rest.
ROUNDING = 1e-12

rest_of_steps = cache(example_rest)
tokens = st.one_of(st.integers(1, 64), st.integers(1, 20_000))
more = st.one_of(st.integers(0, 8), st.integers(0, 5_000))


def never_falls(less, greater):
    assert np.all(np.asarray(greater) >= np.asarray(less) * (1 - ROUNDING)), (less, greater)


@st.composite
def loads(draw, n=32):
    """Draw tokens of each expert, and more of them."""
    top = draw(st.sampled_from([2, 60, 3_000]))
    values = st.lists(st.integers(0, top), min_size=n, max_size=n)
    few = np.array(draw(values))
    return few, few + np.where(draw(st.booleans()), np.array(draw(values)), draw(more))


@examples(60)
@given(loads(), st.integers(0, 32), st.integers(0, 32), st.integers(1, 32))
def test_layers(counts, misses, more_misses, capacity):
    few, many = counts
    latency, shape = example_latency(), example_shape()
    a, b = latency.predict(shape, few), latency.predict(shape, many)
    never_falls(a.seconds, b.seconds)
    missed = np.array([misses, min(32, misses + more_misses)])
    buffered = latency.predict(
        shape, np.stack([few, few]), misses=missed, capacity=np.full(2, capacity)
    )
    never_falls(*buffered.seconds)
    # The same misses, and more tokens.
    grown = latency.predict(shape, np.stack(counts), misses=np.full(2, misses))
    never_falls(*grown.seconds)


@examples(60)
@given(tokens, more, tokens, more, st.sampled_from(["decode", "prefill"]))
def test_the_rest_of_a_step(n, more_tokens, context, more_context, mode):
    rest = rest_of_steps()
    start = rest.seconds(n, context, mode=mode)
    never_falls(start, rest.seconds(n + more_tokens, context, mode=mode))
    never_falls(start, rest.seconds(n, context + more_context, mode=mode))


@examples(30)
@given(loads(), st.integers(1, 4), tokens, more, more)
def test_steps_on_several_devices(counts, n_devices, n, more_tokens, more_context):
    n_devices = {3: 2}.get(n_devices, n_devices)
    shape = replace(example_shape(), n_local=32 // n_devices)
    model = StepModel(
        latency=example_latency(),
        shape=shape,
        hardware=example_hardware(n_devices),
        rest=rest_of_steps(),
    )
    few, many = (c.reshape(1, 1, n_devices, shape.n_local) for c in counts)
    start = model.seconds(few, tokens=n, context=100)
    never_falls(start, model.seconds(many, tokens=n, context=100))
    never_falls(start, model.seconds(few, tokens=n + more_tokens, context=100 + more_context))


@cache
def deployment(mode, n_devices, context):
    return DeploymentModel(
        RoutingTrace.example("code"),
        example_hardware(n_devices),
        example_latency(),
        shape=example_shape(),
        mode=mode,
        rest=rest_of_steps(),
        memory=example_memory(),
        context=context,
    )


@examples(12)
@given(
    st.sampled_from(["decode", "prefill"]),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 96),
    st.integers(1, 64),
)
def test_larger_batches_take_longer_steps_and_more_memory(mode, n_devices, batch, more_sequences):
    model = deployment(mode, n_devices, 100)
    small, large = (
        model.evaluate(model.decision(batch_size=n)) for n in (batch, batch + more_sequences)
    )
    for name in ("step_mean_s", "memory_bytes"):
        never_falls(small[name], large[name])


@examples(8)
@given(st.sampled_from([1, 2]), st.integers(1, 64), st.integers(1, 1000), st.integers(0, 1000))
def test_longer_contexts_take_longer(n_devices, batch, context, more_context):
    short, long = (deployment("decode", n_devices, n) for n in (context, context + more_context))
    decision = short.decision(batch_size=batch)
    for name in ("step_mean_s", "step_p99_s", "memory_bytes"):
        never_falls(short.evaluate(decision)[name], long.evaluate(decision)[name])


def step_seconds(work: list[RankLoad]) -> float:
    """Return the time of a step of the serving engine: that of the example's rest."""
    rest = rest_of_steps()
    return max(float(rest.seconds(max(load.tokens, 1), max(load.context, 1))) for load in work)


@examples(12)
@given(
    st.integers(1, 3_000),
    st.integers(1, 40),
    st.integers(0, 3_000),
    st.integers(0, 20),
    st.booleans(),
    st.sampled_from([64, 512, 8192]),
)
def test_requests(prompt, answer, more_prompt, more_answer, asynchronous, chunk):
    settings = Scheduler(max_num_seqs=16, max_num_batched_tokens=chunk, asynchronous=asynchronous)

    def served(n_in, n_out):
        return simulated([Request(0.0, n_in, n_out)], settings, step_seconds)

    start = served(prompt, answer)
    longer = served(prompt + more_prompt, answer)
    never_falls(start.ttft, longer.ttft)
    never_falls(start.finished, longer.finished)
    never_falls(start.finished, served(prompt, answer + more_answer).finished)

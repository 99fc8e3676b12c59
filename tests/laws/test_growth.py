"""Predicted seconds never fall when work grows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_costmodel import (
    DeploymentModel,
    LatencyModel,
    RankLoad,
    Request,
    RestOfModel,
    RoutingTrace,
    Scheduler,
    StepModel,
)
from moe_costmodel import simulate as simulated
from moe_costmodel.example import (
    example_hardware,
    example_latency,
    example_measurements,
    example_memory,
    example_rest,
    example_shape,
)
from tests.laws.cases import examples

# Rounding of sums of layers and of the rest.
ROUNDING = 1e-12

rest_of_steps = cache(example_rest)
seeds = st.integers(0, 2**32)


def never_falls(less, greater, tolerance=ROUNDING):
    assert np.all(np.asarray(greater) >= np.asarray(less) * (1 - tolerance)), (less, greater)


def ascending(rng, n=200, most=30_000):
    """Return numbers from 1 to `most`, ascending, as many small ones as large ones."""
    return np.sort(np.exp(rng.uniform(0.0, np.log(most), n)).astype(int))


def loads(seed, n=100):
    """Return tokens of each of 32 experts in n steps, and in n steps of more."""
    rng = np.random.default_rng(seed)
    top = np.exp(rng.uniform(0.0, 8.0, (2, n, 1))).astype(int)
    few = rng.integers(0, top[0] + 1, (n, 32))
    added = rng.integers(0, top[1] + 1, (n, 32)) * (rng.random((n, 32)) < rng.random((n, 1)) ** 3)
    return few, few + added


# Trees do not rise with the work by themselves, a line does.
@cache
def forests():
    return LatencyModel.fit(example_measurements(), method="trees", n_estimators=10)


@pytest.mark.parametrize("fitted", [example_latency, forests])
@examples(5)
@given(seeds)
def test_layers(fitted, seed):
    few, many = loads(seed)
    rng, latency, shape = np.random.default_rng(seed), fitted(), example_shape()
    start = latency.predict(shape, few)
    never_falls(start.seconds, latency.predict(shape, many).seconds)
    never_falls(start.high, latency.predict(shape, many).high)
    less, more = np.sort(rng.integers(0, 33, (2, len(few))), axis=0)
    buffers = {"capacity": rng.integers(1, 33, len(few))}
    start = latency.predict(shape, few, misses=less, **buffers).seconds
    never_falls(start, latency.predict(shape, few, misses=more, **buffers).seconds)
    never_falls(start, latency.predict(shape, many, misses=less, **buffers).seconds)


@pytest.mark.parametrize("mode", ["decode", "prefill"])
@examples(5)
@given(seeds, st.integers(1, 2_000))
def test_the_rest_of_a_step(mode, seed, fixed):
    rest, growing = rest_of_steps(), ascending(np.random.default_rng(seed))
    for seconds in (
        rest.seconds(growing, fixed, mode=mode),
        rest.seconds(fixed, growing, mode=mode),
    ):
        never_falls(seconds[:-1], seconds[1:])


# Where a step of twice as many tokens takes as long, the factors of both are interpolated, and
# times between them are up to 6.1 % too long.
BETWEEN_DOUBLED_SIZES = 0.062


@examples(40)
@given(st.lists(st.floats(0.0, 1e-2), min_size=2, max_size=7), seeds)
def test_the_rest_that_is_fitted_to_steps_that_take_ever_longer(growths, seed):
    sizes = 2.0 ** np.arange(len(growths))
    rest = RestOfModel.from_times(sizes, 16.0, 1e-4 + np.cumsum(growths))
    seconds = rest.seconds(ascending(np.random.default_rng(seed), most=1_000), 16.0)
    never_falls(np.maximum.accumulate(seconds), seconds, BETWEEN_DOUBLED_SIZES)


@pytest.mark.parametrize("n_devices", [1, 2, 4])
@examples(5)
@given(seeds)
def test_steps_on_several_devices(n_devices, seed):
    shape = replace(example_shape(), n_local=32 // n_devices)
    model = StepModel(
        latency=example_latency(),
        shape=shape,
        hardware=example_hardware(n_devices),
        rest=rest_of_steps(),
    )
    few, many = (c.reshape(-1, 1, n_devices, shape.n_local) for c in loads(seed))
    less, more = np.sort(ascending(np.random.default_rng(seed)).reshape(2, 100), axis=0)
    start = model.seconds(few, tokens=less, context=100)
    never_falls(start, model.seconds(many, tokens=less, context=100))
    never_falls(start, model.seconds(few, tokens=more, context=150))


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

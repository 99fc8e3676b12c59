"""Benchmarks with a constant number of requests in flight, against the scheduler's simulation."""

import numpy as np
import pytest

from moe_costmodel import ClosedLoop, Request, Scheduler, StepCurves, simulate

CURVES = StepCurves(
    decode_sizes=(1, 8, 32), decode_seconds=(0.010, 0.012, 0.020),
    prompt_tokens=(0, 500, 4000), prompt_seconds=(0.010, 0.05, 0.35), per_decoding=0.0005,
)  # fmt: skip
LOOP = {"concurrency": 12, "input_tokens": 900, "output_tokens": 60, "step_tokens": 1000}


def run(seed=0, curves=CURVES, **settings):
    loop = ClosedLoop(**LOOP | settings)
    return loop.run(curves, random_state=np.random.default_rng(seed))


def seconds_of(loads):
    """Return the seconds of a step by the curves."""
    times = [0.0]
    for load in loads:
        tokens = sum(chunk.length for chunk in load.chunks)
        if tokens:
            time = np.interp(tokens, CURVES.prompt_tokens, CURVES.prompt_seconds)
            times.append(time + CURVES.per_decoding * load.n_decode)
        elif load.n_decode:
            times.append(np.interp(load.n_decode, CURVES.decode_sizes, CURVES.decode_seconds))
    return max(times)


@pytest.mark.parametrize(("n_ranks", "most"), [(1, 100), (1, 5), (3, 100), (2, 4)])
def test_mixed_steps_are_those_of_the_simulated_scheduler(n_ranks, most):
    settings = {"n_ranks": n_ranks, "max_num_seqs": most, "gap": 0.0}
    found = run(**settings)
    inputs, outputs = ClosedLoop(**LOOP | settings).lengths(np.random.default_rng(0))
    requests = [Request(0.0, int(i), int(o)) for i, o in zip(inputs, outputs, strict=True)]
    scheduler = Scheduler(
        max_num_seqs=most, max_num_batched_tokens=1000, n_ranks=n_ranks, asynchronous=False
    )
    served = simulate(requests, scheduler, seconds_of, concurrency=12)
    np.testing.assert_allclose(found.ttft, served.ttft, rtol=1e-9)
    np.testing.assert_allclose(found.tpot, served.tpot, rtol=1e-9)
    # In flight are never more than asked for.
    ends = found.sent + found.ttft + found.tpot * (outputs - 1)
    in_flight = [(found.sent <= t).sum() - (ends <= t + 1e-9).sum() for t in found.sent]
    assert max(in_flight) == 12


def test_the_first_wave_waits_for_all_its_prompts():
    times = run(policy="prompts first", least=1.0, step_tokens=900, gap=0.0)
    prompt = np.interp(900, CURVES.prompt_tokens, CURVES.prompt_seconds)
    np.testing.assert_allclose(times.ttft[:12], prompt * np.arange(1, 13))
    assert times.first_wave == pytest.approx(prompt * 6.5)
    assert times.later < times.first_wave


def test_requests_wait_until_the_scheduler_looks_for_them():
    alone = {"concurrency": 2, "policy": "prompts first", "output_tokens": 400}
    often, seldom = run(**alone), run(**alone, poll_steps=40)
    assert 5 * 0.01 < seldom.later - often.later < 40 * 0.0103
    # A step with prompts is followed by a look, and the first wave is seen at once.
    assert seldom.first_wave == pytest.approx(often.first_wave)


def test_prompts_wait_for_others_but_not_for_ever():
    settings = {"policy": "whole prompts", "output_tokens": 400, "concurrency": 4}
    at_once = run(**settings)
    waiting = run(**settings, wait_steps=30, wait_tokens=2000)
    assert waiting.later > at_once.later + 5 * 0.01
    # A single prompt has 700 tokens, so none waits for the 3,000 steps.
    long = run(**settings, wait_steps=3000, wait_tokens=700)
    assert long.later < at_once.later + 5 * 0.01


def test_balanced_ranks_start_prompts_together():
    settings = {"policy": "whole prompts", "n_ranks": 2, "concurrency": 4, "output_tokens": 400}
    assert run(**settings, wait_steps=60, balanced=True).later > run(**settings).later + 0.05


def test_whole_prompts_are_not_cut():
    # Two prompts of 600 tokens exceed a step of 1,000: chunks fill it, whole prompts do not.
    settings = {"input_tokens": 600, "least": 1.0, "concurrency": 2, "n_requests": 2, "gap": 0.0}
    chunks, whole = run(**settings), run(**settings, policy="whole prompts")
    assert chunks.ttft[0] > whole.ttft[0]  # its step computes 400 tokens more
    assert whole.ttft[0] == pytest.approx(np.interp(600, (500, 4000), (0.05, 0.35)))


def test_requests_that_do_not_fit_wait_for_whole_answers():
    free, full = run(), run(max_num_seqs=6)
    assert full.later > free.later + 0.25 * 60 * 0.01


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"'policy' parameter of ClosedLoop.*one of mixed"):
        run(policy="fair")
    with pytest.raises(ValueError, match="'concurrency' parameter of ClosedLoop"):
        run(concurrency=0)
    with pytest.raises(ValueError, match=r"'least' parameter of ClosedLoop.*above 0"):
        run(least=0.0)
    for name, value in (("decode_sizes", (8, 1, 32)), ("prompt_seconds", (0.1, -0.1, 1.0))):
        with pytest.raises(ValueError, match=f"'{name}' parameter of StepCurves"):
            StepCurves(**CURVES.__dict__ | {name: value})

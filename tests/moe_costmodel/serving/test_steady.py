"""Steady states of an instance beside simulations of its scheduler."""

import numpy as np
import pytest

from moe_costmodel import Layout, Request, Scheduler, simulate
from moe_costmodel.serving.steady import Instance

MOST = 8192


def seconds(running, chunks):
    """A step whose tokens take as long as each other."""
    return 0.02 + 1e-5 * (running + sum(chunk.length for chunk in chunks))


class Curves:
    def curve(self, layout, running, context, chunks):
        return seconds(running, chunks)


def steady(inputs, outputs, sequences, role="mixed"):
    one = Instance(Curves(), inputs, outputs, role, Layout(), sequences, MOST)
    return one.times({name: np.array([step]) for name, step in one.steps.items()})


def simulated(inputs, outputs, sequences):
    """Return requests per second and the mean time per token between start and end of a run."""
    waves = max(9, -(-60 // sequences))
    run = simulate(
        [Request(0.0, inputs, outputs)] * (waves * sequences),
        Scheduler(max_num_seqs=sequences, max_num_batched_tokens=MOST, asynchronous=False),
        lambda loads: seconds(loads[0].n_decode, loads[0].chunks),
        concurrency=sequences,
    )
    order = np.argsort(run.finished, kind="stable")
    first, last = waves // 3 * sequences, (waves - 2) * sequences
    times = run.finished[order]
    rate = (last - first) / (times[last] - times[first])
    return rate, run.tpot[order[first:last]].mean()


@pytest.mark.parametrize("inputs", [2000, 8192, 9000, 20_000])
@pytest.mark.parametrize(("outputs", "sequences"), [(16, 48), (64, 16), (64, 48), (64, 256)])
def test_prompts_beyond_the_tokens_of_a_step_take_as_long_as_simulated(inputs, outputs, sequences):
    times = steady(inputs, outputs, sequences)
    rate, tpot = simulated(inputs, outputs, sequences)
    assert times.requests_per_s == pytest.approx(rate, rel=0.05)
    assert times.tpot_mean == pytest.approx(tpot, rel=0.08)


@pytest.mark.parametrize("role", ["mixed", "prefill"])
@pytest.mark.parametrize("inputs", [3000, 8100, 9000, 20_000])
def test_answers_of_one_token_are_served_as_fast_as_simulated(role, inputs):
    rate, _ = simulated(inputs, 1, 48)
    assert steady(inputs, 1, 48, role).requests_per_s == pytest.approx(rate, rel=0.05)


@pytest.mark.parametrize("outputs", [2, 16, 64, 512])
@pytest.mark.parametrize("sequences", [1, 4, 48, 512])
def test_longer_prompts_are_never_served_faster(outputs, sequences):
    lengths = np.unique(np.geomspace(100, 40_000, 200).astype(int))
    rates = [steady(int(n), outputs, sequences).requests_per_s for n in lengths]
    assert (np.diff(rates) <= 1e-9).all()

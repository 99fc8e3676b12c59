"""Requests by rates and distributions; summaries, sweeps, and the highest rate under limits."""

import json

import numpy as np
import pytest

from moe_costmodel import (
    DeployedSteps,
    DeploymentModel,
    RankLoad,
    Request,
    RoutingTrace,
    Scheduler,
    ServingSummary,
    TokenLengths,
    at_rate,
    max_rate,
    poisson_requests,
    rate_sweep,
    simulate,
)
from moe_costmodel.example import measured
from moe_costmodel.silicon.step_time import Chunk

SETTINGS = Scheduler(max_num_seqs=8, max_num_batched_tokens=256)


def seconds(loads):
    """Return a step that takes longer with more sequences and tokens."""
    return 0.005 + 2e-4 * loads[0].n_decode + 2e-5 * loads[0].tokens


@pytest.fixture(scope="module")
def requests():
    lengths = TokenLengths(64, 0.5), TokenLengths(24, 0.3, "uniform")
    return poisson_requests(5.0, 200, *lengths, random_state=np.random.default_rng(0))


def test_lengths_have_mean_and_spread(rng):
    for kind, deviation in (("lognormal", 0.3), ("uniform", 0.3 / np.sqrt(3))):
        drawn = TokenLengths(500, 0.3, kind).draw(4000, rng)
        # 4,000 lengths: standard errors of .5 % of the mean, and 2 % of the deviation.
        assert drawn.mean() == pytest.approx(500, rel=0.03)
        assert drawn.std() == pytest.approx(500 * deviation, rel=0.1)
    assert set(TokenLengths(7).draw(5, rng)) == {7}
    assert TokenLengths(1, 2.0).draw(100, rng).min() == 1


def test_rates_scale_the_gaps(requests):
    faster = at_rate(requests, 50.0)
    assert [r.input_tokens for r in faster] == [r.input_tokens for r in requests]
    assert faster[-1].arrival == pytest.approx(199 / 50.0)
    ratio = faster[50].arrival / faster[-1].arrival
    assert ratio == pytest.approx(requests[50].arrival / requests[-1].arrival)


def test_a_summary_counts_what_was_served(requests):
    served = simulate(requests, SETTINGS, seconds)
    summary = ServingSummary.of(requests, served)
    assert summary.ttft_mean == pytest.approx(served.ttft.mean())
    tokens = sum(r.output_tokens for r in requests)
    assert summary.tokens_per_s == pytest.approx(tokens / served.finished.max())
    assert summary.ttft_p50 <= summary.ttft_p99
    assert "time to first token" in str(summary)
    one = [Request(0.0, 4, 1)]
    alone = ServingSummary.of(one, simulate(one, SETTINGS, seconds))
    assert alone.to_dict()["tpot_mean"] is None
    json.dumps(alone.to_dict(), allow_nan=False)


def test_the_highest_rate_meets_its_limits_and_a_higher_one_does_not(requests):
    found = max_rate(requests, SETTINGS, seconds, ttft_slo=0.1, tpot_slo=0.009)
    for factor, holds in ((1.0, True), (1.1, False)):
        scaled = at_rate(requests, found.rate * factor)
        summary = ServingSummary.of(scaled, simulate(scaled, SETTINGS, seconds))
        assert (summary.ttft_p99 <= 0.1 and summary.tpot_p99 <= 0.009) is holds
    assert found.limit in ("ttft_slo", "tpot_slo")
    easier = max_rate(requests, SETTINGS, seconds, ttft_slo=0.15)
    assert easier.rate > found.rate
    mean = max_rate(requests, SETTINGS, seconds, ttft_slo=0.1, statistic="mean")
    assert mean.rate >= found.rate
    assert max_rate(requests, SETTINGS, seconds, ttft_slo=1e3).limit == "capacity"


def test_a_sweep_has_a_row_and_points_for_each_rate(requests, tmp_path):
    sweep = rate_sweep(requests, SETTINGS, seconds, [2.0, 20.0, 200.0])
    means = [row.ttft_mean for row in sweep.summaries]
    assert means == sorted(means)
    assert len(str(sweep).splitlines()) == 4
    sweep.plot(ttft_slo=0.5, tpot_slo=0.01).savefig(tmp_path / "rates.png")


def test_what_is_extrapolated_is_said_of_requests_and_rates(requests):
    class Far:
        outside = ("the experts lie outside their table",)

        def __call__(self, loads):
            return 0.01

    sweep = rate_sweep(requests, SETTINGS, Far(), [1.0, 2.0])
    for text in (str(sweep), str(sweep.summaries[0])):
        assert Far.outside[0] in text
    labels = [text.get_text() for text in sweep.plot().axes[0].get_legend().get_texts()]
    assert "extrapolated" in labels


def test_a_measured_deployment_gives_steps():
    model = DeploymentModel(
        RoutingTrace.example("code"), measured.example_hardware(1), measured.example_latency(),
        shape=measured.example_shape(), rest=measured.example_rest(),
    )  # fmt: skip
    timer = DeployedSteps(model, model.decision())
    for n in (4, 16):
        evaluation = model.evaluate(model.decision(batch_size=n))
        rest = float(model.rest.seconds(n, 128.0))
        step = timer([RankLoad(n, 128.0)])
        assert step == pytest.approx(evaluation.moe_seconds.mean() + rest)
    assert not timer.outside
    between = timer([RankLoad(10, 128.0)])
    assert timer([RankLoad(8, 128.0)]) < between < timer([RankLoad(16, 128.0)])
    mixed = timer([RankLoad(8, 128.0, (Chunk(64), Chunk(64, 64)))])
    assert mixed > timer([RankLoad(0, 0.0, (Chunk(64),))])
    timer([RankLoad(300, 4000.0)])
    text = " ".join(timer.outside)
    assert "has 32 sequences, so steps of 512 repeat them" in text
    assert "not for 300" in text and "not for 4000" in text  # noqa: PT018


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "'ttft_slo'.*unless tpot_slo"),
        ({"ttft_slo": 0.001}, r"'ttft_slo'.*at least 0\.0\d+ s, which requests without others"),
    ],
)
def test_limits_are_checked(requests, settings, message):
    with pytest.raises(ValueError, match=message):
        max_rate(requests, SETTINGS, seconds, **settings)


def test_wrong_requests_are_named(requests):
    with pytest.raises(ValueError, match="several times"):
        at_rate([Request(1.0, 4, 4)] * 3, 2.0)
    with pytest.raises(ValueError, match="'spread'"):
        TokenLengths(5, 2.0, "uniform")
    with pytest.raises(ValueError, match=r"'kv_tokens'.*longest request"):
        simulate(requests, Scheduler(kv_tokens=10), seconds)

"""The simulated scheduler: conservation, limits, chunks, ranks, and files of requests."""

import numpy as np
import pytest

from moe_costmodel import (
    Chunk,
    Request,
    Scheduler,
    max_rate,
    poisson_requests,
    read_requests,
    simulate,
)


def recorded(settings, requests, seconds=lambda loads: 0.01):
    """Serve requests, and return the result with the work of every step."""
    steps = []

    def timer(loads):
        steps.append(loads)
        return seconds(loads)

    return simulate(requests, settings, timer), steps


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("n_ranks", [1, 3])
def test_every_token_is_computed_once_within_the_limits(asynchronous, n_ranks):
    rng = np.random.default_rng(0)
    requests = [
        Request(float(t), int(rng.integers(1, 300)), int(rng.integers(1, 40)))
        for t in np.sort(rng.uniform(0, 2, 60))
    ]
    settings = Scheduler(
        max_num_seqs=8, max_num_batched_tokens=64, n_ranks=n_ranks, asynchronous=asynchronous
    )
    served, steps = recorded(settings, requests)
    loads = [load for step in steps for load in step]
    assert max(load.tokens for load in loads) <= 64
    assert max(load.n_decode + len(load.chunks) for load in loads) <= 8
    prompts = sum(chunk.length for load in loads for chunk in load.chunks)
    assert prompts == sum(request.input_tokens for request in requests)
    # The first token of an answer comes with the end of its prompt.
    assert sum(load.n_decode for load in loads) == sum(r.output_tokens - 1 for r in requests)
    assert served.n_steps == len(steps)
    assert (served.ttft > 0).all()
    assert len(set(served.rank)) == n_ranks


def test_a_long_prompt_goes_in_chunks_beside_running_sequences():
    settings = Scheduler(max_num_seqs=4, max_num_batched_tokens=100, asynchronous=False)
    _, steps = recorded(settings, [Request(0.0, 50, 20), Request(0.015, 250, 2)])
    chunks = [load.chunks for (load,) in steps if load.n_decode and load.chunks]
    assert chunks == [
        (Chunk(99, 0, False),), (Chunk(99, 99, False),), (Chunk(52, 198, True),)
    ]  # fmt: skip


def test_an_asynchronous_scheduler_makes_a_request_wait_a_step_longer():
    requests = [Request(0.0, 10, 100), Request(0.101, 10, 2)]
    waits = [
        simulate(requests, Scheduler(asynchronous=a), lambda loads: 0.1).ttft[1]
        for a in (False, True)
    ]
    assert waits[0] == pytest.approx(0.199)
    assert waits[1] == pytest.approx(0.299)


def test_a_full_cache_makes_requests_wait():
    requests = [Request(0.0, 100, 50), Request(0.0, 100, 50)]
    free = simulate(requests, Scheduler(), lambda loads: 0.01)
    full = simulate(requests, Scheduler(kv_tokens=200), lambda loads: 0.01)
    assert free.ttft[1] < 0.05
    assert full.ttft[1] > 0.4


def test_throughput_is_bounded_by_the_step():
    requests = poisson_requests(1e6, 400, 16, 32, random_state=np.random.default_rng(0))
    served = simulate(requests, Scheduler(max_num_seqs=10), lambda loads: 0.01)
    # Ten sequences a step; a prompt's step yields its first token.
    assert served.finished.max() == pytest.approx(400 * 32 / 10 * 0.01, rel=0.1)


def test_requests_are_read_from_json_lines(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_text(
        '{"arrival_time": 12.5, "input_toks": 7, "output_toks": 3, "other": 1}\n'
        '{"arrival_time": 12.0, "input_tokens": 5, "output_tokens": 2}\n\n'
    )
    assert read_requests(path) == [Request(0.0, 5, 2), Request(0.5, 7, 3)]
    path.write_text('{"arrival_time": 1, "input_tokens": 5}\n')
    with pytest.raises(ValueError, match="line 1, output_tokens"):
        read_requests(path)
    path.write_text("\n")
    with pytest.raises(ValueError, match="file with requests"):
        read_requests(path)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="max_num_batched_tokens"):
        Scheduler(max_num_seqs=256, max_num_batched_tokens=64)
    with pytest.raises(ValueError, match="host_seconds"):
        Scheduler(host_seconds=-1.0)
    with pytest.raises(ValueError, match="at least one request"):
        simulate([], Scheduler(), lambda loads: 0.01)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_a_step_without_a_time_is_named(seconds):
    requests = [Request(0.1 * i, 16, 4) for i in range(20)]
    message = r"finite seconds.*RankLoad\(n_decode=.*Got (nan|inf|-1.0) s"

    def timer(loads):
        return seconds if loads[0].n_decode else 0.01

    with pytest.raises(ValueError, match=message):
        simulate(requests, Scheduler(), timer)
    with pytest.raises(ValueError, match=message):
        max_rate(requests, Scheduler(), timer, tpot_slo=1.0)

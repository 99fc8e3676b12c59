"""A simulation of requests against a vLLM run of Qwen3-30B-A3B.

    MOELA_DATA=... python -m tests.benchmarks.serving_run

The data are kernels of the model on an RTX PRO 6000, and 300 requests that vLLM served on two such
GPUs (data-parallel attention, expert parallelism). Exchanges are those of NCCL on that GPU, from
aiconfigurator-core, where it is installed. The time of the host per step is fitted to the first 100
requests; the other 200 are scored.
"""

import json
import os
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moe_costmodel import ModelShape
from moe_costmodel.serving.profile import ProfiledKernels
from moe_costmodel.serving.requests import read_requests
from moe_costmodel.serving.scheduler import Scheduler, ServedRequests, simulate

FOLDER = "serving/qwen3-30b-a3b-rtxpro6000"
FITTED = 100


def observed(folder):
    """Return time to first token from arrival, and time per token, of all requests."""
    rows = [json.loads(line) for line in (folder / "vllm_requests.jsonl").read_text().splitlines()]
    rows.sort(key=lambda row: row["arrival_time"])
    arrival = np.array([row["arrival_time"] for row in rows])
    queued, first, last = (
        np.array([row[name] for row in rows])
        for name in ("queued_ts", "first_token_ts", "last_token_ts")
    )
    # Two clocks: the shortest way from arrival to queue took no time.
    arrival = arrival + (queued - arrival).min()
    more = np.array([row["output_toks"] - 1 for row in rows])
    return first - arrival, (last - first) / more


def exchanges():
    from moe_costmodel.silicon.operators.exchange import Exchanges
    from moe_costmodel.silicon.tables.package import gpu_named
    from moe_costmodel.silicon.tables.reader import Tables

    try:
        return Exchanges(Tables(gpu_named("rtx_pro_6000_server"), "vllm"))
    except ModuleNotFoundError:
        print("aiconfigurator-core is not installed: exchanges take no time")
        return None


def fit(requests, timer, target, **settings):
    """Return the host's seconds per step with which the first requests have their mean time."""
    low, high = 0.0, 0.05
    for _ in range(12):
        middle = (low + high) / 2
        served = simulate(requests, Scheduler(host_seconds=middle, **settings), timer)
        if np.nanmean(served.tpot[:FITTED]) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True)
class Run:
    """The recorded run, and its simulation with and without the host's time."""

    observed: dict  # of ttft and tpot to seconds, each [n_requests]
    alone: ServedRequests  # kernels and NCCL only
    served: ServedRequests
    host_seconds: float


def run():
    """Fit the host's time to the first requests, and simulate all."""
    folder = Path(os.environ["MOELA_DATA"]) / FOLDER
    meta = json.loads((folder / "vllm_meta.json").read_text())["engine_kwargs"]
    shape = ModelShape.from_config(folder / "config.json")
    settings = {
        "max_num_seqs": meta["max_num_seqs"],
        "max_num_batched_tokens": meta["max_num_batched_tokens"],
        "n_ranks": meta["data_parallel_size"],
    }
    timer = ProfiledKernels(
        folder, shape, n_ranks=meta["data_parallel_size"], exchanges=exchanges()
    )
    requests = read_requests(folder / "vllm_requests.jsonl")
    ttft, tpot = observed(folder)
    bare = simulate(requests, Scheduler(**settings), timer)
    host = fit(requests, timer, float(np.mean(tpot[:FITTED])), **settings)
    served = simulate(requests, Scheduler(host_seconds=host, **settings), timer)
    return Run({"ttft": ttft, "tpot": tpot}, bare, served, host)


def main():
    if not os.environ.get("MOELA_DATA"):
        print("skipped: MOELA_DATA is not set")
        return
    found = run()
    served, ttft, tpot = found.served, found.observed["ttft"], found.observed["tpot"]
    rest = slice(FITTED, None)
    alone = np.mean(found.alone.tpot[rest]) / np.mean(tpot[rest]) - 1
    print(f"kernels and NCCL alone: time per token {alone:+.1%}")
    print(f"host: {found.host_seconds * 1e3:.2f} ms a step, fitted to the first {FITTED} requests; "
          f"{served.n_steps} steps")  # fmt: skip
    for name, ours, theirs in (("ttft", served.ttft, ttft), ("tpot", served.tpot, tpot)):
        for words, part in (("first 100", slice(0, FITTED)), ("other 200", rest)):
            a, b = ours[part], theirs[part]
            quantiles = ", ".join(
                f"{q}: {np.quantile(a, q) * 1e3:.0f} / {np.quantile(b, q) * 1e3:.0f}"
                for q in (0.1, 0.5, 0.9)
            )
            print(f"{name}, {words}, ms simulated / observed: mean {a.mean() * 1e3:.1f} / "
                  f"{b.mean() * 1e3:.1f}; quantiles {quantiles}")  # fmt: skip
    error = abs(np.mean(served.tpot[rest]) / np.mean(tpot[rest]) - 1)
    print(f"bar: time per token, mean, {error:.1%}, at most 3%")
    error = abs(statistics.median(served.ttft[rest]) / statistics.median(ttft[rest]) - 1)
    print(f"bar: time to first token, median, {error:.1%}, at most 15%")
    error = abs(np.mean(served.ttft[rest]) / np.mean(ttft[rest]) - 1)
    print(f"bar: time to first token, mean, {error:.1%}, at most 25%")


if __name__ == "__main__":
    main()

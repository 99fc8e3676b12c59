"""A simulation of requests against a vLLM run of Qwen3-30B-A3B.

    MOELA_DATA=... python -m tests.benchmarks.serving_run [--quick]

The data are kernels of the model on an RTX PRO 6000, and 300 requests that vLLM served on two such
GPUs (data-parallel attention, expert parallelism). Exchanges are those of NCCL on that GPU, from
aiconfigurator-core, where it is installed. The time of the host per step is fitted to the first 100
requests; the other 200 are scored.
"""

import json
from dataclasses import dataclass

import numpy as np

from moe_costmodel import ModelShape
from moe_costmodel.serving.profile import ProfiledKernels
from moe_costmodel.serving.requests import read_requests
from moe_costmodel.serving.scheduler import Scheduler, ServedRequests, simulate
from moe_costmodel.silicon.operators.exchange import Exchanges
from moe_costmodel.silicon.tables.package import gpu_named
from moe_costmodel.silicon.tables.reader import Tables
from tests.benchmarks import harness

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
    folder = harness.data_folder() / FOLDER
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


BARS = (
    ("time per token, mean", "tpot", np.mean, "at most 3%"),
    ("time to first token, median", "ttft", np.median, "at most 15%"),
    ("time to first token, mean", "ttft", np.mean, "at most 25%"),
)


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.parse_args()
    found, rest = run(), slice(FITTED, None)
    print(f"host: {found.host_seconds * 1e3:.2f} ms a step, {found.served.n_steps} steps")
    for what, name, function, must in BARS:
        simulated, alone, observed = (
            1e3 * function(times[rest])
            for times in (
                getattr(found.served, name), getattr(found.alone, name), found.observed[name],
            )
        )  # fmt: skip
        print(
            f"{what}: {simulated:.1f} ms simulated, {observed:.1f} observed; "
            f"kernels and NCCL alone {alone / observed - 1:+.1%}"
        )
        harness.bar(what, f"{abs(simulated / observed - 1):.1%}", must)


if __name__ == "__main__":
    main()

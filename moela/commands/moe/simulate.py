"""`moela moe simulate`: requests served by a model on GPUs, and the rate that meets limits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela.commands.output import add_json, picture_to_write, print_json
from moela.commands.parser import add_examples, not_negative, positive

if TYPE_CHECKING:
    from moe_costmodel import ComposedSteps, Request, Scheduler

_FEW_RATES = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    add = parser.add_argument_group("system").add_argument
    add("--model", type=Path, metavar="JSON", required=True, help="config.json of the model")
    add("--gpu", metavar="NAME", required=True, help="GPU that has measured kernels")
    add("--backend", choices=("trtllm", "sglang", "vllm"), default="sglang", help="engine")
    add("--tp", type=positive, default=1, metavar="N", help="tensor parallelism of attention")
    add("--dp", type=positive, default=1, metavar="N", help="data-parallel ranks of attention")
    add("--ep", type=positive, metavar="N", help="expert parallelism (default: tp times dp)")
    add("--pp", type=positive, default=1, metavar="N", help="pipeline stages")
    add("--kv-dtype", choices=("bfloat16", "fp8"), default="bfloat16", metavar="TYPE",
        help="type of the cache: bfloat16 or fp8")
    add = parser.add_argument_group("scheduler").add_argument
    add("--max-seqs", type=positive, default=256, metavar="N", help="sequences that a rank runs")
    add("--chunk", type=positive, default=8192, metavar="N", help="tokens of a step on one rank")
    add("--kv-tokens", type=positive, metavar="N",
        help="tokens that the cache of a rank holds (default: what the GPU's memory leaves)")
    add("--host-ms", type=float, default=0.0, metavar="MS",
        help="time of a step that no kernel takes")
    add("--tables", type=Path, metavar="DIR",
        help="folder of the tables (default: that of the installed aiconfigurator-core)")
    add = parser.add_argument_group("requests").add_argument
    add("--requests", type=Path, metavar="FILE",
        help="JSON lines with arrival_time, input_tokens and output_tokens")
    add("--rate", type=float, metavar="R",
        help="requests per second; of a file, its gaps are scaled to this rate")
    add("--isl", type=positive, default=1024, metavar="N",
        help="mean tokens of a prompt, with --rate")
    add("--osl", type=positive, default=256, metavar="N",
        help="mean tokens of an answer, with --rate")
    add("--spread", type=float, default=0.0, metavar="X",
        help="standard deviation of the lengths over their mean, with --rate")
    add("--number", type=positive, default=300, metavar="N", help="requests to draw, with --rate")
    add("--seed", type=not_negative, default=0, metavar="N",
        help="random seed of arrivals and lengths")
    add = parser.add_argument_group("limits").add_argument
    add("--slo-ttft", type=float, metavar="MS", help="limit on the time to the first token")
    add("--slo-tpot", type=float, metavar="MS", help="limit on the time per token")
    add("--statistic", choices=("mean", "p50", "p99"), default="p99",
        help="statistic of the times of all requests that the limits apply to")
    add("--plot", type=Path, metavar="PNG", help="draw the times over rates around --rate")
    # fmt: on
    add_json(parser)
    add_examples(
        parser,
        "moela moe simulate --model config.json --gpu h200_sxm --tp 8 --rate 4 --isl 4096",
        "moela moe simulate --model config.json --gpu h200_sxm --tp 8 --requests r.jsonl "
        "--slo-ttft 2000 --slo-tpot 50 --plot rates.png",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print times of the requests and, with limits, the highest rate that meets them."""
    from moe_costmodel import ServingSummary, max_rate, rate_sweep, simulate

    requests = _requests(arguments)
    timer, settings = _system(arguments, requests)
    picture_to_write("--plot", arguments.plot)
    summary = ServingSummary.of(requests, simulate(requests, settings, timer))
    beyond = timer.shape.beyond_context(_longest(requests))
    notes = [beyond] if beyond else []
    limits = {
        name: None if value is None else value / 1e3
        for name, value in (("ttft_slo", arguments.slo_ttft), ("tpot_slo", arguments.slo_tpot))
    }
    best = None
    if any(value is not None for value in limits.values()):
        best = max_rate(
            requests, settings, timer, statistic=arguments.statistic,
            ttft_slo=limits["ttft_slo"], tpot_slo=limits["tpot_slo"],
        )  # fmt: skip
    sweep = None
    if arguments.plot:
        center = best.rate if best else summary.rate
        rates = center * np.geomspace(0.25, 2.0, _FEW_RATES)
        sweep = rate_sweep(requests, settings, timer, rates.tolist())
        sweep.plot(**limits).savefig(arguments.plot)
    if arguments.json:
        print_json(
            {
                "requests": summary.to_dict(),
                "kv_tokens": settings.kv_tokens,
                "notes": notes,
                "max_rate": None
                if best is None
                else {"rate": best.rate, "limit": best.limit, **best.summary.to_dict()},
                "sweep": [row.to_dict() for row in sweep.summaries] if sweep else None,
            }
        )
        return
    print(f"{timer.shape.name} on {arguments.gpu}, {timer.layout}; cache of a rank "
          f"{settings.kv_tokens:,} tokens")  # fmt: skip
    print(summary)
    if not arguments.requests:
        print(f"--rate asked for {arguments.rate:g} a second; the gaps between requests are random")
    for note in notes:
        print(f"note: {note}")
    for text in (best, sweep):
        if text is not None:
            print(text)
    if arguments.plot:
        print(f"{arguments.plot}: written")


def _requests(arguments: argparse.Namespace) -> list[Request]:
    from moe_costmodel import TokenLengths, at_rate, poisson_requests, read_requests

    if arguments.requests:
        requests = read_requests(arguments.requests)
        return at_rate(requests, arguments.rate) if arguments.rate is not None else requests
    if arguments.rate is None:
        raise ValueError("--requests or --rate must be given: a file of requests, or a rate.")
    lengths = (TokenLengths(mean, arguments.spread) for mean in (arguments.isl, arguments.osl))
    return poisson_requests(
        arguments.rate, arguments.number, *lengths,
        random_state=np.random.default_rng(arguments.seed),
    )  # fmt: skip


def _longest(requests: list[Request]) -> int:
    return max(request.input_tokens + request.output_tokens for request in requests)


def _system(
    arguments: argparse.Namespace, requests: list[Request]
) -> tuple[ComposedSteps, Scheduler]:
    """Return the step times, and the scheduler with the cache that the GPU's memory leaves."""
    from moe_costmodel import ComposedSteps, Layout, ModelShape, Scheduler, SiliconModel, gpu_memory
    from moe_costmodel.serving.layouts import check_layout
    from moe_costmodel.silicon.memory import state_type

    shape = ModelShape.from_config(arguments.model)
    model = SiliconModel(arguments.gpu, arguments.backend, arguments.tables)
    ep = arguments.ep
    if ep is None:
        ep = arguments.tp * arguments.dp if shape.experts else 1
    spread = max(1, arguments.tp * arguments.dp // ep)
    layout = Layout(tp=arguments.tp, dp=arguments.dp, moe_tp=spread, moe_ep=ep, pp=arguments.pp)
    check_layout(shape, layout, arguments.backend, "moela moe simulate")
    kv_tokens, longest = arguments.kv_tokens, _longest(requests)
    if kv_tokens is None:
        memory = gpu_memory(
            shape, layout, 1, longest, kv_dtype=arguments.kv_dtype,
            state_dtype=state_type(shape, arguments.backend),
        )  # fmt: skip
        gpu = model.tables.gpu
        kv_tokens = memory.most_sequences(gpu.memory_bytes) * longest
        if not kv_tokens:
            raise ValueError(
                f"--tp, --dp and --pp must leave room for the longest request beside the weights "
                f"of {shape.name}: {memory.weights / 2**30:.3g} GiB a GPU, of "
                f"{gpu.memory_bytes / 2**30:.3g} GiB on {arguments.gpu}. Use more GPUs."
            )
    settings = Scheduler(
        max_num_seqs=min(arguments.max_seqs, arguments.chunk),
        max_num_batched_tokens=arguments.chunk,
        n_ranks=arguments.dp,
        kv_tokens=kv_tokens,
        host_seconds=arguments.host_ms / 1e3,
    )
    return ComposedSteps(model, shape, layout, kv_dtype=arguments.kv_dtype), settings

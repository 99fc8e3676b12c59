"""DeepSeek-V3 under wide expert parallelism, against SGLang's published throughput.

    python -m tests.benchmarks.wide_ep [--quick]

The published system: nodes of 8 H100, inputs of 2,000 tokens; prefill on 4 nodes (EP32, up to
16,384 tokens a device a step), decode on 9 nodes (EP72, 256 sequences a device), both with
two-batch overlap. No constant is fitted to the two numbers. The balancedness is that of a placement
with copies by EPLB on traffic that it was not made for, as tests/benchmarks/moe_parts measures
it on published loads of DeepSeek-V3.

A second table leaves each point of TensorRT-LLM's tables of wide expert parallelism out, between
its neighbors with more and with fewer tokens.
"""

import numpy as np

from moe_costmodel import ModelShape
from moe_costmodel.silicon.step import SiliconModel
from moe_costmodel.silicon.tables.package import gpu_named, gpu_names, silicon_root
from moe_costmodel.silicon.tables.reader import Tables
from moe_costmodel.silicon.wide_ep import wide_ep_step
from tests.benchmarks import harness

PUBLISHED = {"decode EP72": 22.3e3, "prefill EP32": 52.3e3}
CASES = {
    "decode EP72": {"n_devices": 72, "n_sequences": 256, "length": 2000, "prefill": False},
    "prefill EP32": {"n_devices": 32, "n_sequences": 8, "length": 2048, "prefill": True},
}
# How much hangs on the overlap of two batches, and on the balance of loads.
OTHERS = ({"two_batches": False}, *({"balancedness": value} for value in (0.7, 0.9, 1.0)))


def throughputs(verbose=True):
    """Return tokens per second of a node by case, with two-batch overlap."""
    configs = silicon_root().parent / "model_configs"
    shape = ModelShape.from_config(configs / "deepseek-ai--DeepSeek-V3_config.json")
    model, found = SiliconModel("h100_sxm", "sglang"), {}
    for name, case in CASES.items():
        tokens = 8 * case["n_sequences"] * (case["length"] if case["prefill"] else 1)
        for settings in ({}, *OTHERS) if verbose else ({},):
            step = wide_ep_step(model, shape, **settings, **case)
            found.setdefault(name, tokens / step.seconds)
            if verbose:
                print(f"{name}, {settings}: {tokens / step.seconds:,.0f} tokens/s a node; {step}")
    return found


def leave_one_out():
    """Return errors of interpolation between neighbors, each kind of rows by itself."""
    keys = ("hidden_size", "inter_size", "num_experts", "num_slots", "moe_ep_size")
    errors = []
    for gpu in gpu_names():
        for table in Tables(gpu_named(gpu), "trtllm").read(
            "moe", "wideep_moe", (*keys, "num_tokens", "latency"), ("distribution",), only="trtllm"
        ):
            columns = table.columns
            kinds = np.column_stack([columns[k] for k in keys]).astype(str)
            kinds = np.column_stack([kinds, columns["distribution"]])
            group = np.unique(kinds, axis=0, return_inverse=True)[1].ravel()
            for g in np.unique(group):
                rows = np.flatnonzero(group == g)
                rows = rows[np.argsort(columns["num_tokens"][rows])]
                x, first = np.unique(np.log(columns["num_tokens"][rows]), return_index=True)
                t = np.log(columns["latency"][rows][first])
                share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
                errors.append(np.abs(np.expm1(t[:-2] + share * (t[2:] - t[:-2]) - t[1:-1])))
    return np.concatenate(errors)


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="without other settings")
    try:
        found = throughputs(verbose=not parser.parse_args().quick)
    except ModuleNotFoundError as error:
        print(f"skipped: {error}")
        return
    errors = leave_one_out()
    for name, published in PUBLISHED.items():
        error = found[name] / published - 1
        value = f"{found[name]:,.0f} tokens/s a node ({error:+.1%} of {published:,.0f})"
        harness.bar(name, value, "must be within 25%")
    print(f"wide experts, {len(errors)} points left out: median {np.median(errors):.1%}")
    harness.bar("leave-one-out of wide experts, mean", f"{errors.mean():.1%}", "at most 6.2%")


if __name__ == "__main__":
    main()

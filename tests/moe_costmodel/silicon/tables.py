"""A made-up GPU with tables of kernels, small enough to write in a test."""

import itertools

GPU = """data_dir: data/toy
gpu:
  mem_bw: 1000000000000
  mem_capacity: 80000000000
  bfloat16_tc_flops: 100000000000000
  fp8_tc_flops: 200000000000000
  sm_version: 90
node:
  num_gpus_per_node: 8
  inter_node_bw: 50000000000
  intra_node_bw: 400000000000
"""


def write_tables(root):
    """Write a GPU `toy`, whose dense products take twice their bound plus 2 us."""
    (root / "toy.yaml").write_text(GPU)
    write = writer(root)
    sizes = (16, 64, 256, 1024, 4096)
    write(
        "gemm", "gemm",
        [
            {"m": m, "n": n, "k": k, "gemm_dtype": "bfloat16", "kernel_source": "toy_linear",
             "latency": gemm_ms(m, n, k)}
            for m, n, k in itertools.product((1, 16, 256, 4096), sizes, sizes)
        ],
    )  # fmt: skip
    write(
        "attention", "context_attention",
        [
            {"batch_size": b, "isl": s, "num_heads": h, "num_key_value_heads": 2, "head_dim": 64,
             "window_size": 0, "kv_cache_dtype": "bfloat16", "kernel_source": "toy_attention",
             "step": 0, "latency": 0.01 + 1e-9 * b * h * s * s}
            for b, s, h in itertools.product((1, 8), (16, 256, 4096), (4, 8))
        ],
    )  # fmt: skip
    write(
        "attention", "generation_attention",
        [
            {"batch_size": b, "isl": 1, "num_heads": h, "num_key_value_heads": 2, "head_dim": 64,
             "window_size": 0, "kv_cache_dtype": "bfloat16", "kernel_source": "toy_attention",
             "step": s, "latency": 0.005 + 1e-6 * b * s}
            for b, s, h in itertools.product((1, 8, 64), (16, 256, 4096), (4, 8))
        ],
    )  # fmt: skip
    moe = [
        {"hidden_size": 256, "inter_size": 128, "topk": 2, "num_experts": 8, "moe_tp_size": 1,
         "moe_ep_size": ep, "num_tokens": t, "moe_dtype": "bfloat16", "distribution": "balanced",
         "kernel_source": kernel, "latency": slow * (0.02 + 1e-4 * t / ep)}
        for t, ep in itertools.product((1, 16, 256, 4096), (1, 2))
        for kernel, slow in (("toy_moe", 1.0), ("slow_moe", 3.0))
    ]  # fmt: skip
    write("moe", "moe", moe)
    write("moe", "moe", [row | {"latency": 99.0} for row in moe], version="0.9.0")
    write(
        "comm", "custom_allreduce",
        [
            {"num_gpus": n, "message_size": s, "allreduce_dtype": "bfloat16",
             "kernel_source": "toy_sum", "latency": 0.004 + 1e-8 * s}
            for n, s in itertools.product((2, 4), (128, 65536, 2**24))
        ],
    )  # fmt: skip
    return root


def writer(root):
    """Return a function that writes rows as one table of the GPU `toy`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(family, name, rows, version="1.0.0", backend="sglang"):
        folder = root / "data" / "toy" / family / backend / version
        folder.mkdir(parents=True, exist_ok=True)
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        pq.write_table(pa.table(columns), folder / f"{name}_perf.parquet")

    return write


def gemm_ms(m, n, k):
    bound = max(2 * m * n * k / 100e12, (2 * n * k + 2 * m * k + 2 * m * n) / 1e12)
    return 1e3 * 2 * bound


CONFIG = {
    "model_type": "mixtral", "hidden_size": 256, "intermediate_size": 128, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "num_local_experts": 8,
    "num_experts_per_tok": 2, "vocab_size": 1024,
}  # fmt: skip

# The same width and experts with latent attention, a shared expert, and a dense first layer.
LATENT = {
    "model_type": "deepseek_v3", "hidden_size": 256, "intermediate_size": 512,
    "moe_intermediate_size": 128, "num_hidden_layers": 4, "first_k_dense_replace": 1,
    "num_attention_heads": 8, "n_routed_experts": 8, "num_experts_per_tok": 2,
    "n_shared_experts": 1, "q_lora_rank": 64, "kv_lora_rank": 64, "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16, "v_head_dim": 32, "vocab_size": 1024,
}  # fmt: skip


class Wide:
    """Milliseconds of the tables of wide expert parallelism, at the points that they hold."""

    TOKENS = tuple(2**i for i in range(0, 15, 2))

    @staticmethod
    def experts(tokens, ep, phase):
        return (0.02 if phase == "generation" else 0.05) + 1e-3 * tokens / ep

    @staticmethod
    def exchange(tokens, nodes, phase, kind):
        start = {"dispatch": 0.010, "combine": 0.015}[phase] * nodes
        return start * (1 if kind == "ll" else 4) + 2e-4 * tokens

    @staticmethod
    def attention(n, length, phase):
        return 0.02 + 1e-5 * n * length * (1 if phase == "generation" else 0.5)


def write_wide_tables(root, nodes=(1, 2)):
    """Write tables of wide expert parallelism beside those of `write_tables`, on 8 GPUs a node."""
    write = writer(root)
    sizes = {"hidden_size": 256, "topk": 2, "num_experts": 8}
    for phase in ("context", "generation"):
        write(
            "moe", f"wideep_{phase}_moe",
            [
                {**sizes, "inter_size": 128, "moe_tp_size": 1, "moe_ep_size": ep, "num_tokens": t,
                 "moe_dtype": "fp8_block", "distribution": name, "kernel_source": f"{phase}_moe",
                 "latency": slow * Wide.experts(t, ep, phase)}
                for t, ep in itertools.product(Wide.TOKENS, (4, 8, 16))
                for name, slow in (("uniform", 1.0), ("power_law_1.01", 2.0))
            ],
        )  # fmt: skip
        write(
            "mla", f"wideep_{phase}_mla",
            [
                {"batch_size": b, "isl": s, "num_heads": 8, "kernel_source": f"{phase}_module",
                 "latency": Wide.attention(b, s, phase)}
                for b, s in itertools.product((1, 2, 4, 8, 16, 32, 64), (16, 64, 256, 1024))
            ],
        )  # fmt: skip
    points = list(itertools.product(nodes, Wide.TOKENS))
    names = ("dispatch", "combine")
    write(
        "comm", "wideep_deepep_ll",
        [
            {**renamed(sizes), "node_num": n, "num_token": t, "kernel_source": "deepep_ll",
             **{f"{name}_avg_t_us": 1e3 * Wide.exchange(t, n, name, "ll") for name in names}}
            for n, t in points
        ],
    )  # fmt: skip
    write(
        "comm", "wideep_deepep_normal",
        [
            {**renamed(sizes), "node_num": n, "num_token": t, "kernel_source": "deepep_normal",
             "dispatch_sms": sms, "combine_sms": sms,
             **{f"{name}_transmit_us": 1e3 * slow * Wide.exchange(t, n, name, "normal")
                for name in names}}
            for n, t in points
            for sms, slow in ((20, 1.0), (24, 0.1))
        ],
    )  # fmt: skip
    return root


def renamed(sizes):
    """Return sizes under the names of the tables of exchanges."""
    return {"num_topk" if name == "topk" else name: value for name, value in sizes.items()}


class Kinds:
    """Milliseconds of the tables of latent attention, windows, delta nets and NCCL."""

    @staticmethod
    def latent(n, length, phase, dtype="bfloat16"):
        pairs = n * length * (length if phase == "context" else 1)
        return 0.006 + 2e-7 * pairs * (0.5 if dtype == "fp8" else 1.0)

    @staticmethod
    def window(n, length):
        return 0.004 + 1e-6 * n * min(length, 64)

    @staticmethod
    def delta(n, length, heads, kernel):
        return {"conv": 0.002, "delta": 0.010}[kernel] * n * length * heads

    @staticmethod
    def nccl(values, n):
        return 0.02 * n + 1e-6 * values


def write_kinds(root):
    """Write tables of further kinds of attention, and of NCCL, beside those of `write_tables`."""
    write = writer(root)
    for phase, last, dtypes in (
        ("context", "isl", ("bfloat16",)), ("generation", "step", ("bfloat16", "fp8")),
    ):  # fmt: skip
        write(
            "mla", f"{phase}_mla",
            [
                {"batch_size": b, "isl": 1, "step": 0, "num_heads": h, "kv_cache_dtype": dtype,
                 "kernel_source": "toy_latent", "latency": Kinds.latent(b, s, phase, dtype)}
                | {last: s}
                for b, s, h in itertools.product((1, 8, 64), (16, 256, 4096), (4, 8))
                for dtype in dtypes
            ],
        )  # fmt: skip
    write(
        "attention", "generation_attention",
        [
            {"batch_size": b, "isl": 1, "num_heads": h, "num_key_value_heads": 2, "head_dim": 64,
             "window_size": 64, "kv_cache_dtype": "bfloat16", "kernel_source": "toy_window",
             "step": s, "latency": Kinds.window(b, s)}
            for b, s, h in itertools.product((1, 8, 64), (16, 256, 4096), (4, 8))
        ],
        version="1.1.0",
    )  # fmt: skip
    write(
        "linear_attention", "gdn",
        [
            {"batch_size": b, "seq_len": s, "num_k_heads": 4, "head_k_dim": 64, "num_v_heads": h,
             "phase": phase, "kernel_source": kernel, "latency": Kinds.delta(b, s, h, kernel)}
            for b, h in itertools.product((1, 8, 64), (4, 8))
            for phase, lengths in (("context", (16, 256, 4096)), ("generation", (1,)))
            for s in lengths
            for kernel in ("conv", "delta")
        ],
    )  # fmt: skip
    write(
        "comm", "nccl",
        [
            {"num_gpus": n, "message_size": s, "nccl_dtype": "half", "op_name": name,
             "kernel_source": "nccl", "latency": Kinds.nccl(s, n)}
            for n, s in itertools.product((2, 4, 8), (256, 4096, 65536, 2**24))
            for name in ("all_reduce", "all_gather", "reduce_scatter")
        ],
        version="2.20", backend="nccl",
    )  # fmt: skip
    return root

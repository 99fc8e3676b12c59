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
    import pyarrow as pa
    import pyarrow.parquet as pq

    (root / "toy.yaml").write_text(GPU)

    def write(family, name, rows, version="1.0.0", backend="sglang"):
        folder = root / "data" / "toy" / family / backend / version
        folder.mkdir(parents=True, exist_ok=True)
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        pq.write_table(pa.table(columns), folder / f"{name}_perf.parquet")

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
             "step": s, "latency": 0.005 + 1e-7 * b * s}
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


def gemm_ms(m, n, k):
    bound = max(2 * m * n * k / 100e12, (2 * n * k + 2 * m * k + 2 * m * n) / 1e12)
    return 1e3 * 2 * bound


CONFIG = {
    "model_type": "mixtral", "hidden_size": 256, "intermediate_size": 128, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "num_local_experts": 8,
    "num_experts_per_tok": 2, "vocab_size": 1024,
}  # fmt: skip

"""The picture of `moela moe buy` in docs/whole_models.md: cost against speed on several GPUs.

`python -m tests.benchmarks.buy_front [--quick] [--out FOLDER]` plans the serving of a model of the
sizes of Qwen3-30B-A3B on up to eight A100, H100, H200 and L40S, at made-up prices, and writes
`docs/images/buy.png`. `--quick` plans on one and two GPUs, and writes no picture.

Ends with one line: `bar: commands that SGLang reads, N of N, all`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from moela.cli import main as moela

ROOT = Path(__file__).parents[2]
CONFIG = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128,
    "num_experts_per_tok": 8, "moe_intermediate_size": 768, "intermediate_size": 6144,
    "vocab_size": 151936, "decoder_sparse_step": 1, "norm_topk_prob": True,
}  # fmt: skip
PRICES = {"a100_sxm": 1.6, "h100_sxm": 2.4, "h200_sxm": 3.2, "l40s": 0.9}
FLAGS = ROOT / "tests" / "moe_costmodel" / "plans" / "data" / "engine_flags.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one and two GPUs, no picture")
    parser.add_argument("--out", type=Path, help="folder for the results")
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    prices = {"h200_sxm": 3.2} if arguments.quick else PRICES
    (out / "prices.json").write_text(json.dumps(prices), encoding="utf-8")
    status = moela([
        "moe", "buy", "--model", str(out), "--weights", "Qwen/Qwen3-30B-A3B", "--prices",
        str(out / "prices.json"), "--gpus-max", "2" if arguments.quick else "8", "--evals",
        "60" if arguments.quick else "150", "--slo-tpot", "60", "--out", str(out / "buy"),
        "--quiet",
    ])  # fmt: skip
    if status:
        return status
    if not arguments.quick:
        shutil.copy(out / "buy" / "front.png", ROOT / "docs" / "images" / "buy.png")
    known = json.loads(FLAGS.read_text(encoding="utf-8"))["sglang"]["flags"]
    record = json.loads((out / "buy" / "run.json").read_text(encoding="utf-8"))
    commands = [shlex.split(words) for row in record["front"] for words in row["commands"]]
    read = [all(w in known for w in words if w.startswith("--")) for words in commands]
    print(f"bar: commands that SGLang reads, {sum(read)} of {len(read)}, all")
    return 0


if __name__ == "__main__":
    sys.exit(main())

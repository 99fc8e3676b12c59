"""Size of the example model's weights in the wheel, and the cost of storing fewer bits.

Run ``python -m tests.benchmarks.wheel_size`` (needs torch). The weights are rounded to some bits of
the mantissa (half precision has ten), stored with their bytes sorted by place, which compresses
best, and compressed by lzma. Beside the size: the loss on held-out text, and the share of the
packaged routing decisions (token, layer, expert) that the rounded model still makes.
"""

from __future__ import annotations

import lzma

import numpy as np
import torch

from moe_costmodel import RoutingTrace
from moe_costmodel.example import excerpts, load_model
from moe_costmodel.example.text import DOMAINS, corpus
from moe_costmodel.example.train import held_out_loss

MANTISSA_BITS = (10, 8, 6, 5, 4, 3)
N_WINDOWS, N_EXCERPTS = 16, 6


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Return half-precision values with `bits` bits of the mantissa, to the nearest."""
    drop = 10 - bits
    if drop == 0:
        return values
    words = values.view(np.uint16).astype(np.uint32)
    words = (words + (1 << (drop - 1))) >> drop << drop
    return np.minimum(words, 0xFFFF).astype(np.uint16).view(np.float16)


def packed(values: np.ndarray) -> int:
    """Return the bytes of half-precision values, compressed."""
    return len(lzma.compress(values.view(np.uint8).reshape(-1, 2).T.tobytes(), preset=6))


def main() -> None:
    torch.set_num_threads(1)
    texts = {domain: corpus(domain, held_out=True) for domain in DOMAINS}
    before = {}
    print("bits  MB    loss on " + ", ".join(DOMAINS) + "  same routing")
    for bits in MANTISSA_BITS:
        model, parts = load_model(), []
        for value in model.state_dict().values():
            half = rounded(value.numpy().astype(np.float16).ravel(), bits)
            value.copy_(torch.from_numpy(half.astype(np.float32)).reshape(value.shape))
            parts.append(half)
        losses, same = [], []
        for domain in DOMAINS:
            losses.append(held_out_loss(model, texts[domain], N_WINDOWS))
            ids = np.sort(RoutingTrace.record(model, excerpts(domain, n=N_EXCERPTS)).topk_ids, -1)
            before.setdefault(domain, ids)
            same.append((ids == before[domain]).mean())
        size = packed(np.concatenate(parts)) / 1e6
        print(f"{bits:4d}  {size:.2f}  {'  '.join(f'{loss:.4f}' for loss in losses)}  "
              f"{100 * np.mean(same):.2f} %")  # fmt: skip


if __name__ == "__main__":
    main()

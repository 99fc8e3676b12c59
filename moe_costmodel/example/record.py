"""Record the packaged traces: ``python -m moe_costmodel.example.record --out FOLDER``.

Each trace is the routing of the example model on excerpts of documents held out of its training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from moe_costmodel.example.packaged import load_model
from moe_costmodel.example.text import DOMAINS, documents
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["excerpts"]

N_SEQUENCES = 32
SHORTEST, LONGEST = 96, 288


def excerpts(
    domain: str, *, n: int = N_SEQUENCES, random_state: np.random.Generator | int = 0
) -> Iterator[torch.Tensor]:
    """Yield excerpts of held-out documents, (1, length) bytes each, of mixed lengths.

    Parameters
    ----------
    domain : str
        "prose" or "code".
    n : int
        Number of excerpts.
    random_state : Generator or int
        Source of documents, positions and lengths.

    Yields
    ------
    Tensor of shape (1, length), int64

    Examples
    --------
    >>> from moe_costmodel.example import excerpts
    >>> next(excerpts("code")).ndim
    2
    """
    random = np.random.default_rng(random_state)
    long_enough = [text for text in documents(domain, held_out=True) if len(text) >= LONGEST]
    for _ in range(n):
        text = long_enough[random.integers(len(long_enough))]
        length = int(random.integers(SHORTEST, LONGEST + 1))
        start = int(random.integers(len(text) - length + 1))
        window = np.frombuffer(text[start : start + length], dtype=np.uint8).astype(np.int64)
        yield torch.from_numpy(window)[None]


def main() -> None:
    """Record both domains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    folder = parser.parse_args().out
    torch.set_num_threads(1)
    model = load_model()
    for domain in DOMAINS:
        trace = RoutingTrace.record(model, excerpts(domain))
        RoutingTrace(
            trace.topk_ids,
            trace.topk_weights.astype(np.float16),
            n_experts=trace.n_experts,
            sequence_lengths=trace.sequence_lengths,
        ).save(folder / f"trace_{domain}.npz")


if __name__ == "__main__":
    main()

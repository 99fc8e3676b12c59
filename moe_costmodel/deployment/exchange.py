"""Time in which devices exchange tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Floats
from moe_costmodel.hardware import Link
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape

__all__ = ["exchange_seconds"]


def exchange_seconds(
    rows: ArrayLike, links: Sequence[tuple[int, Link]], shape: LayerShape
) -> Floats:
    """Return the time of an exchange of tokens, one way, (n,), over the slowest link.

    Parameters
    ----------
    rows : array_like of shape (n, n_devices)
        Token-expert pairs that each device receives.
    links : sequence of (int, Link)
        Number of parties, and the link between them: devices, nodes.
    shape : LayerShape
        Width and type of a token.
    """
    array = np.asarray(rows, dtype=np.float64)
    seconds = np.zeros(len(array))
    token_bytes = shape.d_model * max(DTYPE_BYTES[shape.dtype], 2.0)
    for n, link in links:
        fullest = array.reshape(len(array), n, -1).sum(axis=2).max(axis=1)
        sent = fullest * (1 - 1 / n) * token_bytes
        seconds = np.maximum(seconds, link.latency + sent / link.bandwidth)
    return seconds

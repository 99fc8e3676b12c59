"""Recorded: routing as arrays, as the readers return it, and checks that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Array, Floats
from moe_costmodel._checks import count, shape_of
from moela.files.guard import check_size, invalid_file

__all__ = ["Recorded", "Sizes", "joined"]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model that some formats do not hold.

    Attributes
    ----------
    n_experts : int, optional
        Experts of a layer; by default one more than the largest id.
    n_layers, k : int, optional
        MoE layers, and experts of a token.
    """

    n_experts: int | None = None
    n_layers: int | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_experts", "n_layers", "k"):
            if getattr(self, name) is not None:
                count("Sizes", name, getattr(self, name))


@dataclass(frozen=True)
class Recorded:
    """Routing of one file.

    Attributes
    ----------
    format : str
        Program and format, for messages.
    ids : ndarray of shape (n_tokens, n_layers, k), integer, or None
    counts : ndarray of shape (n_steps, n_layers, n_experts), or None
        Loads, if the choices of each token are not known.
    lengths : list of int
        Tokens of each sequence.
    weights : ndarray of the shape of `ids`, or None
    n_experts : int, optional
    layers : list of int, optional
        Number of each layer within its model.
    """

    format: str
    ids: Array | None = None
    counts: Array | None = None
    lengths: list[int] = field(default_factory=list)
    weights: Floats | None = None
    n_experts: int | None = None
    layers: list[int] | None = None


def joined(
    source: str | Path, name: str, sequences: Sequence[tuple[str, Array]], sizes: Sizes
) -> Recorded:
    """Join sequences of one model; errors name the field of the first one that differs.

    Parameters
    ----------
    sequences : sequence of (field, ids)
        Choices of each sequence, [n_tokens, n_layers, k].
    """
    first = sequences[0][1]
    for place, ids in sequences:
        given = (sizes.n_layers or first.shape[1], sizes.k or first.shape[2])
        if ids.shape[1:] != given:
            expected = f"of {given[0]} layers and k = {given[1]}, as in all others"
            raise invalid_file(source, shape_of(ids), expected, place)
        most = sizes.n_experts
        if most is not None and ids.size and int(ids.max()) >= most:
            got = f"expert {int(ids.max())}"
            raise invalid_file(source, got, f"below the model's {most} experts", place)
    full = [ids for _, ids in sequences if len(ids)]
    if not full:
        raise invalid_file(source, "no tokens", "at least one token", sequences[0][0])
    check_size(source, sum(8 * ids.size + 32 * len(ids) for ids in full), "arrays", sequences[0][0])
    return Recorded(
        name,
        ids=np.concatenate(full),
        lengths=[len(ids) for ids in full],
        n_experts=sizes.n_experts,
    )

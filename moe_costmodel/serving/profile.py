"""Step times from the kernels of one model on one GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import count
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.serving.scheduler import RankLoad
from moe_costmodel.silicon.exchange import Exchanges
from moe_costmodel.silicon.experts import active_experts
from moe_costmodel.silicon.grid import Grid
from moela.files.tables import TextTable

__all__ = ["ProfiledKernels"]

_LAYER = ("layernorm", "layernorm", "qkv_proj", "qk_norm", "rotary_emb", "o_proj")
_ONCE = ("embedding", "final_layernorm")


class ProfiledKernels:
    """Step times composed of a profile: one model's kernels, measured on one GPU.

    The folder holds tables of microseconds: ``dense.csv`` (layer, tokens), ``per_sequence.csv``
    (layer, sequences), ``moe.csv`` (tokens, activated experts), and ``attention.csv`` (tokens and
    prefix of a chunk, sequences and context of decoding), as LLMServingSim's profiler writes them.

    Parameters
    ----------
    folder : str or Path
        The profile.
    shape : ModelShape
        The model.
    n_ranks : int
        Data-parallel ranks, over which the experts are spread.
    exchanges : Exchanges, optional
        Collective operations between the ranks; without them, exchanges take no time.

    Raises
    ------
    FileNotFoundError
        If a table does not exist.
    ValueError
        If a table is damaged, or the model has no experts.
    """

    def __init__(
        self,
        folder: str | Path,
        shape: ModelShape,
        *,
        n_ranks: int = 1,
        exchanges: Exchanges | None = None,
    ) -> None:
        folder = Path(folder)
        self._n_ranks = count("ProfiledKernels", "n_ranks", n_ranks)
        self._shape = shape
        if shape.experts is None:
            raise ValueError(f"The model {shape.name!r} has no experts; it is dense.")
        self._chosen = shape.experts
        self._exchanges = exchanges
        self._dense = _by_layer(folder / "dense.csv", "tokens")
        self._once = _by_layer(folder / "per_sequence.csv", "sequences")
        names = ("tokens", "activated_experts", "time_us")
        self._experts = _grid(folder / "moe.csv", names)
        names = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
        self._attention = _grid(folder / "attention.csv", names)

    def __call__(self, loads: Sequence[RankLoad]) -> float:
        """Return the seconds of a step of all ranks."""
        n_layers = self._shape.n_layers
        own = max(self._rank(load) for load in loads)
        return own + n_layers * self._shared(loads)

    def _rank(self, load: RankLoad) -> float:
        """Return the seconds of attention and dense parts of a rank, over all layers."""
        if load.tokens == 0:
            return 0.0
        layer = sum(_at(self._dense[name], load.tokens) for name in _LAYER)
        layer += self._mixing(load)
        samples = load.n_decode + sum(chunk.last for chunk in load.chunks)
        once = sum(_at(self._dense[name], load.tokens) for name in _ONCE)
        if samples:
            once += sum(_at(grid, samples) for grid in self._once.values())
        return self._shape.n_layers * layer + once

    def _mixing(self, load: RankLoad) -> float:
        chunks = list(load.chunks)
        decode = (load.n_decode, load.context if load.n_decode else 0.0)
        first = (chunks[0].length, chunks[0].prefix) if chunks else (0, 0)
        seconds = _at(self._attention, *first, *decode)
        for chunk in chunks[1:]:
            seconds += _at(self._attention, chunk.length, chunk.prefix, 0, 0)
        return seconds

    def _shared(self, loads: Sequence[RankLoad]) -> float:
        """Return the seconds of the experts of a layer, and of the exchange around them."""
        experts, n = self._chosen, self._n_ranks
        tokens = sum(load.tokens for load in loads)
        local = experts.n_experts / n
        active = float(active_experts(float(tokens), experts.k, experts.n_experts, local))
        # A rank has its share of all choices, as many as so many tokens have.
        seconds = _at(self._experts, max(tokens / n, 1.0), max(active, 1.0))
        if n > 1 and self._exchanges is not None:
            # All ranks send as many rows as the one with most.
            values = n * max(load.tokens for load in loads) * self._shape.d_model
            for name in ("all_gather", "reduce_scatter"):
                seconds += self._exchanges.nccl(name, values, n).seconds
        return seconds


def _at(grid: Grid, *point: float) -> float:
    """Return seconds at a point, whose coordinates may be zero."""
    return grid.at([value + 1.0 for value in point]).ratio


def _grid(path: Path, names: tuple[str, ...]) -> Grid:
    rows = _rows(path, names)
    return Grid(rows[:, :-1] + 1.0, rows[:, -1] / 1e6)


def _by_layer(path: Path, axis: str) -> dict[str, Grid]:
    """Return a grid for each layer of a table, over one coordinate."""
    table = TextTable(path)
    lines = [(number, cells) for number, cells in table if cells]
    header = lines[0][1]
    place = [header.index(name) for name in ("layer", axis, "time_us")]
    found: dict[str, list[tuple[float, float]]] = {}
    for number, cells in lines[1:]:
        try:
            point = (float(cells[place[1]]), float(cells[place[2]]))
        except (ValueError, IndexError):
            raise table.error(number, cells, "a layer and two numbers") from None
        found.setdefault(cells[place[0]], []).append(point)
    return {
        name: Grid(np.array(rows)[:, :1] + 1.0, np.array(rows)[:, 1] / 1e6)
        for name, rows in found.items()
    }


def _rows(path: Path, names: tuple[str, ...]) -> Floats:
    """Return the named columns of a table of numbers."""
    table = TextTable(path)
    lines = [(number, cells) for number, cells in table if cells]
    header = lines[0][1]
    for name in names:
        if name not in header:
            raise table.error(lines[0][0], header, f"a header with {', '.join(names)}")
    place = [header.index(name) for name in names]
    rows = []
    for number, cells in lines[1:]:
        try:
            rows.append([float(cells[i]) for i in place])
        except (ValueError, IndexError):
            raise table.error(number, cells, f"{len(header)} numbers") from None
    return np.array(rows)

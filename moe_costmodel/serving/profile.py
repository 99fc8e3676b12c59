"""Step times from the kernels of one model on one GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moe_costmodel._checks import count
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.serving.scheduler import RankLoad
from moe_costmodel.silicon.operators.exchange import Exchanges
from moe_costmodel.silicon.operators.experts import active_experts
from moe_costmodel.silicon.tables.grid import Grid
from moela.files.guard import invalid_file
from moela.files.tables import TextTable
from moela.files.text import number_of

__all__ = ["ProfiledKernels"]

_LAYER = ("layernorm", "layernorm", "qkv_proj", "qk_norm", "rotary_emb", "o_proj")
_EXPERTS = ("tokens", "activated_experts", "time_us")
_ATTENTION = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
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
        If a table is damaged or lacks a layer, or the model has no experts.

    Examples
    --------
    >>> from moe_costmodel import Chunk, ModelShape, ProfiledKernels, RankLoad
    >>> shape = ModelShape.from_config("profile/config.json")  # doctest: +SKIP
    >>> timer = ProfiledKernels("profile", shape)  # doctest: +SKIP
    >>> timer([RankLoad(64, 1000.0, (Chunk(512),))])  # doctest: +SKIP
    0.0537
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
            raise ValueError(
                f"The model {shape.name!r} has no experts; it is dense. Give a model with experts."
            )
        self._chosen = shape.experts
        self._exchanges = exchanges
        self._dense = _by_layer(folder / "dense.csv", "tokens", (*_LAYER, *_ONCE))
        self._once = _by_layer(folder / "per_sequence.csv", "sequences")
        self._experts = _grid(folder / "moe.csv", _EXPERTS)
        self._attention = _grid(folder / "attention.csv", _ATTENTION)

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
        every = np.asarray(tokens, dtype=np.float64)
        active = float(active_experts(every, experts.k, experts.n_experts, local))
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
    return _times([numbers for _, numbers in _rows(path, (), names)])


def _by_layer(path: Path, axis: str, layers: tuple[str, ...] = ()) -> dict[str, Grid]:
    """Return a grid for each layer of a table, over one coordinate; some layers are required."""
    found: dict[str, list[list[float]]] = {}
    for texts, numbers in _rows(path, ("layer",), (axis, "time_us")):
        found.setdefault(texts[0], []).append(numbers)
    if not found.keys() >= set(layers):
        expected = f"with rows of all of {', '.join(dict.fromkeys(layers))}"
        raise invalid_file(path, f"rows of {', '.join(found)}", expected)
    return {name: _times(rows) for name, rows in found.items()}


def _times(rows: list[list[float]]) -> Grid:
    """Return a grid of seconds; the last number of a row is in microseconds."""
    numbers = np.array(rows)
    return Grid(numbers[:, :-1] + 1.0, numbers[:, -1] / 1e6)


def _rows(
    path: Path, texts: tuple[str, ...], names: tuple[str, ...]
) -> list[tuple[list[str], list[float]]]:
    """Return the named columns of a table, those of text and those of numbers; the last is a time.

    Coordinates are at least 0, and times above 0.
    """
    table = TextTable(path)
    lines = [(number, cells) for number, cells in table if cells]
    if len(lines) < 2:
        raise invalid_file(path, f"{len(lines)} lines", "a table of a header and at least one row")
    header = lines[0][1]
    if not {*texts, *names} <= set(header):
        expected = f"a header with {', '.join((*texts, *names))}"
        raise table.error(lines[0][0], ", ".join(header), expected)
    words, places = ([header.index(name) for name in part] for part in (texts, names))
    rows = []
    for number, cells in lines[1:]:
        numbers = [number_of(cells[i]) for i in places if i < len(cells)]
        good = [n for n in numbers if n is not None and 0 <= n < np.inf]
        if len(cells) != len(header) or len(good) < len(names) or good[-1] == 0:
            expected = f"{len(header)} cells, with {', '.join(names)} as numbers (the time above 0)"
            raise table.error(number, ", ".join(cells), expected)
        rows.append(([cells[i] for i in words], good))
    return rows

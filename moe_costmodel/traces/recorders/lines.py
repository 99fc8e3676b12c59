"""Line by line: llama.cpp's CSV, moe-cache-lab's JSON lines, and vLLM's loads.

Sources: llama.cpp pull request 28544 (examples/moe-trace, a row ``layer,expert`` a choice);
birkansit/moe-cache-lab, TRACE_FORMAT.md, versions 1 and 2; vLLM pull request 41141 (open), expert
loads as JSON lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Array
from moe_costmodel._fields import array_in, only
from moe_costmodel.shapes import MAX_EXPERTS
from moe_costmodel.traces.recorders.recorded import Recorded, Sizes, joined
from moela.files.fields import object_in, text_in, whole_in
from moela.files.guard import brief, check_size, invalid_file
from moela.files.tables import TextTable

__all__ = ["LAB_FORMAT", "load_field", "of_lab_lines", "of_load_lines", "read_llama_csv"]

LAB_FORMAT = "moe-cache-lab.routing-jsonl"
_LOADS = ("expert_load", "logical_expert_load", "logical_count")
_MOST_LAYERS = 10_000


def read_llama_csv(path: Path, sizes: Sizes) -> Recorded:
    """Return the routing of a CSV of llama.cpp.

    A forward pass writes each layer's choices of all its tokens, layer after layer. The experts of
    a token are the greatest common divisor of the lengths of these runs, since a token is decoded
    alone. A pass of several tokens after one of a single token begins another sequence.
    """
    table = TextTable(path)
    rows: list[tuple[int, int]] = []
    for number, cells in table:
        if not cells or (not rows and cells == ["layer", "expert"]):
            continue
        good = len(cells) == 2 and all(cell.isascii() and cell.isdigit() for cell in cells)
        if not good or max(map(len, cells)) > 9:
            raise table.error(number, ",".join(cells), "layer,expert: two whole numbers")
        rows.append((int(cells[0]), int(cells[1])))
    if not rows:
        raise invalid_file(path, "no rows", "rows layer,expert")
    data = np.array(rows, dtype=np.int64)
    edges = np.flatnonzero(np.diff(data[:, 0])) + 1
    runs = np.split(data, edges)
    k = sizes.k or math.gcd(*(len(run) for run in runs))
    layers = np.unique(data[:, 0])
    if len(layers) == 1 and sizes.k is None:
        expected = "several layers, or the experts of a token (--top-k)"
        raise invalid_file(path, "one layer", expected, "layer")
    parts: list[list[Array]] = []
    alone, at = True, 0
    while at < len(runs):
        one_pass = runs[at : at + len(layers)]
        found = [int(run[0, 0]) for run in one_pass]
        n_tokens = len(one_pass[0]) // k
        if found != layers.tolist() or any(len(run) != n_tokens * k for run in one_pass):
            row = sum(len(run) for run in runs[:at]) + 1
            got = f"layers {found[:8]} with {[len(run) for run in one_pass[:8]]} choices"
            expected = f"all {len(layers)} layers with as many choices, a multiple of k = {k}"
            raise invalid_file(path, got, expected, f"pass from row {row} on")
        if not parts or (n_tokens > 1 and alone):
            parts.append([])
        alone = n_tokens == 1
        parts[-1].append(np.stack([run[:, 1].reshape(-1, k) for run in one_pass], axis=1))
        at += len(layers)
    sequences = [(f"sequence {i}", np.concatenate(part)) for i, part in enumerate(parts)]
    found_sizes = Sizes(sizes.n_experts, sizes.n_layers, k)
    recorded = joined(path, "llama.cpp CSV", sequences, found_sizes)
    return Recorded(
        recorded.format,
        recorded.ids,
        None,
        recorded.lengths,
        None,
        sizes.n_experts,
        layers.tolist(),
    )


def load_field(content: object) -> str | None:
    """Return the name of the field of loads in a line of vLLM's, if there is one."""
    if not isinstance(content, dict):
        return None
    return next((name for name in _LOADS if name in content), None)


def of_load_lines(contents: Sequence[object], source: str | Path) -> Recorded:
    """Return the loads of JSON lines, each with those of one step, [n_layers, n_experts]."""
    steps: list[Array] = []
    for i, content in enumerate(contents):
        line = object_in(source, f"[{i}]", content)
        name = load_field(line)
        if name is None:
            expected = f"present ({' or '.join(_LOADS)})"
            raise invalid_file(source, only(line), expected, f"[{i}]")
        counts = array_in(source, f"[{i}].{name}", line[name], ndim=(2,))
        if steps and counts.shape != steps[0].shape:
            expected = f"of shape {steps[0].shape}, like the first"
            raise invalid_file(source, f"shape {counts.shape}", expected, f"[{i}].{name}")
        steps.append(counts)
        check_size(source, 8 * steps[0].size * len(steps), "arrays", name)
    return Recorded("vLLM load lines", counts=np.stack(steps))


def of_lab_lines(contents: Sequence[object], source: str | Path) -> Recorded:
    """Return the routing of moe-cache-lab's JSON lines; of two stages, that of the decoder."""
    head = object_in(source, "line 1", contents[0])
    version = head.get("format_version")
    if version not in (1, 2):
        raise invalid_file(source, brief(version), "1 or 2", "format_version")
    stage = None
    profile = head
    if version == 2:
        stages = head.get("routing_stages")
        if not isinstance(stages, list) or not stages:
            raise invalid_file(source, brief(stages), "a list of stages", "routing_stages")
        profile = object_in(source, "routing_stages[-1]", stages[-1])
        stage = text_in(source, "routing_stages[-1].routing_stage", profile.get("routing_stage"))
    n_experts = profile.get("num_experts")
    if n_experts is not None:
        n_experts = whole_in(source, "num_experts", n_experts, 1, MAX_EXPERTS)
    events: list[tuple[int, int, list[int], list[float]]] = []
    for i, content in enumerate(contents[1:], start=2):
        event = object_in(source, f"line {i}", content)
        if event.get("record_type") != "routing_selection":
            got = brief(event.get("record_type"))
            raise invalid_file(source, got, "'routing_selection'", f"line {i}, record_type")
        if stage is not None and event.get("routing_stage") != stage:
            continue
        layer = whole_in(source, f"line {i}, layer", event.get("layer"), 0, _MOST_LAYERS)
        position = whole_in(source, f"line {i}, token_position", event.get("token_position"), 0)
        place = f"line {i}, selected_experts"
        chosen = array_in(source, place, event.get("selected_experts"), ndim=(1,), whole=True)
        weights = event.get("selected_probabilities") or []
        events.append(
            (position, layer, chosen.tolist(), weights if isinstance(weights, list) else [])
        )
    if not events:
        raise invalid_file(source, "no events", "at least one routing_selection")
    return _of_events(events, source, n_experts)


def _of_events(
    events: list[tuple[int, int, list[int], list[float]]],
    source: str | Path,
    n_experts: int | None,
) -> Recorded:
    layers = sorted({layer for _, layer, _, _ in events})
    k = len(events[0][2])
    tokens = []
    events.sort(key=lambda event: event[:2])
    for position, group in groupby(events, key=lambda event: event[0]):
        token = list(group)
        found = [layer for _, layer, _, _ in token]
        place = f"token_position {position}"
        if found != layers:
            raise invalid_file(source, f"layers {found[:8]}", f"each of {len(layers)} once", place)
        if any(len(chosen) != k for _, _, chosen, _ in token):
            got = f"{[len(chosen) for _, _, chosen, _ in token][:8]} experts"
            raise invalid_file(source, got, f"k = {k} in every layer", place)
        tokens.append(token)
    ids = np.array([[chosen for _, _, chosen, _ in token] for token in tokens], dtype=np.int64)
    shares = [[weights for *_, weights in token] for token in tokens]
    weights = None
    if all(len(row) == k for token in shares for row in token):
        weights = array_in(source, "selected_probabilities", shares, ndim=(3,)).astype(np.float64)
    return Recorded("moe-cache-lab JSON lines", ids, None, [len(ids)], weights, n_experts, layers)

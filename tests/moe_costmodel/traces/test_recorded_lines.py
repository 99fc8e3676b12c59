"""Recorders that write line by line: order, stages and missing sizes, and damage by its line."""

import json

import numpy as np
import pytest

from moe_costmodel.traces.files import load_trace
from moe_costmodel.traces.recorders.lines import of_lab_lines, of_load_lines, read_llama_csv
from moe_costmodel.traces.recorders.recorded import Sizes

# 4 tokens, 2 layers, 2 of 6 experts each.
IDS = np.array([[[0, 1], [2, 3]], [[4, 5], [0, 1]], [[1, 0], [5, 2]], [[3, 2], [1, 4]]])
HEAD = {"record_type": "metadata", "format": "moe-cache-lab.routing-jsonl", "format_version": 1,
        "num_experts": 8}  # fmt: skip


def events(ids=IDS, **fields):
    return [
        {"record_type": "routing_selection", "token_position": token, "layer": layer,
         "selected_experts": ids[token, layer].tolist(), **fields}
        for token in range(len(ids)) for layer in range(ids.shape[1])
    ]  # fmt: skip


def changed(place, **fields):
    """Return lines with some fields of one event set to other values."""
    lines = events()
    lines[place] |= fields
    return [HEAD, *lines]


# ----------------------------------------------------------------------------------- moe-cache-lab


def test_events_may_come_in_any_order(rng):
    lines = events(selected_probabilities=[0.5, 0.25])
    shuffled = [lines[i] for i in rng.permutation(len(lines))]
    found = of_lab_lines([HEAD, *shuffled], "a")
    np.testing.assert_array_equal(found.ids, IDS)
    assert found.lengths == [4]
    assert found.n_experts == 8
    np.testing.assert_array_equal(found.weights, np.broadcast_to([0.5, 0.25], IDS.shape))


def test_of_two_stages_the_decoder_is_read(tmp_path):
    stages = [{"routing_stage": name, "num_experts": n} for name, n in (("enc", 4), ("dec", 7))]
    head = HEAD | {"format_version": 2, "routing_stages": stages}
    lines = [head, *events(IDS[::-1] % 4, routing_stage="enc"), *events(routing_stage="dec")]
    found = of_lab_lines(lines, "a")
    np.testing.assert_array_equal(found.ids, IDS)
    assert found.n_experts == 7
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    trace = load_trace(path)
    assert trace.n_experts == 7
    np.testing.assert_array_equal(trace.topk_ids, IDS)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEAD | {"format_version": None}, *events()], "'format_version' must be 1 or 2"),
        ([HEAD | {"format_version": 2}, *events()], "'routing_stages' must be a list of stages"),
        (changed(2, record_type="summary"), "line 4, record_type' must be 'routing_selection'"),
        (changed(5, selected_experts=[0.5, 1]), "line 7, selected_experts"),
        (changed(4, selected_experts=[1, 2, 3]), r"token_position 2' must be k = 2 in every layer"),
        (changed(4, layer=1), r"token_position 2' must be each of 2 once.*\[1, 1\]"),
        ([HEAD, *events()[:-1]], r"token_position 3' must be each of 2 once.*\[0\]"),
    ],
)
def test_damage_is_named_by_its_line_or_token(lines, message):
    with pytest.raises(ValueError, match=message):
        of_lab_lines(lines, "a.jsonl")


# -------------------------------------------------------------------------------------------- vLLM


@pytest.mark.parametrize("name", ["expert_load", "logical_expert_load", "logical_count"])
def test_loads_are_those_of_each_step(rng, name):
    counts = rng.integers(0, 9, (5, 3, 8))
    found = of_load_lines([{"step": i, name: c.tolist()} for i, c in enumerate(counts)], "a")
    np.testing.assert_array_equal(found.counts, counts)
    assert found.ids is None


# --------------------------------------------------------------------------------------- llama.cpp


def written(tmp_path, rows):
    path = tmp_path / "a.csv"
    path.write_text("layer,expert\n" + "".join(f"{layer},{expert}\n" for layer, expert in rows))
    return path


def test_one_layer_does_not_tell_the_experts_of_a_token(tmp_path):
    path = written(tmp_path, [(3, expert) for expert in IDS[:, 0].ravel()])
    with pytest.raises(ValueError, match="several layers, or the experts of a token"):
        read_llama_csv(path, Sizes())
    found = read_llama_csv(path, Sizes(k=2))
    np.testing.assert_array_equal(found.ids, IDS[:, :1])
    assert found.layers == [3]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 1), (0, "x")], "line 3.*two whole numbers"),
        ([(0, 1), (0, 2), (1, 3), (1, 0), (1, 2), (0, 1)], "all 2 layers with as many choices"),
        ([(0, 1), (1, 2), (0, 3)], "pass from row 3 on"),
    ],
)
def test_damaged_rows_are_named(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read_llama_csv(written(tmp_path, rows), Sizes())

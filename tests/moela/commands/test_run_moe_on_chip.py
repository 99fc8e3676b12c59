"""`moela run moe-on-chip`: files of results, and one line for bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from moe_costmodel import RoutingTrace
from moela.cli import main
from problems.moe_on_chip import MoEChip
from problems.noc import Design, Platform


@pytest.fixture
def inputs(tmp_path):
    """Return the options of a small chip and a small trace."""
    Platform(
        grid=(2, 2, 1),
        pe_types={"GPU": {"count": 3, "power": 4.0}, "LLC": {"count": 1, "power": 1.0}},
        n_planar_links=4,
    ).save(tmp_path / "platform.json")
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        ids = np.array([[rng.choice(4, 2, replace=False) for _ in range(2)] for _ in range(40)])
        RoutingTrace(ids, n_experts=4).save(tmp_path / f"{name}.npz")
    return [
        "run", "moe-on-chip", "--platform", tmp_path / "platform.json", "--trace",
        tmp_path / "a.npz", "--d-model", "64", "--out", tmp_path / "chip", "--quiet",
    ]  # fmt: skip


def test_files_of_a_run(inputs, tmp_path, capsys):
    words = [*inputs, "--held-out", tmp_path / "b.npz", "--evals", "40", "--json"]
    assert main([str(word) for word in words]) == 0
    record = json.loads(capsys.readouterr().out)
    out = tmp_path / "chip"
    chip = MoEChip.load(out / "chip.json")
    assert Design.load(out / "best.json") == chip.design
    assert chip.experts.shape == (2, 4)
    assert np.loadtxt(out / "traffic.csv", delimiter=",").shape == (4, 4)
    assert (out / "front.png").read_bytes().startswith(b"\x89PNG")
    assert set(record["beside_reference"]) == {"planned", "held out"}
    show = ["show", str(out / "best.json"), "--traffic", str(out / "traffic.csv"), "--scale", "1"]
    assert main(show) == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--capacity", "1"], ["capacity", "at least 3", "8 experts"]),
        (["--experts", "NPU"], ["NPU", "GPU, LLC"]),
        (["--batch-size", "41"], ["batch_size", "41"]),
        (["--objectives", "energy"], ["--objectives", "two or more"]),
        (["--constraint", "port_load<1"], ["--constraint", "port_load<1"]),
        (["--dispatch-dtype", "int3"], ["dispatch_dtype", "int3"]),
        (["--held-out", "nowhere.npz"], ["nowhere.npz"]),
    ],
)
def test_bad_input_is_one_line(inputs, words, named, assert_rejected):
    assert_rejected([*inputs, "--evals", "20", *words], *named)


def test_a_constraint_out_of_reach_is_named(inputs, tmp_path, capsys):
    words = ["--evals", "20", "--constraint", "port_load<=1e-6", "--out", str(tmp_path / "o")]
    assert main([str(word) for word in [*inputs, *words]]) == 0
    error = capsys.readouterr().err
    assert "no chip met the constraints (port_load<=1e-06) in 20 evaluations" in error
    # The chips that violate it least are not lost.
    assert (tmp_path / "o" / "chip.json").exists()

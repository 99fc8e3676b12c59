"""`moela moe simulate` on a made-up GPU: times, limits, pictures, and bad input."""

import json

import pytest

from moela.cli import main
from tests.moe_costmodel.silicon.tables import CONFIG, write_tables

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    root = write_tables(tmp_path_factory.mktemp("systems"))
    (root / "config.json").write_text(json.dumps(CONFIG))
    return ["moe", "simulate", "--model", str(root / "config.json"), "--gpu", "toy",
            "--tables", str(root), "--chunk", "256", "--max-seqs", "16"]  # fmt: skip


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    path = tmp_path_factory.mktemp("requests") / "r.jsonl"
    rows = [{"arrival_time": 0.02 * i, "input_tokens": 64, "output_tokens": 9} for i in range(16)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_a_file_of_requests_gives_times_and_the_highest_rate(common, requests, tmp_path, capsys):
    picture = tmp_path / "rates.png"
    limits = ["--slo-ttft", "200", "--slo-tpot", "50", "--plot", str(picture)]
    assert main([*common, "--requests", requests, *limits]) == 0
    printed = capsys.readouterr().out
    for words in ("cache of a rank", "time to first token", "highest rate", "TTFT mean"):
        assert words in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_rates_are_drawn_and_json_is_complete(common, capsys):
    drawn = ["--rate", "20", "--number", "30", "--isl", "64", "--osl", "8", "--spread", "0.3"]
    assert main([*common, *drawn, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["requests"]["n_requests"] == 30
    assert found["requests"]["ttft_p99"] >= found["requests"]["ttft_p50"] > 0
    assert found["max_rate"] is None


def test_steps_outside_the_tables_are_named(common, capsys):
    far = ["--rate", "20", "--number", "4", "--isl", "64000", "--osl", "4"]
    assert main([*common, *far]) == 0
    printed = capsys.readouterr().out
    assert "times are extrapolated: " in printed
    assert "--rate asked for 20 a second; the gaps between requests are random" in printed


def test_requests_beyond_the_models_context_are_noted(common, tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG | {"max_position_embeddings": 96}))
    call = [*common, "--model", str(config), "--rate", "20", "--number", "4", "--isl", "90"]
    assert main([*call, "--osl", "6"]) == 0
    assert "note: " not in capsys.readouterr().out
    assert main([*call, "--osl", "7"]) == 0
    assert "note: The longest request has 97 tokens, but" in capsys.readouterr().out
    assert main([*call, "--osl", "7", "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert "allows 96 (max_position_embeddings" in note


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--requests or --rate"]),
        (["--rate", "0"], ["'rate'", "positive"]),
        (["--rate", "5", "--ep", "3"], ["moe_ep"]),
        (["--rate", "5", "--tp", "5"], ["one that sglang can run", "nearest", "dp 5", "Got (tp 5"]),
        (["--rate", "5", "--kv-tokens", "10"], ["kv_tokens", "longest request"]),
        (["--rate", "5", "--isl", "99000000"], ["'mean'"]),
        (["--rate", "5", "--number", "20", "--slo-ttft", "0.001"], ["ttft_slo", "at least"]),
    ],
)
def test_bad_input_is_one_line(common, arguments, words, capsys):
    assert main([*common, *arguments]) == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error

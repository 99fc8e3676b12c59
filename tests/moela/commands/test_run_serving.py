"""`moela run moe --model` and `moela moe buy` on made-up GPUs: results, commands, bad input."""

import csv
import json
import math
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest

from moe_costmodel import ServingPlan
from moela.cli import main
from moela.commands.run.prices import price_of, read_prices
from moela.commands.run.serving import extrapolated
from moela.commands.run.serving_inputs import nearest_gpu
from tests.moe_costmodel.silicon.tables import CONFIG, GPU, write_tables

pytest.importorskip("yaml")
pytest.importorskip("pyarrow")

RUN = ["run", "moe", "--quiet", "--gpu", "toy", "--gpus", "2", "--isl", "256", "--osl", "64"]
BUY = ["moe", "buy", "--quiet", "--gpus-max", "2", "--isl", "256", "--osl", "64", "--evals", "40"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make a folder with a model, tables of the GPUs `toy` and `tiny`, and a price list."""
    root = tmp_path_factory.mktemp("serving")
    write_tables(root)
    # Its memory holds nothing.
    (root / "tiny.yaml").write_text(GPU.replace("80000000000", "1000000").replace("toy", "tiny"))
    shutil.copytree(root / "data" / "toy", root / "data" / "tiny")
    (root / "config.json").write_text(json.dumps(CONFIG))
    (root / "prices.json").write_text('{"toy": 2.0, "tiny": 0.1}')
    return root


@pytest.fixture(scope="module")
def common(place):
    return ["--model", str(place / "config.json"), "--tables", str(place)]


def failure(capsys, *words):
    """Run a command that fails, and return its one line of error."""
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    return error[-1].removeprefix("moela: ")


# ---------------------------------------------------------------------------------- moela run moe


@pytest.fixture(scope="module")
def planned(place, common):
    out = place / "plan"
    more = ["--evals", "60", "--prices", str(place / "prices.json"), "--weights", "org/model"]
    store = ["--store", str(place / "run.db")]
    assert main([*RUN, *common, *more, *store, "--out", str(out)]) == 0
    return out


def test_front_plans_and_command_agree(planned):
    record = json.loads((planned / "run.json").read_text())
    plan = ServingPlan.load(planned / "plan.json")
    assert (record["n_eval"], record["gpu"], plan.n_gpus) == (60, "toy", 2)
    with (planned / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == record["front_size"]
    knee = rows[record["knee"]["row"]]
    assert float(knee["tokens_per_s_per_gpu"]) == pytest.approx(
        plan.objectives["tokens_per_s_per_gpu"].value
    )
    low, high = float(knee["tpot_mean_low"]), float(knee["tpot_mean_high"])
    assert low < plan.objectives["tpot_mean"].value < high
    assert "cost_per_million_tokens" in knee
    (command,) = record["commands"]
    words = shlex.split(command)
    assert words[:5] == ["python", "-m", "sglang.launch_server", "--model-path", "org/model"]
    pool = plan.pools[0]
    stage = pool.layout.tp * pool.layout.dp
    assert words[words.index("--tp-size") + 1] == str(stage)
    assert command in (planned / "command.sh").read_text()
    assert (planned / "front.png").read_bytes().startswith(b"\x89PNG")


def test_a_stored_run_goes_on(place, common, planned, capsys, caplog):
    more = ["--evals", "60", "--prices", str(place / "prices.json"), "--weights", "org/model"]
    words = [*RUN, *common, *more, "--store", str(place / "run.db"), "--out", str(place / "again")]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "continues after 60 evaluations" in caplog.text
    assert "tokens/s/user" in printed.out
    assert "knee of the front" in printed.out
    assert "sglang.launch_server" in printed.out
    first, second = ((folder / "front.csv").read_text() for folder in (planned, place / "again"))
    assert first == second


def test_disaggregated_plans_have_two_commands(place, common, tmp_path):
    more = ["--evals", "30", "--mode", "disaggregated", "--backend", "vllm"]
    assert main([*RUN, *common, *more, "--out", str(tmp_path)]) == 0
    commands = json.loads((tmp_path / "run.json").read_text())["commands"]
    roles = [json.loads(words[words.index("--kv-transfer-config") + 1])["kv_role"]
             for words in map(shlex.split, commands)]  # fmt: skip
    assert roles == ["kv_producer", "kv_consumer"]


def test_traffic_gives_placements_as_files(place, common, tmp_path):
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 1000, (4, 8))
    (tmp_path / "loads.json").write_text(json.dumps({"logical_count": counts.tolist()}))
    more = ["--evals", "60", "--traffic", str(tmp_path / "loads.json"), "--osl", "8"]
    assert main([*RUN, *common, *more, "--out", str(tmp_path / "plan")]) == 0
    plans = [ServingPlan.load(path) for path in (tmp_path / "plan" / "plans").iterdir()]
    moved = [plan for plan in plans if plan.pools[0].placement is not None]
    for plan in moved:
        (export,) = plan.export(tmp_path, model="m")
        if "--init-expert-location" in export.flags:
            content = json.loads(export.path.read_text())
            assert len(content["physical_to_logical_map"]) == 4


# ----------------------------------------------------------------------------------- moela moe buy


@pytest.fixture(scope="module")
def bought(place, common):
    out = place / "buy"
    assert main([*BUY, *common, "--prices", str(place / "prices.json"), "--out", str(out)]) == 0
    return out


def test_no_deployment_of_buys_front_beats_another(bought):
    record = json.loads((bought / "run.json").read_text())
    rows = record["front"]
    assert {row["gpu"] for row in rows} == {"toy"}  # nothing fits on the other
    F = np.array([(row["cost_per_hour"], row["cost_per_million_tokens"],
                   -row["tokens_per_s_per_user"]) for row in rows])  # fmt: skip
    for f in F:
        assert not ((F <= f).all(axis=1) & (F < f).any(axis=1)).any()
    assert all(row["cost_per_hour"] == 2.0 * row["n_gpus"] for row in rows)
    assert set(record["refused"]) == {"1 tiny", "2 tiny"}
    commands = (bought / "commands.sh").read_text()
    for row in rows:
        assert all(command in commands for command in row["commands"])
        plan = ServingPlan.load(bought / "plans" / f"{row['row']:04d}.json")
        assert plan.n_gpus == row["n_gpus"]
    with (bought / "front.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    assert (bought / "front.png").read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------- price lists


def test_price_lists_in_all_forms(tmp_path):
    forms = {
        "a.json": '{"x": 1.5, "y": {"price_per_gpu_hour": 2, "gpus": 8}}',
        "b.json": '[{"gpu": "x", "price_per_gpu_hour": 1.5}, '
        '{"gpu": "y", "price_per_gpu_hour": 2, "gpus": 8}]',
        "c.csv": "gpu,price_per_gpu_hour,gpus\nx,1.5,\ny,2,8\n",
        "d.csv": "gpu;provider;price_per_gpu_hour;gpus\nx;a;1,5;\ny;b;2;8\n",
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        prices = read_prices(tmp_path / name)
        assert (prices["x"].per_hour, prices["x"].most) == (1.5, 0), name
        assert (prices["y"].per_hour, prices["y"].most) == (2.0, 8), name


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.json", "[1, 2]", r"field '\[0\]' must be a JSON object"),
        ("p.json", '{"x": -1}', "field 'x' must be a finite number"),
        ("p.json", '[{"gpu": "x"}]', r"'\[0\].price_per_gpu_hour' must be a finite number"),
        ("p.csv", "gpu,price_per_gpu_hour\nx,free\n", "'line 2.price_per_gpu_hour' must be"),
        ("p.csv", "gpu,price_per_gpu_hour\nx,1\nx,2\n", "one price for each GPU"),
    ],
)
def test_bad_price_lists_are_named(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=expected):
        read_prices(tmp_path / name)


def test_a_price_list_without_the_gpu_names_the_nearest(place, common, tmp_path, capsys):
    (tmp_path / "p.json").write_text('{"toy2": 3}')
    with pytest.raises(ValueError, match="with 'toy'; the nearest name in it is 'toy2'"):
        price_of(tmp_path / "p.json", "toy")
    error = failure(capsys, *BUY, *common, "--prices", tmp_path / "p.json", "--gpu", "toy")
    assert "must have a price of --gpu toy. It has prices of 'toy2'" in error
    error = failure(capsys, *BUY, *common, "--prices", tmp_path / "p.json")
    assert "a GPU with tables of kernels: tiny, toy. Got 'toy2' instead. Did you mean" in error


def test_gpus_of_a_price_list_without_tables_are_left_out(place, common, tmp_path, capsys):
    (tmp_path / "p.json").write_text('{"toy": 3, "toy_pcie": 1}')
    words = [*BUY, *common, "--prices", str(tmp_path / "p.json"), "--gpus-max", "1"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    error = capsys.readouterr().err
    assert "toy_pcie has no tables of kernels and is left out. Did you mean 'toy'?" in error


# --------------------------------------------------------------------------------------- bad input


def test_an_unknown_gpu_names_the_nearest(common, capsys):
    error = failure(capsys, *RUN, *common, "--gpu", "Toy-80GB")
    assert error == (
        "--gpu must be a GPU with tables of kernels: tiny, toy. Got 'Toy-80GB' instead. "
        "Did you mean 'toy'?"
    )
    names = ["a100_sxm", "b200_sxm", "h100_sxm", "h200_sxm", "rtx_pro_6000_server"]
    for given, expected in {
        "H200": "h200_sxm", "NVIDIA H100 80GB HBM3": "h100_sxm", "RTX PRO 6000":
        "rtx_pro_6000_server", "a100-80gb": "a100_sxm",
    }.items():  # fmt: skip
        assert nearest_gpu(given, names) == f" Did you mean {expected!r}?"


def test_an_unknown_architecture_names_the_nearest(place, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"model_type": "mixtral2"}))
    error = failure(capsys, *RUN, "--model", tmp_path, "--tables", place)
    assert "field 'model_type' must be a known architecture; the nearest one is 'mixtral'" in error


def test_loads_of_another_model_are_named(common, tmp_path, capsys):
    def write(n_layers, n_experts):
        counts = np.ones((n_layers, n_experts)).tolist()
        (tmp_path / "loads.json").write_text(json.dumps({"logical_count": counts}))
        return failure(capsys, *RUN, *common, "--traffic", tmp_path / "loads.json")

    assert "the loads of 8 experts in 4 layers" in write(4, 6)
    assert "Got 10 experts in 4 layers instead; if 2 of them are redundant experts" in write(4, 10)
    assert "Got 8 experts in 3 layers instead; record all layers with experts" in write(3, 8)
    (tmp_path / "loads.json").write_text('{"counts": 3}')
    error = failure(capsys, *RUN, *common, "--traffic", tmp_path / "loads.json")
    assert "loads.json" in error


def test_limits_that_nothing_meets_name_the_nearest(place, common, capsys):
    error = failure(capsys, *RUN, *common, "--slo-tpot", "0.001")
    assert error.startswith("2 toy: --slo-tpot must be at least ")
    assert error.endswith("Got 0.001 ms instead.")
    error = failure(capsys, *RUN, *common, "--slo-ttft", "0.001")
    assert "--slo-ttft must be at least " in error
    error = failure(capsys, *RUN, *common, "--memory-gib", "0.001")
    assert "--memory-gib must be at least " in error
    assert "GiB, the least of all layouts" in error
    prices = ["--prices", place / "prices.json"]
    error = failure(capsys, *BUY, *common, *prices, "--gpu", "tiny")
    assert "the usable memory of a GPU must be at least" in error
    error = failure(capsys, *BUY, *common, *prices, "--slo-tpot", "0.001")
    assert "No GPUs of the price list serve the model within the limits" in error


def test_a_model_that_does_not_fit_names_the_gpus_that_would_do(place, tmp_path, capsys):
    # Weights and the cache of a sequence take 10.6 MB, 5.3 MB on each of two GPUs.
    text = GPU.replace("80000000000", "8000000").replace("toy", "small")
    (tmp_path / "small.yaml").write_text(text)
    shutil.copytree(place / "data" / "toy", tmp_path / "data" / "small")
    words = [*RUN, "--model", place / "config.json", "--tables", tmp_path]
    error = failure(capsys, *words, "--gpu", "small", "--gpus", "1")
    assert error.startswith("1 small: the usable memory of a GPU must be at least 0.00")
    assert error.endswith("2 small would do.")


def test_options_of_the_two_forms_are_not_mixed(common, capsys):
    error = failure(capsys, *RUN, *common, "--devices", "2")
    assert error == "--devices goes without --model; with --model, give --gpus. Got both."
    assert failure(capsys, "run", "moe", "--gpu", "toy") == (
        "--gpu goes with --model config.json. Got no --model."
    )
    assert "--mode mixed goes with --model" in failure(capsys, "run", "moe", "--mode", "mixed")
    assert "--gpu must name the kind of GPU" in failure(capsys, "run", "moe", *common)
    error = failure(capsys, *RUN, *common, "--objectives", "speed")
    assert "--objectives" in error
    error = failure(capsys, *RUN, *common, "--objectives", "cost_per_million_tokens", "ttft")
    assert "--prices must be given" in error


def test_texts_name_what_was_not_measured(planned):
    plan = ServingPlan.load(planned / "plan.json")
    memory = plan.objectives["memory_bytes"]
    exact = {"memory_bytes": replace(memory, low=memory.value, high=memory.value)}
    plan = replace(plan, objectives=exact, outside={"router": 4.0, "attention": math.inf})
    (line,) = (line for line in str(plan).splitlines() if "fullest GPU" in line)
    assert "(" not in line
    assert "router, extrapolated by a factor of 4; attention, a roofline bound" in str(plan)
    (note,) = extrapolated(plan)
    assert note.startswith("note: the time of 'attention' is a roofline bound, since no table has")
    assert note.endswith("; 1 other time was not measured, either")

"""The command line of networks-on-chip: platforms, constraints, show and export."""

import json
import shutil

import numpy as np
import pytest

from moela.cli import main
from problems import NoC3D
from problems.noc import BaselineComparison, Design, PEType, Platform, synthetic_traffic


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noc")
    chip = Platform(
        grid=(3, 3, 2),
        pe_types=tuple(
            PEType(name=name, count=count, power=power)
            for name, count, power in (("CPU", 3, 1.0), ("LLC", 5, 1.5), ("GPU", 10, 4.0))
        ),
        n_planar_links=20,
        n_vertical_links=4,
    )
    chip.save(folder / "p.json")
    for k, name in enumerate(("bfs", "gau", "kmeans")):
        traffic = synthetic_traffic(name, chip, np.random.default_rng(k))
        np.savetxt(folder / f"{name}.csv", traffic * 2e8)
    return folder


@pytest.fixture(scope="module")
def run(files):
    out = files / "out"
    words = ["run", "noc", "--platform", files / "p.json", "--evals", 300, "--out", out,
             "--traffic", files / "bfs.csv", files / "gau.csv", "--held-out", files / "kmeans.csv",
             "--objectives", "latency", "energy", "temperature",
             "--constraint", "temperature<=85", "--constraint", "peak_load <= 1.5"]  # fmt: skip
    assert main(list(map(str, words))) == 0
    return out


def test_a_run_with_platform_applications_and_constraints(files, run):
    record = json.loads((run / "run.json").read_text())
    assert record["problem"]["objectives"] == ["latency", "energy", "temperature"]
    assert record["constraints"] == {"temperature": 85.0, "peak_load": 1.5}
    assert set(record["held_out"]) == {"latency", "energy", "temperature"}
    header, *lines = (run / "front.csv").read_text().splitlines()
    names = header.split(",")
    assert names[:5] == ["latency", "energy", "temperature", "peak_load", "x0"]
    values = np.array([line.split(",") for line in lines], dtype=float)
    problem = NoC3D.from_traffic(
        [files / "bfs.csv", files / "gau.csv"],
        platform=Platform.load(files / "p.json"),
        objectives=("latency", "energy", "temperature"),
    )
    X = values[:, 4:].astype(int)
    np.testing.assert_array_equal(problem.evaluate(X), values[:, :3])
    measured = problem.measure(X)
    assert measured["temperature"].max() <= 85
    assert measured["peak_load"].max() <= 1.5
    np.testing.assert_array_equal(values[:, 3], measured["peak_load"].max(axis=1))
    assert (run / "front.png").exists()


def test_a_design_is_shown_in_words_numbers_and_pictures(files, run, capsys):
    picture = files / "show.png"
    words = ["show", run / "best.json", "--traffic", files / "bfs.csv", "--out", picture]
    assert main(list(map(str, words))) == 0
    text = capsys.readouterr().out
    assert "layer 1, " in text
    for name in ("packet_latency", "edp", "router_area", "latency"):
        assert name in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    hot = files / "hot.png"
    assert main(["show", str(run / "best.json"), "--heat", "--out", str(hot)]) == 0
    assert hot.read_bytes() != picture.read_bytes()


def test_a_run_is_compared_with_regular_networks(files, run, capsys):
    record = json.loads((run / "run.json").read_text())["baselines"]
    networks = ["mesh", "placed mesh", "folded torus", "express mesh"]
    assert list(record["planar_links"]) == networks
    found = BaselineComparison.load(run / "baselines.json")
    assert found.design == Design.load(run / "best.json")
    assert record["change_in_percent"] == found.changes
    assert (run / "baselines.png").read_bytes().startswith(b"\x89PNG")
    # The folder shows what the run has found, and evaluates it under other traffic.
    capsys.readouterr()
    assert main(["show", str(run)]) == 0
    assert str(found) in capsys.readouterr().out
    picture = files / "beside.png"
    words = ["show", run, "--traffic", files / "kmeans.csv", "--out", picture, "--json"]
    assert main(list(map(str, words))) == 0
    shown = json.loads(capsys.readouterr().out)["baselines"]
    assert shown["planar_links"] == record["planar_links"]
    assert set(shown["values"]) > set(record["values"])
    assert picture.read_bytes() != (run / "baselines.png").read_bytes()


def test_a_design_alone_is_compared_if_asked(files, run, capsys, assert_rejected):
    words = ["show", run / "best.json", "--traffic", files / "bfs.csv", "--baseline-evals", 20]
    assert main(list(map(str, words))) == 0
    first = capsys.readouterr().out
    assert "PEs placed by 20 evaluations each" in first
    assert main(list(map(str, words))) == 0
    assert capsys.readouterr().out == first
    assert main([*map(str, words), "--seed", "2"]) == 0
    assert capsys.readouterr().out != first
    assert_rejected(["show", run, "--baseline-evals", "20"], "--baseline-evals", "--traffic")
    assert_rejected(["run", "noc", "--baseline-evals", "-1"], "--baseline-evals", "at least 0")


def test_a_comparison_of_another_design_is_left_out(run, tmp_path, capsys):
    for name in ("best.json", "baselines.json"):
        shutil.copy(run / name, tmp_path)
    other = Design.mesh(Design.load(run / "best.json").platform)
    other.save(tmp_path / "best.json")
    assert main(["show", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "baselines.json is of another design than best.json" in printed.err
    assert "folded torus" not in printed.out


@pytest.mark.parametrize("target", ["booksim", "hotspot"])
def test_the_folder_of_a_run_is_exported_with_its_baselines(files, run, tmp_path, target):
    words = ["export", run, "--to", target, "--out", tmp_path]
    words += ["--traffic", files / "bfs.csv"] if target == "booksim" else []
    assert main(list(map(str, words))) == 0
    text = (tmp_path / "README.txt").read_text()
    config = "booksim.cfg" if target == "booksim" else "hotspot.config"
    for name in ("mesh", "placed_mesh", "folded_torus", "express_mesh"):
        assert (tmp_path / name / config).exists()
        # The README beside each file and that of the folder state the same numbers.
        own = (tmp_path / name / "README.txt").read_text()
        line = next(line for line in text.splitlines() if line.startswith(f"    {name}/")).split()
        if target == "booksim":
            assert f'"Packet latency average" of {line[2]} cycles' in own
            assert f'average" of {line[3]}.' in own.replace("\n", " ")
            assert f"{line[4]} cycles by the model" in own
        else:
            assert f"near {line[1]},\nat {line[2]} degrees" in own
    assert "this folder" in text


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("booksim", {"README.txt", "booksim.cfg", "network.anynet"}),
        (
            "hotspot",
            {
                "README.txt",
                "hotspot.config",
                "stack.lcf",
                "power.ptrace",
                "layer0.flp",
                "layer1.flp",
            },
        ),
        ("csv", {"README.txt", "placement.csv", "links.csv"}),
        ("graphml", {"README.txt", "design.graphml"}),
        ("platform", {"platform.json"}),
    ],
)
def test_a_design_is_exported(files, run, tmp_path, capsys, target, names):
    design = str(run / "best.json")
    assert main(["export", design, "--to", target, "--out", str(tmp_path / "d")]) == 0
    assert {path.name for path in (tmp_path / "d").iterdir()} == names
    assert all(name in capsys.readouterr().out for name in [min(names)])
    if target == "csv":
        again = Design.from_csv(
            tmp_path / "d" / "placement.csv", tmp_path / "d" / "links.csv",
            Platform.load(files / "p.json"),
        )  # fmt: skip
        assert again == Design.load(design)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--platform", "nowhere.json"], ["--platform", "nowhere.json", "8x8x4"]),
        (["--constraint", "temperature<85"], ["--constraint", "temperature<85"]),
        (["--constraint", "temperature<=10"], ["{'temperature': 10.0}", "in every design"]),
        (["--held-out", "x.csv"], ["--held-out goes with --traffic"]),
        (["--algorithm", "moead", "--constraint", "temperature<=95"], ["moead takes no"]),
        (["--objectives", "edp", "--algorithm", "moela"], ["--algorithm moela and 1 objective."]),
        (["--scale", "5"], ["--scale goes with --traffic"]),
        (["--application", "pf", "--traffic", "t.csv"], ["--application is for runs without"]),
        (["--application", "hotspt"], ["Did you mean 'hotspot'?"]),
        (["--constraint", "temprature<=85"], ["Did you mean 'temperature'?"]),
    ],
)
def test_bad_input_is_one_line_before_any_run(words, expected, tmp_path, assert_rejected):
    out = tmp_path / "out"
    assert_rejected(["run", "noc", "--out", out, *words], *expected)
    assert not out.exists()


def test_constraints_out_of_reach_say_how_close_a_run_came(files, tmp_path, capsys):
    # Above what can be proved, below what can be reached.
    words = ["run", "noc", "--evals", 100, "--out", tmp_path, "--objectives", "latency", "energy",
             "--constraint", "peak_load<=0.014", "--baseline-evals", 0]  # fmt: skip
    assert main(list(map(str, words))) == 0
    said = capsys.readouterr()
    assert "no design met the constraints. Closest came: peak_load 0.0" in said.err
    assert "designs of least violation in" in said.out
    assert "non-dominated" not in said.out
    header, best, *_ = (tmp_path / "front.csv").read_text().splitlines()
    assert header.startswith("latency,energy,peak_load,x0,")
    assert float(best.split(",")[2]) > 0.014
    # The designs that violate them least are not lost.
    assert len((tmp_path / "front.csv").read_text().splitlines()) > 1
    assert (tmp_path / "best.json").exists()


def test_one_objective_takes_a_genetic_algorithm_and_has_no_front_to_draw(tmp_path):
    words = ["run", "noc", "--evals", "60", "--out", str(tmp_path), "--objectives", "edp"]
    words += ["--baseline-evals", "0"]
    assert main(words) == 0
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["algorithm"] == "ga"
    assert not (tmp_path / "front.png").exists()
    assert len((tmp_path / "front.csv").read_text().splitlines()) == 2


def test_files_that_are_no_designs_are_named(tmp_path, capsys):
    path = tmp_path / "design.json"
    path.write_text("[]")
    for words in (["show", str(path)], ["export", str(path), "--to", "csv", "--out", "x"]):
        assert main(words) == 2
        assert "design.json" in capsys.readouterr().err
    Design.mesh().save(path)
    assert main(["export", str(path), "--to", "csv", "--out", str(tmp_path), "--rate", "1"]) == 2
    assert "--rate and --match matrix go with --to booksim" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--to", "csv", "--match", "matrix"], "--match matrix go with --to booksim"),
        (["--to", "booksim", "--match", "matrix"], "add --traffic FILE"),
        (["--to", "booksim", "--traffic", "bfs.csv", "--scale", "1"], "a larger --scale, or a"),
    ],
)
def test_an_export_that_is_refused_names_options_and_leaves_no_folder(
    files, tmp_path, monkeypatch, capsys, words, expected
):
    monkeypatch.chdir(files)
    Design.mesh(Platform.load("p.json")).save(tmp_path / "design.json")
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "design.json"), "--out", str(out), *words]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert "to_booksim" not in error
    assert not out.exists()

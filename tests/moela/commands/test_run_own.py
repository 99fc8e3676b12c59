"""`moela run FILE.py:NAME`: loading, files of results, errors, and stopping by Ctrl-C."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moela.cli import main
from moela.commands.example_texts import FUNCTION
from moela.commands.run.loading import load_problem

ROOT = Path(__file__).parents[3]
# A simulator that leaves a file when it is called, and is slow until there is a file "fast".
SLOW = "import pathlib, time\n\n" + FUNCTION.replace(
    "    area =",
    "    pathlib.Path('begun').touch()\n"
    "    time.sleep(0 if pathlib.Path('fast').exists() else SECONDS)\n"
    "    area =",
    1,
)


def run(*words):
    return main(["run", *map(str, words)])


def read_table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_function_with_its_names_in_the_file(folder, capsys):
    assert run("function.py:simulate", "--evals", 80, "--out", "sink") == 0
    out = folder / "sink"
    front, everything = read_table(out / "front.csv"), read_table(out / "evaluations.csv")
    assert list(front[0])[:4] == ["mass", "rise", "height", "fins"]
    assert all(float(row["noise"]) <= 33 for row in front)
    assert len(everything) == 80
    record = json.loads((out / "run.json").read_text())
    assert (record["n_eval"], record["front_size"]) == (80, len(front))
    assert record["settings"]["algorithm"] == "moela"
    best = json.loads((out / "best.json").read_text())
    assert best["objectives"] == pytest.approx(record["best"]["objectives"])
    assert set(best["design"]) == {"height", "fins", "shape", "fan"}
    assert (out / "front.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr()
    assert "80 evaluations" in printed.out
    assert "fins    integer, 5 to 25" in printed.err


def test_known_results_are_handed_in(folder, capsys):
    words = ["function.py:simulate", "--evals", 9, "--quiet"]
    assert run(*words, "--out", "a", "--store", "run.db") == 0
    assert run(*words, "--out", "b", "--known", "a/evaluations.csv", "--known", "run.db") == 0
    assert "beside 9 known results" in capsys.readouterr().out
    known, new = (read_table(folder / name / "evaluations.csv") for name in "ab")
    assert new[:9] == known
    assert len(new) == 18
    # Of another length, since compiled files of Python are compared by size and second.
    Path("function.py").write_text(FUNCTION.replace("0.06", "0.055"))
    sys.modules.pop("function")
    assert run(*words, "--out", "c", "--store", "run.db") == 2
    assert "--store other.db, with --known run.db if its results hold" in capsys.readouterr().err


@pytest.mark.parametrize(("power", "named"), [(0.3, "the knee"), (2, "the balanced design")])
def test_the_summary_says_what_the_best_design_is(folder, capsys, power, named):
    Path("curve.py").write_text(
        "variables, objectives = {'x': (0.0, 1.0)}, ['a', 'b']\n"
        "def simulate(d):\n"
        f"    return {{'a': d['x'], 'b': 1 - d['x']**{power}}}\n"
    )
    assert run("curve.py:simulate", "--evals", 60, "--out", "curve", "--quiet") == 0
    assert f"best.json holds {named}, row" in capsys.readouterr().out


def test_json_is_all_that_standard_output_gets(folder, capfd):
    Path("function.py").write_text(FUNCTION + "\nprint('loaded')\n")
    assert run("function.py:simulate", "--evals", 20, "--json", "--out", "a") == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["n_eval"] == 20
    assert "front.csv" in printed["files"]


# Each time that the file is run, it leaves another file.
COUNT = """
import os
pathlib.Path(f"load_{os.getpid()}_{len(list(pathlib.Path().glob('load_*')))}").touch()
"""


def test_workers_do_not_run_the_file_again(folder):
    Path("function.py").write_text("import pathlib\n\n" + FUNCTION + COUNT)
    words = ["function.py:simulate", "--evals", 12, "--jobs", 2, "--out", "a", "--quiet"]
    assert run(*words) == 0
    assert len(list(folder.glob("load_*"))) == 1


def test_a_store_answers_the_same_command(folder):
    words = ["function.py:simulate", "--evals", 30, "--store", "run.db"]
    assert run(*words, "--out", "a") == 0
    assert run(*words, "--out", "b") == 0
    assert Path("a/front.csv").read_text() == Path("b/front.csv").read_text()


def test_designs_of_a_front_begin_another_run(folder):
    words = ["function.py:simulate", "--evals", 40, "--quiet"]
    assert run(*words, "--out", "a") == 0
    assert run(*words, "--seed", 2, "--out", "b", "--start", "a/front.csv") == 0
    first = read_table(Path("a/front.csv"))[0]
    later = read_table(Path("b/evaluations.csv"))[:30]
    assert any(all(row[name] == first[name] for name in first) for row in later)


def test_fronts_of_maximized_objectives_and_any_variables_are_compared(folder, capsys):
    text = FUNCTION.replace('["mass", "rise"]', '{"mass": "min", "cooled": "max"}')
    text = text.replace('"rise": 20.0 /', '"cooled": -20.0 /').replace('"fins"', '"seed"')
    Path("function.py").write_text(text)
    for seed in (1, 2):
        words = ["function.py:simulate", "--evals", 60, "--seed", seed, "--quiet"]
        assert run(*words, "--out", f"run{seed}") == 0
    capsys.readouterr()
    assert main(["compare", "run1", "run2", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [row["seed"] for row in content["runs"]] == [1, 2]
    # Nothing is dominated once the maximized objective is turned round.
    assert [row["points"] for row in content["runs"]] == [
        len(read_table(Path(f"run{seed}/front.csv"))) for seed in (1, 2)
    ]


def test_a_class_of_problems_with_a_parameter(folder):
    words = ["--evals", 40, "--algorithm", "nsga2", "--out", "a"]
    assert run("problem.py:Sink", "--set", "width=0.2", *words) == 0
    assert list(read_table(Path("a/front.csv"))[0]) == ["mass", "rise", "x0", "x1", "g1"]
    assert load_problem("problem.py:Sink", ["width=0.2"]).width == 0.2


def test_a_module_that_python_finds(folder):
    assert load_problem("pymoo.problems.multi.zdt:ZDT1", ["n_var=4"]).n_var == 4


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nocc", "--evals", "9"], ["nocc", "FILE.py:NAME", "Did you mean 'noc'?"]),
        (["function.py", "--evals", "9"], ["function.py:simulate"]),
        (["function.py:simulat", "--evals", "9"], ["'simulat'", "Did you mean simulate?"]),
        (["function.py:simulate"], ["--evals", "--time-limit", "neither"]),
        (["function.py:simulate", "--time-limit", "soon"], ["--time-limit", "8h", "'soon'"]),
        (
            ["function.py:simulate", "--evals", "9", "--timeout", "0"],
            ["--timeout must be a positive number of seconds, or a text such as '90s'"],
        ),
        (["sub/moela.py:simulate", "--evals", "9"], ["moela.py", "Rename it"]),
        (
            ["function.py:simulate", "--evals", "9", "--start", "bad.csv"],
            ["bad.csv", "no column 'height', but 'a', 'b'."],
        ),
        (
            ["problem.py:Sink", "--set", "widht=1", "--evals", "9"],
            ["widht", "Did you mean 'width'"],
        ),
        (["bare.py:f", "--evals", "9"], ["bare.py", "variables = ", "Did you mean 'variable'?"]),
        (["broken.py:f", "--evals", "9"], ["broken.py", "cannot be imported", "(line 2)"]),
        (["raises.py:f", "--evals", "9"], ["raises.py", "ZeroDivisionError", "(line 1)"]),
    ],
)
def test_mistakes_are_one_line_and_say_what_to_do(words, expected, folder, assert_rejected):
    function = "def f(d):\n    return 1, 2\n"
    Path("sub").mkdir()
    Path("sub/moela.py").write_text(function)
    Path("bare.py").write_text(f"variable = {{}}\n{function}")
    Path("wrong.py").write_text(f"variables = {{'x': (1, 0)}}\nobjectives = ['a', 'b']\n{function}")
    Path("broken.py").write_text("def f(d):\nreturn\n")
    Path("raises.py").write_text("1 / 0\n")
    Path("leaves.py").write_text("import sys\nsys.exit(3)\n")
    Path("bad.csv").write_text("a,b\n1,2\n")
    assert_rejected(["run", *words], *expected)


def test_a_failed_evaluation_names_the_option(folder, capsys):
    Path("function.py").write_text(
        FUNCTION.replace("    area =", "    raise OSError('no license')\n    area =")
    )
    assert run("function.py:simulate", "--evals", 9) == 2
    error = capsys.readouterr().err
    assert "no license" in error
    assert "run the same command again, or add --on-error infeasible" in error


def test_a_store_without_a_folder_is_named(folder, capsys):
    assert run("function.py:simulate", "--evals", 9, "--store", "no/x.db") == 2
    error = capsys.readouterr().err
    assert "moela: --store must lie in a folder that exists. Got 'no/x.db'" in error


@pytest.fixture
def process():
    """Return a function that starts a command; what still runs after the test is killed."""
    begun = []

    def start(*words):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        running = subprocess.Popen(
            [sys.executable, "-m", "moela", *words], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        begun.append(running)
        return running

    yield start
    for running in begun:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds  # a busy machine takes seconds to start Python
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_ctrl_c_keeps_the_result_and_prints_the_command_that_goes_on(folder, process, caplog):
    Path("slow.py").write_text(SLOW.replace("SECONDS", "0.05"))
    words = ["run", "slow.py:simulate", "--evals", "150", "--jobs", "2"]
    words += ["--store", "run.db", "--out", "a b"]
    running = process(*words)
    wait_for(Path("begun").exists)
    os.killpg(running.pid, signal.SIGINT)
    out, error = running.communicate(timeout=120)
    assert running.returncode == 130, error
    n = len(read_table(Path("a b/evaluations.csv")))
    assert 0 < n < 150
    assert json.loads(Path("a b/run.json").read_text())["n_eval"] == n
    assert f"stopped by Ctrl-C after {n} of 150 evaluations" in out
    assert "To go on" not in out
    assert error.endswith(f"{(line := f'To go on: moela {shlex.join(words)}')}\n")
    first = read_table(Path("a b/evaluations.csv"))
    Path("fast").touch()
    assert main(shlex.split(line)[4:]) == 0
    again = read_table(Path("a b/evaluations.csv"))
    assert len(again) == 150
    assert again[:n] == first
    assert "run 1 in" in caplog.text  # it is the same run that goes on


def test_a_second_ctrl_c_stops_at_once(folder, process):
    Path("slow.py").write_text(SLOW.replace("SECONDS", "1000"))
    running = process("run", "slow.py:simulate", "--evals", "40", "--out", "a")
    wait_for(Path("begun").exists)
    os.kill(running.pid, signal.SIGINT)
    lines = iter(running.stderr.readline, "")
    assert any("press Ctrl-C again to stop at once" in line for line in lines)
    os.kill(running.pid, signal.SIGINT)
    _, error = running.communicate(timeout=60)  # the evaluation sleeps for longer
    assert running.returncode == 130
    assert "moela: Stopped at once." in error
    assert "--store a/run.db" in error


def test_one_evaluation_is_a_run(folder, capsys):
    assert run("function.py:simulate", "--evals", 1, "--out", "sink", "--quiet") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("done after 1 evaluation: ")
    assert printed.err == ""
    assert len(read_table(folder / "sink" / "evaluations.csv")) == 1

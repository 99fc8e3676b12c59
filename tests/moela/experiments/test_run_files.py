"""Files of runs: resumed, told from other runs, and refused if damaged."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from experiment_cases import (
    REF,
    Broken,
    Scarce,
    Toy,
    draw,
    nsga2,
)

from moela import MOELA
from moela.evaluation.storage.errors import StoreError, StoreMismatchError
from moela.experiments.files import Run
from moela.experiments.run import (
    ExperimentResults,
    External,
    run_experiment,
)

CALLS: list[int] = []


INTERRUPTED_AT: list[int] = []


def interrupted(problem, n_eval, seed):
    if seed in INTERRUPTED_AT:
        raise KeyboardInterrupt
    CALLS.append(seed)
    return draw(problem, n_eval, seed)


def test_an_interrupted_experiment_makes_only_what_is_missing(tmp_path):
    CALLS.clear()
    INTERRUPTED_AT[:] = [3]
    with pytest.raises(KeyboardInterrupt):
        run_experiment({"toy": Toy()}, {"it": External(interrupted)}, 4, 50, store=tmp_path)
    assert CALLS == [1, 2]
    assert len(list(tmp_path.iterdir())) == 2
    INTERRUPTED_AT.clear()
    results = run_experiment({"toy": Toy()}, {"it": External(interrupted)}, 4, 50, store=tmp_path)
    assert CALLS == [1, 2, 3, 4]
    assert [run.seed for run in results.runs] == [1, 2, 3, 4]


def test_the_second_call_computes_nothing_and_more_seeds_only_the_new_ones(tmp_path):
    for make in (MOELA, nsga2):
        store = tmp_path / str(id(make))
        run_experiment({"toy": Toy()}, {"it": make}, 2, 60, store=store)
        times = {p.name: p.stat().st_mtime_ns for p in store.iterdir()}
        again = run_experiment({"toy": Toy()}, {"it": make}, 3, 60, store=store)
        assert len(again.runs) == 3
        later = {p.name: p.stat().st_mtime_ns for p in store.iterdir()}
        assert len(later) == 3
        assert times.items() <= later.items()


@pytest.mark.parametrize(
    ("problem", "algorithm", "named"),
    [
        (Toy(depth=0.5), External(draw), "settings.problem.settings.depth: 0.0 -> 0.5"),
        (Scarce(), External(draw), "experiment_cases.Scarce'"),
        (Toy(), External(draw, {"spread": 0.5}), "spread"),
        (Toy(), nsga2, "NSGA2"),
    ],
)
def test_runs_of_another_problem_or_algorithm_are_named(tmp_path, problem, algorithm, named):
    first = run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, 50, store=tmp_path)
    before = first.runs[0].F
    with pytest.raises(StoreMismatchError) as raised:
        run_experiment({"toy": problem}, {"it": algorithm}, 1, 50, store=tmp_path)
    assert named in str(raised.value)
    assert "toy--it--n50--s1.npz" in str(raised.value)
    if isinstance(problem, Scarce):
        return
    new = run_experiment(
        {"toy": problem}, {"it": algorithm}, 1, 50, store=tmp_path, on_mismatch="rerun"
    )
    assert not np.array_equal(new.runs[0].F, before)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_version_of_a_problem_is_noticed(tmp_path, monkeypatch):
    run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, 50, store=tmp_path)
    monkeypatch.setattr(Toy, "version", "2")
    with pytest.raises(StoreMismatchError, match=r"problem.version: '1' -> '2'"):
        run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, 50, store=tmp_path)


def test_budgets_are_kept_apart(tmp_path):
    for budget in (40, 60):
        run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, budget, store=tmp_path)
    both = ExperimentResults.load(tmp_path)
    assert [run.n_eval for run in both.runs] == [40, 60]
    assert len(both.select(budget=60)) == 1


def test_names_that_are_no_file_names(tmp_path):
    names = ["a/b", "a b", "../x", "α", "a--b", "a-_b"]
    problems = {name: Toy() for name in names}
    results = run_experiment(problems, {"it": External(draw)}, 1, 10, store=tmp_path)
    assert results.problems == names
    assert len(list(tmp_path.glob("*.npz"))) == len(names)
    assert sorted(ExperimentResults.load(tmp_path).problems) == sorted(names)


def test_runs_come_back_as_they_were_saved(tmp_path, results):
    back = ExperimentResults.load(results.save(tmp_path))
    assert len(back) == len(results)
    for run in results.runs:
        (other,) = [r for r in back.runs if r.key == run.key]
        for name in ("F", "CV", "G", "H", "front_F", "front_X"):
            np.testing.assert_array_equal(getattr(run, name), getattr(other, name))
        assert (other.settings, other.seconds, other.log) == (run.settings, run.seconds, run.log)
        assert other.provenance["versions"]["numpy"] == np.__version__
    parts = back.select(algorithm="MOELA").runs[0].log
    assert sum(parts[name]["n_eval"] for name in ("evolution", "search", "pareto")) > 0
    np.testing.assert_array_equal(
        back.hypervolume([50, 150], REF).rows[0]["median"],
        results.hypervolume([50, 150], REF).rows[0]["median"],
    )


def test_other_and_damaged_files_are_refused(tmp_path, results):
    run = results.runs[0]
    good = run.save(tmp_path / "") if (tmp_path / "").exists() else None
    assert good is not None
    content = good.read_bytes()
    with np.load(good) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))

    def refused(match):
        with pytest.raises(ValueError, match=match) as raised:
            Run.load(good).F  # noqa: B018
        assert str(good) in str(raised.value)

    def changed(**parts):
        np.savez(good, **{**arrays, **parts})

    good.write_bytes(content[: len(content) // 2])
    refused("must be a complete npz file")
    good.write_bytes(b"")
    refused("must be a complete npz file.* Move it to another folder; the next call makes the run")
    changed(header=np.array([object()], dtype=object))
    refused("field 'header' must be a JSON text. Got object")
    changed(header=np.array("{}"))
    refused("field 'header.format' must be 'moela-run-1'. Got None")
    changed(header=np.array("["))
    refused("field 'header' must be JSON. Got Expecting value")
    for field, value, words in (
        ("key", {}, "'header.key.problem' must be a text. Got None"),
        ("n_eval", 1.5, "'header.n_eval' must be an integer of at least 0. Got 1.5"),
        ("n_eval", 149, r"'F' must be float64 of shape \[149, n\]. Got float64 of shape \[150"),
        ("seconds", {"wall": float("nan")}, "'header.seconds.wall' must be a finite number"),
        ("ref_point", [1.0, "2"], r"'header.ref_point\[1\]' must be a finite number. Got '2'"),
        ("log", "x", "'header.log' must be a JSON object. Got 'x'"),
    ):
        changed(header=np.array(json.dumps(header | {field: value})))
        refused(words)
    np.savez(good, **{k: v for k, v in arrays.items() if k != "front_X"})
    refused(r"'front_X' must be .* Got no array")
    changed(F=arrays["F"][:-1])
    refused(r"'F' must be float64 of shape \[150, n\]. Got float64 of shape \[149, 2\]")
    changed(F=arrays["F"].astype(np.float32))
    refused(r"'F' must be float64 of shape .* Got float32")
    with pytest.raises(ValueError, match="expected a folder with runs"):
        ExperimentResults.load(tmp_path / "nowhere")


def test_a_small_file_of_a_large_run_takes_no_memory(tmp_path, results):
    path = results.runs[0].save(tmp_path)
    with np.load(path) as file:
        arrays = dict(file)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
        with archive.open("more.npy", "w") as member:
            for _ in range(300):
                member.write(bytes(2**20))
    assert path.stat().st_size < 2**21
    tracemalloc.start()
    with pytest.raises(ValueError, match="must be at most 256 MiB in memory"):
        Run.load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


def test_whatever_bytes_of_a_run_change_the_error_names_its_file(tmp_path):
    run_experiment({"toy": Toy()}, {"MOELA": MOELA}, 1, 30, store=tmp_path, progress=False)
    (path,) = tmp_path.glob("*.npz")
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        changed = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 30)):
            changed[place] = rng.integers(256)
        path.write_bytes(bytes(changed))
        try:
            ExperimentResults.load(tmp_path)
        except ValueError as error:
            if path.name not in str(error):
                raise
            refused += 1
    assert refused > 30


def test_a_half_written_file_never_has_the_name_of_a_run(tmp_path, results, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        results.runs[0].save(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_run_that_cannot_be_written_ends_the_experiment(tmp_path, n_jobs):
    store = tmp_path / "runs"
    run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, 20, store=store)

    def vanish(problem, n_eval, seed):
        shutil.rmtree(store, ignore_errors=True)
        return draw(problem, n_eval, seed)

    # Skipped, every run would be computed and none kept.
    pattern = r"cannot be written into the folder .*No such file.*in (.*\.npz): move that file"
    with pytest.raises(StoreError, match=pattern) as caught:
        run_experiment(
            {"toy": Toy()}, {"it": External(vanish)}, 4, 50, n_jobs, store=store, on_error="skip"
        )
    rescued = Path(re.search(pattern, str(caught.value))[1])
    shutil.copy(rescued, store.parent / "kept.npz")
    shutil.rmtree(rescued.parent)
    assert Run.load(store.parent / "kept.npz").n_eval == 50


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_run(tmp_path, monkeypatch):
    def full(**where):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OSError, match="No space left") as caught:
        run_experiment({"toy": Broken((1,))}, {"it": nsga2}, 1, 20, store=tmp_path)
    assert caught.value.filename == str(tmp_path)

"""Results: hypervolumes, evaluations to a target, comparisons, data frames."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from experiment_cases import (
    REF,
    Toy,
    draw,
)

from moela.experiments.run import (
    External,
    run_experiment,
)


def test_hypervolume_is_that_of_everything_so_far(results):
    run = results.select(algorithm="NSGA-II").runs[0]
    at = [1, 20, 77, 150, 500]
    values = run.hypervolumes(at, np.array([2.0, 1.5]))
    for n, value in zip(at, values, strict=True):
        inside = run.F[:n][(run.F[:n] < [2.0, 1.5]).all(axis=1)]
        expected = moocore.hypervolume(inside, ref=[2.0, 1.5]) if len(inside) else 0.0
        assert value == pytest.approx(expected, rel=1e-12)
    assert (np.diff(values) >= 0).all()


def test_evaluations_to_a_target_are_exact(results):
    run = results.select(algorithm="MOELA").runs[0]
    point = np.array([2.0, 2.0])
    curve = run.hypervolumes(list(range(1, 151)), point)
    for target in (0.0, curve[0], 0.5 * curve[-1], 0.99 * curve[-1], curve[-1]):
        first = 1 + int(np.argmax(curve >= target))
        assert run.evaluations_to(target, point) == first
    assert run.evaluations_to(curve[-1] * 1.001, point) == np.inf


def test_tables_hold_medians_and_quartiles_over_seeds(results):
    table = results.hypervolume([50, 150, 9999], REF)
    assert len(table) == 3 * 2
    (row,) = table.where(algorithm="random", evaluations=150)
    values = results.values("toy", "random", 150, REF)
    assert row["n_seeds"] == 3
    assert row["median"] == np.median(values)
    assert row["q1"] == np.quantile(values, 0.25)
    assert "| toy | random | 150 | 3 |" in table.to_markdown()
    assert str(table).splitlines()[0].split()[:2] == ["problem", "algorithm"]


def test_evaluations_to_a_target_by_algorithm(results):
    target = float(np.median(results.values("toy", "random", None, [3, 3])))
    table = results.evaluations_to({"toy": target}, [3, 3])
    assert [row["algorithm"] for row in table] == ["MOELA", "NSGA-II", "random"]
    (random,) = table.where(algorithm="random")
    assert random["reached"] == 2
    assert random["q3"] == np.inf
    assert table.where(algorithm="MOELA").rows[0]["median"] < random["median"]


def test_reference_points(results):
    front = results.pooled_front("toy")
    expected = front.max(axis=0) + 0.1 * (front.max(axis=0) - front.min(axis=0))
    np.testing.assert_allclose(results.ref_point("toy", "pooled"), expected)
    with pytest.raises(ValueError, match=r"'toy' has no ref_point .*pooled"):
        results.hypervolume()
    with pytest.raises(ValueError, match=r"'ref_point' .* 2 finite numbers"):
        results.hypervolume(ref_point=[1, 1, 1])
    with pytest.raises(ValueError, match=r".problem., .pooled., or a point. Got 'nadir'"):
        results.hypervolume(ref_point="nadir")

    class Known(Toy):
        ref_point = (2.0, 2.0)

    known = run_experiment({"toy": Known()}, {"random": External(draw)}, 1, 40)
    assert known.hypervolume().rows[0]["median"] == known.values("toy", "random", 40, [2, 2])[0]


def test_results_of_the_same_run_twice_are_refused(results):
    with pytest.raises(ValueError, match=r"MOELA on toy, seed 1, 150 evaluations twice"):
        results + results


def test_frames(results):
    pytest.importorskip("pandas")
    frame = results.to_frame([3, 3])
    assert len(frame) == 9
    assert (frame.groupby("algorithm")["hypervolume"].median() > 0).all()
    assert list(results.to_frame(None).columns)[-1] == "overhead_us"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: r.select(problem="q"), "'problem' parameter of select must be of toy"),
        (lambda r: r.values("toy", "MOELA", -1, REF), "'at' parameter of values"),
        (lambda r: r.hypervolume(0, REF), "'at' parameter of hypervolume"),
        (lambda r: r.evaluations_to(float("nan"), REF), "a number that is not NaN"),
    ],
)
def test_wrong_names_and_numbers_are_refused(results, call, words):
    with pytest.raises(ValueError, match=words):
        call(results)


@pytest.mark.parametrize("seeds", [2.0, 0])
def test_seeds_are_whole_numbers(seeds):
    with pytest.raises(ValueError, match="'seeds' parameter of run_experiment must be a positive"):
        run_experiment({"toy": Toy}, {"random": External(draw)}, seeds, 20)


def test_a_store_of_runs_is_a_folder(tmp_path):
    path = tmp_path / "run.db"
    path.write_text("")
    with pytest.raises(ValueError, match="'store' parameter of run_experiment must be a folder"):
        run_experiment({"toy": Toy}, {"random": External(draw)}, 1, 20, store=path)

"""The same call continues a run, bit for bit; another call raises an error."""

import os
import pickle
import signal
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
from evaluation_cases import (
    Failing,
    Mixed,
    Noisy,
    One,
    Rows,
    alive,
    children,
    designs,
    edit_run,
    stored,
    wait_for,
)
from evaluation_cases import solve as solve_with
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.population import Population
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.util.ref_dirs import get_reference_directions

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import EvaluationError, failed
from moela.evaluation.storage.errors import StoreMismatchError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.reader import EvaluationStore
from moela.search.moela import MOELA


def nsga2(**kwargs):
    return NSGA2(pop_size=20, **kwargs)


def moead():
    return MOEAD(get_reference_directions("uniform", 2, n_partitions=9), n_neighbors=5)


def mixed():
    return MixedVariableGA(pop_size=20, survival=RankAndCrowding())


def moela():
    return MOELA(n_subproblems=20, n_searches=5)


class Stop(Exception):
    pass


def solve(problem, store=None, n_eval=120, **settings):
    return solve_with(problem, n_eval, store=store, **settings)


def solve_until(problem, store, stop_after, **settings):
    """Run, and stop before a given evaluation is recorded, in the middle of a batch."""
    add, recorded = Journal.add, []

    def counted(*args):
        if len(recorded) >= stop_after:
            raise Stop
        recorded.append(args)
        add(*args)

    with pytest.MonkeyPatch.context() as patch, suppress(Stop):
        patch.setattr(Journal, "add", counted)
        solve(problem, store, **settings)


def assert_same(a, b):
    np.testing.assert_array_equal(a.pop.get("F"), b.pop.get("F"))
    assert a.evaluator.n_eval == b.evaluator.n_eval
    for x, y in zip(a.pop.get("X"), b.pop.get("X"), strict=True):
        np.testing.assert_equal(x, y)


@pytest.mark.parametrize("stop_after", [1, 20, 113])
@pytest.mark.parametrize(
    ("problem", "algorithm"), [(One, nsga2), (One, moead), (One, moela), (Mixed, mixed)]
)
def test_a_broken_run_is_resumed_bit_for_bit(store, problem, algorithm, stop_after):
    solve_until(problem(), store, stop_after, algorithm=algorithm())
    resumed = solve(problem(), store, algorithm=algorithm())
    whole = solve(problem(), algorithm=algorithm())
    assert_same(resumed, whole)
    assert resumed.evaluator.n_fresh == max(0, whole.evaluator.n_fresh - stop_after)


@pytest.mark.parametrize("stop_after", [16, 52])
def test_a_vectorized_problem_is_resumed_in_the_same_chunks(store, stop_after):
    # Rows gives a row other last bits in a chunk of another size.
    solve_until(Rows(), store, stop_after)
    assert_same(solve(Rows(), store), solve(Rows()))


def test_a_run_can_be_prolonged(store):
    solve(One(), store, n_eval=70)
    longer = solve(One(), store, n_eval=150)
    assert_same(longer, solve(One(), n_eval=150))
    assert longer.evaluator.n_fresh == 80


def test_a_run_is_resumed_with_other_workers(store):
    solve_until(One(), store, 50)
    assert_same(solve(One(), store, n_jobs=2), solve(One()))


RUN = """
    import sys
    from evaluation_cases import One, solve
    store, log, n_jobs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    problem = One(log=log, seconds=0.012)
    solve(problem, 120, store=store, n_jobs=n_jobs, recheck=False)
"""


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_kill_9_at_random_moments_loses_nothing(script, store, tmp_path, n_jobs):
    log = tmp_path / "evaluated"
    log.touch()
    rng = np.random.default_rng(n_jobs)
    committed = set()
    for _ in range(2):
        before = len(log.read_text().split())
        process = script(RUN, store, log, n_jobs, wait=False)
        goal = before + int(rng.integers(1, 25))
        wait_for(
            lambda p=process, g=goal: p.poll() is not None or len(log.read_text().split()) >= g
        )
        workers = children(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda pids=workers: not any(alive(pid) for pid in pids))
        once = Counter(log.read_text().split())
        now = {e.X.tobytes().hex() for e in stored(store)}
        assert committed <= now
        committed = now
        frozen = {key: once[key] for key in now}
    script(RUN, store, log, n_jobs)
    final = Counter(log.read_text().split())
    assert all(final[key] == n for key, n in frozen.items())  # nothing committed was done again
    keys = [e.X.tobytes() for e in stored(store)]
    assert len(keys) == len(set(keys))
    result = solve(One(), store)
    assert result.evaluator.n_fresh == 0
    assert_same(result, solve(One()))


class InTurn(One):
    """Row i waits until the store has all earlier rows of its batch that are not running."""

    def __init__(self, store, in_hand):
        super().__init__()
        self._store = store
        self._in_hand = in_hand

    def _evaluate(self, x, out, *args, **kwargs):
        wait_for(lambda: len(stored(self._store)) > x[0] - self._in_hand)
        super()._evaluate(x, out)


@pytest.mark.parametrize(
    "settings",
    [{}, {"n_jobs": 2}, {"n_jobs": 2, "backend": "threads"}],
    ids=["serial", "processes", "threads"],
)
def test_each_evaluation_is_committed_as_it_ends_not_with_its_batch(store, settings):
    in_hand = settings.get("n_jobs", 1)
    problem = InTurn(store, in_hand)
    problem.xu[:] = 10.0
    X = designs(10)
    X[:, 0] = np.arange(10)
    with Evaluator(store=store, **settings) as evaluator:
        evaluator.eval(problem, Population.new(X=X))
    assert evaluator.n_fresh == 10


def test_noisy_measurements_are_replayed_by_their_place(store):
    first = solve(Noisy(), store, dedupe=False)
    again = solve(Noisy(), store, dedupe=False)
    assert_same(again, first)
    assert again.evaluator.n_fresh == 0
    assert not np.array_equal(solve(Noisy(), dedupe=False).F, first.F)


def test_failures_are_replayed_or_tried_again(store):
    settings = {"on_error": "infeasible"}
    first = solve(Failing("raise"), store, n_eval=40, **settings)
    n_failed = first.evaluator.n_failed
    assert n_failed > 0
    again = solve(Failing("raise"), store, n_eval=40, **settings)
    assert again.evaluator.n_fresh == 0
    assert_same(again, first)
    fixed = solve(Failing("raise", below=0.0), store, n_eval=20, retry_failed=True, **settings)
    assert not failed(fixed.pop).any()
    assert 0 < fixed.evaluator.n_fresh <= n_failed


def test_an_evaluation_that_raised_is_tried_again_after_a_fix(store):
    with pytest.raises(EvaluationError):
        solve(Failing("raise"), store)
    assert_same(solve(Failing("raise", below=0.0), store), solve(One()))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"problem": One(n_var=7)}, "problem.n_var: 6 -> 7"),
        ({"problem": One(version="2")}, "problem.version: None -> '2'"),
        ({"seed": 2}, "seed: '1' -> '2'"),
        ({"algorithm": NSGA2(pop_size=21)}, "algorithm.settings.pop_size: 20 -> 21"),
        ({"dedupe": False}, "settings.dedupe: True -> False"),
        ({"chunk_size": 4}, "settings.chunk_size: 1 -> 4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_is_named(store, changed, named):
    solve(One(), store, n_eval=20)
    arguments = {"problem": One(), **changed}
    with pytest.raises(StoreMismatchError) as caught:
        solve(store=store, n_eval=20, **arguments)
    assert named in str(caught.value)
    assert "on_mismatch='new'" in str(caught.value)
    # In a new run it is another run of the same file.
    solve(store=store, n_eval=20, on_mismatch="new", **arguments)
    with EvaluationStore(store) as reader:
        assert len(reader.runs()) == 2
    solve(One(), store, n_eval=20)
    solve(store=store, n_eval=20, **arguments)


def test_changed_data_of_a_problem_is_noticed(store):
    problem = One()
    problem.traffic = np.arange(1000.0)
    solve(problem, store, n_eval=20)
    problem = One()
    problem.traffic = np.arange(1000.0)
    problem.traffic[500] += 1e-9
    with pytest.raises(StoreMismatchError, match=r"problem\.settings\.traffic"):
        solve(problem, store, n_eval=20)


def test_changed_code_is_noticed_by_evaluating_an_old_design_again(store):
    solve(One(), store, n_eval=40)
    with pytest.raises(StoreMismatchError, match="evaluated again, has another result"):
        solve(One(shift=1e-3), store, n_eval=60)
    solve(One(shift=1e-3), store, n_eval=60, recheck=False)


def test_changed_last_bits_are_only_mentioned(store, log):
    solve(One(), store, n_eval=40)
    solve(One(shift=1e-12), store, n_eval=60)
    assert "differs in its last bits" in log.text


def test_an_old_design_that_fails_now_is_noticed(store):
    solve(Failing("raise", below=0.0), store, n_eval=40)
    with pytest.raises(StoreMismatchError, match="it fails now"):
        solve(Failing("raise", below=2.0), store, n_eval=60)


def test_the_same_problem_with_another_seed_knows_what_was_evaluated(store):
    class Small(One):
        def _evaluate(self, x, out, *args, **kwargs):
            super()._evaluate(np.round(x, 1), out)

        def canonical(self, X):
            return np.round(X, 1)

    solve(Small(n_var=2), store, n_eval=100)
    second = solve(Small(n_var=2), store, seed=2, n_eval=100, on_mismatch="new")
    alone = solve(Small(n_var=2), seed=2, n_eval=100)
    assert_same(second, alone)
    assert second.evaluator.n_fresh < alone.evaluator.n_fresh
    again = solve(Small(n_var=2), store, seed=2, n_eval=100)
    assert again.evaluator.n_fresh == 0


def test_a_run_without_a_seed_records_the_one_it_drew(store):
    first = solve(One(), store, seed=None)
    with EvaluationStore(store) as reader:
        (run,) = reader.runs()
    assert run.seed_drawn
    with pytest.raises(StoreMismatchError, match=f"Pass seed={run.seed} to continue it"):
        solve(One(), store, seed=None)
    again = solve(One(), store, seed=run.seed)
    assert again.evaluator.n_fresh == 0
    assert_same(again, first)


def test_a_new_run_can_start_from_the_old_front(store):
    old = solve(One(), store, n_eval=200)
    with EvaluationStore(store) as reader:
        front = reader.front()
    ours = {tuple(f) for f in front.get("F")}
    assert {tuple(f) for f in old.F} <= ours
    warm = solve(One(), algorithm=NSGA2(pop_size=20, sampling=front), n_eval=40)
    assert warm.evaluator.n_eval == 40
    assert warm.F[:, 1].min() <= old.F[:, 1].min()


def test_a_pickled_run_goes_on_in_its_store(store):
    evaluator = Evaluator(store=store)
    algorithm = nsga2()
    algorithm.setup(One(), termination=("n_eval", 120), seed=1, evaluator=evaluator)
    for _ in range(3):
        algorithm.next()
    saved = pickle.dumps(algorithm)
    evaluator.close()
    twin = pickle.loads(saved)
    twin.run()
    assert twin.evaluator.n_eval == 120
    assert twin.evaluator.n_fresh == 120
    with EvaluationStore(store) as reader:
        assert [run.n_eval for run in reader.runs()] == [120]
    whole = solve(One())
    np.testing.assert_array_equal(twin.pop.get("F"), whole.pop.get("F"))


def test_an_algorithm_that_does_not_repeat_itself_is_noticed(store, log):
    class Fickle(NSGA2):
        def _initialize_infill(self):
            self.random_state = np.random.default_rng()
            return super()._initialize_infill()

    for _ in range(2):
        solve(One(), store, n_eval=40, algorithm=Fickle(pop_size=20))
    assert "does not repeat itself from evaluation 0 on" in log.text


def test_a_second_process_in_the_same_run_is_mentioned(script, store, log):
    script(RUN.replace("120", "60").replace("recheck=False", "recheck=True"), store, os.devnull, 1)
    edit_run(store, owner=f"{os.uname().nodename}:{os.getppid()}")
    solve(One(), store, n_eval=60)
    assert "seems to be written by process" in log.text

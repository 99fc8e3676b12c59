"""Checks of algorithms: budgets, seeds, ask and tell, and the end of a run."""

from __future__ import annotations

import copy

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.termination import get_termination
from pymoo.termination.default import DefaultMultiObjectiveTermination

from moela.core.operators import resolve
from moela.testing.drive import (
    N_EVAL,
    Count,
    LegalRecorder,
    MakeAlgorithm,
    Recorder,
    as_set,
    assert_same,
    drive,
    global_state_of,
    global_state_unchanged,
    key,
    run,
    set_up,
)


def check_budget(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that budgets are met to the evaluation, odd and very small ones too.

    All designs asked for must be legal, and only the evaluator may evaluate designs.
    """
    for budget in (1, 3, 17, 64, N_EVAL):
        count = Count(problem.callback)
        watched = copy.copy(problem)
        watched.callback = count
        res, recorder = run(make, watched, budget, recorder=LegalRecorder())
        n = len(recorder.designs)
        assert n == budget, (
            f"A run with n_eval={budget} must evaluate {budget} designs. It did {n}."
        )
        counted = res.algorithm.evaluator.n_eval
        assert counted == n, f"evaluator.n_eval must count {n} evaluations. Got {counted} instead."
        assert count.n <= n, (
            f"Only the evaluator may evaluate designs. It evaluated {n}; the problem was asked for "
            f"the objectives of {count.n}."
        )


def check_ask_tell_budget(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that budgets hold under ask and tell, when the caller evaluates."""
    for budget in (3, 64):
        recorder = Recorder()
        drive(set_up(make, problem, budget), problem, recorder)
        n = len(recorder.designs)
        assert n == budget, f"Ask and tell with n_eval={budget} must ask {budget} designs. Got {n}."


def check_designs_differ(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that a run does not ask for the same designs over and over.

    At least a third as many designs must differ as among those that are sampled. Leave it out for
    an algorithm that evaluates designs again on purpose, such as one for noisy objectives.
    """
    asked = len(set(run(make, problem, N_EVAL)[1].designs))
    pop = resolve(problem).sampling(problem, N_EVAL, random_state=np.random.default_rng(1))
    sampled = len({key(ind.X) for ind in pop})
    assert 3 * asked >= sampled, (
        f"Most of the {N_EVAL} designs asked for must differ. Only {asked} do; of as many sampled "
        f"designs, {sampled} do."
    )


def check_same_seed(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that two runs with one seed evaluate the same designs in the same order."""
    first, second = run(make, problem, N_EVAL)[1], run(make, problem, N_EVAL)[1]
    assert_same(first, second, "Two runs with the same seed")


def check_other_seed(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that runs with different seeds differ."""
    first, second = run(make, problem, N_EVAL, 1)[1], run(make, problem, N_EVAL, 2)[1]
    assert first.designs != second.designs, "Runs with seeds 1 and 2 must differ. They are equal."


def check_global_random_state(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that no global random state is read or advanced."""
    runs = []
    for seed in (986, 987):
        with global_state_of(seed), global_state_unchanged("A run"):
            runs.append(run(make, problem, 64)[1])
    first, second = runs
    assert_same(first, second, "Two runs under different global random states")


def check_ask_and_tell(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that ask and tell give the run that minimize() gives."""
    res, direct = run(make, problem, N_EVAL)
    recorder = Recorder()
    algorithm = set_up(make, problem, N_EVAL)
    drive(algorithm, problem, recorder)
    assert_same(direct, recorder, "minimize() and ask and tell")
    F = algorithm.result().F
    same = F is None if res.F is None else np.array_equal(res.F, F)
    assert same, "minimize() and ask and tell must give the same front."


def check_answers_in_any_order(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that answers may be shuffled, and that some, or all of a batch, may be missing."""
    rng = np.random.default_rng(0)
    told = Recorder()

    def answer(step: int, infills: Population) -> Population:
        keep = rng.permutation(len(infills))
        if step:
            keep = keep[: 0 if step == 2 else rng.integers(1, len(keep) + 1)]
        told.note(infills[keep])
        return infills[keep]

    algorithm = set_up(make, problem, N_EVAL)
    drive(algorithm, problem, Recorder(), answer)
    assert len(told.designs) == N_EVAL, (
        f"The run must continue until {N_EVAL} designs are told. It ended after "
        f"{len(told.designs)}."
    )
    F = algorithm.result().F
    assert (set() if F is None else as_set(F)) == told.front(), (
        "The result must be the non-dominated of all told designs, in any order."
    )


def check_terminations(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that pymoo's own terminations end a run."""
    n_gen = len(minimize(problem, make(), ("n_gen", 4), seed=1, save_history=True).history)
    assert n_gen == 4, f"A run with n_gen=4 must have 4 iterations. Got {n_gen} instead."
    res = minimize(problem, make(), get_termination("time", 0.05), seed=1)
    assert res.exec_time < 20.0, f"A run of 0.05 s must end. It took {res.exec_time:.1f} s."
    limit = DefaultMultiObjectiveTermination(n_max_gen=12, period=3, n_skip=1)
    res = minimize(problem, make(), limit, seed=1)
    assert res.algorithm.n_iter - 1 <= 12, "pymoo's default termination must end the run."


def check_set_up_twice(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that an algorithm that is set up again begins anew."""
    reference, recorder = Recorder(), Recorder()
    algorithm = set_up(make, problem, 64)
    drive(algorithm, problem, reference)
    algorithm.setup(problem, termination=("n_eval", 64), seed=1)
    drive(algorithm, problem, recorder)
    assert_same(reference, recorder, "A run and the next one of the same object")

"""Conformance checks for algorithms, each a function that raises an AssertionError."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
from collections.abc import Callable, Sequence

import moocore
import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.callback import Callback
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.termination import get_termination
from pymoo.termination.default import DefaultMultiObjectiveTermination
from pymoo.util.display.multi import MultiObjectiveOutput

from moela.core.operators import resolve
from moela.testing.drive import (
    Count,
    LegalRecorder,
    MakeAlgorithm,
    Recorder,
    as_set,
    ask,
    copied,
    dominated,
    drive,
    evaluate,
    global_state_of,
    global_state_unchanged,
    key,
    run,
    run_check,
    set_up,
    unskipped,
)
from moela.testing.toys import ToyInfeasible, ToyReal, toy_problems

AlgorithmCheck = Callable[[MakeAlgorithm, Problem], None]

# Enough for every phase of a small algorithm, and a prime, so not a multiple of a batch.
N_EVAL = 101


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


def check_ask_tell_budget(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that budgets hold under ask and tell, when the caller evaluates."""
    for budget in (3, 64):
        recorder = Recorder()
        drive(set_up(make, problem, budget), problem, recorder)
        n = len(recorder.designs)
        assert n == budget, f"Ask and tell with n_eval={budget} must ask {budget} designs. Got {n}."


def check_same_seed(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that two runs with one seed evaluate the same designs in the same order."""
    first, second = run(make, problem, N_EVAL)[1], run(make, problem, N_EVAL)[1]
    _assert_same(first, second, "Two runs with the same seed")


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
    _assert_same(first, second, "Two runs under different global random states")


def check_ask_and_tell(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that ask and tell give the run that minimize() gives."""
    res, direct = run(make, problem, N_EVAL)
    recorder = Recorder()
    algorithm = set_up(make, problem, N_EVAL)
    drive(algorithm, problem, recorder)
    _assert_same(direct, recorder, "minimize() and ask and tell")
    F = algorithm.result().F
    same = F is None if res.F is None else np.array_equal(res.F, F)
    assert same, "minimize() and ask and tell must give the same front."


def check_copies(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that a pickle or deep copy, made anywhere in the run, continues like the original."""
    reference = run(make, problem, N_EVAL)[1]
    for how, clone in (("pickled", copied), ("deep-copied", copy.deepcopy)):
        recorder = Recorder()
        algorithm = set_up(make, problem, N_EVAL)
        while algorithm.has_next():
            # After each tell, and between each ask and tell, only the copy continues.
            algorithm = clone(algorithm)
            algorithm, infills = clone((algorithm, ask(algorithm)))
            evaluate(problem, infills, recorder)
            algorithm.tell(infills=infills)
        _assert_same(reference, recorder, f"A run and one {how} at every ask and tell")


def check_copy_is_apart(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that running a copy does not change the original."""
    reference = run(make, problem, N_EVAL)[1]
    recorder = Recorder()
    algorithm = set_up(make, problem, N_EVAL)
    infills = ask(algorithm)
    evaluate(problem, infills, recorder)
    algorithm.tell(infills=infills)
    drive(copy.deepcopy(algorithm), problem, Recorder())
    drive(algorithm, problem, recorder)
    _assert_same(reference, recorder, "A run alone and one whose copy ran ahead")


def check_callback(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that a callback sees every evaluation once, in `algorithm.off`."""
    callback = _Collect()
    _, recorder = run(make, problem, N_EVAL, callback=callback)
    assert callback.designs == recorder.designs, (
        f"The callback must see each of the {len(recorder.designs)} evaluated designs, in order. "
        f"It saw {len(callback.designs)}."
    )


def check_save_history(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that `save_history` keeps the algorithm as it was after each iteration."""
    callback = _Collect()
    res, _ = run(make, problem, N_EVAL, save_history=True, callback=callback)
    assert len(res.history) == len(callback.fronts), (
        f"The history must have {len(callback.fronts)} entries. Got {len(res.history)} instead."
    )
    for i, (entry, front) in enumerate(zip(res.history, callback.fronts, strict=True)):
        assert as_set(entry.opt.get("F")) == front, (
            f"history[{i}].opt must be the front after iteration {i + 1}. It has changed since."
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


def check_display(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that `verbose=True` prints a line per iteration, with pymoo's own columns."""
    for output in ({}, {"output": MultiObjectiveOutput()}):
        callback, text = _Collect(), io.StringIO()
        with contextlib.redirect_stdout(text):
            run(make, problem, N_EVAL, verbose=True, callback=callback, **output)
        table = [line for line in text.getvalue().splitlines() if "|" in line]
        expected = len(callback.fronts) + 1
        assert len(table) == expected, (
            f"verbose=True must print a header and {expected - 1} rows. Got {len(table)} lines."
        )
        assert "n_nds" in table[0], f"The header must name n_nds. Got {table[0]!r} instead."


def check_front(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that the front is non-dominated, feasible, and made of designs that were evaluated."""
    res, recorder = run(make, problem, N_EVAL)
    if res.F is None:
        assert not recorder.front(), "Feasible designs were found, so res.F must not be None."
        return
    assert not dominated(res.F).any(), "res.F must hold non-dominated rows only."
    assert (np.asarray(res.CV) <= 0.0).all(), "res must hold feasible designs only."
    evaluated = {
        (design, tuple(F.tolist())) for design, F in zip(recorder.designs, recorder.F, strict=True)
    }
    for x, F in zip(res.X, res.F, strict=True):
        assert (key(x), tuple(F.tolist())) in evaluated, (
            f"Every design of the front must have been evaluated with these objectives. {key(x)} "
            f"with F = {F} was not."
        )


def check_nothing_is_lost(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that the front is that of all evaluated designs, not of the last population."""
    res, recorder = run(make, problem, N_EVAL)
    front = recorder.front()
    got = set() if res.F is None else as_set(res.F)
    assert got == front, (
        f"The result must be the non-dominated of all evaluated designs, {len(front)} of them. Got "
        f"{len(got)}, of which {len(got & front)} belong there."
    )


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


def check_arguments_untouched(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that a run changes neither the problem nor the arguments of the constructor."""
    sampling = resolve(problem).sampling(problem, 12, random_state=np.random.default_rng(5))
    # What the problem keeps when it is first evaluated is not the algorithm's doing.
    evaluate(problem, copy.deepcopy(sampling), Recorder())
    before = {name: pickle.dumps(value) for name, value in _state(problem).items()}
    X = [ind.X for ind in sampling]
    given = copy.deepcopy(X)
    termination = get_termination("n_eval", N_EVAL)
    algorithm = make(sampling=sampling)
    algorithm.setup(problem, termination=("n_eval", 40), seed=1)
    recorder = Recorder()
    drive(algorithm, problem, recorder)
    minimize(problem, make(sampling=X), termination, seed=1)
    first = set(recorder.designs[:12])
    assert {key(x) for x in given} <= first, "A run must begin with the designs given as sampling."
    after = {name: pickle.dumps(value) for name, value in _state(problem).items()}
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    assert not changed, (
        f"A run must not change the problem. It changed the attributes {', '.join(changed)}."
    )
    assert not termination.has_terminated(), "minimize() must not change the termination object."
    for ind, x in zip(sampling, given, strict=True):
        assert key(ind.X) == key(x), "A run must not change the designs given as sampling."
        assert not ind.evaluated, "A run must not write into individuals given as sampling."
        assert not ind.data, f"A run must not write into individuals. It wrote {ind.data}."


def check_set_up_twice(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that an algorithm that is set up again begins anew."""
    reference, recorder = Recorder(), Recorder()
    algorithm = set_up(make, problem, 64)
    drive(algorithm, problem, reference)
    algorithm.setup(problem, termination=("n_eval", 64), seed=1)
    drive(algorithm, problem, recorder)
    _assert_same(reference, recorder, "A run and the next one of the same object")


def check_infeasible(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that without a feasible design the result is empty, or the least infeasible front."""
    problem = ToyInfeasible()
    res, _ = run(make, problem, N_EVAL)
    assert res.F is None, f"res.F must be None if nothing is feasible. Got {res.F} instead."
    res, recorder = run(make, problem, N_EVAL, return_least_infeasible=True)
    assert res.F is not None and len(res.F), "return_least_infeasible=True must give designs."  # noqa: PT018
    least, got = min(recorder.CV), float(np.min(res.CV))
    assert got <= least + 1e-12, f"The least violation found was {least}. The result has {got}."
    sampled = float(np.median(recorder.CV[:10]))
    assert least < sampled, f"The violation must fall below the sample's {sampled}. It did not."


def check_scale(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that an objective in units a million times smaller does not dominate the search."""
    volumes = []
    for scale in (1.0, 2.0**20):
        res, _ = run(make, ToyReal(scale), 400)
        F = res.F / np.array([1.0, scale])
        volumes.append(moocore.hypervolume(F, ref=np.array([5.0, 5.0])))
    ratio = volumes[1] / volumes[0]
    assert ratio > 0.95, (
        f"With one objective times 2**20 a run must reach at least 95 % of the hypervolume. It "
        f"reached {100 * ratio:.0f} %."
    )


ON_EACH_PROBLEM: tuple[AlgorithmCheck, ...] = (
    check_budget,
    check_designs_differ,
    check_same_seed,
    check_ask_and_tell,
    check_copies,
    check_front,
    check_nothing_is_lost,
    check_answers_in_any_order,
    check_arguments_untouched,
    check_terminations,
    check_display,
)
ON_FIRST_PROBLEM: tuple[AlgorithmCheck, ...] = (
    check_ask_tell_budget,
    check_other_seed,
    check_global_random_state,
    check_copy_is_apart,
    check_callback,
    check_save_history,
    check_set_up_twice,
    check_infeasible,
    check_scale,
)
ALGORITHM_CHECKS = ON_EACH_PROBLEM + ON_FIRST_PROBLEM


def check_algorithm(
    make_algorithm: MakeAlgorithm,
    problems: Sequence[Problem] | None = None,
    *,
    skip: Sequence[str] = (),
) -> None:
    """Run every check of this module on a pymoo algorithm.

    Parameters
    ----------
    make_algorithm : callable
        Returns a new algorithm: a class, or a function that passes its keyword arguments on to
        one, such as ``lambda **kwargs: MOELA(n_subproblems=20, **kwargs)``. It is called without
        arguments, and with ``sampling=``. Small settings make the checks fast and let them reach
        every phase of the algorithm within about 100 evaluations.
    problems : sequence of Problem, optional
        Those to check on. The first one takes the checks that do not depend on the variables.
        Default: `toy_problems()`.
    skip : sequence of str
        Names of checks to leave out.

    Raises
    ------
    AssertionError
        A check failed. The message says what was expected and what came; its notes name the check
        and the problem.
    RuntimeError
        Python runs without assert statements (``-O``).
    ValueError
        `skip` names no check.

    Examples
    --------
    >>> from moela.rivals import BatchMOEAD
    >>> from moela.testing import ToyReal, check_algorithm
    >>> check_algorithm(lambda **kwargs: BatchMOEAD(n_subproblems=10, **kwargs), [ToyReal()])
    """
    assert callable(make_algorithm), (
        "The 'make_algorithm' parameter of check_algorithm must be a class or a function that "
        f"makes an algorithm. Got an object of {type(make_algorithm).__name__} instead, which "
        "cannot be called."
    )
    for check in unskipped(ALGORITHM_CHECKS, skip, "check_algorithm"):
        run_algorithm_check(check, make_algorithm, problems)


def run_algorithm_check(
    check: AlgorithmCheck, make_algorithm: MakeAlgorithm, problems: Sequence[Problem] | None = None
) -> None:
    """Run one check on a copy of each problem, or of the first where variables do not matter.

    Parameters
    ----------
    check : callable
        One of ``ALGORITHM_CHECKS``.
    make_algorithm : callable
        As for `check_algorithm`.
    problems : sequence of Problem, optional
        By default `toy_problems`.

    Raises
    ------
    AssertionError
        What the algorithm does against the check, and on which problem.
    RuntimeError
        Python runs without assert statements (``-O``).

    Examples
    --------
    >>> from moela import MOELA
    >>> from moela.testing import ALGORITHM_CHECKS, ToyReal, run_algorithm_check
    >>> for check in ALGORITHM_CHECKS[:1]:
    ...     run_algorithm_check(check, MOELA, [ToyReal()])
    """
    problems = toy_problems() if problems is None else list(problems)
    for problem in problems if check in ON_EACH_PROBLEM else problems[:1]:
        # No check finds what an earlier one has left in the problem.
        run_check(check, make_algorithm, copy.deepcopy(problem))


class _Collect(Callback):
    """Collects the designs of each iteration and the front after it."""

    def __init__(self) -> None:
        super().__init__()
        self.designs: list[str] = []
        self.fronts: list[set[tuple[float, ...]]] = []

    def notify(self, algorithm: Algorithm) -> None:
        self.designs += [key(ind.X) for ind in algorithm.off]
        self.fronts.append(as_set(algorithm.opt.get("F")))


def _state(problem: Problem) -> dict[str, object]:
    """Return the attributes that a problem has in a pickle."""
    state = problem.__getstate__()
    return state if isinstance(state, dict) else {"(all)": state}


def _assert_same(first: Recorder, second: Recorder, what: str) -> None:
    for i, (a, b) in enumerate(zip(first.designs, second.designs, strict=False)):
        assert a == b, f"{what} must evaluate the same designs. They part at evaluation {i + 1}."
    n, m = len(first.designs), len(second.designs)
    assert n == m, f"{what} must evaluate the same designs. One evaluated {n}, the other {m}."

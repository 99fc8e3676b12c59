"""Checks of algorithms: copies continue alike, and what a run is given stays as it is."""

from __future__ import annotations

import copy
import pickle

import numpy as np
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.termination import get_termination

from moela.core.operators import resolve
from moela.testing.drive import (
    N_EVAL,
    MakeAlgorithm,
    Recorder,
    ask,
    assert_same,
    copied,
    drive,
    evaluate,
    key,
    run,
    set_up,
)


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
        assert_same(reference, recorder, f"A run and one {how} at every ask and tell")


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
    assert_same(reference, recorder, "A run alone and one whose copy ran ahead")


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


def _state(problem: Problem) -> dict[str, object]:
    """Return the attributes that a problem has in a pickle."""
    state = problem.__getstate__()
    return state if isinstance(state, dict) else {"(all)": state}

"""Writes the files in ``data``: stores and experiments of stopped runs of version 0.1.

It runs on version 0.1 only, whose stores sign MOELA as ``moela.algorithm.MOELA``:

    PYTHONPATH=/path/to/version/0.1 python write_data.py

The script uses the names of that version, so it does not change with the library.
"""

import platform
import shutil
import socket
import sqlite3
from pathlib import Path

from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.callback import Callback
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from user_problem import Beam

from moela import MOELA, Evaluator, _call, run_experiment
from moela.rivals import MOMAD, MOOS, MOOSTAGE, BatchMOEAD
from problems import (
    ExpertBuffering,
    ExpertPlacement,
    GatingThresholds,
    MNKLandscape,
    MoEDeployment,
    MultiObjectiveKnapsack,
    MultiObjectiveQAP,
    NoC3D,
)
from problems.noc import Platform

DATA = Path(__file__).parent / "data"


class Stop(Exception):
    pass


class Stopping(Callback):
    """Stops a run after a number of evaluations."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def update(self, algorithm):
        if algorithm.evaluator.n_eval >= self.after:
            raise Stop


def zdt1():
    return get_problem("zdt1", n_var=5)


RUNS = {
    "problems": [
        (NoC3D.example, lambda p: MOELA(n_subproblems=10), 15),
        (MoEDeployment.example, lambda p: MOELA(n_subproblems=10), 15),
        (ExpertPlacement.example, lambda p: NSGA2(pop_size=8, **p.operators()), 16),
        (ExpertBuffering.example, lambda p: MOELA.published(n_subproblems=8), 16),
        (GatingThresholds.example, lambda p: MOELA(n_subproblems=10), 15),
    ],
    "classic": [
        (lambda: MultiObjectiveQAP.random(n_facilities=8), lambda p: MOELA(n_subproblems=20), 25),
        (lambda: MultiObjectiveKnapsack.random(n_items=20), lambda p: MOOS(n_init=20), 25),
        (lambda: MNKLandscape.random(n=12), lambda p: MOOSTAGE(n_init=20), 25),
        (lambda: MultiObjectiveQAP.random(n_facilities=8), lambda p: MOMAD(n_subproblems=10), 15),
        (zdt1, lambda p: MOELA(), 55),
        (zdt1, lambda p: BatchMOEAD(n_subproblems=20), 25),
    ],
    "users": [
        (Beam, lambda p: NSGA2(pop_size=20), 40),
        (lambda: Beam(3.0), lambda p: MOELA(n_subproblems=20, landscape=False), 25),
        (lambda: Beam(platform=Platform.paper_4x4x4()), lambda p: NSGA2(pop_size=20), 40),
    ],
}


def write_stores():
    for name, runs in RUNS.items():
        path = DATA / f"{name}.db"
        for problem, algorithm, after in runs:
            made = problem()
            with Evaluator(store=path, on_mismatch="new") as evaluator:
                try:
                    minimize(
                        made,
                        algorithm(made),
                        ("n_eval", 2 * after),
                        seed=1,
                        evaluator=evaluator,
                        callback=Stopping(after),
                    )
                except Stop:
                    print(name, type(made).__name__, evaluator.n_eval)
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("PRAGMA page_size = 1024")
            db.execute("VACUUM")


if __name__ == "__main__":
    # Stores note where they were written, which is nobody's business here.
    socket.gethostname = lambda: _call._HOST
    platform.platform = lambda *arguments: "Linux"
    _call._HOST = "host"
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    write_stores()
    run_experiment(
        {"zdt1": zdt1()},
        {"MOELA": lambda problem: MOELA(), "NSGA-II": lambda problem: NSGA2(pop_size=20)},
        2,
        100,
        store=DATA / "experiment",
    )

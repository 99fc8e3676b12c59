from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.population import Population

from moela.core.archive import Archive
from moela.core.scaling import Normalization
from moela.rivals.greedy import GreedySearches


class Bench:
    """Searches, an archive and a normalization from 0 to 1, with a reference at (1, 1)."""

    def __init__(self, start, CV=0.0, others=(), **kwargs):
        self.normalization = Normalization(2, ref_point=[1.0, 1.0])
        self.normalization.ideal, self.normalization.nadir = np.zeros(2), np.ones(2)
        self.archive = Archive(2)
        self.searches = GreedySearches(2, **{"max_steps": 10, **kwargs})
        self.add([start, *others], [CV] * (1 + len(others)))
        self.searches.remember(self.archive)
        self.search = self.searches.begin(np.array([0.0]), np.asarray(start, dtype=float), CV)

    def add(self, F, CV):
        pop = Population.new("X", np.arange(len(F))[:, None])
        self.archive.add(pop, np.asarray(F, dtype=float), np.asarray(CV, dtype=float))

    def answer(self, F, CV=None, ids=None):
        CV = [0.0] * len(F) if CV is None else CV
        ids = [self.search.id] * len(F) if ids is None else ids
        self.add(F, CV)
        X = [np.array([float(i)]) for i in range(1, len(F) + 1)]
        return self.searches.receive(
            np.array(ids),
            X,
            np.asarray(F, dtype=float),
            np.array(CV),
            self.normalization,
            self.archive,
        )


def test_moves_to_the_neighbor_that_adds_most():
    bench = Bench([0.5, 0.5])
    assert bench.answer([[0.4, 0.5], [0.1, 0.6], [0.6, 0.6]]) == []
    assert bench.search.F.tolist() == [0.1, 0.6]
    assert bench.search.x.tolist() == [2.0]
    assert bench.search.gain == pytest.approx(0.4 * 0.4)
    assert bench.search.met.tolist() == [[0.5, 0.5], [0.1, 0.6]]
    assert len(bench.search.path) == 2


def test_what_others_have_found_counts():
    bench = Bench([0.5, 0.5], others=[[0.1, 0.9]])
    ended = bench.answer([[0.15, 0.95]])
    assert ended == [bench.search]
    assert len(bench.searches) == 0


def test_ends_after_its_moves_or_its_patience():
    bench = Bench([0.9, 0.9], max_steps=2, patience=2)
    assert bench.answer([[0.95, 0.95]]) == []
    assert bench.answer([[0.8, 0.8]]) == []
    assert bench.answer([[0.7, 0.7]]) == [bench.search]


def test_beyond_the_reference_it_descends_on_the_distance():
    bench = Bench([1.5, 1.5])
    bench.answer([[1.6, 0.2], [1.4, 1.3]])
    assert bench.search.F.tolist() == [1.6, 0.2]
    bench.answer([[0.9, 0.9], [1.1, 0.0]])
    assert bench.search.F.tolist() == [0.9, 0.9]
    assert bench.answer([[1.01, 0.0]]) == [bench.search], "it must not leave the box again"


def test_feasibility_comes_first():
    bench = Bench([0.1, 0.1], CV=1.0)
    bench.answer([[0.9, 0.9], [0.0, 0.0]], [0.5, 0.9])
    assert bench.search.F.tolist() == [0.9, 0.9]
    assert bench.search.CV == 0.5
    assert bench.search.met.tolist() == [[0.9, 0.9]]
    assert bench.answer([[0.0, 0.0]], [0.7]) == [bench.search]


def test_an_infeasible_archive_does_not_devalue_the_first_feasible_design():
    bench = Bench([0.1, 0.1], CV=1.0)
    bench.answer([[0.5, 0.5]], [0.0])
    assert bench.search.gain == pytest.approx(0.25)

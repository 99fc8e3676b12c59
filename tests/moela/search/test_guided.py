"""Local searches that fall behind the archived designs."""

from __future__ import annotations

import math

import pytest

from moela import MOELA
from problems import MultiObjectiveKnapsack


@pytest.fixture
def make():
    """Return a function that makes the guided search of a run, and its archive."""

    def make(**settings):
        problem = MultiObjectiveKnapsack.random(n_items=60, n_obj=2, seed=1)
        algorithm = MOELA._tuned(shares={"search": 1}, **settings)
        algorithm.setup(problem, termination=("n_eval", 10_000), seed=1)
        for _ in range(20):
            pop = algorithm.ask()
            algorithm.evaluator.eval(problem, pop)
            algorithm.tell(infills=pop)
        return algorithm.guided, algorithm.front

    return make


def put_behind(guided, front, by, evaluations=20):
    """Let the first search be behind by this much, as if it had evaluated so many neighbors."""
    searches = guided.searches
    searches.W[0] = [0.5, 0.5]
    value = guided.context.normalization.scalarize
    best = value(front.working_F, searches.W[0], searches.by).min()
    # The value grows with the objectives, and is behind by 0 where it is that of the best design.
    ahead, far = front.working_F.min(axis=0), front.working_F.max(axis=0) + 100.0
    for _ in range(100):
        middle = (ahead + far) / 2
        if value(middle, searches.W[0], searches.by) - best < by:
            ahead = middle
        else:
            far = middle
    searches.F[0] = ahead
    searches.cost[0] = searches.compared[0] + evaluations
    return int(searches.ids[0])


@pytest.mark.parametrize(("by", "ends"), [(0.09, False), (0.11, True)])
def test_a_search_ends_if_an_archived_design_is_better_by_a_tenth(make, by, ends):
    guided, front = make(most_behind=0.1)
    search = put_behind(guided, front, by)
    n_before = len(guided.searches)
    guided.propose(front, None)
    assert (search not in guided.searches.ids) == ends
    assert len(guided.searches) == n_before  # another one has taken its place


def test_a_search_is_compared_after_twenty_evaluations(make):
    guided, front = make(most_behind=0.1)
    search = put_behind(guided, front, 1.0, evaluations=19)
    guided.propose(front, None)
    assert search in guided.searches.ids


def test_the_limit_is_a_setting(make):
    guided, front = make(most_behind=math.inf)
    search = put_behind(guided, front, 1.0)
    guided.propose(front, None)
    assert search in guided.searches.ids
    with pytest.raises(ValueError, match="most_behind"):
        MOELA._tuned(most_behind=0.0)


def test_only_searches_without_a_model_are_compared_by_default(make):
    for models, ends in (("auto", False), (None, True)):
        guided, front = make(models=models)
        search = put_behind(guided, front, 1.0)
        guided.propose(front, None)
        assert (search not in guided.searches.ids) == ends


def test_a_search_that_violates_constraints_is_not_compared(make):
    guided, front = make(most_behind=0.1)
    search = put_behind(guided, front, 1.0)
    guided.searches.CV[0] = 1.0
    guided.propose(front, None)
    assert search in guided.searches.ids


def test_a_search_that_waits_for_answers_is_not_ended(make):
    guided, front = make(most_behind=0.1)
    search = put_behind(guided, front, 1.0)
    guided._awaited[search] = 1
    guided.propose(front, None)
    assert search in guided.searches.ids

"""Content of problems: every change is seen, in every process, and nothing else is a change."""

import functools
import random
import time

import numpy as np
import pytest
from pymoo.core.problem import Problem

from moela.provenance import signature
from moela.provenance.content import Content, content_of, doubts
from moela.provenance.walk import MAX_DEPTH
from tests.benchmarks.survival.changes import BEFORE_AND_AFTER, REFUSED, Held, compiled


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BEFORE_AND_AFTER)
def test_a_change_is_noticed_and_the_same_problem_recognized(name):
    before, after, again = (content_of(BEFORE_AND_AFTER[name](v)) for v in (0, 1, 0))
    assert doubts(before.record(), after)
    assert bool(doubts(before.record(), again)) == bool(before.unseen) == (name in REFUSED)


def test_what_cannot_be_seen_into_is_named():
    problem = Held({"parts": [1, (i for i in "ab")]})
    assert content_of(problem).unseen == {
        "problem.content['parts'][1]": "builtins.generator",
    }


def test_a_signature_replaces_what_cannot_be_seen_into():
    class Own(Held):
        def signature(self):
            return {"version": 1}

    content = content_of(Own(iter(open_forever())))
    assert not content.unseen
    assert [*content.seen] == ["problem.signature"]


def open_forever():
    while True:
        yield 1


def test_deep_content_is_refused_at_a_fixed_depth():
    def nested(n):
        value = 1
        for _ in range(n):
            value = [value]
        return content_of(Held({"a": value})).unseen

    # The dictionary is a level, and a list of simple values none.
    assert not nested(MAX_DEPTH)
    assert nested(MAX_DEPTH + 1)


def test_large_graphs_of_objects_take_linear_time():
    class Node:
        def __init__(self):
            self.near = []

    def seconds(n):
        nodes = [Node() for _ in range(n)]
        rng = random.Random(1)
        for i, node in enumerate(nodes):
            node.near = [nodes[(i + k) % n] for k in (1, 7)]
            node.number = rng.random()
        start = time.perf_counter()
        content_of(Held({"a": nodes[:50], "b": nodes[::-1][:50]}))
        return time.perf_counter() - start

    # About 2 ms here; a walk along all paths would not end.
    assert seconds(60) < 5


def test_one_object_twice_is_as_good_as_two_equal_ones():
    def content(make):
        return content_of(Held(make())).seen

    def shared():
        inner = [{"a": 1}]
        return [inner, inner]

    assert content(shared) == content(lambda: [[{"a": 1}], [{"a": 1}]])


def test_caches_of_libraries_are_no_content():
    networkx = pytest.importorskip("networkx")
    graph = networkx.path_graph(4)
    problem = Held(graph)
    before = content_of(problem)
    _ = graph.nodes, graph.adj, graph.edges, graph.degree
    assert not doubts(before.record(), content_of(problem))


def test_cached_properties_are_hidden_content():
    class Table:
        @functools.cached_property
        def total(self):
            return 3

    problem = Held(Table())
    before = content_of(problem)
    _ = problem.content.total
    about = doubts(before.record(), content_of(problem))
    assert about.hidden == ("problem.content.total",)
    assert not about.changed


def test_states_that_a_run_has_gone_through_belong_together():
    def content(calls):
        return Content(hidden={"problem._calls": calls}, seen={"problem.a": "1"})

    first, later, other = (content(n).record() for n in ("0", "60", "9"))
    first["states"] = {"problem._calls": ["60"]}
    assert not doubts(first, content("60"), [first])
    assert not doubts(later, content("0"), [first, later])
    assert doubts(other, content("0"), [first, other]).hidden == ("problem._calls",)


def test_names_of_doubts_are_words():
    problem = Held(1)
    old = content_of(problem).record() | {"unseen": {"problem.pool": "socket.socket"}}
    old["hidden"] = old["hidden"] | {"problem._model": "0"}
    words = doubts(old, content_of(problem)).words()
    assert "problem._model has changed" in words
    assert "problem.pool (socket.socket) cannot be seen into" in words


def test_bytecode_of_another_python_is_not_compared():
    problem = Held(compiled("f = lambda x: x + 1"))
    old = content_of(problem).record()
    assert not doubts(old, content_of(problem))
    assert doubts(old | {"python": "3.9"}, content_of(problem)).bytecode


def test_a_signature_of_old_is_enough_if_it_saw_everything():
    assert not doubts(None, content_of(Held([1, "a", np.arange(40.0)])))
    about = doubts(None, content_of(Held(np.ma.array([1, 2], mask=[0, 1]))))
    assert about.unsigned == ("problem.content",)


def test_arrays_are_digested_once():
    class Large(Problem):
        def __init__(self):
            super().__init__(n_var=1, n_obj=1)
            self.table = np.arange(100.0)

    problem, arrays = Large(), {}
    content_of(problem, arrays)
    ((array, digest),) = arrays.values()
    assert array is problem.table
    assert digest in signature.of_problem(problem, arrays=arrays)["settings"]["table"]
    assert signature.of_problem(problem, arrays=arrays) == signature.of_problem(problem)

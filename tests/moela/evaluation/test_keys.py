"""Keys of designs: exact and unique bytes; signatures."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from moela.evaluation.storage import keys
from moela.evaluation.storage import values as stored_values
from moela.provenance import signature

values = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.none())


@given(hnp.arrays(st.sampled_from([np.float64, np.int64, np.bool_]), st.integers(0, 8)))
def test_arrays_come_back_exactly(x):
    back = keys.decode(keys.encode(x))
    assert back.dtype == x.dtype
    assert back.tobytes() == x.tobytes()


@given(st.dictionaries(st.text(), st.one_of(values, st.lists(values))))
def test_mixed_designs_come_back_exactly(x):
    assert keys.decode(keys.encode(x)) == x


@given(values, values)
def test_different_values_have_different_keys(a, b):
    same = type(a) is type(b) and a == b and repr(a) == repr(b)
    assert (keys.encode({"v": a}) == keys.encode({"v": b})) == same


@given(
    st.dictionaries(
        st.text(),
        hnp.arrays(st.sampled_from([np.float64, np.int8, np.bool_]), hnp.array_shapes(min_side=0)),
    )
)
def test_named_arrays_come_back_exactly(arrays):
    back = stored_values.unpack(stored_values.pack(arrays).data)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


def test_a_signature_is_the_same_in_another_process(script):
    import json

    text = """
        from moela.provenance import signature
        from evaluation_cases import Mixed, One
        from pymoo.algorithms.moo.nsga2 import NSGA2
        problem = One()
        problem.names = {"b", "a", "c"}
        problem.rule = lambda x: x
        print(signature.dump([signature.of_problem(p) for p in (problem, Mixed())]))
        print(signature.dump(signature.of_algorithm(NSGA2(pop_size=8))))
    """
    first, second = (script(text) for _ in range(2))
    assert first == second
    assert "0x" not in first
    assert json.loads(first.split("\n")[0])[1]["n_var"] == 4


def test_a_problem_can_say_itself_what_it_is():
    from evaluation_cases import One

    class Own(One):
        def signature(self):
            return {"traffic": "bfs"}

    problem = Own()
    problem.counter = 1
    before = signature.of_problem(problem)
    problem.counter = 2
    assert signature.of_problem(problem) == before
    assert before["settings"] == {"signature": {"traffic": "bfs"}}

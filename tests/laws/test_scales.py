"""Objectives times powers of two give the same run, to the bit."""

from __future__ import annotations

from math import ldexp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import cases
from tests.laws.cases import examples

powers = st.one_of(st.integers(-40, 40), st.integers(-800, 800))


def check_same_run(name, kind, seed, exponents, n_eval, **settings):
    def scaled(design):
        found = cases.goals(design)
        for objective, e in zip(("small", "near"), exponents, strict=True):
            found[objective] = ldexp(found[objective], e)
        return found

    plain = cases.minimized(cases.goals, kind, name, seed, n_eval, **settings)
    other = cases.minimized(scaled, kind, name, seed, n_eval, **settings)
    assert [row[0] for row in cases.rows(other)] == [row[0] for row in cases.rows(plain)]
    for (_, F, _, _), (_, G, _, _) in zip(cases.rows(plain), cases.rows(other), strict=True):
        assert [ldexp(f, e) for f, e in zip(F, exponents, strict=True)] == G
    assert [f.design for f in other.front] == [f.design for f in plain.front]


@examples(14)
@given(
    st.sampled_from(sorted(cases.OURS)),
    cases.kinds,
    cases.seeds,
    st.tuples(powers, powers),
    st.booleans(),
)
def test_long_runs(name, kind, seed, exponents, is_bounded):
    constraints = cases.LIMIT if is_bounded else None
    check_same_run(name, kind, seed, exponents, 80, constraints=constraints)


@pytest.mark.few_evaluations
@examples(2)
@given(st.sampled_from(["reals", "mixed"]), cases.seeds, st.tuples(powers, powers))
def test_runs_whose_designs_gaussian_processes_choose(kind, seed, exponents):
    check_same_run("MOELA", kind, seed, exponents, 24)

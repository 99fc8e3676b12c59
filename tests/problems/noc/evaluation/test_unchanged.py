"""The default platform gives the same bits as before, on which earlier stores depend."""

import hashlib

import numpy as np
import pytest

from problems.noc import NoC3D

RECORDED = {
    "sampling": "ca1514419b66fb27",
    "crossover": "5cb6c2c5b6314701",
    "mutation": "170922f1597533ee",
    "neighbors": "3db8eee0ed5d1ef8",
    "features": "68aa046545cbae6b",
    "feature names": "6ad6582910b9a3b2",
    "loads": "961058dade6b9f16",
}
OBJECTIVES = {
    "published": (
        "dfdfb9dbdc0a5828",
        [18.819959852430557, 13.300207058316932, 8.8299560546875, 264.92349234023436, 588000.0],
        "noc-1-published-e865ff153787edd1",
    ),
    "released": (
        "acc456b4e1e47bf0",
        [18.819959852430557, 159.60248469980317, 2403.28125, 131.96466210585936, 6820.0],
        "noc-1-released-e865ff153787edd1",
    ),
}


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


@pytest.fixture(scope="module")
def traffic():
    # Exact in binary, so that the result does not depend on rounding.
    i, j = np.indices((64, 64))
    return ((37 * i + 11 * j + i * j) % 97) / 256.0


@pytest.mark.parametrize("model", ["published", "released"])
def test_designs_and_their_values_are_bit_for_bit_those_of_the_first_release(traffic, model):
    problem = NoC3D(traffic, model=model)
    rng = np.random.default_rng(2023)
    operators = problem.operators()
    X = operators["sampling"]._do(problem, 40, random_state=rng)
    children = operators["crossover"]._do(problem, np.stack((X[:20], X[20:])), random_state=rng)
    rows = children.reshape(-1, problem.n_var)
    # These two digests are those of version 0.2, in which moves also swap PEs of one type.
    mutants = operators["mutation"]._do(problem, rows, random_state=rng)
    near = problem.neighbors_many(mutants[:10], 15, rng)
    # Version 0.2 counts traffic over a few links by pairs of types, instead of all over one link.
    first = [not name.startswith("within ") for name in problem.feature_names]
    listed = "|".join(np.array(problem.feature_names)[first])
    names = np.frombuffer(listed.encode(), dtype=np.uint8)
    got = {
        "sampling": digest(X),
        "crossover": digest(children),
        "mutation": digest(mutants),
        "neighbors": digest(near),
        "features": digest(problem.features(rows)[:, first]),
        "feature names": digest(names.astype(np.int64)),
        "loads": digest(problem.link_loads(rows)),
    }
    assert got == RECORDED
    whole, first, version = OBJECTIVES[model]
    F = problem.evaluate(rows)
    assert F[0].tolist() == first
    assert digest(F) == whole
    # It identifies the stores of earlier runs.
    assert problem.version == version

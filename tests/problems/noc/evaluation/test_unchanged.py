"""The default platform gives the same bits as before, on which earlier stores depend."""

import hashlib

import numpy as np
import pytest

from problems.noc import NoC3D

RECORDED = {
    "sampling": "ca1514419b66fb27",
    "crossover": "5cb6c2c5b6314701",
    "mutation": "26311d0961d72d27",
    "neighbors": "6bc491434cfe4fa3",
    "features": "635e763958f9aa4f",
    "feature names": "10ec64b8b85c6385",
    "loads": "54f0c8702c2c776b",
}
OBJECTIVES = {
    "published": (
        "163a59f97f24dc11",
        [18.665690104166668, 13.69048224194315, 8.511199951171875, 265.709510204297, 588000.0],
        "noc-1-published-e865ff153787edd1",
    ),
    "released": (
        "2a0c356e9d9f5038",
        [18.665690104166668, 164.28578690331778, 2355.41015625, 132.52157301679694, 6820.0],
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
    mutants = operators["mutation"]._do(
        problem, children.reshape(-1, problem.n_var), random_state=rng
    )
    near = problem.neighbors_many(mutants[:10], 15, rng)
    # Version 0.2 has added features.
    first = [not name.startswith("within two links ") for name in problem.feature_names]
    listed = "|".join(np.array(problem.feature_names)[first])
    names = np.frombuffer(listed.encode(), dtype=np.uint8)
    got = {
        "sampling": digest(X),
        "crossover": digest(children),
        "mutation": digest(mutants),
        "neighbors": digest(near),
        "features": digest(problem.features(mutants)[:, first]),
        "feature names": digest(names.astype(np.int64)),
        "loads": digest(problem.link_loads(mutants)),
    }
    assert got == RECORDED
    whole, first, version = OBJECTIVES[model]
    F = problem.evaluate(mutants)
    assert F[0].tolist() == first
    assert digest(F) == whole
    # It identifies the stores of earlier runs.
    assert problem.version == version

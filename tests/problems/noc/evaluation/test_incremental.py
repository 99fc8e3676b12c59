"""Incremental routing: rows that share links with the previous row give the same bits."""

import numpy as np
import pytest

from problems.noc import NoC3D, Platform


def test_chains_of_moves_and_repeats_have_the_bits_of_single_rows():
    problem = NoC3D.example("gau", platform=Platform.mesh_8x8())
    rng = np.random.default_rng(9)
    x = problem.mesh_row()
    rows = [x, x]
    for step in range(60):
        x = problem.neighbors(x, 1, rng)[0]
        if step % 7 == 0:
            # More tiles differ than the incremental update handles.
            x = problem.operators()["mutation"]._do(problem, x[None], random_state=rng)[0]
            x[:64] = rng.permutation(x[:64])
        rows.append(x)
    X = np.stack(rows)
    single = np.concatenate([problem.evaluate(x[None]) for x in X])
    np.testing.assert_array_equal(problem.evaluate(X), single)


def test_an_unconnected_row_between_is_named():
    problem = NoC3D.example("bfs")
    X = np.tile(problem.mesh_row(), (3, 1))
    # The corner stack loses its planar links; others between its neighbors take their place.
    stack, candidates = {0, 16, 32, 48}, problem.platform.candidates.tolist()
    apart = [c for c, pair in enumerate(candidates) if not stack & set(pair)]
    kept = [c for c in X[1, 64:].tolist() if c in apart]
    spare = [c for c in apart if c not in kept and c % 11 == 0]
    X[1, 64:] = sorted((kept + spare)[:96])
    with pytest.raises(ValueError, match=r"Row 1 of X .* Got 2 unconnected parts"):
        problem.evaluate(X)
    np.testing.assert_array_equal(problem.evaluate(X[::2])[1], problem.ref_point)

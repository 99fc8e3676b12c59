"""Designs for several applications, and a held-out application."""

import numpy as np
import pytest

from problems.noc import NoC3D, Platform, synthetic_traffic


@pytest.fixture(scope="module")
def matrices():
    chip = Platform.paper_4x4x4()
    return [
        synthetic_traffic(name, chip, np.random.default_rng(i))
        for i, name in enumerate(("bfs", "gau", "kmeans"))
    ]


NAMES = ("mean", "latency", "temperature", "edp")


@pytest.fixture(scope="module")
def rows(matrices):
    problem = NoC3D(matrices[0])
    return problem.operators()["sampling"]._do(problem, 10, random_state=np.random.default_rng(2))


@pytest.mark.parametrize("aggregate", ["mean", "worst"])
def test_objectives_are_aggregated_relative_to_the_mesh(matrices, rows, aggregate):
    together = NoC3D(matrices, objectives=NAMES, aggregate=aggregate)
    alone = [NoC3D(t, objectives=NAMES) for t in matrices]
    ratio = np.stack([p.evaluate(rows) / p.ref_point for p in alone])
    expected = ratio.mean(axis=0) if aggregate == "mean" else ratio.max(axis=0)
    # The application does not change the temperature, which therefore keeps its unit.
    expected[:, 2] = alone[0].evaluate(rows)[:, 2]
    np.testing.assert_allclose(together.evaluate(rows), expected, rtol=1e-12)
    np.testing.assert_array_equal(together.ref_point[[0, 1, 3]], 1.0)
    assert together.traffic.shape == (3, 64, 64)
    assert together.link_loads(rows).shape == (10, 3, 144)
    np.testing.assert_array_equal(together.link_loads(rows[4])[1], alone[1].link_loads(rows[4]))


def test_constraints_hold_in_the_worst_application(matrices, rows):
    problem = NoC3D(matrices, objectives=("energy",), constraints={"peak_load": 2.0})
    peaks = [NoC3D(t, objectives=("mean",)).measure(rows)["peak_load"] for t in matrices]
    G = problem.evaluate(rows, return_values_of=["G"])
    np.testing.assert_allclose(G[:, 0], np.max(peaks, axis=0) / 2 - 1, rtol=1e-12)


def test_a_held_out_application_is_evaluated_but_never_seen(matrices, rows):
    problem = NoC3D(matrices[:2], objectives=NAMES, held_out=matrices[2])
    unseen = NoC3D(matrices[2], objectives=NAMES)
    np.testing.assert_array_equal(problem.held_out.evaluate(rows), unseen.evaluate(rows))
    without = NoC3D(matrices[:2], objectives=NAMES)
    np.testing.assert_array_equal(problem.evaluate(rows), without.evaluate(rows))
    np.testing.assert_array_equal(problem.features(rows), without.features(rows))
    assert without.held_out is None


def test_traffic_files_become_applications(tmp_path, matrices):
    paths = []
    for k, matrix in enumerate(matrices):
        paths.append(tmp_path / f"{k}.csv")
        np.savetxt(paths[-1], matrix * 2e8)
    problem = NoC3D.from_traffic(paths[:2], held_out=paths[2], objectives=NAMES)
    np.testing.assert_allclose(problem.traffic, np.stack(matrices[:2]), rtol=1e-12)
    np.testing.assert_allclose(problem.held_out.traffic, matrices[2], rtol=1e-12)
    with pytest.raises(ValueError, match="one traffic file or more"):
        NoC3D.from_traffic([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: [t[0], t[1] * 0], r"traffic\[1\]: must hold some traffic between two PEs"),
        (lambda t: [t[0], t[1][:60, :60]], r"traffic\[1\]: must have 64 rows .* \(60, 60\)"),
        (lambda t: [t[0], np.where(t[1] > 0, -1.0, 0.0)], r"traffic\[1\], row 1, column"),
        (lambda t: np.empty((0, 64, 64)), "one application or more. Got none"),
    ],
)
def test_a_wrong_application_is_named(matrices, change, message):
    with pytest.raises(ValueError, match=message):
        NoC3D(change(matrices))


def test_a_design_is_compared_with_the_mesh(matrices, rows):
    problem = NoC3D(matrices[0], objectives=NAMES, constraints={"wire_length": 200})
    beside = problem.beside_mesh(problem.decode(rows[5]))
    assert list(beside) == [*NAMES, "wire_length"]
    F = problem.evaluate(rows[5], return_values_of=["F"])
    for value, reference, (ours, mesh, change) in zip(
        F, problem.ref_point, beside.values(), strict=False
    ):
        assert (ours, mesh) == (value, reference)
        assert change == pytest.approx(100 * (value / reference - 1))
    assert all(change == 0 for _, _, change in problem.beside_mesh(problem.mesh_row()).values())

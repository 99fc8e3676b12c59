import numpy as np
import pytest

from problems.noc import NoC3D, PEType, Platform

APPS = ("bfs", "bp", "gau", "hotspot", "pf")


def stored_rows(problem, data):
    """Return the stored designs as rows of X."""
    index = {tuple(pair): i for i, pair in enumerate(problem.platform.candidates.tolist())}
    rows = []
    for placement, links in zip(data["placement"], data["links"], strict=True):
        planar = [index[a, b] for a, b in np.sort(links, axis=1).tolist() if a // 16 == b // 16]
        rows.append([*placement, *planar])
    return np.array(rows)


@pytest.fixture(scope="module")
def stored(noc_data):
    return dict(np.load(noc_data / "released_evaluator_designs.npz", allow_pickle=False))


@pytest.mark.parametrize("app", APPS)
def test_released_model_reproduces_the_released_evaluator(noc_data, stored, app):
    problem = NoC3D.from_traffic(noc_data / f"{app}_traffic.csv", model="released")
    mine = stored["app"] == app
    assert mine.sum() == 10
    X = stored_rows(problem, stored)[mine]
    # Measured: 4e-15, because sums have another order.
    np.testing.assert_allclose(problem.evaluate(X), stored["objectives"][mine], rtol=1e-13)


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("bfs", (0.0329109, 0.412508, 10.1226, 0.204435)),
        ("bp", (0.00209435, 0.0395826, 1.72508, 0.0127741)),
        ("gau", (0.0018346, 0.0234894, 0.411375, 0.0116893)),
        ("hotspot", (0.00297028, 0.119302, 2.56598, 0.0184336)),
        ("pf", (0.029048, 0.678785, 25.0387, 0.18577)),
    ],
)
def test_reference_point_is_the_mesh_vector_of_the_released_code(noc_data, app, expected):
    problem = NoC3D.from_traffic(noc_data / f"{app}_traffic.csv", model="released")
    # The known values are rounded to six digits.
    np.testing.assert_allclose(problem.ref_point, [*expected, 6820], rtol=6e-6)


@pytest.mark.parametrize("model", ["published", "released"])
@pytest.mark.parametrize("app", ["bfs", "gau"])
def test_both_models_agree_with_the_slow_check(slow, model, app):
    problem = NoC3D.example(app, model=model, seed=3)
    rng = np.random.default_rng(5)
    X = problem.operators()["sampling"].do(problem, 6, random_state=rng).get("X")[1:]
    X = problem.operators()["mutation"]._do(problem, X, random_state=rng)
    for x, f in zip(X, problem.evaluate(X), strict=True):
        expected = slow(problem.decode(x), problem.traffic, model)
        np.testing.assert_allclose(f, expected, rtol=1e-11)


@pytest.mark.parametrize("model", ["published", "released"])
def test_other_platforms_agree_with_the_slow_check(slow, model):
    platform = Platform(
        grid=(3, 2, 3),
        pe_types=(
            PEType(name="CPU", count=3, power=(2.5, 0.75, 0.35)),
            PEType(name="DSP", count=10, power=1.25),
            PEType(name="LLC", count=5, power=0.4, allowed_tiles=range(2, 18)),
        ),
        n_planar_links=16,
        vertical_links=[(0, 6), (3, 9), (6, 12), (10, 16)],
        max_degree=5,
        max_length=2.3,
        router_stages=2,
        planar_delay=1.5,
        vertical_delay=0.5,
        sink="bottom",
        layer_resistance=3.0,
        base_resistance=0.7,
    )
    rng = np.random.default_rng(0)
    traffic = rng.random((18, 18)) * (rng.random((18, 18)) < 0.5)
    problem = NoC3D(traffic, platform=platform, model=model)
    X = problem.operators()["sampling"].do(problem, 12, random_state=rng).get("X")
    for x, f in zip(X, problem.evaluate(X), strict=True):
        np.testing.assert_allclose(f, slow(problem.decode(x), traffic, model), rtol=1e-11)


def chain(model="published", **traffic):
    """Return a 3 x 1 x 1 chip CPU - GPU - LLC, whose values can be computed by hand."""
    platform = Platform(
        grid=(3, 1, 1),
        pe_types=(
            PEType(name="CPU", count=1, power=1.0),
            PEType(name="GPU", count=1, power=3.0),
            PEType(name="LLC", count=1, power=2.0),
        ),
        n_planar_links=2,
        router_energy=10.0,
        planar_energy=1.0,
    )
    flows = np.zeros((3, 3))
    for pair, flow in traffic.items():
        flows[int(pair[1]), int(pair[2])] = flow
    return NoC3D(flows, platform=platform, model=model)


def test_published_objectives_of_a_chain_by_hand():
    problem = chain(f02=4.0, f20=1.0, f12=2.0)
    f = problem.evaluate(problem.mesh_row())
    # Loads: link 0-1 carries 4 + 1, link 1-2 carries 4 + 1 + 2.
    mean, deviation = 6.0, 1.0
    # One pair, two hops of 5 + 1 cycles, requests and replies.
    latency = 12 * (4 + 1)
    # End routers have 1 port, the middle one 2: 4 ports on the whole way, 3 from the middle.
    energy = (4 + 1) * (2 + 10 * 4) + 2 * (1 + 10 * 3)
    # One layer: rises of 20, 60 and 40 K.
    thermal = 60 * (60 - 20)
    np.testing.assert_allclose(f, [mean, deviation, latency, energy, thermal], rtol=1e-14)


def test_released_objectives_of_a_chain_by_hand():
    problem = chain("released", f02=4.0, f20=1.0, f12=2.0)
    f = problem.evaluate(problem.mesh_row())
    energy = (4 + 1) * (2 + 10 * 2) + 2 * (1 + 10 * 1)
    np.testing.assert_allclose(f, [6.0, np.sqrt(2), 60, energy, 60], rtol=1e-14)


def test_traffic_of_a_pe_to_itself_never_enters_the_network():
    without = chain(f02=4.0)
    with_own = chain(f02=4.0, f00=100.0, f22=7.0)
    x = without.mesh_row()
    np.testing.assert_array_equal(without.evaluate(x), with_own.evaluate(x))


@pytest.mark.parametrize(("low", "high"), [(1, 3), (3, 1)])
def test_ties_go_to_the_predecessor_with_the_smallest_pe_id(low, high):
    # A square 0-1-3-2-0: from tile 0 to tile 3 over tile 1 or tile 2, both two hops.
    platform = Platform(
        grid=(2, 2, 1),
        pe_types=(PEType(name="CPU", count=2, power=1), PEType(name="LLC", count=2, power=1)),
        n_planar_links=4,
        router_energy=0.0,
    )
    traffic = np.zeros((4, 4))
    traffic[0, 2] = 1.0
    problem = NoC3D(traffic, platform=platform, objectives=("mean", "deviation"))
    index = {tuple(p): i for i, p in enumerate(platform.candidates.tolist())}
    square = [index[0, 1], index[0, 2], index[1, 3], index[2, 3]]
    x = np.array([0, low, high, 2, *square])
    over_tile_1 = [1.0, 0.0, 1.0, 0.0]
    over_tile_2 = [0.0, 1.0, 0.0, 1.0]
    assert problem.link_loads(x).tolist() == (over_tile_1 if low == 1 else over_tile_2)

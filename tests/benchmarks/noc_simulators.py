"""The model of packet latency of NoC3D against the flit-level simulation.

    python -m tests.benchmarks.noc_simulators [--quick] [--out docs/benchmarks/noc_simulators.md]

For packets that fit into a virtual channel, for longer ones, and for packages of 16 routers with
narrow links between dies. ``tests.benchmarks.noc_simulator`` states how far the simulation is from
BookSim, and ``tests.benchmarks.noc_heat`` compares temperatures with HotSpot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

from problems.noc import DieLink, NoC3D, Platform, chiplet_package
from tests.benchmarks import harness

LOADS = (0.05, 0.2, 0.4, 0.6, 0.8)
SHORT = ((5, 4, 4, 3), (9, 4, 4, 3), (8, 2, 4, 3), (5, 4, 2, 1), (16, 8, 8, 3), (5, 4, 1, 3))
SHORT_LOADS = (0.05, 0.2, 0.4)
"""Flits of packets and of virtual channels, virtual channels, and stages of routers; loads."""

DIE_LOADS = {0.02: 3, 0.4: 3, 0.7: 5}
"""Load of a package -> limit of the mean error in percent; that of the worst is twice as high."""


def sampled(problem: NoC3D, n: int, seed: int) -> np.ndarray:
    """Return rows of the problem's sampling."""
    rng = np.random.default_rng(seed)
    return problem.operators()["sampling"]._do(problem, n, random_state=rng)


def busiest(problem: NoC3D, x: np.ndarray) -> float:
    """Return the utilization of the busiest channel or port of a design."""
    return max(float(v[0]) for v in problem.measure(x, ["peak_load", "port_load"]).values())


def both(problem: NoC3D, X: np.ndarray, factors: Sequence[float], **settings: object) -> np.ndarray:
    """Return latency by the model, simulated, and without waiting, under scaled traffic, [3, n]."""
    found = []
    for x, factor in zip(X, factors, strict=True):
        scaled = problem.under(problem.traffic * factor)
        run = scaled.decode(x).simulate(scaled.traffic, **settings)
        found.append((scaled.evaluate(x)[0], run.packet_latency, run.zero_load))
    return np.array(found).T


def report_queues(designs: int, error: float) -> Iterator[list[str]]:
    """Yield mean packet latency of the model and of the simulation at several loads."""
    yield ["busiest channel or port", "model, cycles", "simulated", "without waiting", "error"]
    problem, rng = NoC3D.example("bfs", objectives=("packet_latency",)), np.random.default_rng(0)
    X = problem.operators()["sampling"]._do(problem, designs, random_state=rng)
    for load in LOADS:
        factors = [load / busiest(problem, x) for x in X]
        means = both(problem, X, factors, random_state=rng, standard_error=error).mean(axis=1)
        change = 100 * (means[0] / means[1] - 1)
        yield [str(load), *(f"{mean:.2f}" for mean in means), f"{change:+.1f} %"]


def report_short_channels(designs: int, error: float) -> Iterator[list[str]]:
    """Yield the same where packets are longer than a virtual channel."""
    yield ["flits of packets", "of channels", "channels", "router stages",
           "mesh's busiest channel or port", "model, cycles", "simulated", "mean error", "worst",
           "rank correlation"]  # fmt: skip
    names = ("packet_flits", "channel_flits", "virtual_channels", "router_stages")
    for sizes in SHORT:
        platform = replace(Platform.preset("4x4x4"), **dict(zip(names, sizes, strict=True)))
        problem = NoC3D.example("bfs", platform=platform, objectives=("packet_latency",))
        rng = np.random.default_rng(3)
        X = problem.operators()["sampling"]._do(problem, designs, random_state=rng)
        for load in SHORT_LOADS:
            factors = [load / busiest(problem, problem.mesh_row())] * designs
            settings = {"random_state": rng, "standard_error": error, "max_cycles": 40_000}
            model, simulated, _ = both(problem, X, factors, **settings)
            cells = [*map(str, sizes), str(load), f"{model.mean():.1f}"]
            if np.isfinite(simulated).all():
                errors = 100 * np.abs(model / simulated - 1)
                cells += [f"{simulated.mean():.1f}", f"{errors.mean():.1f} %"]
                cells += [f"{errors.max():.1f} %", f"{spearmanr(model, simulated).statistic:.2f}"]
            else:
                saturated = (~np.isfinite(simulated)).sum()
                cells += [f"{saturated} of {designs} saturated", "", "", ""]
            yield cells


def report_dies(error: float) -> Iterator[list[str]]:
    """Yield the same for packages whose links between dies are narrow; print the bars."""
    yield ["package", "traffic", "busiest channel or port", "model, cycles", "simulated", "error"]
    uniform = np.random.default_rng(0).random((16, 16)) * 0.001
    near = uniform * (0.1 + 0.9 * (np.arange(16)[:, None] // 4 == np.arange(16) // 4))
    errors: dict[float, list[float]] = {load: [] for load in DIE_LOADS}
    for rate in (0.5, 0.25):
        link = DieLink(latency=2.0, energy=0.6, bandwidth=16.0 * rate)
        for name, grid, routers in (("16 dies", (4, 4), (1, 1)), ("4 dies", (2, 2), (2, 2))):
            chip = chiplet_package(grid, routers=routers, link=link, max_length=2.0)
            for kind, traffic in (("uniform", uniform), ("local", near)):
                problem = NoC3D(traffic, platform=chip, objectives=("packet_latency",))
                X = sampled(problem, 3, 1)[-1:]
                for load in DIE_LOADS:
                    rng = np.random.default_rng(2)
                    factors = [load / busiest(problem, X[0])]
                    found = both(problem, X, factors, random_state=rng, standard_error=error)
                    (model, simulated) = found[:2, 0]
                    errors[load].append(100 * (model / simulated - 1))
                    yield [f"{name}, {rate:g} flits/cycle", kind, str(load), f"{model:.2f}",
                           f"{simulated:.2f}", f"{errors[load][-1]:+.1f} %"]  # fmt: skip
    for load, limit in DIE_LOADS.items():
        mean, worst = np.abs(errors[load]).mean(), np.abs(errors[load]).max()
        what = f"error of packet_latency at {load:g}, links between dies"
        harness.bar(f"mean {what}, %", f"{mean:.1f}", f"under {limit}")
        harness.bar(f"worst {what}, %", f"{worst:.1f}", f"under {2 * limit}")


def main() -> None:
    """Make the report."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--designs", type=int, default=4, help="designs for the queues")
    parser.add_argument("--error", type=float, default=0.05, help="standard error in cycles")
    parser.add_argument("--quick", action="store_true", help="fewer designs")
    parser.add_argument("--out", help="Markdown file to write")
    arguments = parser.parse_args()
    quick, error = arguments.quick, arguments.error
    head = harness.header(
        "Packet latency of networks-on-chip, by the model and simulated",
        "tests.benchmarks.noc_simulators",
        "Packet latency is the mean over designs under synthetic bfs traffic, except for packages. "
        "The traffic is scaled so that the busiest channel or port has the utilization that a "
        "column states. The simulation is `Design.simulate`, flit by flit, with buffers that cover "
        "the credit loop except in the second table. "
        "[Networks-on-chip](../noc.md#simulation) states how far it and the model are from "
        "BookSim on other designs.",
    )
    sections = {
        "Waiting in queues": report_queues(1 if quick else arguments.designs, error),
        "Packets longer than a virtual channel": report_short_channels(
            3 if quick else 8, 3 * error
        ),
        "Links between dies": report_dies(6 * error if quick else 2 * error),
    }
    tables = (f"## {title}\n\n{harness.markdown(list(rows))}" for title, rows in sections.items())
    harness.finish([head, *tables], arguments.out)


if __name__ == "__main__":
    main()

"""Fast models of NoC3D against slower ones: queues, temperature, and simulators.

    python -m tests.benchmarks.noc_simulators --out docs/benchmarks/noc_simulators.md

* packet latency against the flit-level simulation of the library, whose own errors against BookSim
  ``tests.benchmarks.noc_simulator`` states;
* the same for packets that are longer than a virtual channel;
* the stack model of temperature against finite volumes of chip and package, and its calibration;
* BookSim and HotSpot, if they are on the PATH;
* finite volumes against the steady temperatures in HotSpot's distribution for its ev6 example:
  ``--hotspot-example DIR``, a folder with ev6.flp, gcc.ptrace and gcc.steady.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from problems.noc import Design, NoC3D, Platform, ThermalStack
from problems.noc.chip.traffic import sent_and_received
from problems.noc.design.calibration import calibrate
from problems.noc.design.heat import steady_rises, steady_temperatures
from tests.benchmarks import harness

LOADS = (0.05, 0.2, 0.4, 0.6, 0.8)
SHORT = ((5, 4, 4, 3), (9, 4, 4, 3), (8, 2, 4, 3), (5, 4, 2, 1), (16, 8, 8, 3), (5, 4, 1, 3))
SHORT_LOADS = (0.05, 0.2, 0.4)
"""Flits of packets and of virtual channels, virtual channels, and stages of routers; loads."""

CHIPS = ("4x4x4", "8x8", "8x8x4")


def varied_designs(platform: Platform, seed: int, n_sampled: int = 12) -> list[Design]:
    """Return sampled designs and increasingly cool ones, so that hot and cool stacks occur."""
    problem = NoC3D.example("bfs", platform=platform, objectives=("temperature",))
    rng = np.random.default_rng(seed)
    X = problem.operators()["sampling"]._do(problem, n_sampled, random_state=rng)
    designs = [problem.decode(x) for x in X]
    x = X[1]
    best = problem.evaluate(x[None])[0, 0]
    for step in range(240):
        neighbors = problem.neighbors(x, 20, rng)
        F = problem.evaluate(neighbors)[:, 0]
        if F.min() <= best:
            x, best = neighbors[F.argmin()], F.min()
        if step % 20 == 19:
            designs.append(problem.decode(x))
    return designs


def report_queues(designs: int, standard_error: float) -> None:
    """Print mean packet latency of the model and of the simulation at several loads."""
    problem = NoC3D.example("bfs", objectives=("packet_latency",))
    rng = np.random.default_rng(0)
    X = problem.operators()["sampling"]._do(problem, designs, random_state=rng)
    print("\n## Waiting in queues\n")
    print("| busiest channel or port | model, cycles | simulated | without waiting | error |")
    print("|---|---|---|---|---|")
    for load in LOADS:
        modeled, simulated, idle = [], [], []
        for x in X:
            sent, received = sent_and_received(problem.traffic)
            peak = problem.measure(x, ["peak_load"])["peak_load"][0]
            peak = max(peak, sent.max(), received.max())
            scaled = problem.under(problem.traffic * (load / peak))
            modeled.append(scaled.measure(x, ["packet_latency"])["packet_latency"][0])
            run = scaled.decode(x).simulate(
                scaled.traffic, random_state=rng, standard_error=standard_error
            )
            simulated.append(run.packet_latency)
            idle.append(run.zero_load)
        model, packet, free = np.mean(modeled), np.mean(simulated), np.mean(idle)
        error = 100 * (model / packet - 1)
        print(f"| {load} | {model:.2f} | {packet:.2f} | {free:.2f} | {error:+.1f} % |")


def report_short_channels(designs: int, standard_error: float) -> None:
    """Print the same where packets are longer than a virtual channel."""
    print("\n## Packets longer than a virtual channel\n")
    print(
        "| flits of packets | of channels | channels | router stages | mesh's busiest channel or "
        "port | model, cycles | simulated | mean error | worst | rank correlation |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for flits, depth, channels, stages in SHORT:
        platform = replace(
            Platform.preset("4x4x4"), packet_flits=flits, channel_flits=depth,
            virtual_channels=channels, router_stages=stages,
        )  # fmt: skip
        problem = NoC3D.example("bfs", platform=platform, objectives=("packet_latency",))
        rng = np.random.default_rng(3)
        X = problem.operators()["sampling"]._do(problem, designs, random_state=rng)
        sent, received = sent_and_received(problem.traffic)
        peak = problem.measure(problem.mesh_row(), ["peak_load"])["peak_load"].item()
        peak = max(peak, sent.max(), received.max())
        for load in SHORT_LOADS:
            scaled = problem.under(problem.traffic * (load / peak))
            runs = [
                scaled.decode(x).simulate(
                    scaled.traffic, random_state=rng, standard_error=standard_error,
                    max_cycles=40_000,
                )
                for x in X
            ]  # fmt: skip
            simulated = np.array([run.packet_latency for run in runs])
            modeled = scaled.evaluate(X)[:, 0]
            cells = (
                f"| {flits} | {depth} | {channels} | {stages} | {load} | {modeled.mean():.1f} | "
            )
            if np.isfinite(simulated).all():
                error = 100 * np.abs(modeled / simulated - 1)
                rank = spearmanr(modeled, simulated).statistic
                cells += f"{simulated.mean():.1f} | {error.mean():.1f} % | {error.max():.1f} % | "
                print(cells + f"{rank:.2f} |")
            else:
                print(f"{cells}{(~np.isfinite(simulated)).sum()} of {designs} saturated | | | |")


def report_temperature(names: Sequence[str]) -> None:
    """Print the error of the shipped factors, and the result of a new calibration."""
    print("\n## Peak temperature: stack model against finite volumes\n")
    print("| chip | layer_factor | spreading_factor | fitted again | peaks, finite "
          "volumes | peaks, stack model | mean error of rise | rank correlation |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        platform = Platform.preset(name)
        designs = varied_designs(platform, seed=1)
        temperatures = [steady_temperatures(design) for design in designs]
        slow = np.array([t.max() for t in temperatures])
        fast = np.array([d.temperatures().max() for d in designs])
        ambient = platform.stack.ambient
        errors = np.abs((fast - ambient) / (slow - ambient) - 1)
        same = np.ptp(fast) == 0
        rank = "all equal" if same else f"{spearmanr(fast, slow).statistic:.2f}"
        others = varied_designs(platform, seed=0)
        again, _ = calibrate(others, [steady_temperatures(d) for d in others], layer_factor=1.0)
        print(
            f"| {name} | {platform.stack.layer_factor} | {platform.stack.spreading_factor} | "
            f"{again.spreading_factor:.2f} | "
            f"{slow.min():.1f} to {slow.max():.1f} C | {fast.min():.1f} to {fast.max():.1f} C | "
            f"{100 * errors.mean():.1f} % | {rank} |"
        )
        if name == "4x4x4":
            stack, error = calibrate(designs, temperatures)
    print(
        f"\n`calibrate` with both factors free, on these designs of 4x4x4: "
        f"layer_factor {stack.layer_factor:.2f}, spreading_factor {stack.spreading_factor:.2f}, "
        f"mean error {100 * error:.1f} %."
    )


def report_example(folder: Path, cells: int = 80) -> None:
    """Print finite volumes beside the published HotSpot results of its ev6 example."""
    lines = [line.split() for line in (folder / "ev6.flp").read_text().splitlines()]
    units = {w[0]: [float(v) for v in w[1:5]] for w in lines if w and not w[0].startswith("#")}
    header, *watts = [line.split() for line in (folder / "gcc.ptrace").read_text().splitlines()]
    power = dict(zip(header, np.array(watts, dtype=float).mean(axis=0), strict=True))
    steady = [line.split() for line in (folder / "gcc.steady").read_text().splitlines()]
    kelvin = {name: float(value) for name, value in steady if name in units}
    side = max(left + width for width, _, left, _ in units.values())
    middle = (np.arange(8 * cells) + 0.5) * side / (8 * cells)
    cover = {}
    heat = np.zeros((cells, cells))
    for name, (width, height, left, bottom) in units.items():
        parts = [(middle >= a) & (middle < a + b) for a, b in ((bottom, height), (left, width))]
        y, x = (part.reshape(cells, 8).mean(axis=1) for part in parts)
        cover[name] = np.outer(y, x) / np.outer(y, x).sum()
        heat += power[name] * cover[name]
    # The package of the example is cooled by air instead of liquid.
    stack = ThermalStack(convection_resistance=0.1)
    rises = steady_rises(heat[None], side / cells, stack)[0]
    volumes = np.array([318.15 + (rises * cover[name]).sum() for name in units])
    hotspot = np.array([kelvin[name] for name in units])
    peak = (volumes.max() - 318.15) / (hotspot.max() - 318.15) - 1
    print("\n## Finite volumes against HotSpot's ev6 example\n")
    differences = np.abs(volumes - hotspot)
    print(
        f"{heat.sum():.1f} W in {len(units)} units, power averaged over the rows of the trace "
        f"({len(watts)}). Hottest unit {volumes.max():.1f} K, HotSpot {hotspot.max():.1f} K "
        f"({100 * peak:+.1f} % of the rise); difference over the units {differences.mean():.2f} K "
        f"on average, at most {differences.max():.2f} K; correlation "
        f"{np.corrcoef(volumes, hotspot)[0, 1]:.3f}."
    )


def report_simulators() -> None:
    """Run BookSim and HotSpot on three designs, if they are on the PATH."""
    print("\n## BookSim and HotSpot\n")
    problem = NoC3D.example("bfs", objectives=("packet_latency",))
    rng = np.random.default_rng(3)
    X = problem.operators()["sampling"]._do(problem, 3, random_state=rng)
    with tempfile.TemporaryDirectory() as folder:
        if shutil.which("booksim") or shutil.which("booksim2"):
            for x in X:
                result = problem.decode(x).simulate_booksim(folder, traffic=problem.traffic)
                model = problem.measure(x, ["packet_latency"])["packet_latency"][0]
                print(f"BookSim {result.matched_latency:.2f}, model {model:.2f} cycles")
        else:
            print("booksim is not on the PATH and was not run.")
        if shutil.which("hotspot"):
            for x in X:
                design = problem.decode(x)
                peak = design.simulate_hotspot(folder).max()
                print(f"HotSpot {peak:.1f}, model {design.temperatures().max():.1f} C")
        else:
            print("hotspot is not on the PATH and was not run.")


def main() -> None:
    """Make the report."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--designs", type=int, default=4, help="designs for the queues")
    parser.add_argument("--error", type=float, default=0.05, help="standard error in cycles")
    parser.add_argument("--quick", action="store_true", help="one design and one chip")
    parser.add_argument("--hotspot-example", type=Path, metavar="DIR")
    parser.add_argument("--out", help="Markdown file to write")
    arguments = parser.parse_args()
    head = harness.header(
        "Fast models of the network-on-chip against slower ones",
        "tests.benchmarks.noc_simulators",
        "Packet latency is the mean over designs under synthetic bfs traffic. The traffic is "
        "scaled so that the busiest channel or port has the utilization in the first column. The "
        "simulation is `Design.simulate`, flit by flit, with buffers that cover the credit loop. "
        "[Networks-on-chip](../noc.md#simulation) states how far it and the model are from "
        "BookSim on other designs. Temperatures are those of sampled designs and of increasingly "
        "cool ones. The finite volumes are those of `problems.noc.design.heat`. The spreading "
        "factors were fitted to finite volumes on other designs, not to HotSpot. The fourth "
        "column repeats the fit with `calibrate(..., layer_factor=1)` on designs of another seed.",
    )
    with contextlib.redirect_stdout(io.StringIO()) as text:
        report_queues(1 if arguments.quick else arguments.designs, arguments.error)
        report_short_channels(3 if arguments.quick else 8, 3 * arguments.error)
        report_temperature(CHIPS[: 1 if arguments.quick else None])
        if arguments.hotspot_example:
            report_example(arguments.hotspot_example)
        report_simulators()
    harness.finish([head, text.getvalue().strip()], arguments.out)


if __name__ == "__main__":
    main()

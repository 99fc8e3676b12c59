"""The loaders of `moela` and `problems`, each with a good file for it; see `loader.Loader`."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.problem import Problem

from moela.commands.traffic import with_technology
from moela.comparison.comparing import compare
from moela.comparison.read.dispatch import read
from moela.experiments.files import Run
from moela.experiments.run import External, run_experiment
from moela.files.guard import read_bytes
from problems.classic import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from problems.classic.base import ClassicProblem
from problems.classic.designs import Assignment, BitString, Packing
from problems.noc import BaselineComparison, Design, NoC3D, Platform, load_traffic
from problems.noc.chip.technology import TECHNOLOGIES
from problems.noc.design.booksim import read_output
from problems.noc.design.hotspot import read_steady, unit_names
from problems.noc.evaluation.volumes import layers_from_afar
from tests.benchmarks.survival.loader import Loader

__all__ = ["LOADERS"]


@cache
def chip() -> Platform:
    """Return a small platform with every kind of setting."""
    return Platform(
        grid=(3, 2, 2),
        pe_types={
            "CPU": {"count": 2, "power": [2.0, 3.5]},
            "LLC": {"count": 4, "power": 1.0, "allowed_tiles": [0, 1, 2, 3, 4, 5, 6, 7]},
            "GPU": {"count": 6, "power": 1.5},
        },
        n_planar_links=14,
        n_vertical_links=4,
        max_length=2.0,
        frequency=2e9,
        stack={"tile_pitch": 2e-3},
    )


def traffic(n: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, n)).round(3)


# -------------------------------------------------------------------------------- networks on chip


def write_design(folder: Path) -> Path:
    Design.mesh(chip()).save(path := folder / "design.json")
    return path


def use_design(design: Design) -> None:
    n = design.platform.n_tiles
    assert str(design)
    assert Design.from_dict(json.loads(json.dumps(design.to_dict()))) == design
    assert np.isfinite(design.temperatures()).all()
    assert np.isfinite(design.link_loads(np.ones((n, n)))).all()
    assert hash(design) == hash(design)


def write_baselines(folder: Path) -> Path:
    problem = NoC3D(traffic(12) / 50, platform=chip(), objectives=("energy", "packet_latency"))
    rng = np.random.default_rng(1)
    found = problem.beside_baselines(problem.mesh_row(), random_state=rng, n_eval=3)
    found.save(path := folder / "baselines.json")
    return path


def load_baselines(path: Path) -> None:
    found = BaselineComparison.load(path)
    assert str(found)
    assert BaselineComparison.from_dict(json.loads(json.dumps(found.to_dict())))
    for network in found.networks.values():
        use_design(network)
    problem = NoC3D(traffic(12) / 50, platform=found.design.platform, objectives=("energy",))
    again = problem.beside_baselines(found.design, reuse=found)
    assert np.isfinite(list(again.values["energy"].values())).all()


def write_platform(folder: Path) -> Path:
    chip().save(path := folder / "platform.json")
    return path


def use_platform(platform: Platform) -> None:
    use_design(Design.mesh(platform))
    n, names = platform.n_tiles, ("mean", "deviation", "energy", "thermal", "temperature")
    problem = NoC3D(np.ones((n, n)), platform=platform, objectives=names)
    assert np.isfinite(problem.evaluate(problem.mesh_row()[None])).all()
    assert np.isfinite(list(problem.measure(problem.mesh_row()[None]).values())).all()


@cache
def package() -> Platform:
    """Return a stack of dies side by side, with a technology."""
    return Platform(
        grid=(4, 2, 2),
        pe_types={"PE": {"count": 16, "power": 1.0}},
        n_planar_links=24,
        technology={**TECHNOLOGIES["32nm"], "repeater_delay": 0.01},
        die_size=(2, 2),
        die_link="ucie-standard",
        flit_width=1024,
    )


def write_package(folder: Path) -> Path:
    package().save(path := folder / "package.json")
    return path


def use_package(platform: Platform) -> None:
    n, names = platform.n_tiles, ("mean", "energy", "packet_latency", "peak_load")
    problem = NoC3D(np.ones((n, n)) * 0.001, platform=platform, objectives=names)
    row = problem.mesh_row()[None]
    assert np.isfinite(problem.evaluate(row, return_values_of=["F"])).all()
    assert np.isfinite(list(problem.measure(row).values())).all()
    assert str(Design.mesh(platform))


def write_technology(folder: Path) -> Path:
    path = folder / "technology.json"
    path.write_text(json.dumps(TECHNOLOGIES["32nm"]))
    return path


def use_technology(path: Path) -> None:
    platform = with_technology(package(), str(path))
    assert np.isfinite([*platform.physical.link_energy, *platform.physical.repeaters]).all()
    assert str(Design.mesh(platform))


def write_traffic(folder: Path) -> Path:
    np.savetxt(path := folder / "traffic.csv", traffic(12), delimiter=",", fmt="%g")
    return path


def load_the_traffic(path: Path) -> None:
    problem = NoC3D(load_traffic(path, n=12, scale=1.0), platform=chip(), objectives=3)
    assert np.isfinite(problem.evaluate(problem.mesh_row()[None])).all()


def write_csv(folder: Path) -> None:
    Design.mesh(chip()).to_csv(folder / "placement.csv", folder / "links.csv")


def write_placement(folder: Path) -> Path:
    write_csv(folder)
    return folder / "placement.csv"


def write_links(folder: Path) -> Path:
    write_csv(folder)
    return folder / "links.csv"


def load_csv(path: Path) -> None:
    use_design(Design.from_csv(path.parent / "placement.csv", path.parent / "links.csv", chip()))


def write_steady(folder: Path) -> Path:
    design = Design.mesh(chip())
    names, n = unit_names(design), 6  # tiles of a layer
    lines = [
        f"layer_{2 * k + part}_{name}\t{310 + layer + part:.2f}"
        for k, layer in enumerate(layers_from_afar(chip()))
        for part in (0, 1)  # die and bond
        for name in names[layer * n : (layer + 1) * n]
    ]
    path = folder / "steady.txt"
    path.write_text("\n".join([*lines, "hsp_0\t301.5", "inode_0\t300.15"]) + "\n", encoding="utf-8")
    return path


def load_steady(path: Path) -> None:
    assert np.isfinite(read_steady(Design.mesh(chip()), path)).all()


def write_booksim(folder: Path) -> Path:
    path = folder / "output.txt"
    text = (
        "Class 0:\nPacket latency average = 24.1907 (1 samples)\n\tminimum = 9\n\tmaximum = 70\n"
        "Flit latency average = 20.5 (1 samples)\nHops average = 3.5 (1 samples)\n"
    )
    path.write_text(text, encoding="utf-8")
    return path


def load_booksim(path: Path) -> None:
    # As `run_program` decodes the output of a program.
    text = read_bytes(path).decode("utf-8", errors="replace")
    assert np.isfinite(read_output(text, path)).all()


# ---------------------------------------------------------------------------------------- classic


@cache
def instances() -> dict[str, ClassicProblem[Any]]:
    return {
        "qap": MultiObjectiveQAP.random(n_facilities=5, n_obj=2, seed=1),
        "knapsack": MultiObjectiveKnapsack.random(n_items=8, n_obj=2, seed=1),
        "mnk": MNKLandscape.random(n=5, k=2, n_obj=2, seed=1),
    }


def write_instance(name: str, suffix: str, folder: Path) -> Path:
    problem: Any = instances()[name]
    problem.exact_front()
    problem.to_file(path := folder / f"instance{suffix}")
    return path


def write_front_of_qap(folder: Path) -> Path:
    write_instance("qap", ".dat", folder)
    front = instances()["qap"].exact_front()
    assert front is not None
    assert front.X is not None
    rows = np.column_stack([front.X + 1, front.F]).astype(int)
    np.savetxt(path := folder / "instance.PO", rows, fmt="%d")
    return path


def load_instance(kind: type[ClassicProblem[Any]], path: Path) -> None:
    problem: Any = kind.from_file(path.with_suffix(".dat") if path.suffix == ".PO" else path)
    sampling = problem.operators()["sampling"]
    X = sampling(problem, 3, random_state=np.random.default_rng(0)).get("X")
    assert np.isfinite(problem.evaluate(X, return_values_of=["F"])).all()
    assert np.isfinite(problem.ref_point).all()
    assert str(problem.decode(X[0]))
    problem.to_file(path.with_name("again"))


def write_classic_design(name: str, folder: Path) -> Path:
    problem: Any = instances()[name]
    problem.decode(problem.exact_front().X[0]).save(path := folder / "design.json")
    return path


def load_classic_design(kind: Any, path: Path) -> None:
    design = kind.load(path)
    assert str(design)
    assert design.x.ndim == 1
    design.save(again := path.with_name("again.json"))
    assert kind.load(again) == design


# ------------------------------------------------------------------------- fronts and experiments


def write_front(folder: Path) -> Path:
    rows = ["algorithm,seed,cost,delay,x0,x1", "a,1,1.5,4,1,2", "a,1,2.5,3,3,4", "b,2,3,2.5,5,6"]
    (folder / "points.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "points.csv"


def write_sets(folder: Path) -> Path:
    path = folder / "sets.txt"
    path.write_text("# two runs\n1 4 2\n2 3 2\n\n1.5 3.5 1\n4 1 1\n", encoding="utf-8")
    return path


def write_semicolons(folder: Path) -> Path:
    path = folder / "points.csv"
    path.write_text('"cost";"delay, s"\n1,5;4\n2,5;3\n', encoding="utf-8-sig")
    return path


def write_array(folder: Path) -> Path:
    np.save(path := folder / "points.npy", np.random.default_rng(0).random((3, 8, 2)))
    return path


def write_record(folder: Path) -> Path:
    (folder / "front.csv").write_text("cost,delay,x0\n1.5,4,1\n2.5,3,3\n", encoding="utf-8")
    record = {
        "command": "moela run noc",
        "settings": {"algorithm": "moela", "seed": 3, "objectives": ["3"], "traffic": None},
        "problem": {"name": "NoC3D", "version": "noc-1", "objectives": ["cost", "delay"]},
        "ref_point": {"cost": 5.0, "delay": 6.0},
        "front_size": 2,
        "n_eval": 500,
        "seconds": 2.5,
        "date": "2026-01-01T00:00:00+00:00",
        "python": "3.11",
        "versions": {"moela": "0.1.0", "numpy": "2.0"},
        "machine": {"processor": "x", "cores": 2, "system": "Linux"},
    }
    (path := folder / "run.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    return path


def compare_all(path: Path) -> None:
    """Read runs, with their histories, and compare them, as `moela compare` does."""
    source = path.parent if path.name == "run.json" else path
    runs = read(source)
    for run in runs:
        run.times()
        if run.history is not None:
            run.history.load()
    if not any(len(run.F) for run in runs):
        return  # nothing to compare, as compare says
    with warnings.catch_warnings():
        # Few points, and runs of different versions, are said.
        warnings.simplefilter("ignore", UserWarning)
        comparison = compare(source)
        assert str(comparison)
        assert len(comparison.table())
        if comparison.has_history:
            assert len(comparison.convergence())


class Toy(Problem):
    """Two objectives and a constraint."""

    def __init__(self) -> None:
        super().__init__(n_var=3, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)
        self.ref_point = np.array([2.0, 2.0])

    def _evaluate(self, x: np.ndarray, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = np.column_stack([x[:, 0], 1 - x[:, 0] + x[:, 1]])
        out["G"] = x[:, 2:] - 0.9


def draw(problem: Problem, n_eval: int, seed: int) -> tuple[np.ndarray, ...]:
    X = np.random.default_rng(seed).random((n_eval, problem.n_var))
    return X, *problem.evaluate(X)


def write_run(folder: Path) -> Path:
    run_experiment({"toy": Toy()}, {"draw": External(draw)}, 1, 30, store=folder, progress=False)
    (path,) = folder.glob("*.npz")
    return path


def write_mixed_run(folder: Path) -> Path:
    path = write_run(folder)
    with np.load(path) as file:
        arrays = dict(file)
    lines = [json.dumps({"kind": "a", "n": i}) for i in range(len(arrays["front_F"]))]
    np.savez_compressed(path, **{**arrays, "front_X": np.array(lines)})
    return path


def load_run(path: Path) -> None:
    run = Run.load(path)
    arrays = [run.F, run.CV, run.G, run.H, run.front_F, run.front_X, run.scored_F()]
    assert all(array is not None for array in arrays)
    run.save(path.with_name("again.npz").parent)
    compare_all(path)


LOADERS = [
    Loader("NoC design", write_design, lambda path: use_design(Design.load(path))),
    Loader("comparison with baselines", write_baselines, load_baselines),
    Loader("platform", write_platform, lambda path: use_platform(Platform.load(path))),
    Loader("package of dies", write_package, lambda path: use_package(Platform.load(path))),
    Loader("technology", write_technology, use_technology),
    Loader("traffic", write_traffic, load_the_traffic),
    Loader("placement of a design", write_placement, load_csv),
    Loader("links of a design", write_links, load_csv),
    Loader("output of HotSpot", write_steady, load_steady),
    # Programs that fail are RuntimeErrors.
    Loader("output of BookSim", write_booksim, load_booksim, (RuntimeError,)),
    Loader(
        "QAP", lambda folder: write_instance("qap", ".dat", folder),
        lambda path: load_instance(MultiObjectiveQAP, path),
    ),
    Loader(
        "front of a QAP", write_front_of_qap, lambda path: load_instance(MultiObjectiveQAP, path)
    ),
    Loader(
        "knapsack", lambda folder: write_instance("knapsack", ".in", folder),
        lambda path: load_instance(MultiObjectiveKnapsack, path),
    ),
    Loader(
        "MNK-landscape", lambda folder: write_instance("mnk", ".dat", folder),
        lambda path: load_instance(MNKLandscape, path),
    ),
    Loader(
        "QAP design", lambda folder: write_classic_design("qap", folder),
        lambda path: load_classic_design(Assignment, path),
    ),
    Loader(
        "knapsack design", lambda folder: write_classic_design("knapsack", folder),
        lambda path: load_classic_design(Packing, path),
    ),
    Loader(
        "MNK design", lambda folder: write_classic_design("mnk", folder),
        lambda path: load_classic_design(BitString, path),
    ),
    Loader("front, commas", write_front, compare_all),
    Loader("front, blank lines", write_sets, compare_all),
    Loader("front, semicolons", write_semicolons, compare_all),
    Loader("front, array", write_array, compare_all),
    Loader("run.json", write_record, compare_all),
    Loader("run of an experiment", write_run, load_run),
    Loader("run of mixed variables", write_mixed_run, load_run),
]  # fmt: skip

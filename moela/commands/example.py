"""`moela example`: files to start from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from moela.commands.example_texts import CONFIG, FUNCTION, PRICES, PROBLEM
from moela.commands.output import add_json, file_to_write, print_json
from moela.commands.parser import add_examples


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("name", nargs="?", choices=list(EXAMPLES), metavar="NAME", help=", ".join(EXAMPLES))
    add("--list", action="store_true", help="list the files, and commands that take them")
    add("--out", type=Path, metavar="FILE", help="file to write (default: NAME in this folder)")
    add("--force", action="store_true", help="replace a file that exists")
    add_json(parser)
    add_examples(
        parser,
        "moela example --list",
        "moela example function.py && moela run function.py:simulate --evals 300",
        "moela example platform.json --out chip.json",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write a file, or list all."""
    if arguments.list:
        rows = [{"name": n, "content": text, "use": use} for n, (text, use, _) in EXAMPLES.items()]
        if arguments.json:
            print_json(rows)
            return
        width = max(map(len, EXAMPLES))
        for row in rows:
            print(f"{row['name']:<{width}}  {row['content']}\n{'':<{width}}  {row['use']}")
        return
    if arguments.name is None:
        raise ValueError(f"NAME must be one of {', '.join(EXAMPLES)}. Got none; see --list.")
    path = arguments.out or Path(arguments.name)
    file_to_write("--out", path)
    if path.exists() and not arguments.force:
        raise ValueError(f"{path}: exists. Name another file by --out, or add --force.")
    text, use, write = EXAMPLES[arguments.name]
    write(path)
    use = use.replace(arguments.name, str(path))
    if arguments.json:
        print_json({"out": str(path), "content": text, "use": use})
    else:
        print(f"{path}: {text}\n{use}")


def _write_text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def platform_text() -> str:
    """Return the platform of the MOELA paper as JSON, a field a line, all fields included."""
    from dataclasses import asdict

    from problems.noc import Platform

    data = asdict(Platform.paper_4x4x4())
    for kind in data["pe_types"]:
        if len(set(kind["power"])) == 1:
            kind["power"] = kind["power"][0]
    data["vertical_links"] = None  # all of them
    lines = []
    for name, value in data.items():
        text = json.dumps(value)
        if name == "pe_types":
            entries = ",\n".join(f"    {json.dumps(entry)}" for entry in value)
            text = f"[\n{entries}\n  ]"
        elif name == "stack":
            text = json.dumps(value, indent=4).replace("\n}", "\n  }")
        lines.append(f'  "{name}": {text}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _write_platform(path: Path) -> None:
    path.write_text(platform_text(), encoding="utf-8")


def _write_traffic(path: Path) -> None:
    import numpy as np

    from problems.noc import Platform, synthetic_traffic
    from problems.noc.chip.traffic import RELEASED_SCALE

    chip = Platform.paper_4x4x4()
    counts = synthetic_traffic("bfs", chip, np.random.default_rng(0)) * RELEASED_SCALE
    head = (
        "Flits from the PE of the row to the PE of the column, 8 CPUs, 16 LLCs, then 40 GPUs.\n"
        f"--scale {RELEASED_SCALE:g}, the default, divides them by the cycles of the trace."
    )
    np.savetxt(path, counts.round(), fmt="%d", delimiter=",", header=head)


def _write_design(path: Path) -> None:
    from problems.noc import Design

    Design.mesh().save(path)


def _write_hardware(path: Path) -> None:
    from moe_costmodel.example import example_hardware

    example_hardware().save(path)


def _write_kernels(path: Path) -> None:
    from moe_costmodel.example import example_measurements

    example_measurements().save(path)


def _write_trace(path: Path) -> None:
    from moe_costmodel import RoutingTrace

    RoutingTrace.example().save(path)


EXAMPLES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "function.py": (
        "a function with its variables, objectives and constraints",
        "moela run function.py:simulate --evals 300",
        _write_text(FUNCTION),
    ),
    "problem.py": (
        "a pymoo Problem with a parameter",
        "moela run problem.py:Sink --set width=0.2 --evals 300",
        _write_text(PROBLEM),
    ),
    "platform.json": (
        "the chip of the MOELA paper, 4 x 4 x 4 tiles, with all fields",
        "moela run noc --platform platform.json",
        _write_platform,
    ),
    "traffic.csv": (
        "flits between the 64 PEs of that chip, synthetic",
        "moela run noc --traffic traffic.csv",
        _write_traffic,
    ),
    "design.json": (
        "the mesh on that chip",
        "moela show design.json --traffic traffic.csv",
        _write_design,
    ),
    "hardware.json": (
        "four devices with memories and links",
        "moela run moe --hardware hardware.json --kernels kernels.json",
        _write_hardware,
    ),
    "kernels.json": (
        "kernel times, as `moela measure` writes them",
        "moela run moe --hardware hardware.json --kernels kernels.json",
        _write_kernels,
    ),
    "config.json": (
        "the sizes of a model, as Hugging Face has them (Mixtral 8x7B)",
        "moela run moe --model config.json --gpu h200_sxm --gpus 8",
        _write_text(CONFIG),
    ),
    "prices.json": (
        "made-up prices of GPUs for an hour",
        "moela moe buy --model config.json --prices prices.json",
        _write_text(PRICES),
    ),
    "trace.npz": (
        "recorded routing of a small model",
        "moela trace describe trace.npz",
        _write_trace,
    ),
}
"""By name: content of the file, a command that takes it, and how it is written."""

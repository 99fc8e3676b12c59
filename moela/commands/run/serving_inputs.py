"""Inputs of commands that plan the serving of a whole model: options, files, and checks."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from moela.commands.parser import positive
from moela.files.fields import object_in
from moela.files.text import read_json

if TYPE_CHECKING:
    from moe_costmodel import ModelShape, RoutingTrace
    from moe_costmodel.silicon.tables.gpu import Gpu
    from problems import MoEServing

BACKENDS = ("sglang", "vllm", "trtllm")
MODES = ("mixed", "prefill", "decode", "disaggregated")

# Beginning of the error about a model that does not fit.
NO_MEMORY = "the usable memory of a GPU must be"

# Options of `moela run moe` that go with one of its two forms, and what the other has instead.
_WITHOUT_MODEL = {
    "trace": "--traffic", "hardware": "--gpu", "kernels": "--gpu", "shape": "--model",
    "devices": "--gpus", "nodes": "--gpus", "slo_ms": "--slo-ttft and --slo-tpot",
    "max_quality_loss": "--objectives quality_loss", "batch_sizes": "", "replicas": "",
}  # fmt: skip
_WITH_MODEL = (
    "gpu", "gpus", "traffic", "slo_ttft", "slo_tpot", "prices", "weights", "tables"
)  # fmt: skip
# Parameters of MoEServing by what they are on the command line, and the factor of their units.
_OPTIONS = {
    "ttft_slo_s": ("--slo-ttft", 1e3, "ms"), "tpot_slo_s": ("--slo-tpot", 1e3, "ms"),
    "memory_budget": ("--memory-gib", 2.0**-30, "GiB"), "n_gpus": ("--gpus", 1, ""),
    "input_tokens": ("--isl", 1, ""), "output_tokens": ("--osl", 1, ""),
    "objectives": ("--objectives", 1, ""), "loads": ("--traffic", 1, ""),
    "price_per_gpu_hour": ("--prices", 1, ""), "rule": ("--rule", 1, ""),
    "mode": ("--mode", 1, ""), "kv_dtype": ("--kv-dtype", 1, ""),
}  # fmt: skip


@dataclass(frozen=True)
class ServedModel:
    """A model, its traffic, and what an engine loads.

    Attributes
    ----------
    source : Path
        Its config.json.
    shape : ModelShape
    layers : tuple of int
        Numbers of its layers with experts.
    weights : str
        Folder or name that the engine loads.
    loads : list of RoutingTrace
    notes : list of str
    """

    source: Path
    shape: ModelShape
    layers: tuple[int, ...]
    weights: str
    loads: list[RoutingTrace]
    notes: list[str] = field(default_factory=list)


def add_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options that describe a model, its requests, and limits of their times."""
    # fmt: off
    add = parser.add_argument_group("a whole model on GPUs").add_argument
    add("--model", metavar="CONFIG", required=required, type=Path,
        help="config.json of a Hugging Face model, or its folder")
    add("--weights", metavar="NAME", help="model that the engine loads (default: the folder)")
    add("--traffic", nargs="+", metavar="FILE", type=Path,
        help="loads of experts or choices of tokens, as `moela trace convert` reads them "
        "(default: loads of the tables' benchmarks)")
    add("--isl", type=positive, default=4096, metavar="N", help="tokens of a prompt")
    add("--osl", type=positive, default=1024, metavar="N", help="tokens of an answer")
    add("--slo-ttft", type=float, metavar="MS", help="limit of the mean time to the first token")
    add("--slo-tpot", type=float, metavar="MS", help="limit of the mean time per further token")
    add("--backend", choices=BACKENDS, default="sglang", metavar="NAME",
        help=f"engine: {', '.join(BACKENDS)}")
    add("--kv-dtype", choices=("bfloat16", "fp8"), default="bfloat16", metavar="TYPE",
        help="type of the cache: bfloat16 or fp8")
    add("--tables", metavar="DIR", type=Path,
        help="folder `systems` of tables (default: that of aiconfigurator-core)")
    # fmt: on


def check_forms(arguments: argparse.Namespace) -> None:
    """Raise a ValueError if options of both forms of `moela run moe` are mixed."""
    if arguments.model is not None:
        for name, instead in _WITHOUT_MODEL.items():
            given = getattr(arguments, name)
            if given is not None and (name != "replicas" or given):  # whose default is 0
                advice = f"; with --model, give {instead}" if instead else ""
                raise ValueError(f"{_option(name)} goes without --model{advice}. Got both.")
        if arguments.gpu is None:
            raise ValueError("--gpu must name the kind of GPU, such as h200_sxm. Got no --gpu.")
        return
    for name in _WITH_MODEL:
        if getattr(arguments, name) is not None:
            raise ValueError(f"{_option(name)} goes with --model config.json. Got no --model.")
    if arguments.mode not in (None, "decode", "prefill"):
        raise ValueError(f"--mode {arguments.mode} goes with --model config.json. Got no --model.")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def read_model(arguments: argparse.Namespace) -> ServedModel:
    """Read the model and its traffic, and check that they fit each other."""
    from moe_costmodel import ModelShape
    from moe_costmodel.models.config import moe_layer_numbers

    source = Path(arguments.model)
    source = source / "config.json" if source.is_dir() else source
    shape = ModelShape.from_config(source)
    layers = moe_layer_numbers(source)
    weights = arguments.weights or _weights(source)
    loads = [_loads(path, shape, source) for path in arguments.traffic or ()]
    return ServedModel(source, shape, layers, weights, loads)


def _weights(source: Path) -> str:
    """Return what an engine loads: the config's folder, or the name that the config holds."""
    name = object_in(source, "", read_json(source)).get("_name_or_path")
    has_weights = any(source.parent.glob("*.safetensors"))
    return name if isinstance(name, str) and name and not has_weights else str(source.parent)


def _loads(path: Path, shape: ModelShape, source: Path) -> RoutingTrace:
    """Read traffic, and check it against the model."""
    from moe_costmodel.traces.files import read_trace

    trace, _ = read_trace(path)
    experts = shape.experts
    if experts is None:
        raise ValueError(f"--traffic goes with a model with experts. {source} is a dense model.")
    n_layers = int((trace.shares().sum(axis=1) > 0).sum())
    wanted, found = (shape.n_moe_layers, experts.n_experts), (n_layers, trace.n_experts)
    if wanted == found:
        return trace
    advice = "record the model that is planned"
    if found[0] == wanted[0] and found[1] > wanted[1]:
        advice = (
            f"if {found[1] - wanted[1]} of them are redundant experts, dump the logical counts, "
            "not those of slots"
        )
    elif found[1] == wanted[1]:
        advice = "record all layers with experts"
    raise ValueError(
        f"{path}: must hold the loads of {wanted[1]} experts in {wanted[0]} layers, as {source} "
        f"has them. Got {found[1]} experts in {found[0]} layers instead; {advice}."
    )


def known_gpus(root: Path | None) -> list[str]:
    """Return the names of all GPUs that have tables."""
    from moe_costmodel import gpu_names

    try:
        return gpu_names(root)
    except ModuleNotFoundError as error:  # its message says what to install
        raise ValueError(f"{error} Or name a folder of tables with --tables.") from error


def check_gpu(name: str, root: Path | None) -> Gpu:
    """Return a GPU; the error about one without tables names the nearest that has them."""
    from moe_costmodel.silicon.tables.package import gpu_named

    known = known_gpus(root)
    if name not in known:
        raise ValueError(
            f"--gpu must be a GPU with tables of kernels: {', '.join(known)}. Got {name!r} "
            f"instead.{nearest_gpu(name, known)}"
        )
    return gpu_named(name, root)


def nearest_gpu(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" with the GPU whose name is nearest, such as h200_sxm for H200."""
    names = list(known)
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower())
    close = [other for other in names if other.split("_")[0] in plain.split("_")]
    close = close or get_close_matches(plain, names, n=1, cutoff=0.0)
    return f" Did you mean {close[0]!r}?" if close else ""


def make_problem(
    model: ServedModel,
    arguments: argparse.Namespace,
    *,
    gpu: str,
    n_gpus: int,
    price: float | None,
    objectives: list[str] | None,
) -> MoEServing:
    """Return the problem of serving a model on GPUs; errors name options of the command."""
    from problems import MoEServing

    memory = getattr(arguments, "memory_gib", None)
    try:
        return MoEServing(
            model.shape, gpu, n_gpus, arguments.backend,
            loads=model.loads or None,
            input_tokens=arguments.isl,
            output_tokens=arguments.osl,
            mode=arguments.mode or "mixed",
            objectives=objectives,
            ttft_slo_s=_seconds(arguments.slo_ttft),
            tpot_slo_s=_seconds(arguments.slo_tpot),
            price_per_gpu_hour=price,
            memory_budget=None if memory is None else memory * 2**30,
            rule=getattr(arguments, "rule", "top-p"),
            kv_dtype=arguments.kv_dtype,
            root=arguments.tables,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(reworded(str(error), gpu, n_gpus, given=memory is not None)) from error


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3


_NUMBER = r"(\d[\d.e+-]*\d|\d)"


def reworded(message: str, gpu: str, n_gpus: int, *, given: bool = True) -> str:
    """Return an error about a parameter of MoEServing in words of the command line.

    `given` tells whether a memory was given; else the limit is that of the GPU.
    """
    for name, (option, factor, unit) in _OPTIONS.items():
        start = f"The '{name}' parameter of MoEServing"
        if message.startswith(start):
            message = message.replace(start, option)
            if unit:
                message = _in_units(message, factor, unit)
            if name == "memory_budget" and not given:
                message = message.replace(f"{option} must be", NO_MEMORY)
            return f"{n_gpus} {gpu}: {message}"
    return message


def _in_units(message: str, factor: float, unit: str) -> str:
    """Return a message about seconds or bytes with numbers in the units of an option."""

    def scaled(text: str) -> str:
        return f"{float(text) * factor:.4g} {unit}"

    message = re.sub(rf"{_NUMBER} (?:bytes|seconds)", lambda m: scaled(m[1]), message)
    message = re.sub(rf"Got {_NUMBER} instead", lambda m: f"Got {scaled(m[1])} instead", message)
    message = re.sub(
        rf"\b(ttft|tpot_mean) = {_NUMBER}",
        lambda m: f"{m[1].removesuffix('_mean').upper()} = {float(m[2]) * 1e3:.4g} ms",
        message,
    )
    return re.sub(
        rf"\bmemory_bytes = {_NUMBER}",
        lambda m: f"memory = {float(m[1]) / 2**30:.4g} GiB",
        message,
    )

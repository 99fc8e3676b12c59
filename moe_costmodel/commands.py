"""The command line of the cost model: ``measure`` and ``trace describe|convert|record``.

Each command is a module-level class with ``add_arguments(parser)`` and ``run(arguments)``, so that
the front door can wire them up without importing what they need.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["COMMANDS", "Measure", "TraceCommand", "parse_shape"]


class Measure:
    """``measure``: time the kernels of MoE inference here, and write them as JSON."""

    help = "time MoE kernels on this machine"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--out", type=Path, default=Path("kernels.json"), help="JSON to write")
        parser.add_argument("--hardware", type=Path, help="JSON of the machine (default: found)")
        parser.add_argument(
            "--shape",
            action="append",
            type=parse_shape,
            metavar="E,K,D,F[,gated]",
            help="a layer: experts, experts a token, width, inner width; may be repeated",
        )
        parser.add_argument("--dtype", action="append", help="torch type; may be repeated")
        parser.add_argument("--budget-s", type=float, default=120.0, help="seconds in all")
        parser.add_argument("--threads", type=int, default=1, help="threads of the kernels (CPU)")
        parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
        parser.add_argument("--no-exchange", action="store_true", help="skip the two processes")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Measure, write, and print what was found."""
        from moe_costmodel.hardware import Hardware
        from moe_costmodel.measure import DEFAULT_SHAPES, measure_kernels
        from moe_costmodel.measurements import KINDS

        hardware = (
            Hardware.load(arguments.hardware)
            if arguments.hardware
            else Hardware.here(threads=arguments.threads)
        )
        found = measure_kernels(
            hardware,
            arguments.shape or DEFAULT_SHAPES,
            arguments.dtype or ("float32",),
            arguments.budget_s,
            kinds=[k for k in KINDS if k != "all_to_all" or not arguments.no_exchange],
            clock=arguments.clock,
            progress=not arguments.quiet and sys.stderr.isatty(),
        )
        found.save(arguments.out)
        _say(f"{arguments.out}: {len(found.records)} points on {found.hardware.name}")
        for name, link in sorted(found.hardware.links.items()):
            _say(f"  {name}: {link.bandwidth / 1e9:.2f} GB/s, {link.latency * 1e6:.0f} us")
        for note in found.notes:
            _say(f"  note: {note}")
        return 0


class TraceCommand:
    """``trace describe|convert|record``: look at, translate and make routing traces."""

    help = "describe, convert or record routing traces"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the actions and their options."""
        actions = parser.add_subparsers(dest="action", required=True)

        describe = actions.add_parser("describe", help="characterise a trace")
        describe.add_argument("trace", nargs="?", help="file (default: the packaged example)")
        describe.add_argument("--size", type=int, help="sequences (decode) or tokens (prefill)")
        describe.add_argument("--mode", choices=("decode", "prefill"), default="decode")
        describe.add_argument("--against", help="another trace, to measure the drift to")
        describe.add_argument("--json", type=Path, help="write everything as JSON")
        describe.add_argument("--plot", type=Path, help="write a picture")

        convert = actions.add_parser("convert", help="write a trace as npz")
        convert.add_argument("trace", help="npz, SGLang .pt or JSON counts")
        convert.add_argument("out", type=Path)
        convert.add_argument("--uncompressed", action="store_true", help="can be memory-mapped")

        record = actions.add_parser("record", help="run a Hugging Face model and record it")
        record.add_argument("model", help="folder of a saved model, or 'example'")
        record.add_argument("out", type=Path, help="npz to write")
        record.add_argument("--text", type=Path, action="append", help="file of text; repeatable")
        record.add_argument("--length", type=int, default=256, help="tokens of a sequence, at most")
        record.add_argument("--sequences", type=int, default=32, help="sequences, at most")
        record.add_argument(
            "--part",
            choices=("encoder", "decoder"),
            default="encoder",
            help="half of an encoder-decoder model to record (default: encoder)",
        )
        record.add_argument(
            "--new-tokens",
            type=int,
            default=64,
            help="tokens that the decoder of such a model generates for each sequence",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Do what was asked."""
        return {"describe": _describe, "convert": _convert, "record": _record}[arguments.action](
            arguments
        )


COMMANDS: dict[str, Any] = {"measure": Measure, "trace": TraceCommand}


def _say(text: object) -> None:
    sys.stdout.write(f"{text}\n")


def parse_shape(text: str) -> Any:
    """Return the LayerShape that an option names: experts, experts a token, two widths, gated."""
    from moe_costmodel.shapes import LayerShape

    parts = text.split(",")
    gated = parts[-1].strip() == "gated"
    try:
        experts, k, width, inner = (int(part) for part in parts[: len(parts) - gated])
        return LayerShape(n_experts=experts, k=k, d_model=width, d_ffn=inner, gated=gated)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be E,K,D,F or E,K,D,F,gated (64,6,2048,1408,gated); got {text!r} ({error})"
        ) from error


def _load(name: str | None) -> Any:
    from moe_costmodel.trace import RoutingTrace

    return RoutingTrace.example() if name is None else RoutingTrace.load(name)


def _describe(arguments: argparse.Namespace) -> int:
    trace = _load(arguments.trace)
    found = trace.describe(arguments.size, arguments.mode)
    _say(found)
    drift = None
    if arguments.against:
        other = _load(arguments.against)
        drift = trace.drift(other)
        _say(
            f"  drift to {other.source}: {drift.mean():.3f} of the load moves "
            f"({drift.min():.3f} .. {drift.max():.3f} over layers)"
        )
    if arguments.json:
        content = found.to_dict() | {"drift": None if drift is None else drift.tolist()}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    if arguments.plot:
        found.plot().savefig(arguments.plot)
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    trace = _load(arguments.trace)
    trace.save(arguments.out, compress=not arguments.uncompressed)
    _say(f"{arguments.out}: {trace!r}")
    return 0


def _record(arguments: argparse.Namespace) -> int:
    from moe_costmodel.trace import RoutingTrace

    if arguments.model == "example":
        from moe_costmodel.example import load_model
        from moe_costmodel.example.record import excerpts

        model: Any = load_model()
        batches: Any = _bytes_of(arguments) if arguments.text else excerpts("code")
    else:
        model, batches = _saved_model(arguments)
    two = bool(getattr(model.config, "is_encoder_decoder", False))
    trace = RoutingTrace.record(model, batches, part=arguments.part if two else None)
    trace.save(arguments.out)
    _say(f"{arguments.out}: {trace!r}")
    return 0


def _texts(arguments: argparse.Namespace) -> list[bytes]:
    if not arguments.text:
        raise ValueError("The '--text' option of trace record must name a file. Got none instead.")
    return [path.read_bytes() for path in arguments.text]


def _bytes_of(arguments: argparse.Namespace) -> Iterator[Any]:
    import torch

    n = 0
    for text in _texts(arguments):
        for start in range(0, len(text), arguments.length):
            if n < arguments.sequences:
                yield torch.tensor([list(text[start : start + arguments.length])])
                n += 1


def _saved_model(arguments: argparse.Namespace) -> tuple[Any, Iterator[Any]]:
    """Load a model and its tokenizer from a folder; nothing is downloaded, no code of it run."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if not Path(arguments.model).is_dir():
        raise ValueError(
            f"The 'model' argument of trace record must be a folder with a saved model, or "
            f"'example'. Got {arguments.model!r} instead; save one there first (save_pretrained)."
        )
    texts = _texts(arguments)
    tokenizer: Any = AutoTokenizer.from_pretrained(arguments.model, **options)
    config: Any = AutoConfig.from_pretrained(arguments.model, **options)
    two = bool(config.is_encoder_decoder)
    loader: Any = AutoModelForSeq2SeqLM if two else AutoModelForCausalLM
    model = loader.from_pretrained(arguments.model, use_safetensors=True, **options).eval()

    def batches() -> Iterator[Any]:
        n = 0
        for text in texts:
            ids = tokenizer(text.decode(), return_tensors="pt")["input_ids"]
            for part in ids.split(arguments.length, dim=1):
                if n < arguments.sequences:
                    yield _with_answer(model, part, arguments.new_tokens) if two else part
                    n += 1

    return model, batches()


def _with_answer(model: Any, ids: Any, new_tokens: int) -> dict[str, Any]:
    """Return arguments of an encoder-decoder model: a text, and what the model makes of it."""
    import torch

    with torch.no_grad():
        answer = model.generate(ids, max_new_tokens=new_tokens, do_sample=False, num_beams=1)
    return {"input_ids": ids, "decoder_input_ids": answer}

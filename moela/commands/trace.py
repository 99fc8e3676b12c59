"""`moela trace`: describe, convert and record routing traces."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moela.commands.output import add_json, print_json
from moela.commands.parser import add_examples
from moela.files.guard import read_bytes
from moela.files.text import read_text

if TYPE_CHECKING:
    from moe_costmodel.traces.trace import RoutingTrace


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")

    command = actions.add_parser("describe", help="characterize a trace",
        description="Characterize a trace: loads, inactive experts, correlations, drift.")
    add = command.add_argument
    add("trace", nargs="?", metavar="NPZ", help="trace (default: the packaged example)")
    add("--size", type=int, metavar="N", help="batch size: sequences (decode), tokens (prefill)")
    add("--mode", choices=("decode", "prefill"), default="decode", help="phase to describe")
    add("--against", metavar="NPZ", help="another trace, to measure the drift to")
    add("--plot", type=Path, metavar="PNG", help="write a picture")
    add_json(command)
    add_examples(command, "moela trace describe run.npz --size 16 --plot run.png",
        "moela trace describe monday.npz --against tuesday.npz --json")

    command = actions.add_parser("convert", help="write a trace as npz",
        description="Write a trace of another program as npz.")
    add = command.add_argument
    add("trace", metavar="FILE", help="npz, SGLang .pt or JSON counts")
    add("out", type=Path, metavar="NPZ", help="file to write")
    add("--uncompressed", action="store_true", help="for memory mapping")
    add_json(command)
    add_examples(command, "moela trace convert sglang_dump.pt run.npz")

    command = actions.add_parser("record", help="run a Hugging Face model and record it",
        description="Run a Hugging Face model on texts and record its routing.")
    add = command.add_argument
    add("model", metavar="MODEL", help="folder of a saved model, or 'example'")
    add("out", type=Path, metavar="NPZ", help="file to write")
    add("--text", type=Path, action="append", metavar="TXT", help="text file; may be repeated")
    add("--length", type=int, default=256, metavar="N", help="maximum tokens of a sequence")
    add("--sequences", type=int, default=32, metavar="N", help="maximum number of sequences")
    add("--part", choices=("encoder", "decoder"), default="encoder",
        help="half of an encoder-decoder model to record")
    add("--new-tokens", type=int, default=64, metavar="N",
        help="tokens that the decoder of an encoder-decoder model generates for each sequence")
    add_json(command)
    add_examples(command, "moela trace record ./my_model run.npz --text prompts.txt",
        "moela trace record example run.npz")
    # fmt: on


def run(arguments: argparse.Namespace) -> None:
    """Describe, convert or record a trace."""
    actions = {"describe": _describe, "convert": _convert, "record": _record}
    actions[arguments.action](arguments)


def _load(name: str | None) -> RoutingTrace:
    from moe_costmodel.traces.trace import RoutingTrace

    return RoutingTrace.example() if name is None else RoutingTrace.load(name)


def _describe(arguments: argparse.Namespace) -> None:
    trace = _load(arguments.trace)
    description = trace.describe(arguments.size, arguments.mode)
    drift, other = None, None
    if arguments.against:
        other = _load(arguments.against)
        drift = trace.drift(other)
    if arguments.plot:
        description.plot().savefig(arguments.plot)
    if arguments.json:
        print_json(description.to_dict() | {"drift": drift})
        return
    print(description)
    if drift is not None and other is not None:
        print(
            f"  drift to {other.source}: {drift.mean():.3f} of the load moves "
            f"({drift.min():.3f} .. {drift.max():.3f} over layers)"
        )


def _convert(arguments: argparse.Namespace) -> None:
    trace = _load(arguments.trace)
    trace.save(arguments.out, compress=not arguments.uncompressed)
    _print(trace, arguments)


def _record(arguments: argparse.Namespace) -> None:
    from moe_costmodel.traces.trace import RoutingTrace

    if arguments.model == "example":
        from moe_costmodel.example import load_model
        from moe_costmodel.example.record import excerpts

        model: Any = load_model()
        batches: Iterable[Any] = excerpts("code")
        if arguments.text:
            batches = islice(_bytes_of(arguments), arguments.sequences)
    else:
        model, batches = _saved_model(arguments)
    two = bool(getattr(model.config, "is_encoder_decoder", False))
    trace = RoutingTrace.record(model, batches, part=arguments.part if two else None)
    trace.save(arguments.out)
    _print(trace, arguments)


def _print(trace: RoutingTrace, arguments: argparse.Namespace) -> None:
    """Print what was written."""
    if arguments.json:
        print_json(
            {
                "out": str(arguments.out), "source": trace.source, "layers": trace.n_layers,
                "experts": trace.n_experts, "k": trace.k, "tokens": trace.n_tokens,
                "weights": trace.has_weights,
            }
        )  # fmt: skip
    else:
        print(f"{arguments.out}: {trace!r}")


def _texts(arguments: argparse.Namespace) -> list[str]:
    if not arguments.text:
        raise ValueError("The '--text' option of trace record must name a file. Got none instead.")
    return [read_text(path) for path in arguments.text]


def _bytes_of(arguments: argparse.Namespace) -> Iterator[Any]:
    import torch

    for path in arguments.text:
        text = read_bytes(path)
        for start in range(0, len(text), arguments.length):
            yield torch.tensor([list(text[start : start + arguments.length])])


def _saved_model(arguments: argparse.Namespace) -> tuple[Any, Iterator[Any]]:
    """Load a model and its tokenizer from a folder; nothing is downloaded, none of its code run."""
    from moe_costmodel.traces.saved_model import load_saved_model

    if not Path(arguments.model).is_dir():
        raise ValueError(
            f"The 'model' argument of trace record must be a folder with a saved model, or "
            f"'example'. Got {arguments.model!r} instead; save a model first (save_pretrained)."
        )
    texts = _texts(arguments)
    model, tokenizer = load_saved_model(arguments.model)
    two = bool(model.config.is_encoder_decoder)

    def batches() -> Iterator[Any]:
        for text in texts:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            for part in ids.split(arguments.length, dim=1):
                yield _with_answer(model, part, arguments.new_tokens) if two else part

    return model, islice(batches(), arguments.sequences)


def _with_answer(model: Any, ids: Any, new_tokens: int) -> dict[str, Any]:
    """Return inputs of an encoder-decoder model: a text, and the model's answer to it."""
    import torch

    with torch.no_grad():
        answer = model.generate(ids, max_new_tokens=new_tokens, do_sample=False, num_beams=1)
    return {"input_ids": ids, "decoder_input_ids": answer}

"""`moela trace`: describe, convert and record routing traces."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moela.commands.output import add_json, file_to_write, picture_to_write, print_json
from moela.commands.parser import add_examples, positive
from moela.files.guard import read_bytes
from moela.files.text import lines_of, read_text

if TYPE_CHECKING:
    from moe_costmodel.traces.recorders.recorded import Sizes
    from moe_costmodel.traces.trace import RoutingTrace

_LENGTH = 256  # tokens of a sequence that a text is cut into, by default


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    add_examples(parser, "moela trace describe run.npz --size 16 --plot run.png",
        "moela trace convert responses.jsonl run.npz --experts 128",
        "moela trace record example run.npz")
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")

    command = actions.add_parser("describe", help="characterize a trace",
        description="Characterize a trace: loads, inactive experts, correlations, drift.")
    add = command.add_argument
    add("trace", nargs="?", metavar="NPZ", help="trace (default: the packaged example)")
    add("--size", type=positive, metavar="N",
        help="batch size: sequences (decode), tokens (prefill)")
    add("--mode", choices=("decode", "prefill"), default="decode", help="phase to describe")
    add("--against", metavar="NPZ", help="another trace, to measure the drift to")
    add("--plot", type=Path, metavar="PNG", help="write a picture")
    add_json(command)
    add_examples(command, "moela trace describe run.npz --size 16 --plot run.png",
        "moela trace describe monday.npz --against tuesday.npz --json")

    command = actions.add_parser("convert", help="write a trace as npz",
        description="Write a trace of another program as npz. The format is found by itself: "
        "responses of vLLM and SGLang with routed experts, their arrays (.npy), vLLM's load lines, "
        "SGLang's dumps, llama.cpp's CSV, lines of moe-cache-lab, counts.")
    add = command.add_argument
    add("trace", metavar="FILE", help=".json, .jsonl, .csv, .npy, .pt or .npz")
    add("out", type=Path, metavar="NPZ", help="file to write")
    _add_sizes(add)
    add("--uncompressed", action="store_true",
        help="do not compress, so that the file can be memory-mapped")
    add_json(command)
    add_examples(command, "moela trace convert sglang_dump.pt run.npz",
        "moela trace convert responses.jsonl run.npz --experts 128")

    command = actions.add_parser("record", help="record a Hugging Face model or a running server",
        description="Run a Hugging Face model on texts and record its routing, or ask a running "
        "vLLM or SGLang server (started with --enable-return-routed-experts) for it.")
    add = command.add_argument
    add("model", nargs="?", metavar="MODEL", help="folder of a saved model, or 'example'")
    add("out", type=Path, metavar="NPZ", help="file to write")
    add("--text", type=Path, action="append", metavar="TXT",
        help="text file to run the model on; may be repeated")
    add("--length", type=positive, metavar="N",
        help="maximum tokens of a sequence (default: 256, and whole excerpts for the example)")
    add("--sequences", type=positive, default=32, metavar="N", help="maximum number of sequences")
    add("--part", choices=("encoder", "decoder"), default="encoder",
        help="part of an encoder-decoder model to record")
    add("--new-tokens", type=positive, default=64, metavar="N",
        help="tokens that the decoder of an encoder-decoder model generates for each sequence")
    add("--url", metavar="URL", help="running server, in place of a model; on another machine only "
        "by its full address")
    add("--prompts", type=Path, metavar="FILE", help="prompts for the server, one a line")
    _add_sizes(add)
    add_json(command)
    add_examples(command, "moela trace record --url http://127.0.0.1:8000 --prompts p.txt run.npz",
        "moela trace record ./my_model run.npz --text prompts.txt",
        "moela trace record example run.npz")
    # fmt: on


def _add_sizes(add: Callable[..., object]) -> None:
    """Add options for sizes of the model that some formats do not hold."""
    add("--experts", type=positive, metavar="N",
        help="experts of a layer (default: largest id + 1)")  # fmt: skip
    add("--layers", type=positive, metavar="N", help="layers with experts, for SGLang's responses")
    add("--top-k", type=positive, metavar="K", help="experts of a token, for SGLang's responses")


def _sizes(arguments: argparse.Namespace) -> Sizes:
    from moe_costmodel.traces.recorders.recorded import Sizes

    return Sizes(arguments.experts, arguments.layers, arguments.top_k)


def run(arguments: argparse.Namespace) -> None:
    """Describe, convert or record a trace."""
    actions = {"describe": _describe, "convert": _convert, "record": _record}
    actions[arguments.action](arguments)


def _load(name: str | None) -> RoutingTrace:
    from moe_costmodel.traces.trace import RoutingTrace

    return RoutingTrace.example() if name is None else RoutingTrace.load(name)


def _describe(arguments: argparse.Namespace) -> None:
    trace = _load(arguments.trace)
    if trace.is_load_only and arguments.size is not None:
        raise ValueError(
            f"--size must be left out for {trace.source}, which holds the loads of recorded steps. "
            f"Got {arguments.size} instead."
        )
    picture_to_write("--plot", arguments.plot)
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
    from moe_costmodel.traces.files import read_trace

    trace, kind = read_trace(arguments.trace, sizes=_sizes(arguments))
    file_to_write("NPZ", arguments.out, ".npz")
    trace.save(arguments.out, compress=not arguments.uncompressed)
    _print(trace, arguments, kind)


def _record(arguments: argparse.Namespace) -> None:
    from moe_costmodel.traces.trace import RoutingTrace

    if arguments.url is not None:
        _record_server(arguments)
        return
    if arguments.model == "example":
        from moe_costmodel.example import load_model
        from moe_costmodel.example.record import excerpts

        model: Any = load_model()
        batches: Iterable[Any] = (
            text[:, : arguments.length] for text in excerpts("code", n=arguments.sequences)
        )
        if arguments.text:
            batches = islice(_bytes_of(arguments), arguments.sequences)
    else:
        model, batches = _saved_model(arguments)
    file_to_write("NPZ", arguments.out, ".npz")
    two = bool(getattr(model.config, "is_encoder_decoder", False))
    trace = RoutingTrace.record(model, batches, part=arguments.part if two else None)
    trace.save(arguments.out)
    _print(trace, arguments)


def _record_server(arguments: argparse.Namespace) -> None:
    from moe_costmodel.traces.files import trace_of
    from moe_costmodel.traces.recorders.client import ask_server

    if arguments.prompts is None or arguments.model is not None:
        raise ValueError(
            "trace record --url takes --prompts with a file, and no MODEL. See moela trace record "
            "--help."
        )
    prompts = [line for _, line in lines_of(read_text(arguments.prompts)) if line.strip()]
    file_to_write("NPZ", arguments.out, ".npz")
    recorded = ask_server(
        arguments.url, prompts[: arguments.sequences], new_tokens=arguments.new_tokens,
        sizes=_sizes(arguments),
    )  # fmt: skip
    trace = trace_of(recorded, arguments.url)
    trace.save(arguments.out)
    _print(trace, arguments, recorded.format)


def _print(trace: RoutingTrace, arguments: argparse.Namespace, kind: str = "") -> None:
    """Print what was written, and the format that it came from."""
    if arguments.json:
        print_json(
            {
                "out": str(arguments.out), "source": trace.source, "layers": trace.n_layers,
                "experts": trace.n_experts, "k": None if trace.is_load_only else trace.k,
                "tokens": trace.n_tokens,
                "weights": trace.has_weights, **({"format": kind} if kind else {}),
            }
        )  # fmt: skip
    else:
        print(f"{arguments.out}: {trace!r}{f', from {kind}' if kind else ''}")


def _texts(arguments: argparse.Namespace) -> list[str]:
    if not arguments.text:
        raise ValueError("The '--text' option of trace record must name a file. Got none instead.")
    return [read_text(path) for path in arguments.text]


def _bytes_of(arguments: argparse.Namespace) -> Iterator[Any]:
    import torch

    for path in arguments.text:
        text = read_bytes(path)
        length = _LENGTH if arguments.length is None else arguments.length
        for start in range(0, len(text), length):
            yield torch.tensor([list(text[start : start + length])])


def _saved_model(arguments: argparse.Namespace) -> tuple[Any, Iterator[Any]]:
    """Load a model and its tokenizer from a folder; nothing is downloaded, none of its code run."""
    from moe_costmodel.traces.saved_model import load_saved_model

    if arguments.model is None or not Path(arguments.model).is_dir():
        raise ValueError(
            f"The 'model' argument of trace record must be a folder with a saved model, or "
            f"'example' (or name a server with --url). Got {arguments.model!r} instead; save a "
            "model first (save_pretrained)."
        )
    texts = _texts(arguments)
    model, tokenizer = load_saved_model(arguments.model)
    two = bool(model.config.is_encoder_decoder)

    length = _LENGTH if arguments.length is None else arguments.length

    def batches() -> Iterator[Any]:
        for text in texts:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            for part in ids.split(length, dim=1):
                yield _with_answer(model, part, arguments.new_tokens) if two else part

    return model, islice(batches(), arguments.sequences)


def _with_answer(model: Any, ids: Any, new_tokens: int) -> dict[str, Any]:
    """Return inputs of an encoder-decoder model: a text, and the model's answer to it."""
    import torch

    with torch.no_grad():
        answer = model.generate(ids, max_new_tokens=new_tokens, do_sample=False, num_beams=1)
    return {"input_ids": ids, "decoder_input_ids": answer}

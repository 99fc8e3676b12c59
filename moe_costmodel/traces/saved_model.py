"""Loading a Hugging Face model from a folder whose files were compared with one another first."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from moela.files.fields import object_in
from moela.files.guard import brief, check_size, invalid_file, open_file
from moela.files.text import parse_json, read_json

__all__ = ["load_saved_model"]

_T = TypeVar("_T")
# Numbers by which the constructor of a model loops.
_LOOPS = re.compile(r"(n|num|encoder|decoder)_.*(layers?|experts)$")
# Weights of four bits are saved eight to a number. Tied embeddings and tables of
# positions are not saved.
_TIMES, _BESIDE = 16, 2**24


def load_saved_model(folder: str | Path) -> tuple[Any, Any]:
    """Return the model and the tokenizer that ``save_pretrained`` wrote into a folder.

    Nothing is downloaded, and no code of the folder runs.

    Raises
    ------
    ValueError
        If a file is no regular file or damaged, or ``config.json`` describes a model that is much
        larger than its weights, or has weights that are missing or of another shape. The message
        names the file.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    folder = Path(folder)
    weights = list(_weights_of(folder))
    if not weights:
        raise invalid_file(folder, "none", "a folder with a saved model", "*.safetensors")
    path = folder / "config.json"
    longest = max(len(weights), *(n for shape in weights for n in shape), 1)
    for field, value in _numbers(object_in(path, "", read_json(path)), ""):
        if _LOOPS.fullmatch(field.rpartition(".")[2]) and value > longest:
            expected = f"at most {longest}, as the saved weights have"
            raise invalid_file(path, brief(value), expected, field)
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = _named(path, lambda: AutoConfig.from_pretrained(folder, **options))
    loader: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM

    def described() -> int:
        # On the device "meta", tensors have shapes and no memory.
        with torch.device("meta"):
            model = loader.from_config(config, trust_remote_code=False)
        return sum(t.numel() for t in (*model.parameters(), *model.buffers()))

    held = sum(math.prod(shape) for shape in weights)
    size, most = _named(path, described), _TIMES * held + _BESIDE
    if size > most:
        expected = f"at most {most:,} parameters, since {held:,} are saved"
        raise invalid_file(path, f"a model of {size:,}", expected)
    tokenizer = _named(folder, lambda: AutoTokenizer.from_pretrained(folder, **options))
    # Sizes that differ are told below with their names; transformers only logs these.
    options |= {"use_safetensors": True, "ignore_mismatched_sizes": True}
    model, report = _named(
        path, lambda: loader.from_pretrained(folder, output_loading_info=True, **options)
    )
    _check_weights(path, report)
    return model.eval(), tokenizer


def _check_weights(path: Path, report: dict[str, Any]) -> None:
    """Refuse a model some of whose weights transformers would leave at random values."""
    for name, saved, size in sorted(report["mismatched_keys"]):
        got = f"a model with {name} of shape {tuple(size)}"
        raise invalid_file(path, got, f"a model with the saved shape {tuple(saved)}", name)
    for name in sorted(report["missing_keys"]):
        got = f"a model that needs {name}, which is not in the folder"
        raise invalid_file(path, got, "a model whose weights are all saved", name)


def _weights_of(folder: Path) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of the saved weights, and check that all files of the folder are regular."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            continue
        with open_file(path) as file:
            if path.suffix != ".safetensors":
                continue
            length = int.from_bytes(file.read(8), "little")
            check_size(path, length, "text", "header")
            try:
                text = file.read(length).decode("utf-8")
            except UnicodeDecodeError as error:
                raise invalid_file(path, str(error), "text in UTF-8", "header") from None
        for name, tensor in object_in(path, "header", parse_json(text, path, "header")).items():
            if name != "__metadata__":
                place = f"header.{name}"
                shape = object_in(path, place, tensor).get("shape")
                if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
                    raise invalid_file(path, brief(shape), "a list of sizes", f"{place}.shape")
                yield tuple(shape)


def _numbers(value: object, field: str) -> Iterator[tuple[str, int]]:
    """Yield the place and value of each integer in nested JSON objects."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(item, f"{field}.{name}" if field else name)
    elif isinstance(value, int):
        yield field, value


def _named(path: Path, make: Callable[[], _T]) -> _T:
    """Return what transformers makes; its errors about damaged files are of nearly every kind."""
    try:
        return make()
    except (KeyboardInterrupt, SystemExit, ModuleNotFoundError):
        raise
    # The readers in Rust raise a PanicException, which is no Exception.
    except BaseException as error:
        first = next(iter(str(error).splitlines()), "")
        got = f"{type(error).__name__}: {first}"
        expected = "a complete file or folder of save_pretrained"
        raise invalid_file(path, got, expected, "config or weights") from error

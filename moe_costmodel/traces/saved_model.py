"""Loading a Hugging Face model from a folder whose files were compared with one another first."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from moela.files.fields import object_in
from moela.files.guard import brief, check_size, invalid_file, open_file
from moela.files.text import read_json

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
    paths, weights = _weights_of(folder)
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
        path,
        lambda: loader.from_pretrained(folder, output_loading_info=True, **options),
        f"the description of the weights in {_listed(paths)}",
    )
    _check_weights(path, paths, report)
    return model.eval(), tokenizer


def _check_weights(path: Path, paths: list[Path], report: dict[str, Any]) -> None:
    """Refuse a model some of whose weights transformers would leave at random values."""
    for name, saved, size in sorted(report["mismatched_keys"]):
        expected = f"of the shape {tuple(saved)}, as in {_listed(paths)}"
        raise invalid_file(path, f"the shape {tuple(size)}", expected, name)
    for name in sorted(report["missing_keys"]):
        raise invalid_file(path, "no such weight", f"saved in {_listed(paths)}", name)


def _listed(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}"


def _weights_of(folder: Path) -> tuple[list[Path], list[tuple[int, ...]]]:
    """Return the files of the weights and all shapes; check that all of the folder is regular."""
    from safetensors import safe_open

    paths: list[Path] = []
    shapes: list[tuple[int, ...]] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            continue
        with open_file(path) as file:
            if path.suffix != ".safetensors":
                continue
            # The reader would take the memory that a damaged length asks for.
            check_size(path, int.from_bytes(file.read(8), "little"), "text", "header")

        def read(path: Path = path) -> list[tuple[int, ...]]:
            with safe_open(path, framework="pt") as tensors:
                names = list(tensors.keys())
                return [tuple(tensors.get_slice(name).get_shape()) for name in names]

        shapes += _named(path, read, "a complete safetensors file", "header")
        paths.append(path)
    return paths, shapes


def _numbers(value: object, field: str) -> Iterator[tuple[str, int]]:
    """Yield the place and value of each integer in nested JSON objects."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(item, f"{field}.{name}" if field else name)
    elif isinstance(value, int):
        yield field, value


def _named(
    path: Path,
    make: Callable[[], _T],
    expected: str = "a complete file or folder of save_pretrained",
    field: str = "config or weights",
) -> _T:
    """Return what transformers makes; its errors about damaged files are of nearly every kind."""
    try:
        return make()
    except (KeyboardInterrupt, SystemExit, ModuleNotFoundError):
        raise
    # The readers in Rust raise a PanicException, which is no Exception.
    except BaseException as error:
        first = next(iter(str(error).splitlines()), "")
        got = f"{type(error).__name__}: {first}"
        raise invalid_file(path, got, expected, field) from error

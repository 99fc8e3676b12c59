"""Responses of vLLM and SGLang with routed experts, as JSON.

Sources: vLLM pull request 28284 (``prompt_routed_experts`` of a completion, ``routed_experts`` of a
choice, nested lists or int16 in base64 with their shape); SGLang pull requests 12162 and 17434
(``meta_info.routed_experts`` of /generate, ``sgl_ext.routed_experts`` of a choice, int32 in base64
without a shape). Both need a server that was started with ``--enable-return-routed-experts``.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Array
from moe_costmodel._checks import shape_of
from moe_costmodel._fields import array_in
from moe_costmodel.traces.recorders.recorded import Recorded, Sizes, joined
from moela.files.fields import object_in, text_in
from moela.files.guard import brief, invalid_file

__all__ = ["FLAG", "is_response", "of_responses"]

FLAG = "--enable-return-routed-experts"
_FIELD, _PROMPT = "routed_experts", "prompt_routed_experts"
_EXTENSIONS = ("sgl_ext", "sglext", "meta_info")
_MISSING = (
    f"present; start the server with {FLAG} (vLLM, SGLang), and ask SGLang with "
    '"return_routed_experts": true'
)


def is_response(content: object) -> bool:
    """Return whether a JSON value looks like a response of vLLM or SGLang."""
    keys = {"choices", "meta_info", _FIELD, _PROMPT}
    return isinstance(content, dict) and bool(keys & set(content))


def of_responses(contents: Sequence[object], source: str | Path, sizes: Sizes) -> Recorded:
    """Return the routing of responses, one sequence a choice.

    Raises
    ------
    ValueError
        If a response has no routed experts (the message names the flag of the server), or they are
        damaged, or of another model than the first.
    """
    sequences: list[tuple[str, Array]] = []
    programs = set()
    for i, content in enumerate(contents):
        place = f"[{i}]" if len(contents) > 1 else ""
        found = list(
            _of_response(object_in(source, place or "response", content), place, source, sizes)
        )
        if not found:
            raise invalid_file(source, "none", _MISSING, f"{place}.{_FIELD}".lstrip("."))
        programs.update(program for program, _, _ in found)
        sequences += [(where, ids) for _, where, ids in found]
    name = f"{' and '.join(sorted(programs))} response"
    return joined(source, name, sequences, sizes)


def _of_response(
    content: dict[str, object], place: str, source: str | Path, sizes: Sizes
) -> Iterator[tuple[str, str, Array]]:
    """Yield program, place, and ids of each choice."""
    prefix = f"{place}." if place else ""
    prompt = content.get(_PROMPT)
    before = None if prompt is None else _ids(source, prefix + _PROMPT, prompt, sizes)
    choices = content.get("choices", [content])
    if not isinstance(choices, list):
        raise invalid_file(source, brief(choices), "a list", f"{prefix}choices")
    for i, choice in enumerate(choices):
        where = f"{prefix}choices[{i}]" if "choices" in content else place
        item = object_in(source, where or "response", choice)
        holders = [("vLLM", where, item)]
        for owner, at in ((item, where), (content, place)):
            for name in _EXTENSIONS:
                if isinstance(inner := owner.get(name), dict):
                    holders.append(("SGLang", f"{at}.{name}".lstrip("."), inner))
        for program, at, holder in holders:
            if holder.get(_FIELD) is not None:
                field = f"{at}.{_FIELD}".lstrip(".")
                ids = _ids(source, field, holder[_FIELD], sizes)
                if before is not None and before.shape[1:] != ids.shape[1:]:
                    expected = f"of the layers and k of the prompt, {before.shape[1:]}"
                    raise invalid_file(source, shape_of(ids), expected, field)
                yield program, field, ids if before is None else np.concatenate((before, ids))
                break
        else:
            if before is not None:
                yield "vLLM", prefix + _PROMPT, before


def _ids(source: str | Path, field: str, value: object, sizes: Sizes) -> Array:
    """Return ids (tokens, layers, k) of nested lists, or of base64 with or without a shape."""
    if isinstance(value, list):
        return array_in(source, field, value, ndim=(3,), whole=True)
    shape: tuple[int, ...] | None = None
    dtype = "int32"
    if isinstance(value, dict):
        dims = array_in(source, f"{field}.shape", value.get("shape"), ndim=(1,), whole=True)
        shape = tuple(int(n) for n in dims)
        if len(shape) != 3 or min(shape) < 0:
            raise invalid_file(source, f"{list(shape)}", "three sizes", f"{field}.shape")
        dtype = text_in(source, f"{field}.dtype", value.get("dtype"))
        if dtype not in ("uint8", "int16", "uint16", "int32", "int64"):
            raise invalid_file(source, dtype, "a type of integers", f"{field}.dtype")
        field, value = f"{field}.data", value.get("data")
    try:
        data = base64.b64decode(text_in(source, field, value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_file(source, str(error), "nested lists, or base64", field) from None
    n_bytes = np.dtype(dtype).itemsize
    if len(data) % n_bytes:
        raise invalid_file(source, f"{len(data)} bytes", f"whole numbers of {n_bytes} bytes", field)
    flat = np.frombuffer(data, dtype=np.dtype(dtype).newbyteorder("<")).astype(np.int64)
    if shape is None:
        if sizes.n_layers is None or sizes.k is None:
            got = f"{len(flat)} numbers without a shape"
            expected = "with the model's MoE layers and experts of a token (--layers, --top-k)"
            raise invalid_file(source, got, expected, field)
        shape = (len(flat) // (sizes.n_layers * sizes.k), sizes.n_layers, sizes.k)
    if math.prod(shape) != len(flat):
        got = f"{len(flat)} numbers"
        raise invalid_file(source, got, f"those of shape {shape}", field)
    return flat.reshape(shape)

"""The packaged model: its weights, its traces, and how it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from moe_costmodel._checks import one_of
from moela.files.extras import needed_by
from moela.files.text import read_json

if TYPE_CHECKING:
    from torch.nn import Module

    from moe_costmodel.example.model import ExampleModel

__all__ = ["config", "load_model", "loss_curve", "to_transformers", "trace_path"]

_DATA = Path(__file__).parent / "data"


def config() -> dict[str, int]:
    """Return the sizes of the packaged model, without loading torch."""
    return cast("dict[str, int]", read_json(_DATA / "config.json"))


def trace_path(domain: Literal["prose", "code"]) -> Path:
    """Return the packaged trace of a domain (held-out text), an npz.

    Parameters
    ----------
    domain : {"prose", "code"}
        Kind of text that was routed.

    Returns
    -------
    Path

    Examples
    --------
    >>> from moe_costmodel.example import trace_path
    >>> trace_path("code").suffix
    '.npz'
    """
    one_of("trace_path", "domain", domain, ("prose", "code"))
    return _DATA / f"trace_{domain}.npz"


def loss_curve() -> dict[str, object]:
    """Return the settings, versions and loss curve of the training of the packaged weights.

    Returns
    -------
    dict

    Examples
    --------
    >>> from moe_costmodel.example import loss_curve
    >>> sorted(loss_curve())[:3]
    ['balance_coefficient', 'batch', 'code_share']
    """
    return cast("dict[str, object]", read_json(_DATA / "loss.json"))


def load_model() -> ExampleModel:
    """Return the trained model, in float32 and evaluation mode (needs torch and safetensors).

    Returns
    -------
    Module
        Token ids [batch, length] in, logits [batch, length, vocabulary] out.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.example import load_model
    >>> model = load_model()
    >>> sum(p.numel() for p in model.parameters()) > 1_000_000
    True
    """
    with needed_by("load_model()"):
        from safetensors.torch import load_file

        from moe_costmodel.example.model import ExampleConfig, ExampleModel

    model = ExampleModel(ExampleConfig(**config()))
    weights = load_file(_DATA / "model.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.eval().requires_grad_(False)


def to_transformers(model: ExampleModel) -> Module:
    """Return the same model as a Hugging Face ``MixtralForCausalLM`` (needs transformers).

    Both models give the same logits, so that anything for Hugging Face models can be tried without
    a download.

    Parameters
    ----------
    model : Module
        The model of `load_model`.

    Returns
    -------
    MixtralForCausalLM

    Examples
    --------
    >>> from moe_costmodel.example import load_model, to_transformers
    >>> type(to_transformers(load_model())).__name__  # doctest: +SKIP
    """
    with needed_by("to_transformers()"):
        from transformers import MixtralConfig, MixtralForCausalLM

    sizes = model.config.to_dict()
    rope = {"rope_theta": sizes.pop("rope_theta"), "rope_type": "default"}
    mixtral = MixtralConfig(
        **sizes,  # type: ignore[arg-type]
        num_key_value_heads=model.config.num_attention_heads,
        rope_parameters=rope,
        sliding_window=None,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    other: Module = MixtralForCausalLM(mixtral)
    other.load_state_dict(model.state_dict())
    return other.eval().requires_grad_(False)

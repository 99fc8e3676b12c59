"""The example: a small MoE language model trained on what CPython ships, and its traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from moe_costmodel._checks import one_of

if TYPE_CHECKING:
    from moe_costmodel.example.model import ExampleModel

__all__ = ["load_model", "loss_curve", "to_transformers", "trace_path"]

_DATA = Path(__file__).parent / "data"


def trace_path(domain: Literal["prose", "code"]) -> Path:
    """Return the packaged trace of a domain (held-out text), an npz.

    Parameters
    ----------
    domain : {"prose", "code"}
        What kind of text was routed.

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


def loss_curve() -> dict[str, Any]:
    """Return how the packaged weights were made: settings, versions, and the loss curve.

    Returns
    -------
    dict

    Examples
    --------
    >>> from moe_costmodel.example import loss_curve
    >>> sorted(loss_curve())[:3]
    ['balance_coefficient', 'batch', 'code_share']
    """
    record: dict[str, Any] = json.loads((_DATA / "loss.json").read_text())
    return record


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
    from safetensors.torch import load_file

    from moe_costmodel.example.model import ExampleConfig, ExampleModel

    model = ExampleModel(ExampleConfig(**json.loads((_DATA / "config.json").read_text())))
    weights = load_file(_DATA / "model.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.eval().requires_grad_(False)


def to_transformers(model: ExampleModel) -> Any:
    """Return the same model as a Hugging Face ``MixtralForCausalLM`` (needs transformers).

    The two give the same logits, so whatever works on Hugging Face models can be tried on this
    one without a download.

    Parameters
    ----------
    model : Module
        From `load_model`.

    Returns
    -------
    MixtralForCausalLM

    Examples
    --------
    >>> from moe_costmodel.example import load_model, to_transformers
    >>> type(to_transformers(load_model())).__name__  # doctest: +SKIP
    """
    from transformers import MixtralConfig, MixtralForCausalLM

    sizes: dict[str, Any] = dict(model.config.to_dict())
    rope = {"rope_theta": sizes.pop("rope_theta"), "rope_type": "default"}
    config = MixtralConfig(
        **sizes,
        num_key_value_heads=model.config.num_attention_heads,
        rope_parameters=rope,
        sliding_window=None,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    other: Any = MixtralForCausalLM(config)
    other.load_state_dict(model.state_dict())
    return other.eval().requires_grad_(False)

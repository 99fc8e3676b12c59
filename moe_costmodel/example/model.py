"""The example language model: a byte-level Mixture-of-Experts transformer in plain torch.

The architecture and the parameter names are Mixtral's (RMSNorm, rotary attention, softmax over
the experts, normalized top-k, SwiGLU experts). The same weights load into the implementation of
Hugging Face transformers, which is an independent reference in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ExampleConfig", "ExampleModel", "KVCache"]

Gate = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
KVCache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class ExampleConfig:
    """Sizes of the example model, under their names in the configuration of Mixtral."""

    vocab_size: int = 256  # a token is a byte
    hidden_size: int = 128
    intermediate_size: int = 40  # inner width of one expert
    num_hidden_layers: int = 6  # each with an MoE layer
    num_attention_heads: int = 4
    num_local_experts: int = 32
    num_experts_per_tok: int = 4
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5

    def to_dict(self) -> dict[str, float]:
        """Return the settings as a plain dictionary."""
        return asdict(self)


class _Attention(nn.Module):
    def __init__(self, config: ExampleConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.n_heads = config.num_attention_heads
        self.theta = config.rope_theta
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def _rotate(self, x: Tensor, start: int) -> Tensor:
        half = x.shape[-1] // 2
        inverse = self.theta ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
        position = torch.arange(start, start + x.shape[-2], device=x.device, dtype=torch.float32)
        angle = torch.outer(position, inverse)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, width = x.shape
        shape = (batch, length, self.n_heads, width // self.n_heads)
        start = 0 if past is None else past[0].shape[-2]
        q = self._rotate(self.q_proj(x).view(shape).transpose(1, 2), start)
        k = self._rotate(self.k_proj(x).view(shape).transpose(1, 2), start)
        v = self.v_proj(x).view(shape).transpose(1, 2)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        mask = None
        if past is not None and length > 1:
            mask = torch.ones(length, k.shape[2], dtype=torch.bool, device=x.device).tril(start)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=past is None)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, width)), k, v


class _TopKRouter(nn.Module):
    """A router with the outputs and the kind of name that :mod:`moe_costmodel.traces` expects."""

    def __init__(self, config: ExampleConfig) -> None:
        super().__init__()
        self.num_experts, self.k = config.num_local_experts, config.num_experts_per_tok
        self.weight = nn.Parameter(torch.empty(self.num_experts, config.hidden_size))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (probabilities [S, E], weights [S, k], expert ids [S, k]) of tokens [S, D]."""
        probabilities = F.linear(x, self.weight).float().softmax(dim=-1)
        weights, ids = probabilities.topk(self.k, dim=-1)
        return probabilities, weights / weights.sum(dim=-1, keepdim=True), ids


class _Experts(nn.Module):
    def __init__(self, config: ExampleConfig) -> None:
        super().__init__()
        n_experts, width = config.num_local_experts, config.hidden_size
        inner = config.intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(n_experts, 2 * inner, width))
        self.down_proj = nn.Parameter(torch.empty(n_experts, width, inner))


class _MoE(nn.Module):
    """Router (softmax, top-k, normalization), and each expert on the tokens that chose it."""

    def __init__(self, config: ExampleConfig) -> None:
        super().__init__()
        self.k = config.num_experts_per_tok
        self.gate = _TopKRouter(config)
        self.experts = _Experts(config)

    def compute(self, x: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
        """Return the weighted sum of the chosen experts' outputs; weight 0 is not computed."""
        kept = weights.reshape(-1) != 0
        expert = ids.reshape(-1).masked_fill(~kept, self.gate.num_experts)
        order = expert.argsort(stable=True)[: int(kept.sum())]
        counts = torch.bincount(expert[order], minlength=self.gate.num_experts).tolist()
        token = order // ids.shape[1]
        outputs = []
        for part, up, down in zip(
            torch.split(x[token], counts),
            self.experts.gate_up_proj.unbind(0),
            self.experts.down_proj.unbind(0),
            strict=True,
        ):
            if len(part):
                left, right = F.linear(part, up).chunk(2, dim=-1)
                outputs.append(F.linear(F.silu(left) * right, down))
        if not outputs:
            return torch.zeros_like(x)
        mixed = torch.cat(outputs) * weights.reshape(-1)[order, None].to(x.dtype)
        return torch.zeros_like(x).index_add(0, token, mixed)


class _Block(nn.Module):
    def __init__(self, config: ExampleConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = _MoE(config)


class _Trunk(nn.Module):
    def __init__(self, config: ExampleConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)


class ExampleModel(nn.Module):
    """A small MoE language model over bytes."""

    def __init__(self, config: ExampleConfig | None = None) -> None:
        super().__init__()
        self.config = config or ExampleConfig()
        self.model = _Trunk(self.config)
        self.lm_head = nn.Linear(self.config.hidden_size, self.config.vocab_size, bias=False)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw fresh weights, normal with standard deviation 0.02 (outputs scaled by depth)."""
        scale = (2 * self.config.num_hidden_layers) ** -0.5
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim > 1:
                    last = name.endswith(("o_proj.weight", "down_proj"))
                    parameter.normal_(0.0, 0.02 * (scale if last else 1.0), generator=generator)

    def forward(
        self,
        input_ids: Tensor,
        *,
        cache: KVCache | None = None,
        gate: Gate | None = None,
        balance: list[Tensor] | None = None,
    ) -> Tensor:
        """Return the logits of the next byte, (batch, length, vocab_size).

        Parameters
        ----------
        input_ids : Tensor of shape (batch, length), int64
            Bytes.
        cache : list, optional
            Keys and values of the previous tokens, one pair per layer; extended in place. An empty
            list starts a cache.
        gate : callable, optional
            ``gate(layer, weights [S, k], ids [S, k]) -> (weights, ids)``, called between router
            and experts, to record the routing or to change it. An expert of weight 0 is not
            computed.
        balance : list, optional
            Receives one load-balancing loss per layer (Switch Transformers, eq. 4).
        """
        x = self.model.embed_tokens(input_ids)
        for i, block in enumerate(cast("list[_Block]", self.model.layers)):
            past = cache[i] if cache is not None and i < len(cache) else None
            mixed, keys, values = block.self_attn(block.input_layernorm(x), past)
            if cache is not None:
                cache[i : i + 1] = [(keys, values)]
            x = x + mixed
            flat = block.post_attention_layernorm(x).flatten(0, 1)
            probabilities, weights, ids = block.mlp.gate(flat)
            if balance is not None:
                share = torch.bincount(ids.reshape(-1), minlength=probabilities.shape[1])
                share = share / share.sum()
                balance.append(probabilities.shape[1] * (share * probabilities.mean(0)).sum())
            if gate is not None:
                weights, ids = gate(i, weights, ids)
            x = x + block.mlp.compute(flat, weights, ids).view_as(x)
        return self.lm_head(self.model.norm(x))

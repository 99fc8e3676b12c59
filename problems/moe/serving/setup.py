"""Settings of a serving problem: choices, limits, and checks of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moe_costmodel import (
    SERVING_OBJECTIVES,
    GateRule,
    Layout,
    ModelShape,
    Placement,
    RoutingTrace,
    legal_layouts,
)
from moe_costmodel._checks import InvalidParameter, invalid
from moe_costmodel.serving.loads import SampledLoads
from problems._checks import ascending_ints, check_int, check_names, check_real, setting_error
from problems.moe.base import as_windows, check_judged
from problems.moe.gating.levels import GateLevels, chosen_rules
from problems.moe.serving.columns import PARTS

__all__ = [
    "MINIMIZED",
    "OWNER",
    "Choices",
    "check_gpus",
    "check_loss",
    "checked_current",
    "checked_limits",
    "checked_parts",
    "levels_of",
    "named_objectives",
    "sampled_of",
    "windows_of",
]

OWNER = "MoEServing"

MINIMIZED = {
    "tokens_per_s_per_user": "seconds_per_token_per_user",
    "tokens_per_s_per_gpu": "gpu_seconds_per_token",
}
"""Names of objectives that are minimized as their reciprocals."""

_DEFAULT = ("tokens_per_s_per_user", "tokens_per_s_per_gpu")
_SEQUENCES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_TOKENS = (1024, 2048, 4096, 8192, 16384, 32768)
_NOTHING = 1e-9  # a loss that is due to rounding


@dataclass(frozen=True)
class Choices:
    """Values that the columns of a design stand for.

    Attributes
    ----------
    layouts : tuple of Layout
    redundant : tuple of int
        Redundant experts, ascending.
    legal : tuple of tuple of int
        Redundant experts that each layout takes for each choice: the choice, or the nearest legal
        number. If redundant experts are not decided, that may be a number that is not in
        `redundant`.
    sequences, tokens : tuple of int
        Sequences on a data-parallel rank, and most tokens of a step, ascending.
    """

    layouts: tuple[Layout, ...]
    redundant: tuple[int, ...]
    legal: tuple[tuple[int, ...], ...]
    sequences: tuple[int, ...]
    tokens: tuple[int, ...]

    @classmethod
    def of(
        cls,
        shape: ModelShape,
        n_gpus: int,
        backend: str,
        *,
        redundant: Sequence[int] | None,
        sequences: Sequence[int] | None,
        tokens: Sequence[int] | None,
        several: bool,
    ) -> Choices:
        """Return the checked choices; without `several`, a layout takes as few copies as it can."""
        experts = shape.experts
        if redundant is None:
            chosen: tuple[int, ...] = (0,)
            if experts is not None:
                n = experts.n_experts
                more = [-n % n_gpus + i * n_gpus for i in range(3)]
                if not several:
                    more = [-n % ep for ep in range(1, n_gpus + 1) if n_gpus % ep == 0]
                chosen = tuple(sorted({0, *(r for r in more if r <= n)}))
        else:
            chosen = ascending_ints(OWNER, "redundant_experts", redundant, 0)
        by_copies = {r: legal_layouts(shape, n_gpus, backend, redundant_experts=r) for r in chosen}
        found: dict[Layout, list[int]] = {}
        for r, layouts in by_copies.items():
            for layout in layouts:
                found.setdefault(layout, []).append(r)
        if not found:
            expected = (
                f"with a number that a layout on {n_gpus} GPUs takes, such as 0 (copies need "
                "expert parallelism, whose ranks divide the experts and their copies)"
            )
            raise setting_error(OWNER, "redundant_experts", expected, list(chosen))
        ordered = sorted(found, key=lambda v: (v.n_gpus, v.pp, v.tp, v.moe_tp))
        if not several:
            chosen = chosen[:1]  # layouts that need more still take the least of theirs
        legal = [
            tuple(min(found[layout], key=lambda r: (abs(r - wanted), r)) for wanted in chosen)
            for layout in ordered
        ]
        return cls(
            tuple(ordered), chosen, tuple(legal),
            ascending_ints(OWNER, "sequences", _SEQUENCES if sequences is None else sequences, 1),
            ascending_ints(
                OWNER, "max_num_batched_tokens", _TOKENS if tokens is None else tokens, 1
            ),
        )  # fmt: skip


def named_objectives(names: Sequence[str] | None, mode: str, *, priced: bool) -> tuple[str, ...]:
    """Return checked names of objectives, in natural units."""
    wanted = _DEFAULT if names is None else names
    listed = check_names(OWNER, "objectives", wanted, SERVING_OBJECTIVES)
    missing = {"prefill": ("tpot_mean", "tpot_p99"), "decode": ("ttft",)}.get(mode, ())
    for name in listed:
        if name in missing:
            expected = f"names that mode {mode!r} has, without {' and '.join(missing)}"
            raise setting_error(OWNER, "objectives", expected, name)
        if name == "cost_per_million_tokens" and not priced:
            expected = "given, since the objectives hold 'cost_per_million_tokens'"
            raise setting_error(OWNER, "price_per_gpu_hour", expected, None)
    return listed


def check_loss(objectives: Sequence[str], decided: Sequence[str]) -> None:
    """Raise the error about an objective that no decided part changes."""
    if "quality_loss" in objectives and "gates" not in decided:
        expected = (
            "without 'quality_loss', which only gates change; they need traces with the "
            "weights of each token's choices, and 'gates' in `decide`"
        )
        raise setting_error(OWNER, "objectives", expected, list(objectives))


def checked_parts(
    decide: Sequence[str] | None, objectives: Sequence[str], *, has_experts: bool, loads: bool,
    weights: bool,
) -> tuple[str, ...]:  # fmt: skip
    """Return the parts to decide; by default all that the model and the traffic allow.

    Gates are decided only if "quality_loss" is one of the objectives: without it, dropping choices
    costs nothing, and every design drops as many as it can.
    """
    allowed = {
        "parallelism": True, "batch": True, "redundancy": has_experts and loads,
        "placement": has_experts and loads, "gates": has_experts and weights,
    }  # fmt: skip
    judged = "quality_loss" in objectives
    if decide is None:
        return tuple(name for name, can in allowed.items() if can and (name != "gates" or judged))
    listed = check_names(OWNER, "decide", decide, PARTS)
    for name in listed:
        if not allowed[name]:
            needs = "weights of each token's choices" if name == "gates" else "loads of the experts"
            model = "" if has_experts else " and a model with experts"
            expected = f"without {name!r}, which needs traces with {needs}{model}"
            raise setting_error(OWNER, "decide", expected, list(listed))
    check_judged(OWNER, listed, judged, "add 'quality_loss' to `objectives`")
    return listed


def checked_limits(
    mode: str, ttft_slo_s: float | None, tpot_slo_s: float | None
) -> dict[str, float]:
    """Return the limits of times by objective."""
    limits = {}
    for parameter, name, value, role in (
        ("ttft_slo_s", "ttft", ttft_slo_s, "decode"),
        ("tpot_slo_s", "tpot_mean", tpot_slo_s, "prefill"),
    ):
        if value is None:
            continue
        if mode == role:
            expected = f"None in mode {mode!r}, which has no {name}"
            raise setting_error(OWNER, parameter, expected, value)
        limits[name] = check_real(OWNER, parameter, value, 0, above=True)
    return limits


def windows_of(loads: RoutingTrace | Sequence[RoutingTrace] | None) -> list[RoutingTrace]:
    """Return the traces of the traffic; none if there are no loads."""
    return [] if loads is None else as_windows(loads, OWNER, tokens=False, name="loads")


def levels_of(
    windows: Sequence[RoutingTrace], rules: Sequence[GateRule] | None, rule: str
) -> GateLevels:
    """Return the levels of the gates, of which the last one drops nothing.

    Plans give it as no rule, and it costs no time. If all `rules` drop something, it is added.
    """
    chosen = chosen_rules(rules, rule, windows[0].k, OWNER)
    levels = GateLevels.of(windows, chosen, OWNER)
    if levels.lost[:, :, -1].max() > _NOTHING:
        levels = GateLevels.of(windows, (*chosen, GateRule.keep_all()), OWNER)
    return levels


def sampled_of(windows: Sequence[RoutingTrace], shape: ModelShape) -> SampledLoads | None:
    """Return the sampler of a model's loads, None without loads; they must be the model's."""
    if not windows:
        return None
    if shape.experts is None:
        expected = f"None, since the model {shape.name!r} has no experts"
        raise setting_error(OWNER, "loads", expected, windows[0].source)
    try:
        return SampledLoads(windows, shape)
    except InvalidParameter as error:
        raise invalid(OWNER, "loads", error.got, error.expected) from error


def checked_current(current: object, shape: ModelShape, loads: SampledLoads | None) -> None:
    """Raise unless `current` is None, or a placement of the model's layers beside loads."""
    if current is None:
        return
    if loads is None:
        expected = "None without `loads`, which placements are compared on"
        raise setting_error(OWNER, "current", expected, current)
    wanted = (shape.n_moe_layers, loads.shares.shape[2])
    expected = f"a Placement of {wanted[0]} MoE layers of {wanted[1]} experts, as the model"
    if not isinstance(current, Placement):
        raise setting_error(OWNER, "current", expected, current)
    got = (current.n_layers, current.n_experts)
    if got != wanted:
        raise setting_error(OWNER, "current", expected, f"{got[0]} layers of {got[1]}")


def check_gpus(n_gpus: object, mode: str) -> int:
    """Return the number of GPUs; a disaggregated plan needs two."""
    return check_int(OWNER, "n_gpus", n_gpus, 2 if mode == "disaggregated" else 1, 4096)

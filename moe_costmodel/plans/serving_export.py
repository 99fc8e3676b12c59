"""Whole command lines from a serving plan, one for each pool of instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from moe_costmodel._checks import invalid, one_of
from moe_costmodel.models.families import ARCHITECTURES
from moe_costmodel.plans.engines.export import Export
from moe_costmodel.plans.engines.registry import ENGINES, engine_command
from moe_costmodel.plans.engines.settings import ServerSettings
from moe_costmodel.plans.export_files import is_moved, write_location
from moe_costmodel.plans.ungated import serving_notes
from moe_costmodel.silicon.memory import gpu_memory

if TYPE_CHECKING:
    from moe_costmodel.plans.serving_plan import ServingPlan, ServingPool
    from moe_costmodel.silicon.tables.gpu import Gpu

__all__ = ["export_serving"]

_USABLE = 0.9
_SEPARATE = (
    "the plan's steps compute prompts and answers together; SGLang does so with "
    "--enable-mixed-chunk only, and else computes prompts first, in steps of their own"
)


def export_serving(
    plan: ServingPlan,
    folder: str | Path,
    *,
    model: str,
    engine: str | None = None,
    gpu: Gpu | None = None,
    layers: Sequence[int] | None = None,
    name: str = "",
) -> tuple[Export, ...]:
    """Write the files of a plan for an engine, and return the command line of each pool.

    :meth:`ServingPlan.export` describes the parameters.
    """
    engine = one_of("ServingPlan.export", "engine", engine or plan.backend, ENGINES)
    numbers = _numbers(plan, layers)
    exports = []
    for pool in plan.pools:
        stem = Path(folder) / "_".join(filter(None, (name, engine, _role(plan, pool))))
        settings = _settings(plan, pool, model, gpu)
        notes: list[str] = []
        if pool.placement is not None and is_moved(pool.placement) and pool.layout.moe_ep > 1:
            n_layers = _n_layers(plan)
            path, notes = write_location(pool.placement, numbers, engine, stem, n_layers)
            settings = replace(settings, location=path)
        guessed = plan.shape.n_dense_layers and layers is None and not _is_paired(plan)
        if guessed and settings.location is not None:
            notes = [*notes, "the layers without experts are taken to be the first ones"]
        if settings.context > plan.shape.max_context > 0:
            notes = [
                *notes,
                f"the server is told a context of {settings.context:,} tokens, more than the "
                f"{plan.shape.max_context:,} of the model's config: add a scaling of positions "
                "(rope_scaling) to the config, or it refuses to start",
            ]
        if engine == "sglang" and pool.role == "mixed":
            notes = [*notes, _SEPARATE]
        notes += serving_notes(plan)
        export = engine_command(settings, engine, stem.parent, name=stem.name)
        exports.append(replace(export, notes=(*export.notes, *notes)))
    return tuple(exports)


def _numbers(plan: ServingPlan, layers: Sequence[int] | None) -> tuple[int, ...]:
    """Return the number of each layer with experts within the model."""
    n_moe = plan.shape.n_moe_layers
    if layers is None and _is_paired(plan):
        return tuple(range(n_moe))
    if layers is None:
        moved = any(p.placement is not None and is_moved(p.placement) for p in plan.pools)
        why = ""
        if moved and _counts_mixers(plan):
            why = "whose mixers and feed-forward parts are layers of their own"
        elif moved and _interleaves(plan):
            why = "with layers without experts among the others"
        if why:
            expected = (
                f"given for a model {why}: "
                "moe_costmodel.models.config.moe_layer_numbers(config) returns them"
            )
            raise invalid("ServingPlan.export", "layers", None, expected)
        return tuple(range(plan.shape.n_dense_layers, plan.shape.n_layers))
    if len(layers) != n_moe:
        expected = f"a number for each of {n_moe} layers with experts"
        raise invalid("ServingPlan.export", "layers", list(layers), expected)
    return tuple(layers)


def _n_layers(plan: ServingPlan) -> int:
    """Return the number of layers as engines count them."""
    shape = plan.shape
    if _is_paired(plan):
        return shape.n_moe_layers
    if not _counts_mixers(plan):
        return shape.n_layers
    return shape.n_layers + sum(b.n_layers for b in shape.blocks if b.experts or b.d_ffn)


def _counts_mixers(plan: ServingPlan) -> bool:
    """Tell whether mixers and feed-forward parts are layers of their own (Nemotron-3)."""
    shape = plan.shape
    return shape.single_parts or any(not (b.experts or b.d_ffn) for b in shape.blocks)


def _is_paired(plan: ServingPlan) -> bool:
    """Tell whether each of the engine's layers is two of the plan's shape (LongCat-Flash)."""
    architecture = ARCHITECTURES.get(plan.shape.name)
    return architecture is not None and architecture.paired


def _interleaves(plan: ServingPlan) -> bool:
    """Tell whether layers without experts are known not to be the first ones (Llama-4, Jamba)."""
    architecture = ARCHITECTURES.get(plan.shape.name)
    known = architecture is not None and not architecture.dense_first
    return known and plan.shape.n_dense_layers > 0


def _role(plan: ServingPlan, pool: ServingPool) -> str:
    return pool.role if plan.mode == "disaggregated" else ""


def _settings(plan: ServingPlan, pool: ServingPool, model: str, gpu: Gpu | None) -> ServerSettings:
    shape, experts = plan.shape, plan.shape.experts
    context = plan.input_tokens + plan.output_tokens
    sequences = pool.concurrency
    if pool.role == "prefill":
        # Prompts of one step, and as many steps as pipeline stages; each prompt waits for its cache
        # to be fetched while the next is computed.
        sequences *= 2 * pool.layout.pp
    held = gpu_memory(shape, pool.layout, 1, context, kv_dtype=plan.kv_dtype)
    return ServerSettings(
        model=model,
        layout=pool.layout,
        sequences=sequences,
        architecture=shape.name,
        chunk_tokens=pool.max_num_batched_tokens,
        context=context,
        redundant_experts=pool.redundant_experts,
        n_experts=experts.n_experts if experts else 0,
        k=experts.k if experts else 0,
        n_moe_layers=shape.n_moe_layers,
        thresholds=any(rule is not None for rule in plan.gates),
        memory_fraction=_USABLE,
        kv_dtype=plan.kv_dtype,
        role=_role(plan, pool) or "both",
        gpus_per_node=gpu.n_per_node if gpu is not None else 8,
        replicas=pool.replicas,
        memory_bytes=gpu.memory_bytes if gpu is not None else 0.0,
        weight_bytes=held.weights,
    )

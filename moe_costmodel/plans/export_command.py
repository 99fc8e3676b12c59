"""Whole command lines from a plan: its files, its flags, and its notes together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from moe_costmodel._checks import invalid, one_of
from moe_costmodel.plans.engines.export import Export
from moe_costmodel.plans.engines.registry import ENGINES, engine_command
from moe_costmodel.plans.engines.settings import ServerSettings
from moe_costmodel.plans.export_files import check_n_layers, is_moved, lost, write_location
from moe_costmodel.plans.export_flags import Evaluate, best_single_capacity
from moe_costmodel.plans.ungated import plan_notes
from moe_costmodel.silicon.layout import Layout

if TYPE_CHECKING:
    from moe_costmodel.plans.plan import Plan

__all__ = ["export_plan", "settings_of"]


def settings_of(plan: Plan, model: str, layout: Layout | None = None) -> ServerSettings:
    """Return the settings of a server that runs a plan.

    Without a layout, attention is data-parallel: each device has sequences of its own.
    """
    n = plan.n_devices
    layout = layout or Layout(dp=n, moe_ep=n)
    decode = plan.mode == "decode"
    return ServerSettings(
        model=model,
        layout=layout,
        sequences=plan.batch_size if decode else 0,
        chunk_tokens=0 if decode else -(-plan.batch_size // layout.dp),
        redundant_experts=plan.placement.n_replicas,
        n_experts=plan.shape.n_experts,
        k=plan.shape.k,
        n_moe_layers=plan.n_layers,
        moe_layers=plan.layers,
        resident_experts=int(plan.capacities.max()) if plan.is_buffered else 0,
        expert_bytes=float(plan.shape.expert_bytes),
        thresholds=plan.has_thresholds,
        gpus_per_node=plan.devices_per_node,
    )


def _contradictions(plan: Plan, layout: Layout | None) -> list[str]:
    """Return notes on a layout that is not the plan's; a ValueError if its experts lie elsewhere.

    Copies and placements are those of a number of devices; without them, experts in order of their
    ids fit any number.
    """
    n = plan.n_devices
    if layout is None or layout.moe_ep == n:
        return []
    if plan.placement.n_replicas or (n > 1 and is_moved(plan.placement)):
        expected = f"of moe_ep = {n}, the devices among which the plan has placed the experts"
        raise invalid("Plan.export", "layout", f"({layout})", expected)
    return [f"the layout has ep {layout.moe_ep}; the plan's times are those of ep {n}"]


def export_plan(
    plan: Plan,
    engine: str,
    folder: str | Path,
    *,
    model: str,
    architecture: str = "",
    layout: Layout | None = None,
    n_layers: int | None = None,
    context: int = 0,
    evaluate: Evaluate | None = None,
) -> Export:
    """Write a plan's files for an engine, and return the command line that starts it.

    :meth:`Plan.export` describes the parameters.
    """
    one_of("Plan.export", "engine", engine, ENGINES)
    folder = Path(folder)
    check_n_layers("Plan.export", plan.layers, n_layers)
    notes = _contradictions(plan, layout)
    on_machine = engine in ("llamacpp", "ktransformers")
    if plan.is_buffered and (engine == "sglang" or on_machine) and plan.n_devices == 1:
        plan, more = best_single_capacity(plan, evaluate, owner="Plan.export")
        notes += more
    settings = replace(settings_of(plan, model, layout), architecture=architecture, context=context)
    if plan.n_devices > 1 and not on_machine:
        if plan.is_buffered:
            settings = replace(settings, resident_experts=0)
            notes += lost(plan, ("buffer",))
        if is_moved(plan.placement):
            path, more = write_location(
                plan.placement, plan.layers, engine, folder / engine, n_layers
            )
            settings, notes = replace(settings, location=path), [*notes, *more]
    notes += plan_notes(plan, evaluate)
    export = engine_command(settings, engine, folder, name=engine)
    return replace(export, notes=(*export.notes, *notes))

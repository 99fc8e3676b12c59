"""Plan: a decision about an MoE model with its predictions, which can be saved and exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel.objectives import OBJECTIVES, Predicted
from moe_costmodel.plans import export_command, export_files, export_flags, files, text
from moe_costmodel.plans.decision import Decision
from moe_costmodel.plans.engines.export import Export
from moe_costmodel.shapes import LayerShape
from moela.files.guard import brief
from moela.notebook import html

if TYPE_CHECKING:
    from moe_costmodel.deployment.check import PlanCheck
    from moe_costmodel.deployment.model import DeploymentModel
    from moe_costmodel.plans.apply import AppliedPlan, SlowMemory
    from moe_costmodel.silicon.layout import Layout
    from moe_costmodel.traces.trace import Mode, RoutingTrace

__all__ = ["Plan"]


def _items(name: str, values: object, expected: str) -> tuple[object, ...]:
    """Return the items of a parameter that must be a sequence, and no text."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise invalid("Plan", name, brief(values), expected)
    return tuple(values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan(Decision):
    """A :class:`Decision` about a Mixture-of-Experts model, with what is predicted of it.

    Parameters
    ----------
    model : str
        Name of the model.
    shape : LayerShape
        An MoE layer as a whole (``n_local == n_experts``).
    mode : {"prefill", "decode"}
        The half of serving that the plan is for.
    placement, batch_size, gates, capacities, policy, offload, start
        As for :class:`Decision`.
    devices_per_node : int, optional
        Divides the number of devices; by default all devices are on one node.
    layers : sequence of int, optional
        Number of each MoE layer within its model; by default 0, 1, ...
    objectives : dict of str to Predicted
        Predicted objectives, by a name of :data:`moe_costmodel.OBJECTIVES`.
    quality_kind : str
        What "quality_loss" measures: "gate mass lost", or "measured loss" (nats per token more
        than the model without thresholds).
    outside : sequence of str
        Reasons why predicted times are extrapolated beyond what was measured; empty if they are
        not.
    provenance : dict of str to str
        Sources of the prediction: fingerprints and names of traces, hardware and latency model.
    versions : dict of str to str
        Versions of the software that made the plan.

    Raises
    ------
    ValueError
        If a part is out of its range, or the parts do not fit one another.

    Examples
    --------
    >>> from moe_costmodel import LayerShape, Plan, contiguous
    >>> plan = Plan(
    ...     model="small",
    ...     shape=LayerShape(n_experts=8, k=2, d_model=64, d_ffn=128),
    ...     mode="decode",
    ...     batch_size=4,
    ...     placement=contiguous(6, 8, n_devices=4),
    ... )
    >>> plan.n_layers, plan.n_devices
    (6, 4)
    """

    model: str
    shape: LayerShape
    mode: Mode
    devices_per_node: int = 0
    layers: tuple[int, ...] = ()
    objectives: dict[str, Predicted] = field(default_factory=dict)
    quality_kind: str = "gate mass lost"
    outside: tuple[str, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("model", "quality_kind"):
            if not isinstance(getattr(self, name), str):
                raise invalid("Plan", name, repr(getattr(self, name)), "text")
        if not isinstance(self.shape, LayerShape):
            raise invalid("Plan", "shape", repr(self.shape), "a LayerShape")
        one_of("Plan", "mode", self.mode, ("prefill", "decode"))
        n_experts = self.shape.n_experts
        if self.shape.n_local != n_experts:
            got = self.shape.n_local
            raise invalid("Plan", "shape", got, "of the whole layer, n_local = n_experts")
        if self.placement.n_experts != n_experts:
            got = self.placement.n_experts
            raise invalid("Plan", "placement", got, f"of the layer's {n_experts} experts")
        of_node = count("Plan", "devices_per_node", self.devices_per_node or self.n_devices)
        if self.n_devices % of_node:
            expected = f"a divisor of {self.n_devices} devices"
            raise invalid("Plan", "devices_per_node", of_node, expected)
        object.__setattr__(self, "devices_per_node", of_node)
        object.__setattr__(self, "layers", self._checked_layers())
        if not isinstance(self.objectives, Mapping):
            expected = "a mapping of names to Predicted values"
            raise invalid("Plan", "objectives", brief(self.objectives), expected)
        for name, predicted in self.objectives.items():
            one_of("Plan", "objectives", name, OBJECTIVES)
            if not isinstance(predicted, Predicted):
                raise invalid("Plan", "objectives", repr(predicted), "Predicted values")
        reasons = _items("outside", self.outside, "a sequence of texts")
        if not all(isinstance(reason, str) for reason in reasons):
            raise invalid("Plan", "outside", repr(self.outside), "a sequence of texts")
        object.__setattr__(self, "outside", reasons)
        for name in ("provenance", "versions"):
            mapping = getattr(self, name)
            if not isinstance(mapping, dict) or not all(
                isinstance(item, str) for pair in mapping.items() for item in pair
            ):
                raise invalid("Plan", name, repr(mapping), "a mapping of text to text")

    def _checked_layers(self) -> tuple[int, ...]:
        """Return the layers' numbers, by default 0, 1, ..."""
        expected = f"{self.n_layers} ascending layer numbers"
        given = [
            n.item() if isinstance(n, np.integer) else n
            for n in _items("layers", self.layers, expected)
        ] or list(range(self.n_layers))
        numbers = [n for n in given if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
        ascending = all(b > a for a, b in pairwise(numbers))
        if not len(given) == len(numbers) == self.n_layers or not ascending:
            raise invalid("Plan", "layers", given, expected)
        return tuple(numbers)

    @property
    def n_nodes(self) -> int:
        """Number of nodes that the devices are on."""
        return self.n_devices // self.devices_per_node

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Plan) else NotImplemented

    __hash__ = Decision.__hash__

    def to_dict(self) -> dict[str, object]:
        """Return the plan as plain values, as :meth:`save` writes them."""
        return files.to_dict(self)

    def save(self, path: str | Path) -> Path:
        """Write the plan as JSON."""
        return files.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan from JSON.

        Raises
        ------
        ValueError
            If the file is not a plan. The message names the file, the field, the expected value
            and the actual one.
        """
        return files.load(path, cls)

    def __str__(self) -> str:
        return text.table(self)

    def __repr__(self) -> str:
        return f"Plan: {self.summary()}"

    def _repr_html_(self) -> str:
        return html.lines(str(self))

    def summary(self) -> str:
        """Return the plan in one line."""
        return text.summary(self)

    def explain(self) -> str:
        """Return a page in plain words: what to set, what to expect, and how sure that is."""
        return text.explain(self)

    def check(
        self,
        other: RoutingTrace | Sequence[RoutingTrace],
        *,
        deployment: DeploymentModel,
        running: Plan | None = None,
    ) -> PlanCheck:
        """Evaluate the plan on other traffic; see :meth:`moe_costmodel.DeploymentModel.check`."""
        return deployment.check(self, other, running=running)

    def export(
        self,
        engine: str,
        folder: str | Path,
        *,
        model: str,
        architecture: str = "",
        layout: Layout | None = None,
        n_layers: int | None = None,
        context: int = 0,
        evaluate: export_flags.Evaluate | None = None,
    ) -> Export:
        """Write the plan's files for an engine, and return the whole command line that starts it.

        Parameters
        ----------
        engine : {"sglang", "vllm", "trtllm", "llamacpp", "ktransformers"}
            The engine.
        folder : str or Path
            Folder for the files: the placement, and options that have no flag.
        model : str
            Folder or name of the model that the engine loads.
        architecture : str, optional
            ``model_type`` of its config.json; a note says if the engine does not read a placement
            for it.
        layout : Layout, optional
            Division of attention and experts; by default attention is data-parallel, and experts
            are divided by expert parallelism. If experts have copies or another order than that of
            their ids, `moe_ep` must be the plan's number of devices; else a note names another one.
        n_layers : int, optional
            Layers of the whole model, for models that end in layers without experts.
        context : int, optional
            Longest sequence; by default the model's own.
        evaluate : callable, optional
            As for :meth:`to_ktransformers`; needed if buffers differ between layers. If the plan
            has thresholds, which no engine takes, a note then gives its objectives without them.

        Returns
        -------
        Export

        Raises
        ------
        ValueError
            If the engine is unknown, or cannot express the plan at all; or if the layout has other
            devices than a placement, or the model fewer layers than the plan.
        """
        return export_command.export_plan(
            self, engine, folder, model=model, architecture=architecture, layout=layout,
            n_layers=n_layers, context=context, evaluate=evaluate,
        )  # fmt: skip

    def to_sglang(self, path: str | Path, n_layers: int | None = None) -> Export:
        """Write the placement as SGLang's ``--init-expert-location`` (JSON).

        Parameters
        ----------
        path : str or Path
            The file to write.
        n_layers : int, optional
            Number of all layers of the model, dense ones included. Needed only if dense layers
            follow the last layer of the plan.
        """
        return export_files.to_sglang(self, path, n_layers)

    def to_vllm(self, path: str | Path) -> Export:
        """Write the placement to `path` as a proposed expert map, which no released vLLM reads."""
        return export_files.to_vllm(self, path)

    def to_tensorrt_llm(self, path: str | Path) -> Export:
        """Write the placement to `path` as TensorRT-LLM's load-balancer configuration (YAML)."""
        return export_files.to_tensorrt_llm(self, path)

    def to_ktransformers(self, *, evaluate: export_flags.Evaluate | None = None) -> Export:
        """Return KTransformers' flag: how many experts of each layer stay on the GPU.

        Parameters
        ----------
        evaluate : callable, optional
            ``evaluate(plan)[objective]``, such as `DeploymentModel.evaluate`; needed if the layers
            of the plan differ.

        Raises
        ------
        ValueError
            If the plan has several devices, or `evaluate` is needed and missing.
        """
        return export_flags.to_ktransformers(self, evaluate=evaluate)

    def to_llamacpp(self, *, evaluate: export_flags.Evaluate | None = None) -> Export:
        """Return flags of llama.cpp: ``-ser`` (a fork's), and the layers of experts on the CPU.

        Parameters and errors are those of :meth:`to_ktransformers`.
        """
        return export_flags.to_llamacpp(self, evaluate=evaluate)

    def apply(
        self, model: Any, *, part: str | None = None, slow: SlowMemory | None = None
    ) -> AppliedPlan:
        """Install the plan's thresholds and buffered experts in a model of this process.

        Parameters
        ----------
        model : Module
            A Hugging Face model of a known family, or the packaged example model.
        part : {"encoder", "decoder"}, optional
            Half of an encoder-decoder model.
        slow : callable, optional
            ``slow(layer, experts)`` returns the experts of a buffered layer as they lie in slow
            memory, such as mapped from a file. By default they stay where they are, or, on a GPU,
            move to the memory of the CPU.

        Returns
        -------
        AppliedPlan
            As a context manager, it removes the plan from the model at the end.

        Raises
        ------
        ValueError
            If the plan is for another model, or the model has a plan already.
        """
        from moe_costmodel.plans.apply import apply

        return apply(self, model, part=part, slow=slow)

"""Serving of a whole model on GPUs as a pymoo problem, composed of measured kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import moocore
import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import (
    SERVING_OBJECTIVES,
    GateRule,
    ModelShape,
    Placement,
    RoutingTrace,
    ServingPlan,
    SiliconModel,
)
from moe_costmodel.deployment.fingerprints import of_trace
from moe_costmodel.plans.engines.settings import KV_TYPES
from moe_costmodel.plans.serving_plan import MODES
from problems._arrays import Floats, Ints
from problems._checks import check_choice, check_int, check_real
from problems.moe.base import MoEProblem
from problems.moe.few_starts import by_worth
from problems.moe.serving.columns import Columns
from problems.moe.serving.evaluation import Evaluator, Served, roles_of
from problems.moe.serving.features import feature_names, features
from problems.moe.serving.limits import refusal
from problems.moe.serving.placements import CONTIGUOUS, METHODS, PlacementLibrary
from problems.moe.serving.plan import plan_of
from problems.moe.serving.setup import (
    MINIMIZED,
    OWNER,
    Choices,
    check_gpus,
    check_loss,
    checked_current,
    checked_limits,
    checked_parts,
    levels_of,
    named_objectives,
    sampled_of,
    windows_of,
)
from problems.moe.serving.starts import candidates, default_values, finer

__all__ = ["MoEServing"]

EVALUATION = 1
"""Version of the evaluation: increased whenever a design gets other objectives than before."""

USABLE = 0.9
"""Share of a GPU's memory that weights and cache may take; activations and buffers get the rest."""


def _tables_of(folder: Path) -> list[tuple[str, int]]:
    """Return names and sizes of the files in a folder of tables, which tell versions apart."""
    paths = sorted(folder.rglob("*.parquet"))
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]


class MoEServing(MoEProblem):
    """Decide how a whole model is served on GPUs; all objectives are minimized.

    Steps are composed of kernels that were measured on the GPU, as
    :class:`moe_costmodel.SiliconModel` does. A row of X holds, for each pool of instances, the
    indices of a layout, of the sequences on a data-parallel rank, and of the most tokens of a step;
    then the index of the redundant experts, and for each MoE layer the indices of its placement and
    of its gate. ``columns`` gives the columns of each, ``choices`` the values. All GPUs hold
    instances; a disaggregated plan divides them between its pools so that their rates are balanced.

    Parameters
    ----------
    shape : ModelShape, str, Path or mapping
        The model, or its config.json, as :meth:`moe_costmodel.ModelShape.from_config` takes it.
    gpu : str
        Kind of GPU, a name of :func:`moe_costmodel.gpu_names`.
    n_gpus : int
        GPUs of all instances.
    backend : {"sglang", "vllm", "trtllm"}
        Engine.
    loads : RoutingTrace or sequence of RoutingTrace, optional
        Traffic: loads of experts, or choices of tokens, of the model's MoE layers. None stands for
        the loads of the tables' benchmarks; the plan says so.
    input_tokens, output_tokens : int
        Tokens of each prompt and answer.
    mode : {"mixed", "prefill", "decode", "disaggregated"}
        Parts of serving. "mixed" computes prompts and answers on the same instances.
    objectives : sequence of str, optional
        Names of :data:`moe_costmodel.SERVING_OBJECTIVES`; by default tokens per second of a user
        and of a GPU, which are minimized as their reciprocals. In prefill, tokens are those of
        prompts.
    decide : sequence of str, optional
        Parts to decide, of "parallelism", "batch", "redundancy", "placement", and "gates"; by
        default all that the model and the loads allow, but "gates" only if "quality_loss" is an
        objective. "gates" without that objective is refused. Parts that are not decided keep the
        engine's defaults: tensor parallelism over a node, only the redundant experts without which
        a layout's ranks do not divide the experts, the engine's own placement, no rules.
    ttft_slo_s, tpot_slo_s : float, optional
        Limits of the mean time to the first token and of the mean time per further token.
    price_per_gpu_hour : float, optional
        Price of a GPU for an hour, for "cost_per_million_tokens".
    memory_budget : float, optional
        Bytes of a GPU that weights and cache may take; by default 90 % of its memory.
    sequences, max_num_batched_tokens, redundant_experts : sequence of int, optional
        Ascending choices of sequences on a data-parallel rank, of most tokens of a step, and of
        redundant experts.
    rule, rules
        Rules of the gates, as for ``GatingThresholds``. Layers may always do without a rule.
    current : Placement, optional
        Placement that runs today; layers may keep it in layouts of its ranks and slots.
    kv_dtype : {"bfloat16", "fp8"}
        Type of the cache.
    root : str or Path, optional
        Folder of the tables; by default that of the installed aiconfigurator-core.

    Attributes
    ----------
    shape : ModelShape
    mode : str
    choices : Choices
        Layouts, sequences, tokens and redundant experts that the columns stand for.
    methods : tuple of str
        Placements that a layer chooses from.
    constraint_names : tuple of str

    Raises
    ------
    ModuleNotFoundError
        If the tables are not installed.
    ValueError
        If a parameter is out of range, the loads are of another model, or no deployment meets a
        limit; the message names the nearest that can be met.

    Examples
    --------
    >>> from problems.moe import MoEServing
    >>> problem = MoEServing("config.json", gpu="h200_sxm", n_gpus=16)  # doctest: +SKIP
    >>> problem.plan(problem.starts()[0]).summary()  # doctest: +SKIP
    """

    _mutation = 0.9, 4
    _sample_moves = 6

    def __init__(
        self,
        shape: ModelShape | str | Path | Mapping[str, object],
        gpu: str = "h200_sxm",
        n_gpus: int = 16,
        backend: str = "sglang",
        *,
        loads: RoutingTrace | Sequence[RoutingTrace] | None = None,
        input_tokens: int = 4096,
        output_tokens: int = 1024,
        mode: str = "mixed",
        objectives: Sequence[str] | None = None,
        decide: Sequence[str] | None = None,
        ttft_slo_s: float | None = None,
        tpot_slo_s: float | None = None,
        price_per_gpu_hour: float | None = None,
        memory_budget: float | None = None,
        sequences: Sequence[int] | None = None,
        max_num_batched_tokens: Sequence[int] | None = None,
        redundant_experts: Sequence[int] | None = None,
        rule: str = "top-p",
        rules: Sequence[GateRule] | None = None,
        current: Placement | None = None,
        kv_dtype: str = "bfloat16",
        root: str | Path | None = None,
    ) -> None:
        self.shape = shape if isinstance(shape, ModelShape) else ModelShape.from_config(shape)
        self.mode = check_choice(OWNER, "mode", mode, MODES)
        check_choice(OWNER, "kv_dtype", kv_dtype, KV_TYPES)
        n_gpus = check_gpus(n_gpus, mode)
        for name, value in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
            check_int(OWNER, name, value, 1, 2**24)
        price = price_per_gpu_hour
        if price is not None:
            price = check_real(OWNER, "price_per_gpu_hour", price, 0, above=True)
        model = SiliconModel(gpu, backend, root)
        self.windows = windows_of(loads)
        has_experts = self.shape.experts is not None
        sampled = sampled_of(self.windows, self.shape)
        checked_current(current, self.shape, sampled)
        weights = sampled is not None and sampled.has_weights
        self._names = named_objectives(objectives, mode, priced=price is not None)
        decided = checked_parts(
            decide, self._names, has_experts=has_experts, loads=bool(self.windows), weights=weights
        )
        check_loss(self._names, decided)
        self.objective_names = tuple(MINIMIZED.get(name, name) for name in self._names)
        levels = None
        if "gates" in decided:
            levels = levels_of(self.windows, rules, rule)
        library = None if sampled is None else PlacementLibrary(sampled, current)
        self.methods = METHODS if library is None else library.names
        self.choices = Choices.of(
            self.shape, n_gpus, backend, redundant=redundant_experts, sequences=sequences,
            tokens=max_num_batched_tokens, several="redundancy" in decided,
        )  # fmt: skip
        self.evaluator = Evaluator(
            model, self.shape, self.choices, mode=mode, n_gpus=n_gpus, input_tokens=input_tokens,
            output_tokens=output_tokens, kv_dtype=kv_dtype, price=price, loads=sampled,
            library=library, levels=levels,
        )  # fmt: skip
        budget = USABLE * model.tables.gpu.memory_bytes
        if memory_budget is not None:
            budget = check_real(OWNER, "memory_budget", memory_budget, 0, above=True)
        self._limits = {"memory_bytes": budget, **checked_limits(mode, ttft_slo_s, tpot_slo_s)}
        self.constraint_names = (*self._limits, *(["n_gpus"] if mode == "disaggregated" else []))
        n_layers = self.shape.n_moe_layers if has_experts else 0
        highest = {
            "layout": len(self.choices.layouts) - 1, "sequences": len(self.choices.sequences) - 1,
            "tokens": len(self.choices.tokens) - 1, "redundancy": len(self.choices.redundant) - 1,
            "placement": len(self.methods) - 1,
            "gates": 0 if levels is None else levels.n_levels - 1,
        }  # fmt: skip
        default = default_values(self.choices, highest, model.tables.gpu.n_per_node, self.shape)
        self.columns = Columns(
            len(roles_of(mode)), highest, n_layers, default=default, decide=decided
        )
        if levels is not None:
            self.columns.known_gates = levels.path()
        self.feature_names = feature_names(self.columns, self.evaluator.roles, self.methods)
        super().__init__(self.columns.xl, self.columns.xu, n_ieq_constr=len(self.constraint_names))
        self._set_version(
            "serving", EVALUATION, repr(self.shape), gpu, backend, n_gpus, mode, input_tokens,
            output_tokens, kv_dtype, price, self._names, self._limits, self.choices, decided,
            _tables_of(model.tables.gpu.data), [of_trace(window) for window in self.windows],
            None if current is None else current.physical_to_logical.tolist(),
            None if levels is None else levels.rules, self.columns.xl, self.columns.xu,
        )  # fmt: skip
        self._set_starts()

    # -------------------------------------------------------------------------------- building

    def _set_starts(self) -> None:
        for all_tokens in (False, True):
            found = candidates(self.columns, self.evaluator, self._limits, all_tokens=all_tokens)
            rows = self.canonical(found)
            F, G = self._values(rows)
            if ((G <= 0).all(axis=1) & np.isfinite(F).all(axis=1)).any():
                break
        else:
            nearest = self.served(rows[int(np.maximum(G, 0.0).sum(axis=1).argmin())])
            raise refusal(self._limits, self.choices, F, G, nearest.values)
        rows, F = self._best(rows, F, G)
        # Batches between those that were tried, and all limits of a step's tokens.
        rows = self.canonical(np.unique(np.concatenate((rows, finer(self.columns, rows))), axis=0))
        rows, F = self._best(rows, *self._values(rows))
        worst = F.max(axis=0)
        self.ref_point = np.where(worst > 0, 1.05 * worst, 1e-9)
        self.ref_point_source = "the worst of the non-dominated layouts and batches, + 5 %"
        self._starts = by_worth(rows, F, self.ref_point)

    @staticmethod
    def _best(rows: Ints, F: Floats, G: Floats) -> tuple[Ints, Floats]:
        """Return the feasible rows that no other dominates, and their objectives."""
        feasible = (G <= 0).all(axis=1) & np.isfinite(F).all(axis=1)
        rows, F = rows[feasible], F[feasible]
        best = moocore.is_nondominated(F, keep_weakly=False)
        return rows[best], F[best]

    # ------------------------------------------------------------------------------- evaluation

    def served(self, x: ArrayLike) -> Served:
        """Return all predicted values of one design in natural units, and its instances."""
        return self._served(self._row(x)[0])

    def _served(self, row: Ints, replicas: tuple[int, ...] | None = None) -> Served:
        columns = self.columns
        redundancy = int(row[columns.redundancy])
        instances = [
            self.evaluator.instance(i, row[pool], redundancy)
            for i, pool in enumerate(columns.pools)
        ]
        gates = row[columns.gates]
        return self.evaluator.serve(instances, row[columns.placement], gates, replicas)

    def _evaluate(self, x: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        F, G = self._values(self._rows(x))
        out["F"], out["G"] = F, G

    def _values(self, rows: Ints) -> tuple[Floats, Floats]:
        """Return objectives [n, n_obj] and violations of constraints [n, n_constraints]."""
        F = np.empty((len(rows), len(self._names)))
        G = np.empty((len(rows), len(self.constraint_names)))
        for i, row in enumerate(rows):
            found = self.served(row)
            for j, name in enumerate(self._names):
                value = found.values[name]
                if name in MINIMIZED:
                    value = 1.0 / value if value > 0 else np.inf
                F[i, j] = value
            for j, (name, limit) in enumerate(self._limits.items()):
                G[i, j] = found.values[name] / limit - 1
            if len(self._limits) < len(self.constraint_names):
                G[i, -1] = found.used / self.evaluator.n_gpus - 1
        return F, G

    @property
    def limits(self) -> dict[str, float]:
        """Upper limits by objective."""
        return dict(self._limits)

    def plan(self, x: ArrayLike) -> ServingPlan:
        """Return one design as a plan: settings, and predicted values with their intervals.

        Parameters
        ----------
        x : int array [n_var]
            A design.

        Returns
        -------
        moe_costmodel.ServingPlan
        """
        row = self.canonical(self._row(x))[0]
        plain = row.copy()
        plain[self.columns.gates] = self.columns.default[self.columns.gates]
        served = self._served(row)
        same = np.array_equal(plain, row)
        return plan_of(
            row, self.columns, self.evaluator, served, limits=self._limits,
            ungated=None if same else self._served(plain, served.replicas),
        )  # fmt: skip

    # ----------------------------------------------------------------------- used by the search

    def canonical(self, X: ArrayLike) -> Ints:
        """Return X with the redundant experts that its layouts take, same shape.

        If no pool divides its experts by expert parallelism, placements become the first.
        """
        rows = self._rows(X).copy()
        columns, choices = self.columns, self.choices
        index = {r: i for i, r in enumerate(choices.redundant)}
        legal = np.array([[index.get(r, i) for i, r in enumerate(row)] for row in choices.legal])
        ranks = np.array([layout.moe_ep for layout in choices.layouts])
        layouts = rows[:, [pool.start for pool in columns.pools]]
        rows[:, columns.redundancy] = legal[layouts, rows[:, [columns.redundancy]]].max(axis=1)
        alone = (ranks[layouts] == 1).all(axis=1)
        if "placement" in columns.decide:
            rows[np.ix_(alone, np.arange(*columns.placement.indices(rows.shape[1])))] = CONTIGUOUS
        return rows.reshape(np.shape(X))

    def _move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        self.columns.move(X, chosen, random_state)

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Exchange pools, batch, redundancy and layers between rows of A and B, both [n, n_var]."""
        return self.columns.mixed(A, B, random_state)

    def starts(self) -> Ints:
        """Return the best of all layouts and batches with default settings, [n, n_var].

        The first few of them dominate most of the hypervolume of all.
        """
        return self._starts.copy()

    def _some_starts(self, most: int) -> Ints:
        return self._starts[:most]

    def features(self, X: ArrayLike) -> Floats:
        """Return the features named in ``feature_names``, [n, n_features]."""
        levels, n_methods = self.evaluator.levels, len(self.methods)
        return features(self._rows(X), self.columns, self.choices, levels, n_methods)

    def describe(self, x: ArrayLike) -> dict[str, float]:
        """Return all predicted values of a design that its mode has, in natural units.

        Parameters
        ----------
        x : int array [n_var]
            A design.

        Returns
        -------
        dict of str to float
            By names of :data:`moe_costmodel.SERVING_OBJECTIVES`.
        """
        values = self.served(x).values
        return {name: values[name] for name in SERVING_OBJECTIVES
                if name in values and np.isfinite(values[name])}  # fmt: skip

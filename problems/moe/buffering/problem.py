"""Number of experts to keep in fast memory, layer by layer, as a pymoo problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import moocore
import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import (
    POLICIES,
    Hardware,
    LayerShape,
    MissCost,
    OffloadRule,
    Placement,
    RoutingTrace,
    expert_streams,
)
from moe_costmodel.example.measured import EXAMPLE_LINK, example_shape
from moe_costmodel.kernels.replacement import ONLINE_POLICIES
from moe_costmodel.latency.buffer_cost import BufferCost
from problems._arrays import Floats, Ints
from problems._checks import check_choice, check_int, check_names, check_real, setting_error
from problems.moe.base import (
    AGGREGATES,
    aggregated,
    as_windows,
    evenly,
)
from problems.moe.buffering.kernels import Misses, exchange, give_up
from problems.moe.buffering.misses import counted_misses, joined, waiting
from problems.moe.buffering.moves import move_round, within_budget
from problems.moe.buffering.placement import checked_placement
from problems.moe.buffering.plan import BufferPlan
from problems.moe.buffering.rules import charged_misses, checked_rules, uses_of_start
from problems.moe.ordinal import OrdinalProblem

__all__ = ["ExpertBuffering"]

_MOST_STARTS = 40

EVALUATION = 1
"""Version of the evaluation: increased whenever a design gets other objectives than before."""

OBJECTIVES = {
    "memory_bytes": "experts kept on the fullest device",
    "miss_mean_s": "mean time that a step copies missing experts",
    "miss_p99_s": "99th percentile of that time",
}


class ExpertBuffering(OrdinalProblem):
    """Choose the experts kept in fast memory and the eviction policy; all objectives minimized.

    A row of X holds the number of experts that each device keeps of each layer, with the devices
    of a layer side by side (one column per layer if `per_device` is false), and then the index of
    the eviction policy in ``policies``. A layer waits for the device with most experts to copy,
    and the layers of a step follow one another. Copies are charged in full: nothing hides them
    (``MoEDeployment`` models overlap).

    With a `cost`, misses may be computed where their weights lie, and uploads are chosen: the last
    variable is then the index of a rule in ``rules``, and the times are those that misses and
    uploads add to a step.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Recorded routing. Several traces are windows or domains of the traffic; each starts with
        empty buffers.
    expert_bytes : float
        Size of one expert.
    miss_seconds : float, optional
        Time to copy one expert into fast memory; needed without a `cost`.
    placement : Placement, optional
        Device of each expert, without replicas; by default contiguous.
    n_devices : int
        Number of devices of the default placement.
    batch_size : int
        Sequences decoded together (decode) or tokens of a step (prefill).
    mode : {"decode", "prefill"}
    policies : sequence of str
        Eviction policies to choose from; by default all but "min", which knows the future.
    per_device : bool
        Whether devices may keep different numbers of experts of a layer.
    budget_bytes : float, optional
        Limit for the experts on one device: a constraint that the operators satisfy.
    objectives : sequence of str
        Of "memory_bytes", "miss_mean_s", "miss_p99_s".
    aggregate : {"mean", "worst"}
        How the values of several windows become one.
    cost : MissCost, optional
        Cost of misses and uploads; its `hidden` time is shared out among the layers.
    rules : sequence of OffloadRule, optional
        Rules to choose from if there is a `cost`: where a miss is computed, policy, admission,
        static list, prefetch.
    start : RoutingTrace, optional
        Traffic whose most used experts are resident at first, for one device and a `cost`. By
        default buffers begin empty.

    Raises
    ------
    ValueError
        If a parameter is out of range, or no buffers fit the budget; the message then names the
        smallest budget that works.

    References
    ----------
    arXiv 2303.06182, section 5; policies: ``moe_costmodel.replay`` and
    ``moe_costmodel.offload_curves``.

    Examples
    --------
    >>> from problems.moe import ExpertBuffering
    >>> problem = ExpertBuffering.example(n_devices=2)
    >>> problem.n_var, problem.objective_names
    (13, ('memory_bytes', 'miss_mean_s', 'miss_p99_s'))
    """

    def __init__(
        self,
        trace: RoutingTrace | Sequence[RoutingTrace],
        *,
        expert_bytes: float,
        miss_seconds: float | None = None,
        placement: Placement | None = None,
        n_devices: int = 1,
        batch_size: int = 4,
        mode: str = "decode",
        policies: Sequence[str] | None = None,
        per_device: bool = True,
        budget_bytes: float | None = None,
        objectives: Sequence[str] = tuple(OBJECTIVES),
        aggregate: str = "mean",
        cost: MissCost | None = None,
        rules: Sequence[OffloadRule] | None = None,
        start: RoutingTrace | None = None,
    ) -> None:
        owner = "ExpertBuffering"
        self.windows = as_windows(trace, owner)
        first = self.windows[0]
        self.expert_bytes = check_real(owner, "expert_bytes", expert_bytes, 0.0, above=True)
        self.rules = checked_rules(
            cost, rules, start, {"miss_seconds": miss_seconds, "policies": policies}
        )
        if cost is not None:
            miss_seconds = cost.per_miss or cost.per_upload or cost.base
        self.miss_seconds = check_real(owner, "miss_seconds", miss_seconds, 0.0, above=True)
        self.objective_names = check_names(owner, "objectives", objectives, OBJECTIVES)
        self.policies = ONLINE_POLICIES
        if policies is not None:
            self.policies = check_names(owner, "policies", policies, POLICIES)
        if self.rules:
            self.policies = tuple(str(rule) for rule in self.rules)
        check_int(owner, "batch_size", batch_size, 1)
        placement = checked_placement(placement, n_devices, first)
        self.placement, self.per_device = placement, bool(per_device)
        self.aggregate = check_choice(owner, "aggregate", aggregate, AGGREGATES)
        self.budget_bytes = None
        if budget_bytes is not None:
            self.budget_bytes = check_real(owner, "budget_bytes", budget_bytes, 0.0, above=True)
        device_of = placement.device_of()
        self._shape = (first.n_layers, placement.n_devices)
        held = (device_of[:, :, None] == np.arange(placement.n_devices)).sum(axis=1)
        # Misses of each step, [policy, layer, device, capacity, step], window by window.
        self._misses: list[Misses] = []
        for window in self.windows:
            loads = window.loads(None if window.is_load_only else batch_size, mode)  # type: ignore[arg-type]
            if cost is None:
                self._misses.append(counted_misses(loads, placement, self.policies))
                continue
            streams = expert_streams(loads, device_of, placement.n_devices)
            self._misses.append(
                charged_misses(
                    streams, self.rules, int(held.max()), cost, self.miss_seconds,
                    self._start_of(start, batch_size, mode),
                )
            )  # fmt: skip
        # Mean misses of a step, [policy, layer, device, capacity].
        self._mean = np.mean([m.mean(axis=4) for m in self._misses], axis=0)
        n_capacities = self._shape[0] * (self._shape[1] if self.per_device else 1)
        most = held.ravel() if self.per_device else held.max(axis=1)
        super().__init__(
            np.append(np.ones(n_capacities), 0.0),
            np.append(most, len(self.policies) - 1.0),
            n_ieq_constr=int(self.budget_bytes is not None),
        )
        self.nominal = np.arange(self.n_var) == n_capacities
        self.budget_slots = self._shape[0] * int(most.max())
        if self.budget_bytes is not None:
            self.budget_slots = int(self.budget_bytes // self.expert_bytes)
            if self.budget_slots < self._shape[0]:
                least = self._shape[0] * self.expert_bytes
                raise setting_error(
                    owner,
                    "budget_bytes",
                    f"at least {least:.6g}, one expert of each of {self._shape[0]} layers "
                    "(smaller experts, or experts split over devices, lower that)",
                    self.budget_bytes,
                )
        self.feature_names = (
            "slots of the fullest device",
            "slots in all",
            *(f"misses {i}" for i in range(self._shape[0])),
        )
        more = () if cost is None else (repr(cost),)
        self._set_version(
            "buffers", EVALUATION, *self._misses, self.expert_bytes, self.miss_seconds,
            self.policies, self.objective_names, aggregate, self.per_device, self.budget_bytes,
            *more,
        )  # fmt: skip
        corners = np.concatenate(
            [[np.append(xs, p) for p in range(len(self.policies))]
             for xs in (self.xl[:-1], self.xu[:-1])]
        )  # fmt: skip
        self.ref_point = self._values(self._rows(corners)).max(axis=0) * 1.05
        self.ref_point_source = "the worst of one expert a buffer and all experts resident, + 5 %"

    def _start_of(self, start: RoutingTrace | None, batch_size: int, mode: str) -> Floats | None:
        """Return the uses of each expert in a step of the traffic that buffers begin with."""
        if start is None:
            return None
        if self._shape[1] > 1:
            expected = "None for several devices"
            raise setting_error("ExpertBuffering", "start", expected, start)
        size = (self.windows[0].n_layers, self.windows[0].n_experts)
        return uses_of_start(start, size, batch_size, mode, "ExpertBuffering")

    @classmethod
    def of_hardware(
        cls,
        trace: RoutingTrace | Sequence[RoutingTrace],
        hardware: Hardware,
        shape: LayerShape,
        **settings: Any,
    ) -> ExpertBuffering:
        """Return the problem for a layer's sizes and the machine's link "slow_to_fast".

        A ValueError is raised if the hardware has no such link.
        """
        cost = BufferCost.of_link(hardware.link("slow_to_fast"))
        return cls(
            trace, expert_bytes=shape.expert_bytes,
            miss_seconds=float(cost.copy_seconds(shape, 1)), **settings,
        )  # fmt: skip

    @classmethod
    def example(cls, domain: str = "code", **settings: Any) -> ExpertBuffering:
        """Return the problem of the packaged example trace, with experts behind a PCIe 3 link."""
        n_bytes = example_shape().expert_bytes
        if "cost" not in settings:
            settings["miss_seconds"] = EXAMPLE_LINK.seconds(n_bytes)
        return cls(
            RoutingTrace.example(domain),  # type: ignore[arg-type]
            expert_bytes=n_bytes, **settings,
        )  # fmt: skip

    # ------------------------------------------------------------------------------- evaluation

    def _evaluate(self, x: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        rows = self._rows(x)
        out["F"] = self._values(rows)
        if self.budget_bytes is not None:
            slots = self._fullest(rows)
            out["G"] = (slots[:, None] - self.budget_slots) / self.budget_slots

    def capacities(self, X: ArrayLike) -> Ints:
        """Return the experts kept, [n, n_layers, n_devices]."""
        rows = self._rows(X)[:, :-1]
        n, n_layers = len(rows), self._shape[0]
        columns = rows.reshape(n, n_layers, rows.shape[1] // n_layers)
        return np.broadcast_to(columns, (n, *self._shape))

    def _fullest(self, rows: Ints) -> Ints:
        """Return the experts kept on the fullest device, [n]."""
        return self.capacities(rows).sum(axis=1).max(axis=1)

    def _values(self, rows: Ints) -> Floats:
        mean, tail = self._waiting(rows)
        values = {
            "memory_bytes": self._fullest(rows) * self.expert_bytes,
            "miss_mean_s": mean * self.miss_seconds,
            "miss_p99_s": tail * self.miss_seconds,
        }
        return np.stack([values[name] for name in self.objective_names], axis=1)

    def _waiting(self, rows: Ints) -> tuple[Floats, Floats]:
        """Return mean and 99th percentile of the copies that a step waits for, [n] each.

        The percentile is the smallest value that 99 % of the steps do not exceed.
        """
        found = waiting(self._misses, np.array(self.capacities(rows)), rows[:, -1])
        mean, tail = (aggregated(each, self.aggregate) for each in found)
        return mean, tail

    # ------------------------------------------------------------------- used by the search

    def repaired(self, X: Ints, random_state: np.random.Generator) -> Ints:
        """Return rows within the budget; slots are given up one by one in random layers."""
        if self.budget_bytes is None:
            return X
        return within_budget(X, self._shape[0], self.budget_slots, random_state)

    def _stepped(self, X: Ints, random_state: np.random.Generator) -> Ints:
        """Return each row after one move; in a third, all devices change a capacity together."""
        out = super()._stepped(X, random_state)
        together = move_round(X, self._variables, self._shape[0], random_state)
        together = self.repaired(together, random_state)
        chosen = (random_state.random(len(X)) < 0.33) & (together != X).any(axis=1)
        out[chosen] = together[chosen]
        return out

    def marginal(self, policy: str) -> Ints:
        """Return buffers from full to smallest that give up the slots that are missed least.

        Slots are given up one by one, each device in a layer of its own, or all devices in the
        same layer. The best of these two and of equal buffers is returned for each number of slots.

        Parameters
        ----------
        policy : str
            One of ``policies``.

        Returns
        -------
        int array [n, n_var]
            A row for each number of slots on the fullest device, from all to one per layer.
        """
        code = self.policies.index(check_choice("marginal", "policy", policy, self.policies))
        misses = self._joined(code)
        most = np.ascontiguousarray(self.capacities(np.append(self.xu[:-1], code)[None])[0])
        tried = [give_up(misses, most, False)]
        if self.per_device:
            tried.append(give_up(misses, most, True))
        low, high = self.xl[:-1].astype(np.int64), self.xu[:-1].astype(np.int64)
        kept = [path.reshape(len(path), -1) if self.per_device else path[:, :, 0] for path in tried]
        kept += [np.clip(size, low, high)[None] for size in range(1, int(high.max()) + 1)]
        rows = np.concatenate(kept)
        rows = np.column_stack((rows, np.full(len(rows), code)))
        slots = self._fullest(rows)
        order = np.lexsort((self._waiting(rows)[0], -slots))
        first = np.append(True, np.diff(slots[order]) != 0)
        best: Ints = rows[order][first]
        return best

    def polished(self, X: ArrayLike) -> Ints:
        """Return rows in which no slot is worth more in another layer of its device, same shape.

        Slots move from layer to layer while that shortens the mean step; the memory stays the
        same. This takes milliseconds per row.
        """
        rows = self._rows(X).copy()
        if self.per_device:
            most = np.ascontiguousarray(self.capacities(self.xu[None].astype(np.int64))[0])
            for row in rows:
                kept = np.ascontiguousarray(row[:-1].reshape(self._shape))
                exchange(self._joined(int(row[-1])), kept, most)
                row[:-1] = kept.ravel()
        return rows.reshape(np.shape(X))

    def _joined(self, code: int) -> Misses:
        """Return the misses under a policy, [n_layers, n_devices, n_capacities, n_steps]."""
        return joined(self._misses, code)

    def starts(self) -> Ints:
        """Return the non-dominated ones of equal and marginal buffers, smallest first, polished."""
        paths = [self.marginal(policy) for policy in self.policies]
        rows = np.concatenate(paths)
        if self.budget_bytes is not None:
            rows = rows[self._fullest(rows) <= self.budget_slots]
        rows = rows[moocore.is_nondominated(self._values(rows), keep_weakly=False)]
        rows = rows[self._fullest(rows).argsort(kind="stable")]
        return self.polished(evenly(rows, _MOST_STARTS))

    def equal_capacity(self, size: int, policy: str = "paper") -> Ints:
        """Return the row [n_var] with the same capacity everywhere: the baseline of the paper.

        Devices that hold fewer than `size` experts of a layer keep all of them.
        """
        check_int("equal_capacity", "size", size, 1)
        code = self.policies.index(check_choice("equal_capacity", "policy", policy, self.policies))
        return np.append(np.clip(size, self.xl[:-1], self.xu[:-1]), code).astype(np.int64)

    def features(self, X: ArrayLike) -> Floats:
        """Return slots, and mean misses of each layer's worst device, [n, 2 + n_layers]."""
        rows = self._rows(X)
        kept = self.capacities(rows)
        layer, device = np.arange(self._shape[0])[:, None], np.arange(self._shape[1])
        misses = self._mean[rows[:, -1, None, None], layer, device, kept - 1].max(axis=2)
        slots = kept.sum(axis=1)
        return np.column_stack((slots.max(axis=1), slots.sum(axis=1), misses)).astype(float)

    def decode(self, x: ArrayLike) -> BufferPlan:
        """Return the buffers of one design with their objectives."""
        row = self._row(x)
        objectives = self._by_name(self._values(row)[0])
        rule = self.rules[row[0, -1]] if self.rules else None
        policy = rule.policy if rule else self.policies[row[0, -1]]
        return BufferPlan(self.capacities(row)[0].copy(), policy, objectives, rule)

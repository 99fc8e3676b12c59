"""advise: what to set in which engine, what it is predicted to gain, and what to leave alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

import numpy as np

from moe_costmodel._checks import check_fraction, check_number, count, invalid, one_of, require
from moe_costmodel.advice.buffering import buffer_advice
from moe_costmodel.advice.placement import PlacementAdviser
from moe_costmodel.advice.recommendation import Migration, Recommendation, TraceAdvice
from moe_costmodel.advice.thresholds import threshold_advice
from moe_costmodel.advice.traffic import Traffic, traffic_of
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.placement.placement import Placement
from moe_costmodel.traces.trace import Mode, RoutingTrace
from moela.heartbeat.working import long_work

if TYPE_CHECKING:
    from moe_costmodel.deployment.model import DeploymentModel

__all__ = ["advise"]


@long_work("advising on a trace")
def advise(
    trace: RoutingTrace,
    *,
    others: RoutingTrace | Iterable[RoutingTrace] = (),
    recent: RoutingTrace | None = None,
    devices: int | Iterable[int] = (8,),
    batch_size: int | None = None,
    mode: Mode = "decode",
    running: Placement | None = None,
    migration: Migration | None = None,
    moe_share: float = 1.0,
    max_replicas: int = 1,
    slots: int | None = None,
    cost: MissCost | None = None,
    deployment: DeploymentModel | None = None,
    drift: float = 0.25,
    random_state: int = 0,
) -> TraceAdvice:
    """Advise on placement, redundant experts, expert buffers, and thresholds.

    Settings are fitted on the first half of the trace and scored on the second half and on other
    traffic. Their gain is predicted by cross-validation over windows of the first half. A setting
    is recommended only if the low end of the interval is above zero after migration, and if it
    gains on all traffic that it is scored on. A trace that is a sum over steps (published loads)
    shows no drift; gains are then those under an assumed drift, or under the drift to `recent`.

    Parameters
    ----------
    trace : RoutingTrace
        Recorded traffic; loads only will do.
    others : RoutingTrace or iterable of RoutingTrace
        Other traffic of the model to score on.
    recent : RoutingTrace, optional
        A short record of the traffic to come, such as the first minute of a new workload. The
        placement is then fitted on both, weighted by how far they differ.
    devices : int or iterable of int
        Numbers of devices to advise for. 1 advises on buffers only.
    batch_size, mode
        Steps of token traces, as for :meth:`RoutingTrace.loads`. By default 16 sequences (prefill:
        256 tokens), or as many as there are.
    running : Placement, optional
        The placement to compare with; by default experts in the order of ids.
    migration : Migration, optional
        Cost of moving experts. By default none, as when a server starts with the placement.
    moe_share : float
        Share of a step's time that grows with the load of the busiest device, above 0 and at most
        1. With 1, gains are those of the experts' time.
    max_replicas : int
        Redundant experts that a device has room for in each layer.
    slots : int, optional
        Experts of a layer that fit into one device, for advice on buffers; by default half.
    cost : MissCost, optional
        Cost of misses and uploads; by default the published one.
    deployment : DeploymentModel, optional
        Measured times, for advice on thresholds.
    drift : float
        Share of the load that may move to other experts, if the trace is a sum over steps. Between
        the published workloads of DeepSeek-V3 it is 0.01 to 0.20.
    random_state : int
        Seed of the drawn drift.

    Returns
    -------
    TraceAdvice

    Raises
    ------
    ValueError
        If a parameter is wrong, or the traces are of different models.

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace, advise
    >>> found = advise(RoutingTrace.example(), others=[RoutingTrace.example("prose")], devices=[4])
    >>> [item.knob for item in found.recommendations][2:]
    ['rearrangement', 'expert buffer', 'LRU cache', 'thresholds']
    """
    owner = "advise"
    one_of(owner, "mode", mode, get_args(Mode))
    drift = check_fraction(owner, "drift", drift)
    share = check_number(owner, "moe_share", moe_share)
    require(owner, "moe_share", moe_share, 0 < share <= 1, "above 0 and at most 1")
    max_replicas = count(owner, "max_replicas", max_replicas, 0)
    numbers = _numbers(devices, trace.n_experts)
    slots = None if slots is None else count(owner, "slots", slots)
    beside = [others] if isinstance(others, RoutingTrace) else list(others)
    named = [("others", other) for other in beside]
    for name, other in named if recent is None else [*named, ("recent", recent)]:
        if not isinstance(other, RoutingTrace):
            raise invalid(owner, name, type(other).__name__, "of the type RoutingTrace")
    traffic = traffic_of(trace, beside, recent, batch_size, mode)
    found: list[Recommendation] = []
    unknown: list[str] = []
    for n in numbers:
        if n == 1:
            continue
        adviser = PlacementAdviser(
            traffic, n, _running(traffic, running, n), migration=migration, moe_share=share,
            max_replicas=max_replicas, drift=drift, random_state=random_state,
        )  # fmt: skip
        found += adviser.recommendations()
    if not traffic.has_steps:
        unknown.append(
            "Drift over time, and what is gained in single steps: the trace has too few steps. "
            "Record it in windows, or token by token."
        )
    elif recent is not None:
        unknown.append("What is gained in single steps: recent traffic is used as a sum.")
    buffers, reason = buffer_advice(trace, beside, slots, cost)
    found += buffers
    unknown += [reason] if reason else []
    thresholds, reason = threshold_advice(trace, deployment)
    found += thresholds
    unknown += [reason] if reason else []
    k = None if trace.is_load_only else trace.k
    layers = tuple(traffic.layers.tolist())
    return TraceAdvice(trace.source, tuple(found), tuple(unknown), layers, k)


def _numbers(devices: object, n_experts: int) -> list[int]:
    """Return different numbers of devices; those of an array are numpy's."""
    owner = "advise"
    flat = devices.ravel() if isinstance(devices, np.ndarray) else devices
    given = list(flat) if isinstance(flat, Iterable) else [flat]
    require(owner, "devices", given, len(given) > 0, "at least one number of devices")
    numbers = [count(owner, "devices", n) for n in given]
    for n in numbers:
        if n > n_experts:
            raise invalid(owner, "devices", n, f"at most the {n_experts} experts of a layer")
    return list(dict.fromkeys(numbers))


def _running(traffic: Traffic, running: Placement | None, n_devices: int) -> Placement:
    """Return the placement to compare with, of the layers that have tokens."""
    n_layers, n_experts = traffic.whole.shape[1:]
    if running is None:
        # In order of ids; where devices do not divide the experts, the first ones again.
        order = np.arange(n_experts + -n_experts % n_devices) % n_experts
        return Placement(np.tile(order, (n_layers, 1)), n_devices)
    sizes = running.n_layers, running.n_experts, running.n_devices
    if sizes != (n_layers, n_experts, n_devices):
        got = "{} layers, {} experts, {} devices".format(*sizes)
        expected = f"of {n_layers} layers, {n_experts} experts, {n_devices} devices"
        raise invalid("advise", "running", got, expected)
    return running

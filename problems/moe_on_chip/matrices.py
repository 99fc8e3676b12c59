"""Traffic matrices of a Mixture-of-Experts model between the PEs of a chip."""

from __future__ import annotations

from numpy.typing import ArrayLike

from moe_costmodel import RoutingTrace
from problems._arrays import Floats
from problems._checks import check_int, check_real, require
from problems.moe.base import as_windows
from problems.moe_on_chip.demand import DEFAULT_LOAD, Activations, Demand, Roles
from problems.moe_on_chip.mappings import check_mapping
from problems.moe_on_chip.visits import StepTraffic
from problems.noc.chip.platform import Platform

__all__ = ["traffic"]


def traffic(
    trace: RoutingTrace,
    *,
    placement: ArrayLike,
    platform: Platform,
    activations: Activations,
    batch_size: int,
    mode: str = "prefill",
    roles: Roles | None = None,
    capacity: int | None = None,
    step_cycles: float | None = None,
    load: float = DEFAULT_LOAD,
    max_steps: int | None = None,
    per_step: bool = False,
) -> Floats:
    """Return the traffic between the PEs of a chip that recorded routing causes.

    Tokens live on the attention PEs: the slots of the batch (decode), or the consecutive tokens of
    a step (prefill), are spread over them in order. A token goes to the PEs of its experts in each
    layer and comes back. Caches and fetched experts go between these PEs and the memory PEs: a
    cache is spread evenly over them, expert e is in the memory of PE number e modulo their count.

    Parameters
    ----------
    trace : RoutingTrace
        With the choices of each token.
    placement : int array-like [n_layers, n_experts]
        PE of each expert.
    platform : Platform
    activations : Activations
        Width and types of the messages.
    batch_size : int
        Tokens of a step (prefill), or sequences decoded together (decode).
    mode : {"prefill", "decode"}
        "prefill" unless stated, while functions of a trace itself take "decode" by default.
    roles : Roles, optional
        Types of PEs that hold tokens, experts and memory.
    capacity : int, optional
        Experts that a PE can hold; by default any number.
    step_cycles : float, optional
        Cycles over which the flits of a step are spread.
    load : float
        By default, ``step_cycles`` are the fewest cycles in which experts' messages, if every
        choice of a token was a visit, take at most this share of the ports of the expert PEs in
        the busier direction, and memory this share of the ports of the memory PEs.
    max_steps : int, optional
        Steps that count, evenly spaced over the trace.
    per_step : bool
        Whether to return a matrix for each step.

    Returns
    -------
    float array [n_pes, n_pes], or [n_steps, n_pes, n_pes] with ``per_step``
        Flits per cycle from PE to PE, as ``NoC3D`` takes them; 0 on the diagonal.

    Raises
    ------
    ValueError
        A parameter is out of range, or the trace does not fit: it holds loads only, or other layers
        or experts than the placement, or no step of it is full.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import RoutingTrace
    >>> from problems.moe_on_chip import Activations, traffic
    >>> from problems.noc import NoC3D, Platform
    >>> trace, chip = RoutingTrace.example("code"), Platform.paper_4x4x4()
    >>> placement = 24 + np.arange(6 * 32).reshape(6, 32) % 40  # GPUs have the ids 24 to 63
    >>> flits = traffic(
    ...     trace,
    ...     placement=placement,
    ...     platform=chip,
    ...     activations=Activations(d_model=2048),
    ...     batch_size=80,
    ... )
    >>> problem = NoC3D(flits, platform=chip, objectives=["packet_latency", "energy"])
    """
    owner = "traffic"
    require(owner, "trace", trace, isinstance(trace, RoutingTrace), "a RoutingTrace")
    window = as_windows(trace, owner)[0]
    demand = Demand.checked(
        owner, platform, activations, Roles() if roles is None else roles, batch_size, mode,
        max_steps,
    )  # fmt: skip
    if capacity is not None:
        check_int(owner, "capacity", capacity, 1)
    pes = demand.roles.pes(platform, "experts")
    shape = (window.n_layers, window.n_experts)
    experts = check_mapping(owner, placement, shape, pes, capacity)
    recorded = demand.record(window)
    check_real(owner, "load", load, 0.0, above=True)
    if step_cycles is None:
        step_cycles = demand.step_cycles([recorded], load)
    cycles = check_real(owner, "step_cycles", step_cycles, 0.0, above=True)
    steps = StepTraffic(demand, recorded, cycles).matrices(experts)
    return steps if per_step else steps.mean(axis=0)

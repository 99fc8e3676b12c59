"""Recommendation and TraceAdvice: what to set, what it gains, and why."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from moe_costmodel._checks import check_number, require
from moe_costmodel.objectives import Predicted
from moe_costmodel.placement.placement import Placement

if TYPE_CHECKING:
    from moe_costmodel.offloading.planner import OffloadPlan

__all__ = ["Migration", "Recommendation", "TraceAdvice"]


@dataclass(frozen=True)
class Migration:
    """Cost of moving experts while a server runs.

    Parameters
    ----------
    expert_bytes : float
        Bytes of one expert of one layer.
    bandwidth : float
        Bytes per second that arrive at a device.
    serving_s : float
        Seconds for which the new placement serves, until the next change.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> from moe_costmodel import Migration
    >>> Migration(expert_bytes=44e6, bandwidth=25e9, serving_s=3600.0).serving_s
    3600.0
    """

    expert_bytes: float
    bandwidth: float
    serving_s: float

    def __post_init__(self) -> None:
        for name in ("expert_bytes", "bandwidth", "serving_s"):
            value = check_number("Migration", name, getattr(self, name))
            require("Migration", name, value, value > 0, "above 0")


@dataclass(frozen=True, eq=False)
class Recommendation:
    """Advice about one setting of a deployment, with its predicted gain.

    Attributes
    ----------
    knob : str
        "placement", "redundant experts", "rearrangement", "expert buffer", "LRU cache" or
        "thresholds".
    n_devices : int
        Devices that the experts of a layer are on.
    adopt : bool
        True if the setting is recommended; False if the setting is best left as it is.
    setting : str
        The setting in words.
    why : str
        Reason, with numbers.
    gain : Predicted or None
        Predicted share of the cost that the setting saves, with its interval (90 %). None if it
        cannot be told.
    scored : dict of str to float
        The same share on traffic that the setting was not fitted to, by source.
    placement : Placement or None
        The placement to set.
    offload : OffloadPlan or None
        The experts to keep in fast memory.

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace, advise
    >>> found = advise(RoutingTrace.example(), devices=[4])
    >>> found.recommendations[0].knob
    'placement'
    """

    knob: str
    n_devices: int
    adopt: bool
    setting: str
    why: str
    gain: Predicted | None = None
    scored: dict[str, float] = field(default_factory=dict)
    placement: Placement | None = None
    offload: OffloadPlan | None = None

    def __str__(self) -> str:
        lead = "set" if self.adopt else "leave alone"
        gain = ""
        if self.gain is not None:
            g = self.gain
            gain = f" Predicted gain {g.value:.1%} ({g.low:.1%} to {g.high:.1%})."
        text = f"{self.knob}: {lead}. {self.setting}{gain} {self.why}"
        scored = [f"scored on {name}: {value:+.1%}" for name, value in self.scored.items()]
        lines = textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="    ")
        return "\n".join([*lines, *(f"    {line}" for line in scored)])


@dataclass(frozen=True, eq=False)
class TraceAdvice:
    """Advice from a trace: recommendations for each number of devices.

    Attributes
    ----------
    source : str
        Traffic that the advice was fitted to.
    recommendations : tuple of Recommendation
    unknown : tuple of str
        Statements that this traffic does not allow, with the reason.
    layers : tuple of int
        Numbers of the layers with experts within the model.
    k : int or None
        Experts of a token, if the traffic tells.
    commands : dict of str to str
        Command line of each engine, once the files are written (:meth:`write`).

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace, advise
    >>> found = advise(RoutingTrace.example(), devices=[4])
    >>> "placement" in str(found)
    True
    """

    source: str
    recommendations: tuple[Recommendation, ...]
    unknown: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    k: int | None = None
    commands: dict[str, str] = field(default_factory=dict)

    @property
    def adopted(self) -> tuple[Recommendation, ...]:
        """The recommendations to follow."""
        return tuple(item for item in self.recommendations if item.adopt)

    def write(self, folder: str | Path, *, model: str = "MODEL") -> TraceAdvice:
        """Write the files of engines and this text; return the advice with command lines.

        Parameters
        ----------
        folder : str or Path
            Folder to write into; it is made if it does not exist.
        model : str
            Path or name of the model in the command lines.
        """
        from moe_costmodel.advice.files import write_advice

        commands = write_advice(self, Path(folder), model)
        done = replace(self, commands=commands)
        (Path(folder) / "advice.txt").write_text(f"{done}\n", encoding="utf-8", newline="\n")
        return done

    def __str__(self) -> str:
        lines = [f"Advice from {self.source}"]
        for n in dict.fromkeys(item.n_devices for item in self.recommendations):
            lines += ["", f"{n} device{'s' * (n > 1)}"]
            lines += [str(item) for item in self.recommendations if item.n_devices == n]
        if self.unknown:
            lines += ["", "This traffic does not tell"]
            for text in self.unknown:
                lines += textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="    ")
        if self.commands:
            lines += ["", "Commands"]
            lines += [f"  {name}:\n    {command}" for name, command in self.commands.items()]
        return "\n".join(lines)

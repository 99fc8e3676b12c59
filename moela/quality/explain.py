"""Explaining a design: what it gives up for what, against the knee and its neighbors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from moela._arrays import Design, Floats, equal
from moela.quality.table import telling
from moela.quality.words import harmless, number, shown

# Variables and neighbors that are named at most.
_MOST_VARIABLES, _MOST_NEIGHBORS = 4, 2
# A variable is named if it differs from the median of the front by this share of its range there,
# or if at most this share of the front has the same value.
_FAR, _RARE = 0.25, 0.5


class Role(StrEnum):
    """Why a design of a front is the one to compare others with."""

    KNEE = "knee"
    BALANCED = "balanced"  # the front has no knee
    LEAST_VIOLATING = "least violating"  # no design is feasible

    @property
    def named(self) -> str:
        """The name of such a design in a sentence."""
        return "the knee" if self is Role.KNEE else f"the {self} design"


@dataclass(frozen=True)
class OwnWords:
    """The words that a problem has for its designs, instead of the values of their variables.

    Attributes
    ----------
    differences : callable
        Returns phrases on what one design of a front has instead of another, by their positions.
    features : list of dict
        The features of each design by name; empty if the problem has no names for them.
    """

    differences: Callable[[int, int], Sequence[str]]
    features: Sequence[Mapping[str, object]]

    @classmethod
    def of(cls, problem: object, X: Sequence[Design]) -> OwnWords | None:
        """Return the words of a problem for designs X, or None if it has no such method."""
        describe = getattr(problem, "describe_differences", None)
        if describe is None or len(X) == 0:
            return None
        names, features = (getattr(problem, name, None) for name in ("feature_names", "features"))
        rows: list[dict[str, object]] = [{} for _ in X]
        if names is not None and features is not None:
            values = np.asarray(features(np.array(X))).tolist()
            rows = [dict(zip(names, row, strict=True)) for row in values]
        return cls(lambda i, k: describe(X[i], X[k]), rows)


class Explanation(str):
    """A text that shows itself with its line breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def explain(
    i: int,
    F: Floats,
    signs: Floats,
    names: Sequence[str],
    designs: Sequence[Mapping[str, object]],
    *,
    marked: tuple[int, Role],
    notes: Sequence[str] = (),
    words: OwnWords | None = None,
) -> Explanation:
    """Explain design i of a front with objectives F [n, n_obj] in their own signs.

    `marked` is the design to compare it with, and its role. `notes` are sentences to add, such as
    those on constraints. `words` are those of the problem, if it has its own.
    """

    def differences(k: int) -> str:
        if words is not None:
            return _listed(words.differences(i, k), "; ")
        return _listed(_differences(designs[i], designs[k]), ", ")

    n, (mark, role) = len(F), marked
    kind = "the front" if role != Role.LEAST_VIOLATING else "the list of least violations"
    place = f", the only one on {kind}" if n == 1 else f" (of 0 to {n - 1} on {kind})"
    values = f": {_values(i, designs)}" if words is None else ""
    lines = [f"Design {i}{place}{values}", ""]
    for j, name in enumerate(names):
        lines.append(_standing(F[:, j] * signs[j], F[i, j], name, i))
    if n > 1:
        lines.append("")
        if i == mark:
            lines.append(_own_role(role, F.shape[1]))
        else:
            lines.append(
                f"{_OTHER_ROLE[role]} (design {mark}): {_trade(F[i], F[mark], signs, names)}."
                f"{differences(mark)}"
            )
        for k in _neighbors(i, F, signs):
            if k != mark:
                lines.append(
                    f"Against its neighbor, design {k}: {_trade(F[i], F[k], signs, names)}."
                    f"{differences(k)}"
                )
    if notes:
        lines += ["", *notes]
    traits, noun = (designs, "variable") if words is None else (words.features, "feature")
    apart = _apart(i, traits)
    if apart:
        lines += ["", "It differs from most of the front in: " + "; ".join(apart) + "."]
    elif n > 1 and traits[i]:
        lines += ["", f"No {noun} sets it apart from most of the front."]
    return Explanation("\n".join(map(harmless, lines)))


_OTHER_ROLE = {
    Role.KNEE: "Against the knee",
    Role.BALANCED: "The front has no knee. Against the balanced design",
    Role.LEAST_VIOLATING: "No design is feasible. Against the design that violates least",
}


def _own_role(role: Role, n_obj: int) -> str:
    if role == Role.KNEE and n_obj == 2:
        return "It is the knee: going on in either direction costs much for little."
    return {
        Role.KNEE: "It is the knee: any gain in one objective would cost much in others.",
        Role.BALANCED: "The front has no knee: it bulges nowhere. This is the balanced design, "
        "whose pseudo-weights are closest to equal.",
        Role.LEAST_VIOLATING: "No design is feasible. This one violates the constraints least.",
    }[role]


def _values(i: int, designs: Sequence[Mapping[str, object]]) -> str:
    """Return the values of design i; of many variables only some that differ on the front."""
    design = designs[i]
    kept = [name for name in telling(designs) if name in design]
    values = ", ".join(f"{name} = {_value(design[name])}" for name in kept)
    return values + (f" and {len(design) - len(kept)} more" if len(kept) < len(design) else "")


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else shown(value)


def _differences(design: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Return phrases on the variables that differ between two designs."""
    found = []
    for name in [*design, *(name for name in other if name not in design)]:
        here, there = name in design, name in other
        if not here or not there:
            value = _value((design if here else other)[name])
            found.append(f"{name} ({value}, only in {'this' if here else 'that'} one)")
        elif _value(design[name]) != _value(other[name]):
            found.append(f"{name} ({_value(design[name])} instead of {_value(other[name])})")
    return found


def _listed(found: Sequence[str], separator: str) -> str:
    """Return a sentence on the differences between two designs, or an empty text."""
    if not found:
        return ""
    more = len(found) - _MOST_VARIABLES
    rest = f" and {more} more" if more > 0 else ""
    return f" The designs differ in {separator.join(found[:_MOST_VARIABLES])}{rest}."


def _standing(minimized: Floats, value: float, name: str, i: int) -> str:
    """Return where a design stands in one objective, all [n] minimized."""
    n, better = len(minimized), int((minimized < minimized[i]).sum())
    text = f"{name} {number(value)}: "
    if n == 1:
        return text + "the only design"
    span = float(np.ptp(minimized))
    share = (minimized[i] - minimized.min()) / span if span > 0 else 0.0
    if better == 0:
        return text + f"the best of {n}"
    are = "is" if better == 1 else "are"
    return (
        f"{text}{better} of {n} {are} better, {100 * share:.0f} % of the front's range from the "
        "best"
    )


def _trade(a: Floats, b: Floats, signs: Floats, names: Sequence[str]) -> str:
    """Return what design a gains and gives up against design b."""
    gains: list[str] = []
    losses: list[str] = []
    for value, other, sign, name in zip(a.tolist(), b.tolist(), signs.tolist(), names, strict=True):
        if value != other:
            better = sign * value < sign * other
            (gains if better else losses).append(_change(value, other, name))
    if not gains and not losses:
        return "the same objectives"
    if not losses:
        return f"{', '.join(gains)}, at no cost"
    if not gains:
        return f"{', '.join(losses)}, and nothing better"
    return f"{', '.join(gains)}, for {', '.join(losses)}"


def _change(value: float, other: float, name: str) -> str:
    word = "less" if value < other else "more"
    numbers = f"({number(value)} instead of {number(other)})"
    if other == 0 or (value < 0) != (other < 0):
        return f"{number(abs(value - other))} {word} {name} {numbers}"
    return f"{100 * abs(value - other) / abs(other):.3g} % {word} {name} {numbers}"


def _neighbors(i: int, F: Floats, signs: Floats) -> list[int]:
    """Return the designs next to i on the front: on both sides with two objectives."""
    minimized = F * signs
    span = np.ptp(minimized, axis=0)
    Z = (minimized - minimized.min(axis=0)) / np.where(span > 0, span, 1.0)
    if F.shape[1] == 2:
        order = Z[:, 0].argsort(kind="stable").tolist()
        at = order.index(i)
        return [order[k] for k in (at - 1, at + 1) if 0 <= k < len(order)]
    distances = ((Z - Z[i]) ** 2).sum(axis=1)
    distances[i] = np.inf
    return [int(k) for k in distances.argsort(kind="stable")[:_MOST_NEIGHBORS] if k != i]


def _apart(i: int, designs: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the variables in which a design differs most from the rest of the front."""
    found = []
    for name, value in designs[i].items():
        values = [design[name] for design in designs if name in design]
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers = np.array(values, dtype=float)
            span, middle = float(np.ptp(numbers)), float(np.median(numbers))
            share = abs(value - middle) / span if span > 0 else 0.0
            if share >= _FAR:
                side = "high" if value > middle else "low"
                words = f"{name} is {side}, {number(value)} (median {number(middle)})"
                found.append((share, words))
        else:
            same = sum(type(other) is type(value) and equal(other, value) for other in values)
            if same <= _RARE * len(designs):
                words = f"{name} is {shown(value)}, as in {same} of {len(designs)} designs"
                found.append((1 - same / len(designs), words))
    found.sort(key=lambda pair: -pair[0])
    return [words for _, words in found[:_MOST_VARIABLES]]

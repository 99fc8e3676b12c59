"""Problems with ordinal variables: integers whose neighboring values mean nearly the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from problems._arrays import Bools, Ints
from problems.moe.base import MoEProblem, evenly, exchanged

__all__ = ["OrdinalProblem", "Variables", "step"]

# Shares of the moves: one variable; then one up and another down; then all together.
_SINGLE, _TRADE = 0.55, 0.9


@dataclass(frozen=True, eq=False)
class Variables:
    """Bounds of integer variables, and which of them have no order.

    Attributes
    ----------
    xl, xu : int array [n_var]
        Lowest and highest values.
    nominal : bool array [n_var]
        Variables whose values have no order.
    """

    xl: Ints
    xu: Ints
    nominal: Bools


class OrdinalProblem(MoEProblem):
    """A problem with ordinal variables, and possibly a few nominal ones.

    Most neighbors differ by one or a few steps in one variable. In others, one variable goes up and
    another down, or all go up or down together.

    Attributes
    ----------
    nominal : bool array [n_var]
        Variables whose values have no order.
    """

    nominal: Bools
    _mutation = 0.8, 3

    @property
    def _variables(self) -> Variables:
        return Variables(self.xl.astype(np.int64), self.xu.astype(np.int64), self.nominal)

    def repaired(self, X: Ints, random_state: np.random.Generator) -> Ints:
        """Return rows that satisfy the constraints; by default X itself."""
        return X

    def _move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        if len(chosen):
            X[chosen] = self._stepped(X[chosen], random_state)

    def _stepped(self, X: Ints, random_state: np.random.Generator) -> Ints:
        """Return each row after one legal move; the row itself if it is the only legal one."""
        out = self.repaired(step(X, self._variables, random_state), random_state)
        same = (out == X).all(axis=1)
        if same.any():
            # Only the repair can undo a move, and a step down never needs a repair.
            out[same] = _step_down(X[same], self._variables, random_state)
        return out

    def sampled(self, n_samples: int, random_state: np.random.Generator) -> Ints:
        """Return `n_samples` designs: half of them starts if there are enough, then noisy starts.

        The noise spreads the sample beyond designs that are uniform over the layers.
        """
        starts, bounds = self.starts(), self._variables
        plain = evenly(starts, (n_samples + 1) // 2)
        base = starts[random_state.integers(0, len(starts), n_samples - len(plain))]
        noise = random_state.normal(size=base.shape) * 0.15 * (self.xu - self.xl)
        noise = np.rint(noise).astype(np.int64)
        noise[:, self.nominal] = 0
        noisy = np.clip(base + noise, bounds.xl, bounds.xu)
        return np.concatenate((plain, self.repaired(noisy, random_state)))

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Return two recombinations of each pair of rows of A and B, both [n, n_var].

        In half of the pairs, each variable comes from either parent; in the others, ordinal
        variables lie between those of the parents.
        """
        children = np.stack(exchanged(A, B, random_state.random(A.shape) < 0.5))
        share = random_state.random(len(A))[:, None]
        between = np.rint(np.stack((A + share * (B - A), B + share * (A - B)))).astype(np.int64)
        between[:, :, self.nominal] = children[:, :, self.nominal]
        blend = random_state.random(len(A)) < 0.5
        children[:, blend] = between[:, blend]
        first, second = self.repaired(children.reshape(-1, A.shape[1]), random_state).reshape(
            children.shape
        )
        return first, second


def _step_down(X: Ints, variables: Variables, random_state: np.random.Generator) -> Ints:
    """Lower one variable by 1 in each row; if all are lowest, change a nominal one instead.

    Rows in which neither is possible stay.
    """
    out = X.copy()
    xl, xu, nominal = variables.xl, variables.xu, variables.nominal
    can = (X > xl) & ~nominal
    can = np.where(can.any(axis=1, keepdims=True), can, nominal & (xu > xl))
    at = np.where(can, random_state.random(X.shape), -1.0).argmax(axis=1)
    rows = np.arange(len(X))
    value = X[rows, at]
    lowered = np.where(value > xl[at], value - 1, xu[at])
    out[rows, at] = np.where(can[rows, at], lowered, value)
    return out


def step(X: Ints, variables: Variables, random_state: np.random.Generator) -> Ints:
    """Return each row of X after one move within the bounds, [n, n_var].

    If the bounds leave no variable a choice, the rows stay.
    """
    n = len(X)
    low, high, nominal = variables.xl, variables.xu, variables.nominal
    free = np.flatnonzero(high > low)
    if not len(free):
        return X.copy()
    ordinal = free[~nominal[free]]
    out = X.copy()
    rows = np.arange(n)
    kind = random_state.random(n)
    # One variable, or one up and another down.
    at = free[random_state.integers(0, len(free), n)]
    size = 1 + np.floor(random_state.exponential(0.8, n)).astype(np.int64)
    up = random_state.random(n) < 0.5
    up = np.where(X[rows, at] >= high[at], False, np.where(X[rows, at] <= low[at], True, up))
    stepped = X[rows, at] + np.where(up, size, -size)
    # A shift by 1 .. span modulo span + 1 is never the value itself.
    span = (high - low)[at]
    shift_by = 1 + np.floor(random_state.random(n) * span).astype(np.int64)
    others = low[at] + (X[rows, at] - low[at] + shift_by) % (span + 1)
    out[rows, at] = np.where(nominal[at], others, np.clip(stepped, low[at], high[at]))
    if len(ordinal) > 1:
        trade = (kind >= _SINGLE) & (kind < _TRADE) & ~nominal[at]
        partner = ordinal[random_state.integers(0, len(ordinal), n)]
        trade &= partner != at
        moved = np.clip(X[rows, partner] + np.where(up, -size, size), low[partner], high[partner])
        out[rows[trade], partner[trade]] = moved[trade]
        together = kind >= _TRADE
        shift = np.where(up, 1, -1)[:, None]
        shifted = np.clip(X[:, ordinal] + shift, low[ordinal], high[ordinal])
        together &= (shifted != X[:, ordinal]).any(axis=1)
        out[together] = X[together]
        out[np.ix_(together, ordinal)] = shifted[together]
    return out

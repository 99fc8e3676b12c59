"""The choice of learned models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from numpy.typing import ArrayLike

from moela._arrays import Floats
from moela._checks import count, require


class Regressor(Protocol):
    """A scikit-learn regressor."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Regressor:
        """Fit to inputs [n, d] and targets [n] or [n, m]."""

    def predict(self, X: ArrayLike) -> Floats:
        """Predict the targets of inputs [b, d]."""


Model = Regressor | Literal["auto"] | None


@dataclass(frozen=True)
class Models:
    """The learned models that MOELA uses.

    Parameters
    ----------
    starts : "auto", None or scikit-learn regressor
        Predicts where a local search ends, to choose the archived design that it starts from.
        "auto" uses extremely randomized trees; None starts from the design that is best now.
    moves : "auto", None or scikit-learn regressor
        Predicts how a move changes the objectives, to rank neighbors before any is evaluated.
        "auto" uses ridge regression, separately for several aspects of a permutation; None
        evaluates neighbors in random order. Unless it is None, the constraints of a problem are
        learned, too.
    hamming : bool
        Whether a kernel regression on Hamming distances may rank moves instead, while it predicts
        better. It needs designs that are described by zeros and ones: rows of bits, permutations of
        up to 32 items, or features of the problem. Each objective of a permutation is predicted
        from the aspect that predicts it best. Without `moves` it is not used.
    pair_sums : bool
        Whether to find out if all objectives of a permutation of 5 to 40 items are sums over pairs
        of items, costs of items at places, or both. Such are the costs of quadratic and linear
        assignments, lengths of tours, linear orderings, and costs of changeovers. That takes 0.65
        to 4 m (m - 1) evaluations of m items. 16 of these evaluations tell whether there can be
        such sums; if not, no more time is spent on them. If the sums are found, children descend on
        the predictions to a local optimum before they are evaluated. Without `moves` it is not
        used.
    surrogate_size : int
        Use a surrogate of objectives and constraints to choose offspring for this many evaluations
        (real variables with default operators only; about 5 ms each; 0 disables it). It is used
        while it predicts left-out designs well. 0 also disables the Gaussian processes that choose
        designs of all kinds of variables in runs of up to 150 evaluations, and of up to 1,000 the
        first 200 if most variables are real, else the first 100, and fewer if none of these is
        feasible or they are predicted badly.

    Examples
    --------
    >>> from moela import MOELA, Models
    >>> MOELA(models=Models(surrogate_size=300)).models.surrogate_size
    300
    """

    starts: Model = "auto"
    moves: Model = "auto"
    hamming: bool = True
    pair_sums: bool = True
    surrogate_size: int = 1000

    def __post_init__(self) -> None:
        for name in ("starts", "moves"):
            model = getattr(self, name)
            holds = model is None or model == "auto" or callable(getattr(model, "fit", None))
            require("Models", name, model, holds, '"auto", None or a scikit-learn regressor')
        for name in ("hamming", "pair_sums"):
            value = getattr(self, name)
            require("Models", name, value, isinstance(value, bool), "True or False")
        count("Models", "surrogate_size", self.surrogate_size, at_least=0)


NO_MODELS = Models(starts=None, moves=None, hamming=False, pair_sums=False, surrogate_size=0)


def given(model: Model) -> Regressor | None:
    """Return the regressor that a user has given, or None for the default one."""
    return None if isinstance(model, str) else model

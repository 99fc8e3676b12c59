"""Gaussian process: predicts one output of designs, and how sure it is."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from moela._arrays import Floats, Ints
from moela.learning.window import SharedFits

_ROOT5 = float(np.sqrt(5.0))
# Logarithms of length scales, for inputs that span about 1, and of the variance of the noise
# relative to that of the process.
_SCALE_BOUNDS, _NOISE_BOUNDS = (np.log(0.02), np.log(1e3)), (np.log(1e-7), np.log(2.0))
# Prior of the noise's logarithm: normal around small values.
_NOISE_MEAN, _NOISE_DEVIATION = np.log(1e-5), 4.0
# Fits start from little and from much noise: what varies faster than a few designs can show, such
# as many small valleys, is noise to the process.
_MUCH_NOISE, _NOISE_MIDDLE = np.log(0.2), np.log(2e-3)
# Logarithm of the variance of the trend relative to that of the process: bounds, and the mean and
# the deviation of its prior.
_TREND_BOUNDS, _TREND_MEAN, _TREND_DEVIATION = (-12.0, 6.0), -2.0, 2.0
# Prior of the logarithm of a length scale among d inputs: mean and deviation (Hvarfner, Hellsten,
# Nardi 2024, "Vanilla Bayesian optimization performs great in high dimensions", ICML).
_PRIOR_SHIFT, _PRIOR_DEVIATION = 0.0, 0.7
# Weight of the prior belief that the variance of a standardized output is 1, in rows.
_VARIANCE_ROWS = 2.0
# Beyond this many inputs, all share a length scale: so many cannot be estimated from few rows.
_MOST_SCALES = 64
_STEPS = 20


class GaussianProcess(SharedFits):
    """Gaussian process with a trend, a Matern-5/2 kernel, and length scales of the inputs.

    The trend is a sum of parabolas, one of each input, whose coefficients have a normal prior
    (Rasmussen and Williams 2006, "Gaussian processes for machine learning", sec. 2.7). A function
    of many inputs with many small valleys has too few designs for the kernel to show its shape,
    but enough for its trend.

    Length scales, noise and the variance of the trend maximize the marginal likelihood times a
    prior, in which the variance of the process is replaced by its own maximum (ibid., sec. 5.4.1).
    The mean is zero, so outputs should be standardized.

    Parameters
    ----------
    n_inputs : int
        Number of inputs, d.
    scale_of : int array [n_inputs], optional
        Number of the length scale of each input, from 0 on. By default, each input has its own,
        unless there are many.

    Attributes
    ----------
    correlation : float
        Correlation of leave-one-out predictions with the outputs at the last fit.
    loss : float
        Negative logarithm of likelihood times prior at the last fit, up to a constant that depends
        on the number of rows.
    """

    def __init__(self, n_inputs: int, scale_of: Ints | None = None) -> None:
        if scale_of is None:
            scale_of = np.arange(n_inputs) if n_inputs <= _MOST_SCALES else np.zeros(n_inputs, int)
        self.n_inputs, self._scale_of = n_inputs, scale_of
        sizes = np.bincount(scale_of, minlength=1)
        self.n_scales = len(sizes)
        self.correlation, self.loss = 0.0, np.inf
        self._theta: Floats | None = None
        # Inputs that share a scale are as far apart, together, as so many.
        self._prior_means = _PRIOR_SHIFT + 0.5 * np.log(np.maximum(self.n_scales * sizes, 1))

    @property
    def scales(self) -> Floats:
        """Length scales [n_scales] of the last fit."""
        assert self._theta is not None
        return np.exp(self._theta[: self.n_scales])

    @property
    def noise(self) -> float:
        """Variance of the noise of the last fit, relative to that of the process."""
        assert self._theta is not None
        return float(np.exp(self._theta[-1]))

    def fit(self, X: Floats, y: Floats) -> None:
        """Choose the parameters for rows X [n, d] with outputs y [n], and learn the rows."""
        starts = []
        for noise in (_NOISE_MEAN, _MUCH_NOISE):
            starts.append(np.concatenate([self._prior_means, [_TREND_MEAN, noise]]))
        if self._theta is not None:
            # The noise of the last fit is kept; the other start may have become better.
            much = self._theta[-1] > _NOISE_MIDDLE
            starts = [self._theta, starts[0] if much else starts[1]]
        self._middle = X.mean(axis=0)
        squares, parabolas = self._squares(X), self._parabolas(X)
        trend = parabolas @ parabolas.T
        best = np.inf
        for start in starts:
            found = minimize(
                self._loss,
                start,
                args=(squares, trend, y),
                jac=True,
                method="L-BFGS-B",
                bounds=[_SCALE_BOUNDS] * self.n_scales + [_TREND_BOUNDS, _NOISE_BOUNDS],
                options={"maxiter": _STEPS, "maxls": 10},
            )
            if found.fun < best or self._theta is None:
                best, self._theta = float(found.fun), found.x
        self.loss = best
        self.learn(X, y)

    def learn(self, X: Floats, y: Floats) -> None:
        """Condition on rows X [n, d] with outputs y [n], with the parameters of the last fit."""
        assert self._theta is not None
        n = len(X)
        self._scale = np.exp(-self._theta[: self.n_scales])[self._scale_of]
        self._X = X * self._scale
        self._sizes = (self._X**2).sum(axis=1)
        parabolas = self._parabolas(X)
        self._weighted = np.exp(self._theta[-2]) * parabolas
        K = self._kernel(self._X) + parabolas @ self._weighted.T
        K[np.diag_indices_from(K)] += np.exp(self._theta[-1])
        lower = _cholesky(K)
        self._inverse = solve_triangular(lower, np.eye(n), lower=True)
        self._alpha = self._inverse.T @ (self._inverse @ y)
        self._variance = (float(y @ self._alpha) + _VARIANCE_ROWS) / (n + _VARIANCE_ROWS)
        # Each row as predicted from all others (ibid., sec. 5.4.2).
        precision = (self._inverse**2).sum(axis=0)
        self.correlation = _correlation(y - self._alpha / precision, y)
        # If these predictions are further off than they claim, so are others.
        self._variance *= max(1.0, float((self._alpha**2 / precision).mean()) / self._variance)

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, both [b], of the outputs of rows X [b, d]."""
        assert self._theta is not None
        parabolas = self._parabolas(X)
        K = self._kernel(X * self._scale) + parabolas @ self._weighted.T
        explained = ((K @ self._inverse.T) ** 2).sum(axis=1)
        prior = 1.0 + np.exp(self._theta[-2]) * (parabolas**2).sum(axis=1)
        variance = self._variance * np.maximum(prior - explained, 1e-10)
        return K @ self._alpha, np.sqrt(variance)

    def _kernel(self, Z: Floats) -> Floats:
        """Return the kernel [b, n] between scaled rows Z [b, d] and those learned."""
        square = Z @ self._X.T
        square *= -2.0
        square += (Z**2).sum(axis=1)[:, None]
        square += self._sizes
        r = np.sqrt(np.maximum(square, 0.0, out=square))
        r *= _ROOT5
        return np.asarray((1.0 + r + r * r / 3.0) * np.exp(-r))

    def _parabolas(self, X: Floats) -> Floats:
        """Return the first and second powers [b, 2 d] of rows X [b, d], whose sums are trends."""
        Z = 2.0 * (X - self._middle)
        return np.hstack([Z, Z * Z]) / np.sqrt(X.shape[1])

    def _squares(self, X: Floats) -> Floats:
        """Return squared differences [n_scales, n, n], of inputs of one length scale together."""
        if self.n_scales == self.n_inputs:
            columns = X.T
            return np.asarray((columns[:, :, None] - columns[:, None, :]) ** 2)
        return np.array([_distances(X[:, self._scale_of == i]) for i in range(self.n_scales)])

    def _loss(
        self, theta: Floats, squares: Floats, trend: Floats, y: Floats
    ) -> tuple[float, Floats]:
        """Return the negative logarithm of likelihood times prior, and its gradient.

        `theta` holds logarithms: of the length scales, of the variance of the trend, and of that of
        the noise. `trend` [n, n] is the kernel of the trend.
        """
        n = len(y)
        inverse_squares, noise = np.exp(-2.0 * theta[:-2]), np.exp(theta[-1])
        r = np.sqrt(np.tensordot(inverse_squares, squares, axes=1))
        r *= _ROOT5
        decay = np.exp(-r)
        K = (1.0 + r + r * r / 3.0) * decay + np.exp(theta[-2]) * trend
        K[np.diag_indices_from(K)] += noise
        try:
            factor = cho_factor(K, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return np.inf, np.zeros_like(theta)
        inverse = cho_solve(factor, np.eye(n), check_finite=False)
        alpha = inverse @ y
        variance = (float(y @ alpha) + _VARIANCE_ROWS) / (n + _VARIANCE_ROWS)
        log_determinant = 2.0 * float(np.log(np.diag(factor[0])).sum())
        loss = 0.5 * ((n + _VARIANCE_ROWS) * np.log(variance) + log_determinant)
        # Of the loss with respect to the kernel; half of it cancels with the 0.5.
        slope = 0.5 * (inverse - np.outer(alpha, alpha) / variance)
        weights = slope * (5.0 / 3.0) * (1.0 + r) * decay
        gradient = np.empty_like(theta)
        gradient[:-2] = np.tensordot(squares, weights, axes=2) * inverse_squares
        gradient[-2] = float((slope * trend).sum()) * np.exp(theta[-2])
        gradient[-1] = float(np.trace(slope)) * noise
        means = np.concatenate([self._prior_means, [_TREND_MEAN, _NOISE_MEAN]])
        deviations = np.full(len(theta), _PRIOR_DEVIATION)
        deviations[-1], deviations[-2] = _NOISE_DEVIATION, _TREND_DEVIATION
        z = (theta - means) / deviations
        return loss + 0.5 * float(z @ z), gradient + z / deviations


def _distances(X: Floats) -> Floats:
    """Return the squared distances between rows of X [n, d], [n, n]."""
    sizes = (X**2).sum(axis=1)
    return np.asarray(np.maximum(sizes[:, None] + sizes - 2.0 * (X @ X.T), 0.0))


def _cholesky(K: Floats) -> Floats:
    """Return the factor of K [n, n], with more noise if rows are too much alike."""
    jitter = 0.0
    while True:
        try:
            return np.asarray(np.linalg.cholesky(K + jitter * np.eye(len(K))), dtype=float)
        except np.linalg.LinAlgError:
            jitter = max(10.0 * jitter, 1e-8)


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0.0 else 0.0

"""BoTorch's qLogNEHVI as a rival: noisy expected hypervolume improvement, in batches.

Variables are scaled to the unit cube. Integers are relaxed and rounded before an evaluation, and
the model sees the rounded value. Each option of a choice is a coordinate of its own; the largest
one counts. A permutation is the order of keys, a coordinate for each position. Gaussian processes
are BoTorch's defaults: one for each objective and constraint, with standardized outcomes. The
reference point of the acquisition is the nadir of the feasible non-dominated designs so far, plus a
tenth of their range, as BoTorch's `infer_reference_point` gives it.
"""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np
from pymoo.core.variable import Choice, Integer

from tests.benchmarks.search.adapters import Recorder, keys_of, start_designs, variable_type

BATCH = 10
# Settings of BoTorch's tutorial on qLogNEHVI, with fewer restarts and samples, since all rivals
# share one processor.
_RESTARTS, _RAW_SAMPLES, _MC_SAMPLES, _ITERATIONS = 2, 64, 64, 100


class Cube:
    """Designs of a problem as points of the unit cube.

    Parameters
    ----------
    problem : pymoo.core.problem.Problem
    """

    def __init__(self, problem: Any) -> None:
        self.problem, self.kind = problem, variable_type(problem)

    def point(self, x: Any) -> Any:
        """Return the point of a design."""
        if self.kind == "permutation":
            return keys_of(x)
        if self.kind == "real":
            return (np.asarray(x) - self.problem.xl) / (self.problem.xu - self.problem.xl)
        point: list[float] = []
        for name, variable in self.problem.vars.items():
            if isinstance(variable, Choice):
                point += [float(x[name] == option) for option in variable.options]
                continue
            low, high = variable.bounds
            point.append((float(x[name]) - low) / max(high - low, 1e-300))
        return point

    def design(self, u: Any) -> Any:
        """Return the design at a point."""
        if self.kind == "permutation":
            return np.argsort(u, kind="stable")
        if self.kind == "real":
            return self.problem.xl + u * (self.problem.xu - self.problem.xl)
        x: dict[str, Any] = {}
        for name, variable in self.problem.vars.items():
            n = len(variable.options) if isinstance(variable, Choice) else 1
            part, u = u[:n], u[n:]
            if isinstance(variable, Choice):
                x[name] = variable.options[int(np.argmax(part))]
                continue
            low, high = variable.bounds
            value = low + float(part[0]) * (high - low)
            x[name] = round(value) if isinstance(variable, Integer) else value
        return x


def run_qlognehvi(
    problem: Any, n_eval: int, seed: int, *, pop_size: int = 20, seconds: float = math.inf
) -> tuple[Any, Any, Any]:
    """Run qLogNEHVI in batches of ten; return X, F and G of all evaluations, as `run_adapter`.

    Parameters
    ----------
    problem : pymoo.core.problem.Problem
    n_eval : int
    seed : int
    pop_size : int
        Number of start designs.
    seconds : float
        Process time after which the run stops, with fewer evaluations than `n_eval`.
    """
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    end = time.process_time() + seconds
    recorder, cube = Recorder(problem, n_eval), Cube(problem)
    for x in start_designs(problem, min(pop_size, n_eval), seed):
        recorder.evaluate(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while not recorder.full and time.process_time() < end:
            q = min(BATCH, n_eval - len(recorder.X))
            for u in _candidates(cube, recorder, q, end):
                recorder.evaluate(cube.design(u))
    return recorder.result()


def _candidates(cube: Cube, recorder: Recorder, q: int, end: float) -> Any:
    """Return the next q points [q, n_columns]."""
    import torch
    from botorch.acquisition.multi_objective.logei import (
        qLogNoisyExpectedHypervolumeImprovement,
    )
    from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.transforms.outcome import Standardize
    from botorch.optim import optimize_acqf
    from botorch.sampling.normal import SobolQMCNormalSampler
    from botorch.utils.multi_objective.hypervolume import infer_reference_point
    from gpytorch.mlls import SumMarginalLogLikelihood

    U = torch.as_tensor(np.array([cube.point(x) for x in recorder.X]), dtype=torch.float64)
    F = torch.as_tensor(-np.array(recorder.F), dtype=torch.float64)
    G = torch.as_tensor(np.array(recorder.G), dtype=torch.float64)
    Y = torch.cat([F, G], dim=1)
    models = [
        SingleTaskGP(U, Y[:, i : i + 1], outcome_transform=Standardize(m=1))
        for i in range(Y.shape[1])
    ]
    model = ModelListGP(*models)
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    feasible = (G <= 0).all(dim=1)
    point = infer_reference_point(F[feasible] if feasible.any() else F)
    m = F.shape[1]
    acquisition = qLogNoisyExpectedHypervolumeImprovement(
        model=model,
        ref_point=point,
        X_baseline=U,
        sampler=SobolQMCNormalSampler(torch.Size([_MC_SAMPLES]), seed=len(recorder.X)),
        objective=IdentityMCMultiOutputObjective(outcomes=list(range(m))),
        constraints=[
            (lambda Z, i=i: Z[..., i])  # type: ignore[misc]
            for i in range(m, Y.shape[1])
        ]
        or None,
        prune_baseline=True,
        cache_root=True,
    )
    bounds = torch.stack([torch.zeros(U.shape[1]), torch.ones(U.shape[1])]).to(torch.float64)
    points, _ = optimize_acqf(
        acquisition,
        bounds=bounds,
        q=q,
        num_restarts=_RESTARTS,
        raw_samples=_RAW_SAMPLES,
        options={"batch_limit": 5, "maxiter": _ITERATIONS},
        sequential=True,
        timeout_sec=max(5.0, end - time.process_time()),
    )
    return points.detach().numpy()

"""The error about the limit that no deployment meets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from problems._arrays import Floats
from problems._checks import setting_error
from problems.moe.serving.setup import OWNER, Choices

__all__ = ["refusal"]

_PARAMETERS = {"memory_bytes": "memory_budget", "ttft": "ttft_slo_s", "tpot_mean": "tpot_slo_s"}


def refusal(
    limits: dict[str, float],
    choices: Choices,
    F: Floats,
    G: Floats,
    nearest: Mapping[str, float],
) -> ValueError:
    """Return the error about the limit that no deployment meets.

    Parameters
    ----------
    limits : dict of str to float
    choices : Choices
    F, G : float array [n, n_obj], [n, n_constraints]
        Objectives and violations of the deployments that were tried.
    nearest : mapping of str to float
        Values of the deployment that violates least.
    """
    if not np.isfinite(F).all(axis=1).any():
        expected = (
            "such that a step has room for tokens of prompts beside one token of each running "
            f"sequence (`sequences` begins with {choices.sequences[0]})"
        )
        return setting_error(OWNER, "max_num_batched_tokens", expected, list(choices.tokens))
    fits = G[:, 0] <= 0
    for i, (name, limit) in enumerate(limits.items()):
        among = G[:, i] if name == "memory_bytes" else G[fits, i]
        if len(among) and among.min() > 0:
            least = limit * (1 + float(among.min()))
            parts = "bytes" if name == "memory_bytes" else "seconds"
            expected = (
                f"at least {least:.6g} {parts}, the least of all layouts and batches tried "
                "(more GPUs, or shorter prompts and answers, lower it)"
            )
            return setting_error(OWNER, _PARAMETERS[name], expected, limit)
    values = ", ".join(f"{name} = {nearest[name]:.6g}" for name in limits)
    expected = f"such that a deployment meets it with the other limits; the nearest has {values}"
    name = next(reversed(limits))
    return setting_error(OWNER, _PARAMETERS[name], expected, limits[name])

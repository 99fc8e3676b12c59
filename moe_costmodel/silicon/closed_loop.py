"""ClosedLoop: benchmarks that keep a constant number of requests in flight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import check_number, count, invalid, one_of, require
from moe_costmodel.silicon.loop_kernel import run_loop

__all__ = ["ClosedLoop", "LoopTimes", "StepCurves"]

POLICIES = ("mixed", "prompts first", "whole prompts")


@dataclass(frozen=True, kw_only=True)
class StepCurves:
    """Step times of one data-parallel rank, interpolated between the sizes of two curves.

    Parameters
    ----------
    decode_sizes, decode_seconds : tuple of float
        Decoding sequences, rising, and seconds of a step that computes one token of each.
    prompt_tokens, prompt_seconds : tuple of float
        Tokens of prompts, rising, and seconds of a step that computes them.
    per_decoding : float
        Seconds that each decoding sequence adds to a step that computes prompts, too.

    Raises
    ------
    ValueError
        If a curve has fewer than two points, its sizes do not rise, or a time is negative.

    Examples
    --------
    >>> from moe_costmodel import StepCurves
    >>> curves = StepCurves(
    ...     decode_sizes=(1, 64), decode_seconds=(0.008, 0.016),
    ...     prompt_tokens=(0, 8192), prompt_seconds=(0.008, 0.3),
    ... )
    """

    decode_sizes: tuple[float, ...]
    decode_seconds: tuple[float, ...]
    prompt_tokens: tuple[float, ...]
    prompt_seconds: tuple[float, ...]
    per_decoding: float = 0.0

    def __post_init__(self) -> None:
        for sizes, seconds in (
            ("decode_sizes", "decode_seconds"), ("prompt_tokens", "prompt_seconds"),
        ):  # fmt: skip
            x, y = getattr(self, sizes), getattr(self, seconds)
            if len(x) < 2 or len(x) != len(y) or not np.all(np.diff(x) > 0):
                expected = f"two or more rising sizes, as many as {seconds}"
                raise invalid("StepCurves", sizes, f"{x} with {y}", expected)
            if not (np.all(np.isfinite(y)) and min(y) >= 0):
                raise invalid("StepCurves", seconds, y, "times of at least 0")
        require("StepCurves", "per_decoding", self.per_decoding, self.per_decoding >= 0, ">= 0")


@dataclass(frozen=True)
class LoopTimes:
    """Times of the requests of a closed loop; arrays of shape (n_requests,).

    Attributes
    ----------
    ttft : ndarray
        Seconds from a request's sending to its first token.
    tpot : ndarray
        Mean seconds per token after the first.
    sent : ndarray
        Seconds at which each request was sent.
    concurrency : int
        Requests in flight; as many are sent at the start.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import LoopTimes
    >>> times = np.array([0.4, 0.2])
    >>> LoopTimes(times, times, np.array([0.0, 1.0]), 1).later
    0.2
    """

    ttft: Floats
    tpot: Floats
    sent: Floats
    concurrency: int

    @property
    def first_wave(self) -> float:
        """Mean seconds to the first token of the requests that are sent at the start."""
        return float(self.ttft[: self.concurrency].mean())

    @property
    def later(self) -> float:
        """Mean seconds to the first token of the others; of all if there are no others."""
        others = self.ttft[self.concurrency :]
        return float(others.mean()) if len(others) else self.first_wave


@dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """A benchmark that sends a request whenever one ends, and the scheduler that serves it.

    Benchmark clients (`vllm bench serve`, `sglang.bench_serving`, and those derived from them) send
    as many requests as they may have in flight at once, and each later one when an earlier one
    ends. The first wave waits for all its prompts; later requests wait for the running step, and
    for the prompts that came just before.

    Parameters
    ----------
    concurrency : int
        Requests in flight on all data-parallel ranks.
    n_requests : int
        Requests to send; 0 for ten times `concurrency`.
    input_tokens, output_tokens : int
        Most tokens of prompts and answers.
    least : float
        Fewest tokens over most tokens; lengths are drawn uniformly between them.
    n_ranks : int
        Data-parallel ranks, which take each step together.
    policy : {"mixed", "prompts first", "whole prompts"}
        How steps are composed: tokens and chunks of prompts together (vLLM); prompts alone, before
        all else (SGLang); tokens and prompts that fit as a whole (TensorRT-LLM).
    step_tokens : int
        Tokens of a step of one rank at most.
    max_num_seqs : int
        Running sequences of one rank at most, by setting or memory.
    poll_steps : int
        Steps between two looks for new requests (`--scheduler-recv-interval` of SGLang). A step
        with prompts is always followed by one.
    wait_steps, wait_tokens : int
        Steps that prompts wait at most until there are `wait_tokens` tokens to compute
        (`batch_wait_timeout_iters` of TensorRT-LLM).
    balanced : bool
        Whether prompts wait for prompts on all ranks instead (`attention_dp_config` of
        TensorRT-LLM).
    gap : float
        Seconds from the end of a request to the arrival of the next at the scheduler. The first
        requests arrive after the same time.

    Raises
    ------
    ValueError
        If a number is out of range, or the policy unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import ClosedLoop, StepCurves
    >>> curves = StepCurves(
    ...     decode_sizes=(1, 64), decode_seconds=(0.01, 0.01),
    ...     prompt_tokens=(0, 1000), prompt_seconds=(0.0, 0.1),
    ... )
    >>> loop = ClosedLoop(concurrency=4, input_tokens=1000, output_tokens=100, step_tokens=1000)
    >>> times = loop.run(curves, random_state=np.random.default_rng(0))
    >>> times.first_wave > times.later  # the first wave waits for all its prompts
    True
    """

    concurrency: int
    input_tokens: int
    output_tokens: int
    n_requests: int = 0
    least: float = 0.8
    n_ranks: int = 1
    policy: str = "mixed"
    step_tokens: int = 8192
    max_num_seqs: int = 2**30
    poll_steps: int = 1
    wait_steps: int = 0
    wait_tokens: int = 0
    balanced: bool = False
    gap: float = 0.005

    def __post_init__(self) -> None:
        owner = "ClosedLoop"
        for name in ("concurrency", "input_tokens", "output_tokens", "n_ranks", "step_tokens",
                     "max_num_seqs", "poll_steps"):  # fmt: skip
            count(owner, name, getattr(self, name))
        for name in ("n_requests", "wait_steps", "wait_tokens"):
            count(owner, name, getattr(self, name), 0)
        one_of(owner, "policy", self.policy, POLICIES)
        check_number(owner, "least", self.least)
        require(owner, "least", self.least, 0 < self.least <= 1, "above 0, at most 1")
        check_number(owner, "gap", self.gap)
        require(owner, "gap", self.gap, self.gap >= 0, "at least 0")

    def lengths(self, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Draw the tokens of prompts and answers.

        Parameters
        ----------
        random_state : numpy.random.Generator
            Source of the lengths.

        Returns
        -------
        tuple of ndarray of shape (n_requests,), int64
        """
        n = self.n_requests or 10 * self.concurrency
        drawn = [
            random_state.integers(max(int(self.least * most), 1), most + 1, n)
            for most in (self.input_tokens, self.output_tokens)
        ]
        return drawn[0], drawn[1]

    def run(self, curves: StepCurves, *, random_state: np.random.Generator) -> LoopTimes:
        """Simulate the benchmark.

        Parameters
        ----------
        curves : StepCurves
            Step times.
        random_state : numpy.random.Generator
            Source of the lengths of prompts and answers.

        Returns
        -------
        LoopTimes
        """
        inputs, outputs = self.lengths(random_state)
        sent, first, last = run_loop(
            POLICIES.index(self.policy), self.concurrency, self.n_ranks, inputs, outputs,
            np.asarray(curves.decode_sizes, dtype=float),
            np.asarray(curves.decode_seconds, dtype=float),
            np.asarray(curves.prompt_tokens, dtype=float),
            np.asarray(curves.prompt_seconds, dtype=float),
            float(curves.per_decoding), self.step_tokens, self.max_num_seqs, self.poll_steps,
            self.wait_steps, float(self.wait_tokens), self.balanced, float(self.gap),
        )  # fmt: skip
        tpot = (last - first) / np.maximum(outputs - 1, 1)
        return LoopTimes(first - sent, tpot, sent, min(self.concurrency, len(sent)))

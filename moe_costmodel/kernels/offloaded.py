"""Offloaded experts: misses are computed in slow memory, and uploads run behind the next layers.

The slow memory of a GPU is CPU memory, and the CPU computes the misses. That of a CPU is a mapped
file, or experts of a narrower type, which are widened at every use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Lock, Thread

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from moe_costmodel._checks import invalid
from moe_costmodel.kernels.dynamic import combine, sort_by_expert
from moe_costmodel.kernels.experts import Experts, check_layer, check_no_gradient
from moe_costmodel.kernels.residency import Event, Residency, Upload, UploadRule

__all__ = ["OffloadStatistics", "OffloadedExperts"]

_THREAD_BYTES = 1 << 20


@dataclass
class OffloadStatistics:
    """Counts of offloaded experts since their start.

    Attributes
    ----------
    steps : int
        Calls of the layer.
    hits, misses : int
        Needed experts that were resident, and needed experts that were not.
    uploads : int
        Experts that were copied into a slot for later steps.

    Examples
    --------
    >>> from moe_costmodel.kernels import OffloadStatistics
    >>> OffloadStatistics(steps=2, hits=3, misses=1)
    OffloadStatistics(steps=2, hits=3, misses=1, uploads=0)
    """

    steps: int = 0
    hits: int = 0
    misses: int = 0
    uploads: int = 0


class OffloadedExperts(nn.Module):
    """An MoE layer some of whose experts are in fast memory; the others compute in slow memory.

    A call computes the layer by dynamic gating: each needed expert runs on the weights in its slot,
    or on those in slow memory. Misses, uploads and victims are those of
    :func:`moe_costmodel.offload_events`. Uploads begin when the call ends; the next call of the
    same layer waits for them, so they run behind the layers in between, on a thread of their own,
    or on a stream of the GPU.

    The output is that of :func:`moe_costmodel.kernels.dynamic_gating` with the experts of `slow`,
    up to the order of additions within a product: it does not depend on what is resident. It has
    no gradients.

    Parameters
    ----------
    slow : Experts
        All experts, in CPU memory (pinned here if `device` is a GPU) or mapped from a file with
        :meth:`Experts.map_file`. A floating-point type narrower than that of the tokens is widened
        at every miss, and once at an upload.
    capacity : int
        Number of experts that fast memory holds, at least 1.
    policy, admission, start, start_weight, half_life
        As for :class:`Residency`.
    in_place : bool
        Whether misses are computed in slow memory. Otherwise a miss is copied first: into its slot
        if it is uploaded, else into one that all misses share.
    device : device
        Device that runs the resident experts.
    dtype : torch.dtype, optional
        Type of the weights in fast memory, and of the tokens; by default that of `slow`.
    background : bool, optional
        Whether uploads on a CPU run on a thread of their own. Otherwise a call makes them at its
        end. By default, experts of 1 MiB and more get the thread: to hand over an upload takes
        about as long as to copy that much.
    fast : Experts, optional
        Fast memory to use, such as that of layers that are not called any more; by default it is
        allocated.

    Attributes
    ----------
    residency : Residency
    statistics : OffloadStatistics

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import Experts, OffloadedExperts
    >>> experts = Experts.random(n_experts=4, d_model=8, d_ffn=16)
    >>> layer = OffloadedExperts(experts, capacity=2, policy="lru", start=[1, 1, 0, 0])
    >>> ids, weights = torch.tensor([[0], [3]]), torch.ones(2, 1)
    >>> layer(torch.ones(2, 8), ids, weights).shape
    torch.Size([2, 8])
    >>> layer.statistics
    OffloadStatistics(steps=1, hits=1, misses=1, uploads=1)
    """

    def __init__(
        self,
        slow: Experts,
        capacity: int,
        *,
        policy: str = "lfu",
        admission: UploadRule | None = None,
        start: ArrayLike | None = None,
        start_weight: float = 0.0,
        half_life: float = 1024.0,
        in_place: bool = True,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        background: bool | None = None,
        fast: Experts | None = None,
    ) -> None:
        super().__init__()
        device = torch.device(device)
        self.residency = Residency(
            slow.n_experts, capacity, policy, admission,
            start=start, start_weight=start_weight, half_life=half_life,
        )  # fmt: skip
        if slow.up.device.type != "cpu":
            raise invalid("OffloadedExperts", "slow", f"on {slow.up.device}", "in CPU memory")
        self.in_place = in_place
        # A slot beside those of the policy takes the misses that are copied, but do not stay.
        slots = self.residency.capacity + (not in_place)
        self.slow = slow.pinned() if device.type == "cuda" else slow
        if fast is None:
            fast = replace(
                slow,
                up=slow.up.new_empty(slots, *slow.up.shape[1:], device=device, dtype=dtype),
                down=slow.down.new_empty(slots, *slow.down.shape[1:], device=device, dtype=dtype),
            )
        self._set_fast(fast)
        self.background = fast.expert_bytes >= _THREAD_BYTES if background is None else background
        self._sources = self.slow.up.unbind(0), self.slow.down.unbind(0)
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._uploading: _Upload | torch.cuda.Event | None = None
        self.reset()

    def _set_fast(self, fast: Experts) -> None:
        slots = self.residency.capacity + (not self.in_place)
        if fast.n_experts < slots:
            raise invalid("OffloadedExperts", "fast", fast.n_experts, f"of {slots} experts or more")
        self.fast = fast
        self._slots = fast.up.unbind(0), fast.down.unbind(0)

    def use_memory(self, fast: Experts) -> None:
        """Begin anew in other fast memory, such as that of layers that are not called any more."""
        self._set_fast(fast)
        self.reset()

    def reset(self) -> None:
        """Begin anew: first contents in the slots, and all counts 0."""
        self.wait()
        self.residency.reset()
        self.statistics = OffloadStatistics()
        self._copy(self.residency.contents())

    def wait(self) -> None:
        """Wait until the uploads of the last call are done."""
        uploading, self._uploading = self._uploading, None
        if isinstance(uploading, _Upload):
            uploading.wait()
        elif uploading is not None:
            torch.cuda.current_stream(self.fast.up.device).wait_event(uploading)

    def forward(self, x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        """Return the layer's output [S, d_model]; parameters as for any kernel."""
        check_layer(x, ids, weights, self.slow, dtype=self.fast.up.dtype)
        check_no_gradient("OffloadedExperts", x, weights, self.slow)
        order, counts = sort_by_expert(ids, weights, self.slow.n_experts)
        sizes = counts.tolist()
        needed = [expert for expert, size in enumerate(sizes) if size]
        rows = [sizes[expert] for expert in needed]
        event = self.residency.event(needed)
        missed = sum(slot < 0 for slot in event.slots)
        self.statistics.steps += 1
        self.statistics.misses += missed
        self.statistics.hits += len(needed) - missed
        self.statistics.uploads += len(event.uploads)
        self.wait()
        tokens = x.index_select(0, order // ids.shape[1])
        with torch.no_grad():
            if not self.in_place:
                computed = self._copied(tokens, needed, rows, event)
            elif self._stream is None:
                computed = _products(tokens, rows, *self._matrices(needed, event.slots), self.fast)
            else:
                computed = self._on_both(tokens, needed, rows, event.slots)
            if self.in_place and event.uploads:
                self._begin(event.uploads)
        return combine(computed, order, weights)

    def _matrices(
        self, needed: Sequence[int], slots: Sequence[int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return both layers of each needed expert, transposed, from its slot or slow memory."""
        fast, slow, dtype = self.fast.transposed, self.slow.transposed, self.fast.up.dtype
        first, second = (
            [
                fast[i][slot] if slot >= 0 else slow[i][expert].to(dtype)
                for expert, slot in zip(needed, slots, strict=True)
            ]
            for i in range(2)
        )
        return first, second

    def _on_both(
        self, tokens: Tensor, needed: Sequence[int], rows: Sequence[int], slots: Sequence[int]
    ) -> Tensor:
        """Compute the hits on the GPU while the CPU computes the misses."""
        parts = list(torch.arange(len(tokens)).split(list(rows)))
        groups = [
            [i for i, slot in enumerate(slots) if (slot < 0) == on_cpu] for on_cpu in (False, True)
        ]
        out = torch.empty_like(tokens)
        hits, misses = groups
        # The tokens of the misses go first, so that the CPU does not wait for the hits.
        moved = None
        if misses:
            chosen = torch.cat([parts[i] for i in misses]).to(tokens.device)
            moved = tokens.index_select(0, chosen).to("cpu")
        if hits:
            at = torch.cat([parts[i] for i in hits]).to(tokens.device)
            weights = self._matrices([needed[i] for i in hits], [slots[i] for i in hits])
            out[at] = _products(tokens[at], [rows[i] for i in hits], *weights, self.fast)
        if moved is not None:
            weights = self._matrices([needed[i] for i in misses], [-1] * len(misses))
            computed = _products(moved, [rows[i] for i in misses], *weights, self.fast)
            out[chosen] = computed.to(tokens.device)
        return out

    def _copied(
        self, tokens: Tensor, needed: Sequence[int], rows: Sequence[int], event: Event
    ) -> Tensor:
        """Compute the hits, then copy and compute one miss after the other."""
        out, slot_of = torch.empty_like(tokens), {u.expert: u.slot for u in event.uploads}
        first, second = self.fast.transposed
        steps = list(zip(needed, event.slots, tokens.split(rows), out.split(rows), strict=True))
        # A slot is overwritten after its expert has run.
        for expert, slot, x, y in sorted(steps, key=lambda step: step[1] < 0):
            place = slot
            if slot < 0:
                place = slot_of.get(expert, self.residency.capacity)
                self._copy([(expert, place)])
            torch.mm(self.fast.inner(torch.mm(x, first[place])), second[place], out=y)
        return out

    def _begin(self, uploads: Sequence[Upload]) -> None:
        """Begin the uploads that follow a call."""
        pairs = [(upload.expert, upload.slot) for upload in uploads]
        if self._stream is not None:
            # The copies wait until the experts that leave have run.
            self._stream.wait_stream(torch.cuda.current_stream(self.fast.up.device))
            with torch.cuda.stream(self._stream):
                self._copy(pairs)
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record(self._stream)
            self._uploading = event
        elif self.background:
            self._uploading = _UPLOADER.submit(*self._views(pairs))
        else:
            self._copy(pairs)

    def _views(self, pairs: Sequence[tuple[int, int]]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the weights of slots, and those of the experts that are copied there."""
        targets = [part[slot] for part in self._slots for _, slot in pairs]
        return targets, [part[expert] for part in self._sources for expert, _ in pairs]

    def _copy(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copy experts into slots."""
        for target, source in zip(*self._views(pairs), strict=True):
            target.copy_(source, non_blocking=True)


class _Upload:
    """Copies that the uploading thread makes."""

    def __init__(self, targets: list[Tensor], sources: list[Tensor]) -> None:
        self.targets, self.sources = targets, sources
        self._error: BaseException | None = None
        self._done = Lock()
        self._done.acquire()

    def run(self) -> None:
        try:
            # One call for all: the interpreter's lock is taken once.
            torch._foreach_copy_(self.targets, self.sources)
        except BaseException as error:  # raised where the upload is waited for
            self._error = error
        finally:
            self._done.release()

    def wait(self) -> None:
        with self._done:
            if self._error is not None:
                raise self._error


class _Uploader:
    """The thread that makes the uploads of all layers, started with the first one."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Upload] = SimpleQueue()
        self._thread: Thread | None = None

    def submit(self, targets: list[Tensor], sources: list[Tensor]) -> _Upload:
        if self._thread is None or not self._thread.is_alive():  # also after a fork
            self._thread = Thread(target=self._work, name="uploads", daemon=True)
            self._thread.start()
        upload = _Upload(targets, sources)
        self._queue.put(upload)
        return upload

    def _work(self) -> None:
        while True:
            self._queue.get().run()


_UPLOADER = _Uploader()


def _products(
    tokens: Tensor, rows: Sequence[int], first: Sequence[Tensor], second: Sequence[Tensor],
    experts: Experts,
) -> Tensor:  # fmt: skip
    """Return the outputs [n, d_model] of experts for tokens sorted by expert, `rows` of each."""
    out = tokens.new_empty(tokens.shape)
    if not rows:
        return out
    hidden = tokens.new_empty(len(tokens), first[0].shape[1])
    for matrix, x, y in zip(first, tokens.split(list(rows)), hidden.split(list(rows)), strict=True):
        torch.mm(x, matrix, out=y)
    inner = experts.inner(hidden)
    for matrix, x, y in zip(second, inner.split(list(rows)), out.split(list(rows)), strict=True):
        torch.mm(x, matrix, out=y)
    return out

"""Peak memory of a computation beside its inputs."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

__all__ = ["peak_activation_bytes"]


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of all live storages that operations have created."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        inputs = {
            leaf.untyped_storage().data_ptr()
            for leaf in tree_iter((args, kwargs))
            if isinstance(leaf, torch.Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for leaf in tree_iter(result):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if storage.data_ptr() not in inputs and id(storage) not in self.live:
                    self._add(storage)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        self.live[key] = storage.nbytes()
        weakref.finalize(storage, self.live.pop, key, None)
        self.peak = max(self.peak, sum(self.live.values()))


def peak_activation_bytes(call: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """Return the peak of the memory that a call allocates, in bytes.

    Parameters
    ----------
    call : callable
        Called once, under ``torch.no_grad``.
    device : device
        On a GPU, the caching allocator reports the peak. On the CPU, all tensors that operations
        create are counted while they live, but not the memory inside an operation.

    Returns
    -------
    int

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import peak_activation_bytes
    >>> peak_activation_bytes(lambda: torch.ones(1000))
    4000
    """
    device = torch.device(device)
    with torch.no_grad():
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            call()
            torch.cuda.synchronize(device)
            return int(torch.cuda.max_memory_allocated(device) - before)
        with _LiveBytes() as mode:
            call()
        return mode.peak

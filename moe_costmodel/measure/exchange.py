"""Measurement of all-to-all between two processes; as a module, this file is one of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from moe_costmodel.measure.measurements import Record

__all__ = ["measure_exchange"]

_SIZES = (1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22)
_REPEATS = 15


def measure_exchange(*, backend: str = "gloo", timeout: float = 120.0) -> list[Record]:
    """Time the exchange of several sizes between two processes, for at most `timeout` seconds.

    The backend gloo runs on CPUs, and nccl needs two GPUs. Each process sends the "bytes" of a
    record to the other one. If a process fails, the RuntimeError ends with its error.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        command = [sys.executable, "-m", __name__, backend, store]
        pipe = subprocess.PIPE
        workers = [
            subprocess.Popen([*command, rank], stdout=pipe, stderr=pipe, text=True) for rank in "01"
        ]
        try:
            outputs = [worker.communicate(timeout=timeout) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
    if any(worker.returncode for worker in workers):
        raise RuntimeError(f"All-to-all between two processes failed: {outputs[0][1][-500:]}")
    timings = json.loads(outputs[0][0].splitlines()[-1])
    return [Record("all_to_all", {"bytes": size}, repeats) for size, repeats in timings]


def _work(backend: str, store: str, rank: int) -> list[tuple[int, list[float]]]:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=2)
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    timings = []
    for size in _SIZES:
        sent = torch.zeros(2 * size, dtype=torch.uint8, device=device)
        received = torch.empty_like(sent)
        repeats = []
        for _ in range(_REPEATS + 2):
            dist.barrier()
            started = time.perf_counter()
            dist.all_to_all_single(received, sent)
            if backend == "nccl":
                torch.cuda.synchronize(device)
            repeats.append(time.perf_counter() - started)
        timings.append((size, repeats[2:]))
    dist.destroy_process_group()
    return timings


if __name__ == "__main__":
    _, backend, store, rank = sys.argv
    sys.stdout.write(json.dumps(_work(backend, store, int(rank))) + "\n")

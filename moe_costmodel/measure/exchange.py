"""Measurement of all-to-all between two processes; as a module, this file is one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from moe_costmodel.measure.measurements import Record, record_in
from moe_costmodel.measure.timing import scratch_folder
from moela.files.guard import brief, invalid_file
from moela.files.text import parse_json
from moela.heartbeat.working import long_work

__all__ = ["measure_exchange"]

_SIZES = (1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22)
_REPEATS = 15


@long_work("measuring the exchange between processes")
def measure_exchange(*, backend: str = "gloo", timeout: float = 120.0) -> list[Record]:
    """Time the exchange of several sizes between two processes, for at most `timeout` seconds.

    The backend gloo runs on CPUs, and nccl needs two GPUs. Each process sends the "bytes" of a
    record to the other one. If a process fails, the RuntimeError ends with its error.
    """
    with scratch_folder() as folder:
        command = [sys.executable, "-m", __name__, backend, str(folder / "store")]
        workers = [
            subprocess.Popen(
                [*command, rank], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                encoding="utf-8", errors="replace",
            )
            for rank in "01"
        ]  # fmt: skip
        try:
            outputs = [worker.communicate(timeout=timeout) for worker in workers]
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(
                f"All-to-all between two processes took longer than {timeout:g} s. Measure again, "
                "or leave the exchange out (moela measure --no-exchange)."
            ) from error
        finally:
            for worker in workers:
                with worker:  # closes its pipes and waits for its end
                    worker.kill()
    if any(worker.returncode for worker in workers):
        raise RuntimeError(f"All-to-all between two processes failed: {outputs[0][1][-500:]}")
    return _records(outputs[0][0])


def _records(output: str) -> list[Record]:
    """Return the records in the last line that a process wrote; libraries may write others."""
    source = "output of the all-to-all between two processes"
    rows = parse_json((output.splitlines() or [""])[-1], source)
    if not isinstance(rows, list) or not all(isinstance(r, list) and len(r) == 2 for r in rows):
        raise invalid_file(source, brief(rows), "a list of pairs of a size and repeats")
    return [
        record_in(
            source, f"[{i}]", {"kind": "all_to_all", "at": {"bytes": size}, "repeats": repeats}
        )
        for i, (size, repeats) in enumerate(rows)
    ]


def _address(store: str) -> str:
    """Return the address under which torch finds a file; on Windows, drives need a slash."""
    return Path(store).as_uri() if os.name == "nt" else f"file://{store}"


def _work(backend: str, store: str, rank: int) -> list[tuple[int, list[float]]]:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(backend, init_method=_address(store), rank=rank, world_size=2)
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

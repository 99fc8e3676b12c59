"""Cost of watching a run: processor time of the view, and what it adds to the run itself.

    python -m tests.benchmarks.watch_cost [--evaluations 20000] [--quick]

`moela watch` follows a run on a terminal. It is stopped and continued every 250 evaluations, and
the run's own processor time is compared between neighboring blocks with and without the view, so
that neither other work on the machine nor the slow change of the algorithm counts. To the median of
these ratios the view's own processor time is added, as a share of the run's: that is the cost if
both share one core.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from pymoo.optimize import minimize

from moela import MOELA, Evaluator
from problems import NoC3D
from tests.benchmarks import harness

BLOCK, MOST = 250, 0.02


class View:
    """`moela watch` on a terminal that nobody looks at."""

    def __init__(self, store: Path) -> None:
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "moela", "watch", str(store)]
        self._process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        threading.Thread(target=self._drain, args=(master,), daemon=True).start()

    def _drain(self, master: int) -> None:
        while True:
            try:
                if not os.read(master, 65536):
                    return
            except OSError:  # the view has ended
                return

    def send(self, what: signal.Signals) -> None:
        """Send a signal to the view."""
        self._process.send_signal(what)

    def end(self) -> float:
        """End the view; return the seconds of processor time that it has used."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGINT)
        _, _, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = 0
        return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Make a run, and print the cost of the view."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--evaluations", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="3,000 evaluations")
    options = parser.parse_args()
    n_eval = 3000 if options.quick else options.evaluations
    print(harness.machine())
    blocks: list[float] = []
    view: View | None = None
    begun = done = 0.0
    n = 0

    def count(pop):
        nonlocal view, begun, done, n
        n += len(pop)
        if n // BLOCK == len(blocks):
            return
        now = time.process_time()
        if view is None:  # the first block compiles
            view, begun = View(store), now
        blocks.append((now - done) / BLOCK)
        done = now
        # Off, on, on, off: a steady change of the run cancels out.
        view.send(signal.SIGCONT if len(blocks) % 4 in (1, 2) else signal.SIGSTOP)

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "run.db"
        with Evaluator(store=store, callback=count) as evaluator:
            minimize(NoC3D.example(), MOELA(), ("n_eval", n_eval), seed=1, evaluator=evaluator)
        own = time.process_time() - begun
        assert view is not None
        seen = view.end()
    # The blocks are measured at their ends; the first holds compilation.
    watched = [i for i in range(1, len(blocks)) if i % 4 in (1, 2)]
    ratios = []
    for i in range(1, len(blocks) - 3, 4):
        four = blocks[i : i + 4]
        on = [t for k, t in enumerate(four) if i + k in watched]
        off = [t for k, t in enumerate(four) if i + k not in watched]
        ratios.append(sum(on) / sum(off))
    added, share = float(np.median(ratios)) - 1, seen / own
    print(f"processor time of the run {own:.1f} s, of the view {seen:.2f} s")
    spread = np.quantile(ratios, [0.25, 0.75]) - 1
    quartiles = f"{spread[0]:+.2%}, {spread[1]:+.2%}"
    print(f"the run in blocks with the view: {added:+.2%} (quartiles {quartiles})")
    cost = max(added, 0) + share
    print(f"bar: cost of watching {n_eval:,} evaluations, {cost:.2%}, under {MOST:.0%}")


if __name__ == "__main__":
    main()

"""Ways in which an evaluation can misbehave, and problems that do so; workers import them."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pymoo.core.problem import ElementwiseProblem, Problem

EVERYWHERE = ("serial", "processes", "processes with timeout", "threads", "loky", "dask")
SUPERVISED = ("processes", "processes with timeout")
TIMED = ("processes with timeout",)
OWN_PROCESS = ("processes", "processes with timeout", "loky", "dask")

EVERY = 9  # of these designs, one misbehaves
WRONG = [-7.0, -7.0]


def values(x: np.ndarray) -> np.ndarray:
    """Return the objectives [..., 2] of designs [..., 4]."""
    return np.stack([x[..., 0] + x[..., 1], 1.0 - x[..., 0] + x[..., 2] ** 2], axis=-1)


def designs(n: int, seed: int) -> np.ndarray:
    """Return designs of which every few misbehave: those with x[3] = 1."""
    X = np.random.default_rng(seed).random((n, 4))
    X[:, 3] = np.arange(n) % EVERY == EVERY // 2
    return X


class Kind(NamedTuple):
    """A misdeed, the backends that can survive it, and whether such a design may fail."""

    act: Callable
    backends: tuple[str, ...]
    may_fail: bool


KINDS: dict[str, Kind] = {}


def kind(name: str, backends: tuple[str, ...] = EVERYWHERE, *, may_fail: bool = False):
    """Register a kind."""

    def register(function: Callable) -> Callable:
        KINDS[name] = Kind(function, backends, may_fail)
        return function

    return register


class Misbehaving(ElementwiseProblem):
    """Misbehaves in a way of `KINDS` where x[3] is 1."""

    def __init__(self, how: str, folder: str):
        super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)
        self.how, self.folder, self.begun = how, Path(folder), dict[int, int]()
        self._shared = np.zeros(2)

    def _evaluate(self, x, out, *args, **kwargs):
        thread = threading.get_ident()
        self.begun[thread] = self.begun.get(thread, 0) + 1
        note(self.folder, 1)
        time.sleep(0.002)
        out["F"] = values(x)
        if self.how == "the same array each time":
            self._shared[:] = out["F"]
            out["F"] = self._shared
        if x[3] == 1.0:
            KINDS[self.how].act(x, out, self)


class Together(Problem):
    """The same, vectorized: one row of a chunk misbehaves."""

    def __init__(self, how: str, folder: str):
        super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)
        self._alone = Misbehaving(how, folder)

    def _evaluate(self, X, out, *args, **kwargs):
        note(self._alone.folder, len(X))
        out["F"] = values(X)
        for i in np.flatnonzero(X[:, 3] == 1.0)[:1]:
            row: dict[str, object] = {"F": out["F"][i].copy()}
            KINDS[self._alone.how].act(X[i], row, self._alone)
            out["F"][i] = row["F"]


def note(folder: Path, n: int) -> None:
    """Note that so many evaluations have begun."""
    with (folder / "begun").open("ab") as file:
        file.write(b"." * n)


# ---------------------------------------------------------------------------------- children


def fork() -> int:
    with warnings.catch_warnings():  # newer Pythons warn of forks beside threads
        warnings.simplefilter("ignore")
        return os.fork()


@kind("child returns another result")
def _(x, out, problem):
    if fork() == 0:
        out["F"] = WRONG


@kind("child raises")
def _(x, out, problem):
    if fork() == 0:
        raise ZeroDivisionError("in the child")


@kind("child calls sys.exit")
def _(x, out, problem):
    if fork() == 0:
        sys.exit(0)


@kind("child raises KeyboardInterrupt")
def _(x, out, problem):
    if fork() == 0:
        raise KeyboardInterrupt


@kind("child of C code returns")
def _(x, out, problem):
    if ctypes.CDLL(None).fork() == 0:
        out["F"] = WRONG


@kind("parent waits for the status of a child")
def _(x, out, problem):
    child = fork()
    if child == 0:
        sys.exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


@kind("two children and their children")
def _(x, out, problem):
    if fork() == 0 or fork() == 0:
        out["F"] = WRONG


@kind("daemon goes on", ("serial", *OWN_PROCESS))
def _(x, out, problem):
    if fork() == 0:
        os.setsid()
        if fork() == 0:
            time.sleep(15)
        os._exit(0)


@kind("pool of processes", ("serial", *SUPERVISED, "loky"))
def _(x, out, problem):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]


@kind("child holds the pipe and the worker dies", SUPERVISED, may_fail=True)
def _(x, out, problem):
    if ctypes.CDLL(None).fork() == 0:
        os.setsid()
        time.sleep(20)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


# ---------------------------------------------------------------------------- ends of the process


@kind("sys.exit", may_fail=True)
def _(x, out, problem):
    sys.exit(0)


@kind("os._exit", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os._exit(0)


@kind("SIGKILL", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.kill(os.getpid(), signal.SIGKILL)


@kind("SIGSEGV", SUPERVISED, may_fail=True)
def _(x, out, problem):
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


@kind("SIGSTOP", TIMED, may_fail=True)
def _(x, out, problem):
    os.kill(os.getpid(), signal.SIGSTOP)


@kind("os.killpg", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.killpg(0, signal.SIGKILL)


@kind("endless recursion", may_fail=True)
def _(x, out, problem):
    KINDS["endless recursion"].act(x, out, problem)


@kind("os.exec of a program that hangs", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.execv("/bin/sleep", ["sleep", "60"])


@kind("os.exec of a program that ends", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.execv("/bin/true", ["true"])


# ------------------------------------------------------------------------------------- pipes


def pipes() -> list[int]:
    """Return the descriptors of this process that are pipes, except the standard ones."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if int(name) > 2 and os.readlink(f"/proc/self/fd/{name}").startswith("pipe:"):
                found.append(int(name))
    return sorted(found)


@kind("os.closerange", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.closerange(3, 256)


@kind("file at the number of a closed pipe", SUPERVISED, may_fail=True)
def _(x, out, problem):
    for fd in pipes():
        os.close(fd)
    for _ in range(4):
        os.open(os.devnull, os.O_RDWR)


@kind("text in the pipe", SUPERVISED, may_fail=True)
def _(x, out, problem):
    for fd in pipes():
        with suppress(OSError):  # the one for reading
            os.write(fd, b"progress: 50 %\n" * 10)


@kind("the right answer twice", SUPERVISED, may_fail=True)
def _(x, out, problem):
    found = [thing for thing in gc.get_objects() if type(thing).__name__ == "Pipes"]
    assert found, "the attack does not find the pipes of the worker"
    for worker in found:
        worker.send = lambda *answer, send=worker.send: (send(*answer), send(*answer))


# ------------------------------------------------------------------------------- shared state


@kind("threads that change the arrays later")
def _(x, out, problem):
    F = out["F"] = values(x)
    mine = threading.get_ident()
    begun = problem.begun[mine]

    def change():
        while problem.begun[mine] == begun:  # until this evaluation has ended
            time.sleep(0.001)
        for _ in range(20):
            x[:], F[:] = 0.5, -7.0
            out["F"] = WRONG
            time.sleep(0.001)

    threading.Thread(target=change, daemon=True).start()


@kind("thread that never ends, not a daemon", OWN_PROCESS)
def _(x, out, problem):
    # loky and dask end their workers by force, too.
    threading.Thread(target=time.sleep, args=(20,), daemon=False).start()


@kind("the same array each time")
def _(x, out, problem):
    pass  # the problem does it for every design


@kind("changes x in place and raises, once", (*OWN_PROCESS, "serial", "threads"))
def _(x, out, problem):
    tried = problem.folder / bytes(out["F"]).hex()
    x[:] = 0.5
    if not tried.exists():
        tried.touch()
        raise ValueError("the first try fails")


@kind("deleted working directory, another home")
def _(x, out, problem):
    os.environ["HOME"] = "/nonexistent"
    os.chdir("/")
    if os.environ.get("MISBEHAVING_PID") != str(os.getpid()):  # the run's own folder must stay
        os.chdir(folder := tempfile.mkdtemp())
        os.rmdir(folder)


@kind("closes standard input and output", OWN_PROCESS)
def _(x, out, problem):
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    for fd in (0, 1, 2):
        with suppress(OSError):
            os.close(fd)
    os.open(os.devnull, os.O_RDWR)


class Unloadable:
    def __reduce__(self):
        return _fail_elsewhere, (os.getpid(),)


def _fail_elsewhere(pid):
    raise OSError("there is no license here")


@kind("a lock, a generator, an object that cannot be loaded")
def _(x, out, problem):
    out["lock"] = threading.Lock()
    out["steps"] = (i for i in range(3))
    out["file"] = open(os.devnull)  # noqa: SIM115
    out["model"] = Unloadable()

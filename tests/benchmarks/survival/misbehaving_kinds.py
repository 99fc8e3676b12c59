"""Ways in which an evaluation can misbehave."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import numpy as np

EVERYWHERE = ("serial", "processes", "processes with timeout", "threads", "loky", "dask")
SUPERVISED = ("processes", "processes with timeout")
TIMED = ("processes with timeout",)
OWN_PROCESS = ("processes", "processes with timeout", "loky", "dask")

EVERY = 9  # of these designs, one misbehaves
WRONG = [-7.0, -7.0]


def values(x: np.ndarray) -> np.ndarray:
    return np.array([x[0] + x[1], 1.0 - x[0] + x[2] ** 2])


def designs(n: int, seed: int) -> np.ndarray:
    """Return designs of which every few misbehave: those with x[3] = 1."""
    X = np.random.default_rng(seed).random((n, 4))
    X[:, 3] = np.arange(n) % EVERY == EVERY // 2
    return X


KINDS: dict[str, tuple[Callable, tuple[str, ...], bool]] = {}


def kind(name: str, backends: tuple[str, ...] = EVERYWHERE, *, may_fail: bool = False):
    """Register a kind, the backends that can survive it, and whether such a design may fail."""

    def register(function: Callable) -> Callable:
        KINDS[name] = function, backends, may_fail
        return function

    return register


def fork() -> int:
    import warnings

    with warnings.catch_warnings():  # newer Pythons warn of forks beside threads
        warnings.simplefilter("ignore")
        return os.fork()


@kind("child returns another result")
def _(x, out, problem):
    if fork() == 0:
        out["F"] = WRONG


@kind("child returns later")
def _(x, out, problem):
    if fork() == 0:
        time.sleep(0.05)
        out["F"] = WRONG


@kind("child raises")
def _(x, out, problem):
    if fork() == 0:
        raise ZeroDivisionError("in the child")


@kind("child calls sys.exit")
def _(x, out, problem):
    if fork() == 0:
        sys.exit(0)


@kind("child fails to exec")
def _(x, out, problem):
    if fork() == 0:
        os.execv("/nonexistent/simulator", ["simulator"])


@kind("child raises KeyboardInterrupt")
def _(x, out, problem):
    if fork() == 0:
        raise KeyboardInterrupt


@kind("child raises GeneratorExit")
def _(x, out, problem):
    if fork() == 0:
        raise GeneratorExit


@kind("parent waits for the child's status")
def _(x, out, problem):
    child = fork()
    if child == 0:
        sys.exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


@kind("two children and their children")
def _(x, out, problem):
    if fork() == 0 or fork() == 0:
        out["F"] = WRONG


@kind("child of C code returns")
def _(x, out, problem):
    if ctypes.CDLL(None).fork() == 0:
        out["F"] = WRONG


@kind("child holds the pipe and the worker dies", SUPERVISED, may_fail=True)
def _(x, out, problem):
    if ctypes.CDLL(None).fork() == 0:
        os.setsid()
        time.sleep(20)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


@kind("daemon goes on", ("serial", *OWN_PROCESS))
def _(x, out, problem):
    if fork() == 0:
        os.setsid()
        if fork() == 0:
            time.sleep(15)
        os._exit(0)


@kind("exit handler ends the process")
def _(x, out, problem):
    import atexit

    pid = os.getpid()
    atexit.register(lambda: os._exit(3) if os.getpid() != pid else None)
    if fork() == 0:
        sys.exit(0)


@kind("sys.exit", may_fail=True)
def _(x, out, problem):
    sys.exit(0)


@kind("os._exit", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os._exit(0)


def _signal(number: int) -> Callable:
    def send(x, out, problem):
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)
        time.sleep(60)

    return send


for _number in (signal.SIGTERM, signal.SIGALRM, signal.SIGKILL, signal.SIGSEGV):
    kind(_number.name, SUPERVISED, may_fail=True)(_signal(_number))


@kind("SIGSTOP", TIMED, may_fail=True)
def _(x, out, problem):
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)


@kind("alarm during a later evaluation", SUPERVISED)
def _(x, out, problem):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.02)


@kind("os.killpg", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.killpg(0, signal.SIGKILL)


@kind("leaves the process group", TIMED, may_fail=True)
def _(x, out, problem):
    child = subprocess.Popen(["sleep", "30"])
    os.kill(child.pid, signal.SIGKILL)
    time.sleep(60)


@kind("endless recursion", may_fail=True)
def _(x, out, problem):
    def deeper(n):
        return deeper(n + 1) + 1

    deeper(0)


@kind("recursion beyond the stack", SUPERVISED, may_fail=True)
def _(x, out, problem):
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(10**9)

    class Deep:
        def __repr__(self):
            return repr(self)

    repr(Deep())


@kind("os.exec of a program that hangs", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.execv("/bin/sleep", ["sleep", "60"])


@kind("os.exec of a program that ends", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.execv("/bin/true", ["true"])


@kind("os.closerange", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.closerange(3, 256)


def _pipes() -> list[int]:
    """Return the descriptors of this process that are pipes, except the standard ones."""
    links = [(int(n), _link(n)) for n in os.listdir("/proc/self/fd")]
    return [fd for fd, link in links if fd > 2 and link.startswith("pipe:")]


def _link(n: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{n}")
    except OSError:
        return ""


@kind("os.close of the first pipe", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.close(min(_pipes()))


@kind("os.close of the second pipe", SUPERVISED, may_fail=True)
def _(x, out, problem):
    os.close(sorted(_pipes())[1])


@kind("file at the number of a closed pipe", SUPERVISED, may_fail=True)
def _(x, out, problem):
    for fd in _pipes():
        os.close(fd)
    for _ in range(4):
        os.open(os.devnull, os.O_RDWR)


@kind("os.dup2 over the pipes", SUPERVISED, may_fail=True)
def _(x, out, problem):
    null = os.open(os.devnull, os.O_RDWR)
    for fd in _pipes():
        os.dup2(null, fd)


@kind("text in the pipe", SUPERVISED, may_fail=True)
def _(x, out, problem):
    for fd in _pipes():
        try:
            os.write(fd, b"progress: 50 %\n" * 10)
        except OSError:  # the one for reading
            continue


@kind("an old answer in the pipe", SUPERVISED, may_fail=True)
def _(x, out, problem):
    for pipes in _worker_pipes():
        pipes.send(1, b"+" + b"x" * 100)


@kind("the right answer twice", SUPERVISED, may_fail=True)
def _(x, out, problem):
    for pipes in _worker_pipes():
        send = pipes.send

        def twice(number, content, send=send):
            send(number, content)
            send(number, content)

        pipes.send = twice


def _worker_pipes() -> list:
    """Return the objects through which this worker answers; its module is the main one."""
    import gc

    found = [thing for thing in gc.get_objects() if type(thing).__name__ == "Pipes"]
    assert found, "the attack does not find the pipes of the worker"
    return found


@kind("threads that change the arrays later")
def _(x, out, problem):
    F = values(x)
    out["F"] = F

    mine = threading.get_ident()
    begun = problem.begun[mine]

    def change():
        while problem.begun[mine] == begun:  # until this evaluation has ended
            time.sleep(0.001)
        for _ in range(20):
            x[:] = 0.5
            F[:] = -7.0
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


@kind("changes x in place")
def _(x, out, problem):
    x[:] = 0.5


@kind("changes x in place and raises, once", (*OWN_PROCESS, "serial", "threads"))
def _(x, out, problem):
    x[:] = 0.5
    with problem.lock_file(x, out) as first:
        if first:
            raise ValueError("the first try fails")


@kind("deleted working directory")
def _(x, out, problem):
    if problem.elsewhere():
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)


@kind("environment and working directory")
def _(x, out, problem):
    os.environ.pop("PYTHONPATH", None)
    os.environ["HOME"] = "/nonexistent"
    os.chdir("/")


@kind("closes standard input and output", OWN_PROCESS)
def _(x, out, problem):
    for fd in (0, 1, 2):
        try:
            os.close(fd)
        except OSError:
            continue
    os.open(os.devnull, os.O_RDWR)


@kind("closes sys.stdout and sys.stderr", OWN_PROCESS)
def _(x, out, problem):
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


@kind("pool of processes", ("serial", *SUPERVISED, "loky"))
def _(x, out, problem):
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]


@kind("a lock, a lambda, an open file")
def _(x, out, problem):
    out["lock"] = threading.Lock()
    out["function"] = lambda: x
    out["file"] = open(os.devnull)  # noqa: SIM115


class Unloadable:
    def __reduce__(self):
        return _fail_elsewhere, (os.getpid(),)


def _fail_elsewhere(pid):
    raise OSError("there is no license here")


@kind("an object that cannot be loaded")
def _(x, out, problem):
    out["model"] = Unloadable()


@kind("a generator")
def _(x, out, problem):
    out["steps"] = (i for i in range(3))


@kind("F as a generator", may_fail=True)
def _(x, out, problem):
    out["F"] = (value for value in values(x))


@kind("raises GeneratorExit", may_fail=True)
def _(x, out, problem):
    raise GeneratorExit

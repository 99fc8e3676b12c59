"""Fixtures of all tests."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import signal
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numba
import pytest
from hypothesis import HealthCheck, settings

# Workers share the cores: more threads of BLAS or torch only wait for one another. numpy reads
# this when it is first imported, and processes that tests start inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Tests are read and modules imported with little garbage, which took a fifth of that time to find.
gc.disable()

from moela.bayesian import few  # noqa: E402

# pymoo compiles two algorithms in every process, for 9 s. Here, the first process keeps the code.
with patch("numba.jit", partial(numba.jit, cache=True)):
    importlib.import_module("pymoo.algorithms.moo.age2")

# The same examples every time: a new one that fails is a finding, not a reason for a red run. An
# example that takes long is none either, since a busy machine may stop any of them.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# New examples for hours, by hand.
settings.register_profile(
    "hours", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# A shell that starts the tests in the background has Ctrl-C ignored, in them and in their children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Folders whose tests compile the same kernels, which takes a minute on a fresh checkout. The third
# needs those of the second, so it begins when these are compiled.
TOGETHER = ("tests/moe_costmodel/", "tests/problems/noc/", "tests/problems/moe_on_chip/")

# Files of few tests that take ten seconds and more. Begun last, one of them would keep a worker
# busy while the other has nothing left.
LONG = (
    "tests/docs/test_typing.py", "tests/moela/search/test_restarts.py",
    "tests/moela/asynchronous/test_asynchronous.py", "tests/laws/test_resume.py",
    "tests/moela/experiments/test_experiment.py", "tests/moela/notebook/test_notebooks.py",
    TOGETHER[2],
    "tests/moela/commands/test_run_moe_on_chip.py", "tests/moela/evaluation/test_planned_budget.py",
    "tests/moela/explanation/test_importances.py", "tests/moela/comparison/test_report_page.py",
    "tests/docs/test_pages.py", "tests/benchmarks/test_tables.py",
)  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Let a worker of pytest-xdist run whole files, and such folders.

    Fixtures of a file are made once then, and kernels are compiled by one worker and read from
    their files by the other. Long files come right after the folders.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return next((folder for folder in TOGETHER if file.startswith(folder)), file)

        def _assign_work_unit(self, node):
            if not self.assigned_work[node]:
                for first in reversed([*TOGETHER[:2], *LONG]):
                    if first in self.workqueue:
                        self.workqueue.move_to_end(first, last=False)
            super()._assign_work_unit(node)

    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for garbage again, but not among what stays until the end: tests and modules.

    It is looked for as seldom as in `moela.cli`, since compilation makes many objects that stay.
    """
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000)
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def long_runs():
    """Let runs of few evaluations be as longer ones; return their limits, for tests of them.

    Gaussian processes choose their designs otherwise, which takes 25 ms an evaluation, and most
    tests are about what all runs have in common.
    """
    with pytest.MonkeyPatch.context() as patch:
        limits = few._FEW, few._ALL
        patch.setattr(few, "_FEW", 0)
        patch.setattr(few, "_ALL", 0)
        yield limits


@pytest.fixture(autouse=True)
def few_evaluations(request, long_runs, monkeypatch):
    """Give runs of few evaluations their own designs in tests that are marked."""
    if request.node.get_closest_marker("few_evaluations") is not None:
        monkeypatch.setattr(few, "_FEW", long_runs[0])
        monkeypatch.setattr(few, "_ALL", long_runs[1])


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of the shared instances."""
    folder = os.environ.get("MOELA_DATA")
    if not folder:
        pytest.skip("MOELA_DATA is not set, so the shared instances cannot be read")
    return Path(folder)


@pytest.fixture
def assert_rejected(capsys):
    """Return a check that a command line ends with one line of error and exit code 2."""
    from moela.cli import main

    def check(arguments, *words):
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("moela: ")
        assert error.count("\n") == 1
        assert all(word in error for word in words)

    return check


@pytest.fixture
def assert_file_rejected(tmp_path):
    """Return a check that loading a file with a bad text names the file and the fault."""

    def check(load, text, message):
        path = tmp_path / "file.json"
        path.write_text(text)
        with pytest.raises(ValueError, match=message) as error:
            load(path)
        assert str(path) in str(error.value)

    return check


@pytest.fixture(scope="session")
def browser():
    """Return a headless Chromium."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="needs selenium: pip install 'moela[test]'"
    )
    binary = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000",
        "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    from selenium.webdriver.chrome.service import Service

    opened = webdriver.Chrome(options=options, service=Service(driver))
    opened.set_page_load_timeout(180)  # seconds; a page takes two on an idle machine
    yield opened
    opened.quit()

"""Signs of life: never long without one, from whatever works for long."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import threading
import time
from types import SimpleNamespace

import pytest
from tqdm import tqdm

from moela import cli
from moela.heartbeat import working as module
from moela.heartbeat.working import long_work, spoke, working


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Give signs ten times a second instead of every 75 s."""
    monkeypatch.setattr(module, "SECONDS", 0.1)


def wait_until(condition):
    """Wait, at most 30 s: threads of a busy machine may be late."""
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "moela.progress")
    return lambda: [record.getMessage() for record in caplog.records]


def test_lines_while_the_work_goes_on_and_none_after(lines):
    start = time.monotonic()
    with working("measuring kernels"):
        thread = module._thread
        wait_until(lambda: len(lines()) >= 2)
    assert time.monotonic() - start > 0.2
    assert all(line.startswith("measuring kernels goes on, for 0 min") for line in lines())
    thread.join(30)
    assert not thread.is_alive()


def test_the_innermost_work_is_named(lines):
    def wait_for(name):
        wait_until(lambda: any(line.startswith(name) for line in lines()))

    @long_work("fitting")
    def fit():
        wait_for("fitting")

    with working("comparing"):
        fit()
        wait_for("comparing")
    words = [line.split()[0] for line in lines()]
    assert {*words} == {"fitting", "comparing"}
    assert words == sorted(words, reverse=True)  # all of the inner work first


def test_no_line_where_something_else_speaks(lines, monkeypatch):
    looks, now = [], [0.0]  # a clock that a busy machine does not stop for a second

    def monotonic():
        if threading.current_thread().name == "moela-signs-of-life":
            looks.append(now[0])
        return now[0]

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=monotonic))
    with working("optimizing"):
        for _ in range(10):
            spoke()
            now[0] += 0.09
            n = len(looks)
            wait_until(lambda n=n: len(looks) > n + 1)
            assert len(looks) > n + 1
        assert lines() == []
        now[0] += 0.02
        wait_until(lines)
    assert len(lines()) >= 1


def test_bars_move_instead_of_lines(lines):
    screen = io.StringIO()
    with tqdm(total=3, file=screen, mininterval=1000) as bar, working("measuring"):
        before = len(screen.getvalue())
        wait_until(lambda: len(screen.getvalue()) > before)
        assert len(screen.getvalue()) > before
        bar.update()
    assert lines() == []


@pytest.mark.parametrize("key", cli.COMMANDS)
def test_every_command_gives_signs(key, monkeypatch, lines):
    sign = f"moela {' '.join(key)} goes on"

    class Slow:
        @staticmethod
        def configure(parser):
            pass

        @staticmethod
        def run(arguments):
            if key == ("watch",):  # its view moves
                time.sleep(0.3)
            else:  # on a busy machine, the last sign of the command before may come first
                wait_until(lambda: any(sign in line for line in lines()))

    def module_of(name):
        return Slow if name.startswith("moela.commands") else importlib.__import__(name)

    parsed = argparse.Namespace()
    monkeypatch.setattr(
        cli, "_parser", lambda chosen: argparse.Namespace(parse_args=lambda _: parsed)
    )
    monkeypatch.setattr(cli, "importlib", argparse.Namespace(import_module=module_of))
    assert cli.main(list(key)) == 0
    assert any(sign in line for line in lines()) == (key != ("watch",))

"""Limits on the threads of libraries: those of several threads overlap, and leave nothing."""

import multiprocessing
import os
import threading

import pytest
from threadpoolctl import threadpool_info

from moela._threads import limited_threads, one_thread


def blas():
    """Return how many threads BLAS may use."""
    return max(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")


@pytest.mark.parametrize("limit", [one_thread, lambda: limited_threads(1)], ids=["ours", "theirs"])
def test_limits_of_threads_that_overlap_all_hold_and_are_taken_back(limit):
    first, second, done = (threading.Event() for _ in range(3))
    numbers = []

    def begin_first():
        with limit():
            first.set()
            assert second.wait(60)
        done.set()

    def end_last():
        assert first.wait(60)
        with limit():
            numbers.append(blas())
            second.set()
            assert done.wait(60)
            numbers.append(blas())

    with limited_threads(2):
        threads = [threading.Thread(target=one) for one in (begin_first, end_last)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert numbers == [1, 1]
        assert blas() == 2


def test_a_thread_has_its_limit_after_another_one_has_computed():
    numbers = []

    def compute():
        with one_thread():
            numbers.append(blas())

    with limited_threads(2):
        compute()
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join(60)
        assert numbers == [1, 1]
        assert blas() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_no_limits_of_threads_that_it_lacks():
    begun, end = threading.Event(), threading.Event()

    def hold():
        with one_thread():
            begun.set()
            assert end.wait(60)

    with limited_threads(2):
        thread = threading.Thread(target=hold)
        thread.start()
        assert begun.wait(60)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(blas).get(60) == 2
        end.set()
        thread.join(60)

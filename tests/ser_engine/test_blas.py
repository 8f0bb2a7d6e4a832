"""Numpy's matrices have one thread while recordings are analyzed, and what they had before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from threadpoolctl import ThreadpoolController, threadpool_info

from ser_engine import Analyzer
from ser_engine.blas import one_blas_thread
from tests.speech import speech_wav

THREADS = 2


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = threads()
    set_threads(THREADS)
    if threads() != {THREADS}:
        pytest.skip("numpy's library of matrices has no threads here")
    yield
    set_threads(*before)


def set_threads(number: int) -> None:
    """Set them as a program does that goes on without control of them, as a context manager would have it."""
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        library.set_num_threads(number)
        type(library).clear_controlling_thread(force=True)


def threads() -> set[int]:
    return {
        each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas" and "numpy" in each["filepath"]
    }


def test_the_last_user_restores_the_threads() -> None:
    with one_blas_thread:
        with one_blas_thread:
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {THREADS}


def test_threads_share_the_limit() -> None:
    with ThreadPoolExecutor(2) as pool:
        with one_blas_thread:
            pool.submit(one_blas_thread.__enter__).result()
        assert threads() == {1}  # the other one goes on
        pool.submit(one_blas_thread.__exit__).result()
    assert threads() == {THREADS}


def test_an_error_restores_the_threads() -> None:
    with pytest.raises(ZeroDivisionError), one_blas_thread:
        raise ZeroDivisionError
    assert threads() == {THREADS}


def test_an_analysis_takes_one_thread_of_numpy(analyzer: Analyzer) -> None:
    during = []
    analyzer.analyze(speech_wav(), progress=lambda *_: during.append(threads()))
    assert during and all(found == {1} for found in during)
    assert threads() == {THREADS}

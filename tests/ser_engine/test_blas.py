"""Numpy's matrices have one thread while recordings are analyzed, and what they had before afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ser_engine import Analyzer
from ser_engine.blas import one_blas_thread
from tests.speech import speech_wav

THREADS = 2


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threadpool_limits(THREADS, user_api="blas"):
        if threads() != {THREADS}:
            pytest.skip("numpy's library of matrices has no threads here")
        yield


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


def test_an_error_restores_the_threads() -> None:
    with pytest.raises(ZeroDivisionError), one_blas_thread:
        raise ZeroDivisionError
    assert threads() == {THREADS}


def test_an_analysis_takes_one_thread_of_numpy(analyzer: Analyzer) -> None:
    during = []
    analyzer.analyze(speech_wav(), progress=lambda *_: during.append(threads()))
    assert during and all(found == {1} for found in during)
    assert threads() == {THREADS}

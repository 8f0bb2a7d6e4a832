"""Batches side by side: the same results in the same order, and the number of threads left as it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from ser_engine.models.batching import parallel_map
from tests.threads import computing_on


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with computing_on(2):
        yield


def test_results_are_in_order_and_computed_at_the_same_time_on_one_thread_each_without_gradients() -> None:
    both_are_here = threading.Barrier(2, timeout=20)

    def compute(batch: int) -> tuple[int, int, bool]:
        both_are_here.wait()
        return batch, torch.get_num_threads(), torch.is_grad_enabled()

    assert list(parallel_map(compute, [5, 4, 3, 2])) == [(number, 1, False) for number in (5, 4, 3, 2)]


@pytest.mark.parametrize("batches", [[1], [1, 2, 3]])
def test_threads_that_begin_later_have_as_many_as_before(batches: list[int]) -> None:
    list(parallel_map(abs, batches))
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2] and torch.get_num_threads() == 2


def test_fewer_batches_than_threads_are_computed_on_all_threads() -> None:
    assert list(parallel_map(lambda _: torch.get_num_threads(), [0])) == [2]


def test_an_error_ends_the_rest_and_reaches_the_caller() -> None:
    done: list[int] = []

    def compute(batch: int) -> None:
        if batch == 1:
            raise ValueError("no")
        time.sleep(0.005)
        done.append(batch)

    with pytest.raises(ValueError, match="no"):
        list(parallel_map(compute, range(1, 500)))
    assert len(done) < 498
    assert torch.get_num_threads() == 2

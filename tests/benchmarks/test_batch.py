"""The simulation of workers, and what the benchmark of jobs compares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.batch import same_rows
from benchmarks.batch_archive import write_stubs
from benchmarks.batch_workers import Model, costs, most_useful, simulate
from tests.ser_engine.batch.archive import outcome, write_archive

PLAIN = Model(core_factor=10.0, commit_s=0.001, straggler=0.0, failures_per_hour=0.0, store_mb_s=0.0)
CALLS = 4000


def test_a_worker_alone_is_as_fast_as_its_core() -> None:
    job = simulate(PLAIN, 1, CALLS)
    assert job["speed"] == pytest.approx(10, rel=0.01)
    assert job["workers_busy"] > 0.99 and job["repeated_hours"] == 0


def test_ten_workers_are_ten_times_as_fast_while_nothing_is_in_the_way() -> None:
    assert simulate(PLAIN, 10, CALLS)["speed"] == pytest.approx(100, rel=0.05)


def test_one_store_and_one_committing_process_are_limits() -> None:
    store = replace(PLAIN, store_mb_s=PLAIN.call_mb_per_s * 200)
    assert simulate(store, 100, CALLS)["speed"] == pytest.approx(200, rel=0.05)
    assert simulate(store, 100, CALLS)["store_busy"] > 0.9
    slow = replace(PLAIN, commit_s=1.0)
    assert simulate(slow, 500, CALLS)["hours"] >= CALLS / 3600
    assert simulate(slow, 500, CALLS)["commits_busy"] > 0.9
    assert most_useful(store, CALLS) in (16, 32)
    assert most_useful(store, CALLS) < most_useful(PLAIN, CALLS)


def test_failures_and_stragglers_take_time() -> None:
    plain = simulate(PLAIN, 10, CALLS)["hours"]
    failing = simulate(replace(PLAIN, failures_per_hour=0.5), 10, CALLS)
    assert failing["hours"] > plain and failing["repeated_hours"] > 0
    assert simulate(replace(PLAIN, straggler=0.01), 10, CALLS)["hours"] > 1.05 * plain


def test_costs_of_a_million_hours() -> None:
    assert costs(8.0) == {"core_hours": 125_000, "hours_of_8_cores": 15_625, "hours_of_64_cores": 1953}


def test_rows_are_compared_whatever_their_order_and_rounding(tmp_path: Path) -> None:
    made = [outcome(number) for number in range(20)]
    one = write_archive(tmp_path / "one", *made)
    other = write_archive(tmp_path / "other", *reversed(made))
    assert same_rows(one, other)
    assert made[0].row is not None
    made[0].row["probabilities"] = {**made[0].row["probabilities"], "angry": 0.999}
    assert not same_rows(one, write_archive(tmp_path / "third", *made))
    assert not same_rows(one, write_archive(tmp_path / "fourth", *made[1:]))


def test_stubs_are_names_of_a_few_files(tmp_path: Path) -> None:
    write_stubs(tmp_path / "stubs", 1500)
    files = list((tmp_path / "stubs").rglob("*.wav"))
    assert len(files) == 1500 and len({file.stat().st_ino for file in files}) == 1

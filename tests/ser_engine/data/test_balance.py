"""As many clips of one class as of another."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ser_engine.data.balance import balance_to_count, balance_to_harmonic_mean

LABELS = ["sad"] * 40 + ["happy"] * 10 + ["calm"] * 3


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def classes(rows: np.ndarray, labels: list[str] = LABELS) -> Counter[str]:
    return Counter(labels[row] for row in rows)


@pytest.mark.parametrize("count", [1, 3, 10, 25, 100])
def test_every_class_comes_as_often_as_asked(count: int) -> None:
    rows = balance_to_count(LABELS, count, rng())
    assert classes(rows) == {"sad": count, "happy": count, "calm": count}
    assert rows.tolist() == sorted(rows.tolist())


def test_what_has_more_loses_rows_and_repeats_none() -> None:
    rows = balance_to_count(LABELS, 25, rng())
    sad = [row for row in rows if LABELS[row] == "sad"]
    assert len(set(sad)) == 25


def test_what_has_fewer_repeats_all_its_rows_evenly() -> None:
    times = Counter(row for row in balance_to_count(LABELS, 25, rng()).tolist() if LABELS[row] == "happy")
    assert len(times) == 10
    assert set(times.values()) == {2, 3}


def test_a_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again, other = (balance_to_count(LABELS, 8, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_recordings_are_taken_before_their_copies() -> None:
    copy = np.arange(len(LABELS)) % 2  # every other row is a copy
    rows = balance_to_count(LABELS, 8, rng(), prefer=copy)
    assert not copy[[row for row in rows if LABELS[row] == "sad"]].any()
    happy = [row for row in rows.tolist() if LABELS[row] == "happy"]
    assert sum(copy[happy] == 0) == 5 and len(set(happy)) == 8  # all five recordings, and three copies


def test_the_harmonic_mean_is_that_of_paper_3() -> None:
    expected = round(3 / (1 / 40 + 1 / 10 + 1 / 3))
    assert expected == 7
    rows = balance_to_harmonic_mean(LABELS, rng())
    assert classes(rows) == {"sad": 7, "happy": 7, "calm": 7}
    assert len({row for row in rows.tolist() if LABELS[row] == "sad"}) == 7


def test_what_is_balanced_stays_as_it_is_and_nothing_stays_nothing() -> None:
    even = ["sad", "calm"] * 4
    assert balance_to_harmonic_mean(even, rng()).tolist() == list(range(8))
    assert balance_to_harmonic_mean([], rng()).tolist() == balance_to_count([], 5, rng()).tolist() == []

"""Baselines are drawn from a speaker's other clips, mostly calm ones, and count the more, the longer they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_engine.data.corpora.base import Utterance
from ser_engine.features.encoder import Encoding
from ser_engine.models.whisper_heads import PRIOR_S, shift
from ser_engine.training.baselines import FRAMES_PER_S, Baselines, TrainingBaselines

STATES, WIDTH, SECONDS = 5, 4, 2
CLIPS = 40
"""Clips of a speaker; half of them are neutral."""


def utterances() -> list[Utterance]:
    labels = ("neutral", "angry")
    return [
        Utterance("acted", Path(f"{speaker}-{n}.wav"), labels[n % 2], speaker) for speaker in "ab" for n in range(CLIPS)
    ]


def encodings() -> list[Encoding]:
    """The states of speaker a are all 1, those of b all 3."""
    frames = np.zeros((SECONDS * FRAMES_PER_S, WIDTH), np.float32)
    return [
        Encoding(np.full((STATES, 2, WIDTH), level, np.float32), frames + level, frames + level)
        for level in (1, 3)
        for _ in range(CLIPS)
    ]


@pytest.fixture(scope="module")
def baselines() -> Baselines:
    return Baselines(utterances(), encodings(), np.full((STATES, WIDTH), 2, np.float32))


@pytest.mark.parametrize(("seconds", "clips"), [(2, 1), (20, 10), (30, 15), (1000, 25)])
def test_a_baseline_is_of_the_speaker_s_other_clips_and_mostly_calm(
    seconds: float, clips: int, baselines: Baselines
) -> None:
    row, rng = CLIPS + 4, np.random.default_rng(0)
    for _ in range(20):
        drawn = baselines.draw(row, seconds, rng)
        calm = sum(utterances()[one].label == "neutral" for one in drawn)
        assert len(set(drawn.tolist())) == len(drawn) <= clips
        assert row not in drawn and all(one >= CLIPS for one in drawn)
        assert calm >= 0.6 * len(drawn)
    assert len(drawn) > clips / 2


def test_a_longer_baseline_counts_more(baselines: Baselines) -> None:
    assert np.allclose(baselines.shift(np.arange(5)), -10 / (10 + PRIOR_S))
    assert np.allclose(baselines.shift(np.arange(10) + CLIPS), 20 / (20 + PRIOR_S))
    assert not baselines.shift(np.zeros(0, int)).any()


def test_a_share_of_the_draws_gets_a_baseline_in_its_own_copy() -> None:
    higher = [Encoding(*(part + 10 for part in one)) for one in encodings()]
    known = TrainingBaselines(
        utterances(),
        [encodings(), higher],
        np.full((STATES, WIDTH), 2, np.float32),
        0.5,
        np.random.default_rng(0),
    )
    rows, copy = np.zeros(400, int), np.arange(400) % 2
    shifts = known.shifts(rows, copy)[:, 0, 0]
    assert 150 < (shifts != 0).sum() < 250
    assert (shifts[copy == 0] <= 0).all() and (shifts[copy == 1] >= 0).all()


def test_a_shift_moves_means_and_frames_and_no_deviation() -> None:
    one = encodings()[0]
    moved = shift(one, np.arange(STATES * WIDTH, dtype=np.float32).reshape(STATES, WIDTH))
    assert np.allclose(moved.statistics[:, 1], one.statistics[:, 1])
    assert np.allclose(moved.statistics[2, 0], 1 - np.arange(8, 12))
    assert np.allclose(moved.lower, 1 - np.arange(8, 12))
    assert np.allclose(moved.frames, 1 - np.arange(10, 14))

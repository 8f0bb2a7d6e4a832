"""Overlapped speech is found where two voices are mixed, and not where they take turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_engine.audio.quality import normalize_level
from ser_engine.errors import WeightsUnavailable
from ser_engine.models.overlap_detector import CHUNK, FRAME_S, INNER, STRIDE, load_detector
from ser_engine.settings import Settings
from ser_engine.speakers.diarization import detect_overlaps
from ser_engine.speakers.spans import intersect
from ser_engine.types import Span, total_s
from tests.speech import RATE, SENTENCES, noise, speech

TEXT = " ".join(SENTENCES)
MAN, WOMAN = speech(TEXT, "man"), speech(TEXT, "woman")


def test_two_voices_at_once_are_found_and_turns_are_not() -> None:
    length = min(len(MAN), len(WOMAN))
    both = MAN[:length] + WOMAN[:length]
    samples = normalize_level(np.concatenate([MAN[:length], both, WOMAN[:length]]))
    middle = Span(length / RATE, 2 * length / RATE)
    overlaps = detect_overlaps(samples, Settings())
    inside = total_s(intersect(overlaps, [middle]))
    assert inside > 0.6 * middle.duration_s
    assert total_s(overlaps) - inside < 0.3


@pytest.mark.parametrize("seconds", [0.01, 0.5, INNER * FRAME_S, INNER * FRAME_S + 0.01, 45.3])
def test_every_moment_has_a_probability(seconds: float) -> None:
    samples = noise(seconds, 0.05)
    probabilities = load_detector(Settings()).probabilities(samples)
    assert probabilities.shape == (-(-len(samples) // STRIDE),)
    assert probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-5


def test_times_do_not_depend_on_the_chunk() -> None:
    detector = load_detector(Settings())
    both = np.resize(MAN, CHUNK) + np.resize(WOMAN, CHUNK)
    for start in (0.9, 4.5, 7.3):
        samples = np.resize(MAN, 2 * CHUNK)
        first = round(start * RATE)
        samples[first : first + len(both) // 4] = both[: len(both) // 4]
        probable = np.flatnonzero(detector.probabilities(normalize_level(samples)) >= 0.5) * FRAME_S
        assert start - 0.15 <= probable.min() and probable.max() <= start + 2.65


def test_missing_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "segmentation").mkdir()
    with pytest.raises(WeightsUnavailable, match="segmentation"):
        load_detector(Settings(models_dir=tmp_path))

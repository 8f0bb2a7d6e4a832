"""The words of the benchmark begin where it says."""

from __future__ import annotations

import numpy as np

from benchmarks.word_times import match, trim
from tests.speech import RATE, noise, silence, tone


def test_what_is_quiet_around_a_sentence_is_cut_off() -> None:
    quiet = noise(0.5, 0.0005)
    click = silence(0.2)
    click[100] = 0.3
    trimmed = trim(np.concatenate([quiet, click, tone(1.0), quiet]))
    assert abs(len(trimmed) / RATE - 1.0) < 0.02 and np.abs(trimmed[:400]).max() > 0.2


def test_recognized_words_are_matched_in_order() -> None:
    spoken = ["Say", "the", "word", "back.", "Say", "the", "word", "dog."]
    assert match(["say", "the", "word", "bag", "Say", "the", "word", "dog"], spoken) == {
        0: 0, 1: 1, 2: 2, 4: 4, 5: 5, 6: 6, 7: 7,
    }  # fmt: skip

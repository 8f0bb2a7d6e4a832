"""The benchmark of speaker turns counts errors as it says, and shares no speakers with the tuning."""

from __future__ import annotations

import numpy as np
import pytest
from pyannote.core import Annotation, Segment

from benchmarks.conversations import draw_speakers, share
from benchmarks.speakers import add, error_rate, percent
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError
from ser_engine.speakers.diarization import Turn


def test_errors_are_counted_over_all_recordings() -> None:
    reference = Annotation()
    reference[Segment(0, 10)], reference[Segment(10, 20)] = "a", "b"
    rate = error_rate()
    assert add(rate, reference, [Turn(0, 10, 1), Turn(10, 20, 0)]) == 0
    assert add(rate, reference, [Turn(0, 20, 0)]) == pytest.approx(0.5)
    assert percent(rate) == 25.0


def test_speakers_are_drawn_by_corpus_and_gender() -> None:
    genders = {"x/1": "male", "x/2": "male", "x/3": "female", "y/1": "male"}
    clips = {name: [Utterance(name[0], __file__, "sad", name, gender)] for name, gender in genders.items()}  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    assert set(draw_speakers(clips, rng, 2, same_corpus=True, same_gender=True)) == {"x/1", "x/2"}
    assert set(draw_speakers(clips, rng, 2, same_corpus=False, same_gender=False)) == {"x/3", "y/1"}
    with pytest.raises(CorpusError, match="too few speakers"):
        draw_speakers(clips, rng, 4, same_corpus=True, same_gender=True)


def test_every_speaker_serves_one_purpose() -> None:
    assert {share(f"ravdess/{number:02}") for number in range(1, 25)} == {"tune", "test"}

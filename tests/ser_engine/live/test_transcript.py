"""The words of a live session have their times in it."""

from __future__ import annotations

import numpy as np

from ser_engine import Analyzer
from ser_engine.live.transcript import SpeechSegment
from tests.speech import noise, silence, speech


def test_words_have_their_times_in_the_session(analyzer: Analyzer) -> None:
    spoken = SpeechSegment(100.0, np.concatenate([speech("Dogs are sitting by the door."), silence(0.3)]))
    (segment,) = spoken.transcribe(analyzer.transcriber, analyzer.settings)
    assert segment.text == "Dogs are sitting by the door."
    assert 100.0 <= segment.start < 101.0 < segment.end <= spoken.end


def test_noise_gives_no_words(analyzer: Analyzer) -> None:
    assert SpeechSegment(0.0, noise(2.0)).transcribe(analyzer.transcriber, analyzer.settings) == ()

"""Whispers are named, voices and noisy recordings are not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.voices import whisper
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_samples
from ser_engine.features.voice_kind import SENTENCES, WHISPERED, name_voice
from ser_engine.settings import Settings
from ser_engine.types import Quality
from tests.speech import RATE, VOICES, Samples, add_noise, speech

TEXTS = ("Kids are talking by the door.", "Dogs are sitting by the door.")


def _quality(samples: Samples) -> Quality:
    return name_voice(clean_speech(load_samples(samples, RATE, Settings()), Settings())).quality


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_whisper_is_named_with_what_it_means_and_a_voice_is_not(voice: str, text: str) -> None:
    spoken = speech(text, voice)
    whispered = _quality(whisper(spoken, np.random.default_rng(0)))
    assert whispered.voice_kinds == (WHISPERED,)
    assert SENTENCES[WHISPERED] in whispered.warnings
    assert whispered.to_dict()["voice_kinds"] == ["whispered"]
    assert _quality(spoken).voice_kinds == ()
    assert SENTENCES[WHISPERED] not in _quality(spoken).warnings


@pytest.mark.parametrize("voice", VOICES)
def test_a_long_whisper_is_named_by_a_sample_of_it(voice: str) -> None:
    whispered = whisper(speech(" ".join(TEXTS * 2), voice), np.random.default_rng(1))
    assert _quality(np.tile(whispered, 3)).voice_kinds == (WHISPERED,)


@pytest.mark.parametrize("snr_db", [0.0, 5.0])
@pytest.mark.parametrize("voice", VOICES)
def test_a_voice_under_noise_is_no_whisper(voice: str, snr_db: float) -> None:
    assert _quality(add_noise(speech(TEXTS[0], voice), snr_db)).voice_kinds == ()

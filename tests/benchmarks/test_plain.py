"""The yardstick answers as the application does: the same words, and the same head on Whisper's own states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from whisper.model import Whisper

from benchmarks import plain
from ser_engine import Analyzer, Settings
from ser_engine.features.encoder import compute_hidden_states
from ser_engine.models.fused import Fused
from ser_engine.models.registry import find_model, load_model
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_statistics import WhisperEncoderModel
from tests.speech import RATE, encode, silence, speech, speech_wav
from tools.bundle_whisper import count_errors

pytestmark = pytest.mark.slow

SENTENCE = "Dogs are sitting by the door."


@pytest.fixture(scope="module")
def whisper(settings: Settings) -> Whisper:
    return shared_whisper(settings)


@pytest.fixture(scope="module")
def classifier(settings: Settings) -> WhisperEncoderModel:
    model = load_model(find_model(settings), settings)
    assert isinstance(model, Fused) and isinstance(model.audio, WhisperEncoderModel)
    return model.audio


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording at a rate that has to be changed."""
    path = tmp_path_factory.mktemp("plain") / "clip.wav"
    path.write_bytes(speech_wav(SENTENCE, rate=44_100))
    return path


@pytest.fixture(scope="module")
def answer(clip: Path, whisper: Whisper, classifier: WhisperEncoderModel) -> tuple[str, NDArray[np.float32]]:
    return plain.analyze(clip, whisper, classifier)


def test_the_words_are_those_that_were_said_and_that_the_application_hears(
    answer: tuple[str, NDArray[np.float32]], clip: Path, analyzer: Analyzer
) -> None:
    transcript = analyzer.analyze(clip, transcribe=True).transcript
    assert transcript is not None
    assert count_errors(SENTENCE, answer[0]) == (0, 6)
    assert count_errors(transcript.text, answer[0]) == (0, 6)


def test_the_probabilities_are_of_the_same_emotions(
    answer: tuple[str, NDArray[np.float32]], classifier: WhisperEncoderModel
) -> None:
    probabilities = answer[1]
    assert probabilities.shape == (len(classifier.labels),)
    assert (probabilities > 0).all()
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_the_states_are_those_of_whispers_own_encoder(whisper: Whisper) -> None:
    # Where the recording fills the window, nothing is padded, and the application's encoder has to agree.
    samples = np.resize(speech(), 30 * RATE)
    mel = plain.whisper.log_mel_spectrogram(samples)[None]
    states = plain._all_states(whisper.encoder, mel)
    assert states.shape == (8, 1500, 512)
    torch.testing.assert_close(states, compute_hidden_states(whisper.encoder, samples[None])[0], atol=2e-3, rtol=1e-2)
    assert not whisper.encoder.blocks[0]._forward_hooks and not whisper.encoder.blocks[0]._forward_pre_hooks


def test_what_is_longer_than_a_window_is_heard_to_its_end(
    tmp_path: Path, whisper: Whisper, classifier: WhisperEncoderModel
) -> None:
    long = tmp_path / "long.wav"
    long.write_bytes(encode(np.concatenate([silence(30), speech(SENTENCE)])))
    words, probabilities = plain.analyze(long, whisper, classifier)
    assert "sitting by the door" in words.lower()
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)

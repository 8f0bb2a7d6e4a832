"""A calm sample of the speaker: what it is made of, what it changes, and whose it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Analysis, Analyzer
from ser_engine.analyzer import MAX_BASELINE_S, MIN_BASELINE_S
from ser_engine.errors import InvalidAudio, InvalidSettings, NoSpeech
from ser_engine.live.session import LiveSession
from ser_engine.models.whisper_onnx import OnnxHeads
from ser_engine.types import Baseline, Scores
from tests.ser_engine.tiny_listener import tiny_analyzer
from tests.speech import CALM, RATE, encode, silence, speech, speech_wav
from tests.tiny_models import heads_analyzer

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = "Kids are talking by the door. I wonder what this is about. Dogs are sitting by the door."


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return heads_analyzer(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def calm(heads: Analyzer) -> Baseline:
    return heads.calibrate(speech_wav(CALM))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    """An analyzer whose model cannot be calibrated."""
    return tiny_analyzer(tmp_path_factory.mktemp("tiny"))


def same(one: Scores, other: Scores) -> bool:
    return np.allclose(one.probabilities, other.probabilities, atol=1e-4)


def by_hand(heads: Analyzer, analysis: Analysis, baseline: Baseline | None) -> Scores:
    """Return what the model itself makes of a recording and a baseline."""
    (prediction,) = heads.model.predict([replace(analysis.speech, baseline=baseline)])
    return prediction.scores


def test_a_baseline_is_made_of_the_speech_alone(heads: Analyzer, calm: Baseline, tmp_path: Path) -> None:
    cleaned = heads.analyze(speech_wav(CALM)).speech
    assert calm.model == "tiny-heads" and MIN_BASELINE_S < calm.speech_s == cleaned.duration_s
    expected = heads.model.calibrate(cleaned)
    assert expected is not None and np.array_equal(calm.mean, expected.mean)
    path = tmp_path / "calm.wav"
    path.write_bytes(speech_wav(CALM))
    assert np.allclose(heads.calibrate(path).mean, calm.mean)
    padded = np.concatenate([silence(2), speech(CALM)])
    assert heads.calibrate(padded, RATE).speech_s == pytest.approx(calm.speech_s, abs=0.2)


def test_recordings_are_compared_with_it(heads: Analyzer, calm: Baseline) -> None:
    plain, related = heads.analyze(speech_wav()), heads.analyze(speech_wav(), baseline=calm)
    assert related.speech.baseline is calm and plain.speech.baseline is None
    assert same(related.scores, by_hand(heads, plain, calm)) and not same(related.scores, plain.scores)
    assert json.loads(json.dumps(related.to_dict()))["baseline_s"] == round(calm.speech_s, 3)
    assert plain.to_dict()["baseline_s"] is None
    (batched, error) = heads.analyze_batch([speech_wav(), b"nothing"], baseline=calm)
    assert isinstance(batched, Analysis) and same(batched.scores, related.scores)
    assert isinstance(error, InvalidAudio)


def test_windows_and_explanations_are_compared_with_it_too(heads: Analyzer, calm: Baseline) -> None:
    plain, related = heads.analyze(speech_wav(LONG)), heads.analyze(speech_wav(LONG), baseline=calm)
    assert len(related.timeline) > 1
    for one, other in zip(plain.timeline, related.timeline, strict=True):
        assert not same(one.scores, other.scores)
    weights = [[moment.weight for moment in heads.explain(each).moments] for each in (plain, related)]
    assert len(weights[0]) == len(weights[1]) and not np.allclose(*weights, atol=1e-3)


def test_live_windows_are_compared_with_it(heads: Analyzer, calm: Baseline) -> None:
    sound = speech()
    session = LiveSession(heads, hop_s=1.0, baseline=calm)
    updates = [update for update in (*session.push(sound, RATE), *session.finish()) if update.scores]
    assert len(updates) > 1 and session.to_dict()["baseline_s"] == round(calm.speech_s, 3)
    for update in updates:
        window = heads.analyze(sound[round(update.start * RATE) : round(update.end * RATE)], RATE, baseline=calm)
        assert update.scores is not None and same(update.scores, window.scores)
    assert LiveSession(heads).to_dict()["baseline_s"] is None


def test_too_little_speech_is_refused(heads: Analyzer) -> None:
    for sample in (speech(), np.concatenate([speech(), silence(6)])):
        with pytest.raises(NoSpeech, match=r"^Only 2\.\d\d s of speech was found; at least 15 s is needed") as error:
            heads.calibrate(encode(sample))
        assert str(error.value).endswith(".") and 2 < error.value.speech_s < 3
    with pytest.raises(NoSpeech):
        heads.calibrate(encode(silence(8)))
    with pytest.raises(InvalidAudio):
        heads.calibrate(b"not a recording")


def test_more_than_two_minutes_are_not_used(heads: Analyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[float] = []

    def calibrate(self: OnnxHeads, spoken: object) -> Baseline:
        used.append(spoken.duration_s)  # type: ignore[attr-defined]
        return Baseline(self.id, np.zeros((5, 512), np.float32), used[-1])

    monkeypatch.setattr(OnnxHeads, "calibrate", calibrate)
    samples = np.tile(speech(CALM), 1 + round(MAX_BASELINE_S / 7))
    assert heads.calibrate(samples, RATE).speech_s == used[0] == MAX_BASELINE_S


def test_a_model_that_cannot_be_calibrated_says_so(tiny: Analyzer, calm: Baseline) -> None:
    with pytest.raises(InvalidSettings, match=r"^The model “tiny” cannot be calibrated to a voice; .*\.$"):
        tiny.calibrate(speech_wav(CALM))
    for use in (
        lambda: tiny.analyze(speech_wav(), baseline=calm),
        lambda: tiny.analyze_batch([speech_wav()], baseline=calm),
        lambda: LiveSession(tiny, baseline=calm),
    ):
        with pytest.raises(InvalidSettings, match=r"“tiny-heads”.*“tiny”.*calibrate again\.$"):
            use()


def test_whether_a_model_can_is_known_once_it_is_loaded(tmp_path: Path) -> None:
    fresh = heads_analyzer(tmp_path)
    assert fresh.can_calibrate is None and fresh._model is None
    assert fresh.model.can_calibrate and fresh.can_calibrate is True
    plain = tiny_analyzer(tmp_path / "other")
    assert not plain.model.can_calibrate and plain.can_calibrate is False

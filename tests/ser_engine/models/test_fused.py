"""A model of audio and a model of text as one: modalities, the cache, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_engine import Analyzer, Settings
from ser_engine.errors import WeightsUnavailable
from ser_engine.models.fused import Fused
from ser_engine.models.fusion import fuse
from ser_engine.models.lru_cache import LRUCache
from ser_engine.models.registry import list_models, load_model
from ser_engine.models.speech_text import SpeechText
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.store import CONFIG, read_config, reference
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.types import CleanSpeech, Quality, Scores, Span, Transcript, TranscriptSegment
from tests.ser_engine.models.tiny_text_emotion import make
from tests.speech import RATE, speech_wav
from tests.tiny_models import write_heads, write_models

pytestmark = pytest.mark.usefixtures("one_thread")

VOICE = ("neutral", "calm", "happy", "sad", "angry")
CARD = {"corpora": ["ravdess"], "measured": {"UA": 70.0}}
DOGS = "Dogs are sitting by the door."


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A models folder with the shipped ones, a tiny voice, two tiny readers, and two models made of them."""
    models = write_models(tmp_path_factory.mktemp("tiny") / "models")
    settings = replace(Settings(), models_dir=models)
    network = SpeechTextForSequenceClassification.from_encoders(VOICE, "hubert", None, settings)
    with torch.no_grad():
        for parameter in network.classifier.parameters():
            parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    SpeechText("voice", network, SpeechTextProcessor.from_encoders("hubert", None, settings)).save(models / "voice")
    write_heads(models)
    make(settings, threshold=0.01).save(models / "talkative")
    make(settings, threshold=0.9999).save(models / "silent")
    for reader in ("talkative", "silent"):
        parts = {"audio": reference(models / "voice"), "text": reference(models / reader)}
        text = TextEmotion.load(models / reader, settings)
        Fused(f"with-{reader}", load_model(models / "voice", settings), text, parts, CARD).save(
            models / f"with-{reader}"
        )
    return settings


def loaded(here: Settings, name: str) -> Fused:
    model = load_model(here.models_dir / name, here)
    assert isinstance(model, Fused)
    return model


@pytest.fixture(scope="module")
def talkative(here: Settings) -> Fused:
    return loaded(here, "with-talkative")


@pytest.fixture(scope="module")
def silent(here: Settings) -> Fused:
    return loaded(here, "with-silent")


def recording(seed: int = 0) -> CleanSpeech:
    samples = np.random.default_rng(seed).normal(0, 0.1, RATE).astype(np.float32)
    return CleanSpeech(samples, (Span(0, 1),), Quality(1, 1, RATE, 8000, None, 0, -20, False))


def said(text: str, confidence: float = 0.9, language: str | None = "en") -> Transcript:
    return Transcript(text, language, (), confidence, "test")


def modalities(model: Fused, speech: CleanSpeech, transcript: Transcript | None) -> Mapping[str, Scores]:
    (prediction,) = model.predict([speech], [transcript])
    assert prediction.scores is prediction.modalities["fused"]
    return prediction.modalities


def emotional(model: Fused) -> str:
    """Return a text that speaks for one of the voice's emotions."""
    for text in ("dogs", "kids", "the word", "say the word door", "eleven o ' clock", "is this about", "talking"):
        if "text" in modalities(model, recording(), said(text)):
            return text
    raise AssertionError("the tiny reader never speaks")


def same(one: Scores, other: Scores) -> bool:
    return one.labels == other.labels and np.array_equal(one.probabilities, other.probabilities)


def test_words_that_speak_move_the_voice_as_fusion_has_it(talkative: Fused) -> None:
    text, voice = emotional(talkative), recording()
    found = modalities(talkative, voice, said(text, 0.8))
    assert list(found) == ["audio", "text", "fused"] and all(scores.labels == VOICE for scores in found.values())
    (read,), (heard,) = talkative.text.predict([text]), talkative.audio.predict([voice])
    assert same(found["fused"], fuse(found["audio"], read, 0.8)) and not same(found["fused"], found["audio"])
    np.testing.assert_allclose(found["audio"].probabilities, heard.scores.probabilities, atol=1e-6)
    assert found["text"].to_dict()["calm"] == found["text"].to_dict()["neutral"]


def test_words_that_abstain_leave_the_voice_to_the_last_bit(silent: Fused) -> None:
    found = modalities(silent, recording(), said(DOGS))
    assert set(found) == {"audio", "fused"} and same(found["fused"], found["audio"])


@pytest.mark.parametrize("transcript", [None, said(""), said("  "), said("dogs", confidence=0.0)])
def test_without_words_or_confidence_the_voice_decides(talkative: Fused, transcript: Transcript | None) -> None:
    found = modalities(talkative, recording(), transcript)
    assert same(found["fused"], found["audio"])


def test_sentences_in_another_language_are_left_out_and_words_keep_their_places(talkative: Fused) -> None:
    text = emotional(talkative)
    parts = [("Das ist gut.", "de"), (text, "en")]
    segments = tuple(TranscriptSegment(n, n + 1.0, words, 0.9, language=code) for n, (words, code) in enumerate(parts))
    both = Transcript(f"Das ist gut. {text}", "de", segments, 0.9, "test")
    (mixed,), (alone,) = talkative.predict_text([both]), talkative.predict_text([said(text)])
    assert mixed.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
    _, weighted = talkative.weigh_words(both, "angry")
    assert weighted and all(word.start >= len("Das ist gut. ") for word in weighted)


def test_words_in_another_language_are_not_read(talkative: Fused) -> None:
    text = emotional(talkative)
    assert "text" not in modalities(talkative, recording(), said(text, language="de"))
    assert "text" in modalities(talkative, recording(), said(text, language=None))


def test_alone_and_in_a_batch_the_answer_is_the_same(talkative: Fused) -> None:
    batch = [recording(seed) for seed in range(4)]
    words = [said(emotional(talkative)), said(""), said("dogs"), said("kids", language="fr")]
    alone = [talkative.predict([one], [words[i]])[0].scores.probabilities for i, one in enumerate(batch)]
    together = talkative.predict(batch, words)
    np.testing.assert_allclose([prediction.scores.probabilities for prediction in together], alone, atol=1e-5)
    for prediction, voice in zip(talkative.predict(batch), talkative.audio.predict(batch), strict=True):
        np.testing.assert_allclose(prediction.scores.probabilities, voice.scores.probabilities, atol=1e-5)
    assert talkative.predict([]) == []


# --- What is kept


@pytest.fixture
def deaf(talkative: Fused, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fused]:
    """The model after it heard `recording(7)`, unable to listen any more."""
    talkative.predict([recording(7)])

    def listen(*_: object) -> None:
        raise AssertionError("the voice was listened to again")

    monkeypatch.setattr(talkative.audio, "predict", listen)
    yield talkative


def test_other_words_cost_no_listening(deaf: Fused) -> None:
    found = modalities(deaf, recording(7), said(emotional_of(deaf)))
    assert "text" in found
    deaf.clear_cache()
    with pytest.raises(AssertionError, match="listened to again"):
        modalities(deaf, recording(7), None)


def emotional_of(model: Fused) -> str:
    return next(text for text in ("dogs", "kids", "the word") if model.text.predict([text])[0].emotional > 0)


def test_the_latest_are_kept_and_what_is_new_is_found_once() -> None:
    cache: LRUCache[int] = LRUCache(size=2)
    clips = [np.full(3, value, np.float32) for value in range(3)]
    looked: list[list[int]] = []

    def compute(rows: list[int]) -> list[int]:
        looked.append(rows)
        return [10 * row for row in rows]

    assert cache.get_or_compute([clips[0], clips[1], clips[0]], compute) == [20, 10, 20]
    assert sorted(looked.pop()) == [1, 2]
    assert cache.get_or_compute([clips[0]], compute) == [20] and not looked  # known, and now the latest
    assert cache.get_or_compute([clips[2]], compute) == [0] and looked.pop() == [0]
    assert cache.get_or_compute([clips[0]], compute) == [20] and not looked
    cache.get_or_compute([clips[1]], compute)
    assert looked == [[0]]


# --- On disk


def test_it_refers_to_its_parts_and_is_a_choice_for_recordings(here: Settings, talkative: Fused) -> None:
    folder = here.models_dir / "with-talkative"
    assert [file.name for file in folder.iterdir()] == [CONFIG]
    assert {"with-talkative", "with-silent", "voice"} <= set(list_models(here))
    assert (talkative.id, talkative.labels, talkative.card) == ("with-talkative", VOICE, CARD)
    assert Analyzer(replace(here, model="with-talkative")).card() == {
        "id": "with-talkative", "architecture": "fused", "labels": list(VOICE), "corpora": ["ravdess"], "UA": 70.0,
    }  # fmt: skip


def rewritten(here: Settings, tmp_path: Path, name: str, change: dict[str, Any]) -> Path:
    """Return a copy of the models folder in which a model's config.json says something else."""
    for folder in here.models_dir.iterdir():
        if folder.name != name:
            (tmp_path / folder.name).symlink_to(folder)
    (tmp_path / name).mkdir()
    for file in (here.models_dir / name).iterdir():
        (tmp_path / name / file.name).write_bytes(file.read_bytes())
    config = read_config(tmp_path / name)
    (tmp_path / name / CONFIG).write_text(json.dumps(config | change))
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"audio": None},
        {"text": "talkative"},
        {"text": {"id": "talkative"}},
        {"audio": {"id": "../voice", "sha256": "0"}},
        {"audio": {"id": "..", "sha256": "0"}},
        {"labels": ["neutral"]},
        {"id": None},
    ],
    ids=str,
)
def test_a_config_that_makes_no_sense_is_refused(here: Settings, tmp_path: Path, change: dict[str, Any]) -> None:
    models = rewritten(here, tmp_path, "with-talkative", change)
    with pytest.raises(WeightsUnavailable, match="does not describe a model of audio and text"):
        load_model(models / "with-talkative", replace(here, models_dir=models))


@pytest.mark.parametrize(("part", "change"), [("voice", {"score_temperature": 2.0}), ("talkative", {"thresholds": []})])
def test_a_part_that_answers_otherwise_now_is_refused(
    here: Settings, tmp_path: Path, part: str, change: dict[str, Any]
) -> None:
    models = rewritten(here, tmp_path, part, change)
    with pytest.raises(WeightsUnavailable, match=f"{part} is not the model that with-talkative was made of"):
        load_model(models / "with-talkative", replace(here, models_dir=models))


def test_a_part_may_be_measured_anew(here: Settings, tmp_path: Path) -> None:
    models = rewritten(here, tmp_path, "voice", {"measured": {"UA": 12.0}})
    assert load_model(models / "with-talkative", replace(here, models_dir=models)).labels == VOICE


def test_a_part_that_is_gone_is_named(here: Settings, tmp_path: Path) -> None:
    config = (here.models_dir / "with-talkative" / CONFIG).read_text()
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / CONFIG).write_text(config)
    with pytest.raises(WeightsUnavailable, match="alone needs the model voice"):
        load_model(tmp_path / "alone", replace(here, models_dir=tmp_path))
    assert load_model(tmp_path / "alone", here).labels == VOICE  # elsewhere, with its parts in the models folder


def test_a_fused_model_is_no_part_of_another(here: Settings) -> None:
    with pytest.raises(WeightsUnavailable, match="no checksums"):
        reference(here.models_dir / "with-silent")


def test_parts_of_other_kinds_are_refused(here: Settings, tmp_path: Path) -> None:
    models = rewritten(here, tmp_path, "with-talkative", {"text": reference(here.models_dir / "voice")})
    with pytest.raises(WeightsUnavailable, match="does not describe a model of audio and text"):
        load_model(models / "with-talkative", replace(here, models_dir=models))


# --- In the analyzer


def test_the_analyzer_scores_edited_words_without_listening_again(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyzer = Analyzer(replace(here, model="with-talkative"))
    before = analyzer.analyze(speech_wav(DOGS), name="dogs.wav")
    assert same(before.modalities["fused"], before.scores)
    model = analyzer.model
    assert isinstance(model, Fused)
    monkeypatch.setattr(model.audio, "predict", lambda *_: pytest.fail("the voice was listened to again"))
    mute = analyzer.rescore(before, "")
    assert "text" not in mute.modalities
    assert same(mute.scores, before.modalities["audio"])
    loud = analyzer.rescore(before, emotional_of(model))
    assert not same(loud.scores, mute.scores)
    assert same(loud.modalities["audio"], before.modalities["audio"])


def test_it_can_be_calibrated_if_its_audio_model_can(here: Settings, talkative: Fused) -> None:
    models = here.models_dir
    parts = {"audio": reference(models / "tiny-heads"), "text": reference(models / "talkative")}
    heads = load_model(models / "tiny-heads", here)
    fused = Fused("calibrated", heads, TextEmotion.load(models / "talkative", here), parts)
    baseline = fused.calibrate(recording(1))
    assert fused.can_calibrate and baseline is not None and fused.accepts(baseline)
    assert not talkative.can_calibrate and talkative.calibrate(recording(1)) is None
    assert not talkative.accepts(baseline)
    speech = replace(recording(2), baseline=baseline)
    (alone,) = heads.predict([speech])
    np.testing.assert_allclose(
        modalities(fused, speech, None)["audio"].probabilities, alone.scores.probabilities, atol=1e-6
    )
    plain = modalities(fused, recording(2), None)["audio"].probabilities
    assert not np.allclose(plain, alone.scores.probabilities, atol=1e-3)  # the cache distinguishes them

"""Whispers and children are named with what that means for the answer; other voices and noisy recordings are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.children import read_voices
from benchmarks.voices import whisper
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_samples
from ser_engine.errors import WeightsUnavailable
from ser_engine.models.child_voice import ARCHITECTURE, BIAS, ID, WEIGHT
from ser_engine.models.store import TENSORS, sha256, write_config
from ser_engine.models.voice_embedder import WIDTH
from ser_engine.settings import Settings
from ser_engine.speakers.separation import preprocess
from ser_engine.speakers.voice_kind import CHILD, MOST_PARTS, SENTENCES, WHISPERED, embed_voice, name_voice
from ser_engine.types import Quality
from tests.speech import RATE, VOICES, Samples, add_noise, silence, speech

TEXTS = ("Kids are talking by the door.", "Dogs are sitting by the door.")
HIGH = "I wonder what this is about."
"""The sentence in which the woman's voice is high enough to be a child's."""


def _quality(samples: Samples, settings: Settings | None = None) -> Quality:
    settings = settings or Settings()
    return name_voice(clean_speech(load_samples(samples, RATE, settings), settings), settings).quality


@pytest.fixture
def credulous(tmp_path: Path) -> Settings:
    """Settings with weights by which every high voice is a child's."""
    folder = tmp_path / ID
    folder.mkdir()
    save_file({WEIGHT: np.zeros(WIDTH, np.float32), BIAS: np.ones(1, np.float32)}, folder / TENSORS)
    write_config(folder, {"architecture": ARCHITECTURE, "weights": {TENSORS: sha256(folder / TENSORS)}})
    return Settings(models_dir=tmp_path)


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


def test_a_child_is_named_with_what_it_means(credulous: Settings) -> None:
    named = _quality(speech(HIGH, "woman"), credulous)
    assert named.voice_kinds == (CHILD,) and named.to_dict()["voice_kinds"] == ["child"]
    assert named.warnings == (SENTENCES[CHILD],) and "adults" in SENTENCES[CHILD]


def test_low_noisy_and_whispered_voices_are_no_child(credulous: Settings) -> None:
    assert _quality(speech(TEXTS[0], "man"), credulous).voice_kinds == ()
    assert _quality(add_noise(speech(HIGH, "woman"), 5.0), credulous).voice_kinds == ()
    whispered = whisper(speech(HIGH, "woman"), np.random.default_rng(0))
    assert _quality(whispered, credulous).voice_kinds == (WHISPERED,)


def test_of_several_speakers_the_child_is_named(credulous: Settings) -> None:
    man, woman = (speech(" ".join([HIGH] * 3), voice) for voice in VOICES)
    sides = np.stack([np.append(man, silence(len(woman) / RATE)), np.append(silence(len(man) / RATE), woman)])
    done = preprocess(load_samples(sides, RATE, credulous), replace(credulous, channels="split"))
    assert [lane.speech.quality.voice_kinds for lane in done.lanes] == [(), (CHILD,)]
    assert done.speech.quality.voice_kinds == (CHILD,)
    assert f"{done.lanes[1].name}: {SENTENCES[CHILD]}" in done.speech.quality.warnings


def test_speakers_on_one_channel_are_named_apart(credulous: Settings) -> None:
    text = " ".join([HIGH] * 2)
    both = np.concatenate([speech(text, voice) for voice in ("man", "woman", "man", "woman")])
    done = preprocess(load_samples(both, RATE, credulous), replace(credulous, speakers="2"))
    assert [lane.speech.quality.voice_kinds for lane in done.lanes] == [(), (CHILD,)]
    assert f"Speaker 2: {SENTENCES[CHILD]}" in done.speech.quality.warnings
    assert SENTENCES[CHILD] not in done.speech.quality.warnings


@pytest.mark.parametrize("seconds, parts", [(0.5, 1), (1.6, 1), (3.0, 2), (60.0, MOST_PARTS)])
def test_few_parts_are_embedded_however_long_the_speech(seconds: float, parts: int) -> None:
    samples = np.resize(speech(TEXTS[0]), round(seconds * RATE))
    embeddings = embed_voice(samples, Settings())
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), np.ones(parts), rtol=1e-5)


def test_damaged_weights_are_named(credulous: Settings) -> None:
    (credulous.models_dir / ID / TENSORS).write_bytes(b"")
    with pytest.raises(WeightsUnavailable, match=ID):
        _quality(speech(HIGH, "woman"), credulous)


@pytest.mark.corpora
def test_most_children_and_hardly_any_adults_are_named(ser_data: Path) -> None:
    settings = Settings(data=ser_data)
    voices = list(read_voices({"speechocean": 240, "cremad": 240}, settings, held_out=True))
    named = np.array([CHILD in name_voice(speech, settings).quality.voice_kinds for _, speech, _ in voices])
    children = np.array([child for _, _, child in voices])
    assert children.sum() >= 20 and (~children).sum() >= 60
    assert named[children].mean() > 0.5 and named[~children].mean() < 0.04

"""The default kind of audio model: heads on Whisper's encoder, which answer alike alone, in a batch and saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_engine import Settings
from ser_engine.features.encoder import BLOCKS, LOWER_BLOCKS, compute_long_states, pool_states
from ser_engine.models.registry import load_model
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_heads import CHUNK, PRIOR_S, AttentiveMember, Shape, WhisperHeads, build_member, shift
from ser_engine.types import Baseline
from tests.ser_engine.models.tiny_networks import probabilities
from tests.ser_engine.models.unfit import Config, assert_refused
from tests.speech import RATE, music, noise, speech, taken_for_speech

LABELS = ("neutral", "happy", "sad", "angry")
CARD = {"corpora": ["ravdess"], "measured": {"UA": 71.5, "WA": 70.25}}
SHAPES = [
    Shape(len(LABELS), hidden=16, mixes=2),
    Shape(len(LABELS), hidden=16, projection=32),
    Shape(len(LABELS), hidden=16, projection=32, blocks=1),
]
CLIPS = [
    taken_for_speech(clip) for clip in (speech()[:RATE], speech(voice="woman")[: RATE + 777], music(1), noise(0.3))
]
CALM = taken_for_speech(speech(voice="woman")[: 5 * RATE])


@pytest.fixture(scope="module")
def model(settings: Settings) -> WhisperHeads:
    """Return a model with random heads of every kind."""
    encoder = shared_whisper(settings).encoder
    torch.manual_seed(0)
    members = [build_member(encoder, shape) for shape in SHAPES]
    for member in members:
        for buffer in member.buffers():
            buffer.uniform_(0.5, 1.5)
        last = member.classifier[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight.data.mul_(8)  # so that the scores differ
    population = np.random.default_rng(0).standard_normal((BLOCKS + 1, 512)).astype(np.float32)
    return WhisperHeads("tried", LABELS, members, SHAPES, encoder, population, 1.7, CARD)


def tuned(model: WhisperHeads) -> AttentiveMember:
    member = model.members[2]
    assert isinstance(member, AttentiveMember)
    return member


def test_alone_and_in_any_batch_the_answer_is_the_same(model: WhisperHeads) -> None:
    alone = np.concatenate([probabilities(model.predict([clip])) for clip in CLIPS])
    np.testing.assert_allclose(probabilities(model.predict(CLIPS[::-1]))[::-1], alone, atol=1e-5)
    np.testing.assert_allclose(alone.sum(axis=1), 1, atol=1e-5)
    assert model.predict([]) == []


def test_all_heads_have_the_same_say_and_there_is_a_temperature(model: WhisperHeads) -> None:
    encodings = pool_states(compute_long_states(model.encoder, CLIPS[0].samples[None], BLOCKS))
    with torch.inference_mode():
        log_probs = [member(encodings) for member in model.members]
    assert not torch.allclose(log_probs[0], log_probs[1], atol=0.05)
    expected = (torch.stack(log_probs).mean(dim=0) / 1.7).softmax(dim=1)
    np.testing.assert_allclose(probabilities(model.predict(CLIPS[:1])), expected, atol=1e-6)


def test_a_minute_of_speech_is_judged(model: WhisperHeads) -> None:
    (prediction,) = model.predict([taken_for_speech(np.tile(speech(), 40)[: 60 * RATE])])
    assert prediction.scores.probabilities.sum() == pytest.approx(1, abs=1e-5)


# --- baselines


def test_a_baseline_changes_the_answers_to_its_speaker_alone(model: WhisperHeads) -> None:
    baseline = model.calibrate(CALM)
    assert baseline is not None and model.can_calibrate
    assert (baseline.model, baseline.speech_s) == ("tried", CALM.duration_s)
    assert baseline.mean.shape == (BLOCKS + 1, 512)
    known = [replace(CLIPS[0], baseline=baseline), CLIPS[0], replace(CLIPS[0], baseline=baseline)]
    first, without, again = probabilities(model.predict(known))
    np.testing.assert_allclose(first, again, atol=1e-6)
    np.testing.assert_allclose(without, probabilities(model.predict(CLIPS[:1]))[0], atol=1e-5)
    assert np.abs(first - without).max() > 0.01


def test_the_average_speaker_s_baseline_changes_nothing(model: WhisperHeads) -> None:
    assert model.population is not None
    average = replace(CLIPS[0], baseline=Baseline("tried", model.population, 60.0))
    expected = probabilities(model.predict(CLIPS[:1]))
    np.testing.assert_allclose(probabilities(model.predict([average])), expected, atol=1e-5)


def test_a_baseline_counts_by_its_length(model: WhisperHeads) -> None:
    assert model.population is not None
    (encoding,) = pool_states(compute_long_states(model.encoder, CLIPS[0].samples[None], BLOCKS))
    other = Baseline("tried", model.population + 2, PRIOR_S)
    expected = model.score([shift(encoding, np.ones_like(model.population))])
    known = replace(CLIPS[0], baseline=other)
    np.testing.assert_allclose(probabilities(model.predict([known])), expected, atol=1e-5)


def test_a_model_without_an_average_speaker_knows_no_baselines(model: WhisperHeads) -> None:
    plain = WhisperHeads("plain", LABELS, model.members, SHAPES, model.encoder)
    assert plain.calibrate(CALM) is None and not plain.can_calibrate
    known = replace(CLIPS[0], baseline=model.calibrate(CALM))
    np.testing.assert_array_equal(probabilities(plain.predict([known])), probabilities(plain.predict(CLIPS[:1])))


# --- tuned blocks


def test_blocks_that_were_not_tuned_compute_what_the_encoder_computes(model: WhisperHeads) -> None:
    states = compute_long_states(model.encoder, speech()[None, :RATE])
    untouched = AttentiveMember(model.encoder, replace(SHAPES[2], blocks=2))
    with torch.inference_mode():
        frames = untouched.frames(states[:, LOWER_BLOCKS])
    np.testing.assert_allclose(frames, states[:, 2:5].mean(dim=1), atol=1e-4)


def test_hidden_frames_reach_the_blocks_nowhere_else(model: WhisperHeads) -> None:
    lower = torch.randn(1, 10, 512)
    hidden = torch.zeros(1, 10, dtype=torch.bool)
    hidden[0, 3] = True
    louder = lower.clone()
    louder[0, 3] *= 5
    with torch.inference_mode():
        one, other = (tuned(model).frames(given, hidden) for given in (lower, louder))
        open_ = tuned(model).frames(louder)
    others = [i for i in range(10) if i != 3]
    np.testing.assert_allclose(one[0, others], other[0, others], atol=1e-6)
    assert not torch.allclose(other[0, others], open_[0, others], atol=1e-3)


def test_long_speech_is_processed_in_chunks(model: WhisperHeads) -> None:
    (encoding,) = pool_states(compute_long_states(model.encoder, speech()[None, :RATE], BLOCKS))
    lower = np.random.default_rng(0).standard_normal((CHUNK, 512), np.float32)
    (twice,) = tuned(model).input_frames([encoding._replace(lower=np.concatenate([lower, lower]))])
    (once,) = tuned(model).input_frames([encoding._replace(lower=lower)])
    np.testing.assert_allclose(twice, np.concatenate([once, once]), atol=1e-4)


# --- saving and loading


def test_what_is_saved_is_what_is_loaded(model: WhisperHeads, settings: Settings, tmp_path: Path) -> None:
    model.save(tmp_path / "tried")
    loaded = load_model(tmp_path / "tried", replace(settings, whisper="small"))  # whichever transcribes
    assert isinstance(loaded, WhisperHeads) and loaded.encoder is model.encoder
    assert (loaded.id, loaded.labels, loaded.temperature, loaded.card) == ("tried", LABELS, 1.7, CARD)
    assert loaded.shapes == SHAPES
    np.testing.assert_allclose(loaded.population, model.population, atol=2e-3)
    np.testing.assert_allclose(probabilities(loaded.predict(CLIPS)), probabilities(model.predict(CLIPS)), atol=0.02)
    config = json.loads((tmp_path / "tried" / "config.json").read_text(encoding="utf-8"))
    assert config["architecture"] == "whisper-heads" and config["encoder"] == "whisper-base"


UNFIT: dict[str, Callable[[Config], Any]] = {
    "another number of labels": lambda config: config["labels"].pop(),
    "labels missing": lambda config: config.pop("labels"),
    "no name": lambda config: config.pop("id"),
    "no heads": lambda config: config.pop("heads"),
    "not one head": lambda config: config.update(heads=[]),
    "heads that are none": lambda config: config.update(heads=[1, 2]),
    "fewer heads than were stored": lambda config: config["heads"].pop(),
    "another width": lambda config: config["heads"][0].update(width=384),
    "other mixes": lambda config: config["heads"][0].update(mixes=3),
    "another kind": lambda config: config["heads"][0].update(mixes=0),
    "no tuned blocks": lambda config: config["heads"][2].update(blocks=0),
    "an entry that means nothing": lambda config: config["heads"][0].update(layers=8),
    "temperature zero": lambda config: config.update(temperature=0),
    "another encoder": lambda config: config.update(encoder="whisper-small"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_config_that_does_not_fit_is_one_sentence(
    kind: str, model: WhisperHeads, settings: Settings, tmp_path: Path
) -> None:
    model.save(tmp_path)
    assert_refused(tmp_path, UNFIT[kind], settings)

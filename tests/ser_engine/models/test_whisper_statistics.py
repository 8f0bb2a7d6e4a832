"""The default kind of model: a head on Whisper's encoder that answers alike alone, in a batch and after saving."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ser_engine import Settings
from ser_engine.errors import WeightsUnavailable
from ser_engine.features.encoder import Encoding
from ser_engine.models.registry import load_model
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_statistics import BATCH, Head, HeadConfig, WhisperStatistics, collate
from tests.ser_engine.models.tiny_networks import probabilities
from tests.ser_engine.models.unfit import Config, assert_refused
from tests.speech import RATE, music, noise, speech, taken_for_speech

LABELS = ("neutral", "happy", "sad", "angry")
CARD = {"corpora": ["ravdess"], "measured": {"UA": 71.5, "WA": 70.25}}


def head(**changes: Any) -> Head:
    """Return a head with random weights, whose features are standardized by other random numbers."""
    torch.manual_seed(0)
    shape = {"labels": len(LABELS), "hidden": 16, "members": 3, "layer_mixes": 2, "attentive": 2, "projection": 32}
    made = Head(HeadConfig(**shape | changes)).eval()
    for centre, scale in ((made.mean, made.scale), (made.frame_mean, made.frame_scale)):
        centre.normal_()
        scale.uniform_(0.5, 1.5)
    for member in (*made.stats_heads(), *made.attentive_heads()):
        member.classifier[-1].weight.data.mul_(8)  # so that the scores differ
    return made


@pytest.fixture(scope="module")
def model(settings: Settings) -> WhisperStatistics:
    return WhisperStatistics("tried", LABELS, head(), shared_whisper(settings).encoder, 1.7, CARD)


CLIPS = [
    taken_for_speech(clip) for clip in (speech()[:RATE], speech(voice="woman")[: RATE + 777], music(1), noise(0.3))
]


def statistics(count: int, layers: int = 8, width: int = 512) -> Tensor:
    return torch.randn((count, layers, 2, width), generator=torch.Generator().manual_seed(1))


def encoded(count: int) -> list[Encoding]:
    """Return encodings of different lengths."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 40, count)
    frames = [rng.standard_normal((length, 512), np.float32) for length in lengths]
    return [Encoding(*parts) for parts in zip(statistics(count).numpy(), frames, frames, strict=True)]


# --- scores


def test_scores_are_probabilities_of_the_labels(model: WhisperStatistics) -> None:
    predictions = model.predict(CLIPS)
    assert all(prediction.scores.labels == LABELS and not prediction.modalities for prediction in predictions)
    values = probabilities(predictions)
    assert values.dtype == np.float32 and (values >= 0).all()
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)
    assert np.ptp(values, axis=0).max() > 0.05  # the samples matter


def test_alone_and_in_any_batch_the_answer_is_the_same(model: WhisperStatistics) -> None:
    alone = probabilities([model.predict([clip])[0] for clip in CLIPS])
    np.testing.assert_allclose(probabilities(model.predict(CLIPS)), alone, atol=1e-4)
    np.testing.assert_allclose(probabilities(model.predict(CLIPS[::-1]))[::-1], alone, atol=1e-4)


def test_more_of_one_length_than_are_encoded_at_once_keep_their_order(model: WhisperStatistics) -> None:
    sounds = [taken_for_speech(np.roll(speech(), 400 * i)[: RATE // 2]) for i in range(BATCH + 3)]
    together = probabilities(model.predict(sounds))
    assert len(together) == BATCH + 3
    for i in (0, BATCH - 1, BATCH, BATCH + 2):
        np.testing.assert_allclose(together[i], model.predict([sounds[i]])[0].scores.probabilities, atol=1e-4)
    assert np.ptp(together, axis=0).max() > 0.001


def test_nothing_asked_is_nothing_answered(model: WhisperStatistics) -> None:
    assert model.predict([]) == []


def test_threads_get_the_answers_that_they_would_get_alone(model: WhisperStatistics) -> None:
    alone = probabilities([model.predict([clip])[0] for clip in CLIPS])
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda clip: model.predict([clip])[0], CLIPS))
    np.testing.assert_allclose(probabilities(together), alone, atol=1e-4)


def test_speech_of_more_than_half_a_minute_is_judged(model: WhisperStatistics) -> None:
    (prediction,) = model.predict([taken_for_speech(np.tile(speech(), 12)[: 31 * RATE])])
    assert prediction.scores.probabilities.sum() == pytest.approx(1, abs=1e-5)


# --- the head


def test_dropout_is_off_when_scoring(model: WhisperStatistics) -> None:
    again = WhisperStatistics("again", LABELS, head().train(), model.encoder)
    assert np.array_equal(again.score(encoded(5)), again.score(encoded(5)))


def test_the_heads_log_probabilities_are_averaged() -> None:
    made, given = head(), collate(encoded(6))
    with torch.inference_mode():
        answer = made(*given)
        standard = (given[0] - made.mean) * made.scale
        stats = np.stack([member(standard).softmax(dim=1).numpy() for member in made.stats_heads()])
        frames = (given[1] - made.frame_mean) * made.frame_scale
        attentive = np.stack([member(frames, given[2]).softmax(dim=1).numpy() for member in made.attentive_heads()])
    # Both kinds have the same weight, though there are three heads of one and two of the other.
    geometric = np.exp((np.log(stats).mean(axis=0) + np.log(attentive).mean(axis=0)) / 2)
    expected = geometric / geometric.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer.exp().numpy(), expected, atol=1e-5)
    for kind in (stats, attentive):
        assert np.ptp(kind, axis=0).max() > 0.05  # they are not all the same


@pytest.mark.parametrize(("members", "attentive"), [(2, 0), (0, 2)])
def test_either_kind_can_do_alone(members: int, attentive: int, model: WhisperStatistics) -> None:
    shape = HeadConfig(len(LABELS), hidden=16, members=members, attentive=attentive, projection=32)
    alone = WhisperStatistics("alone", LABELS, Head(shape), model.encoder)
    np.testing.assert_allclose(alone.score(encoded(3)).sum(axis=1), 1, atol=1e-5)


def test_what_is_filled_up_is_not_heard() -> None:
    (member, *_), encodings = head().attentive_heads(), encoded(6)
    _, frames, present = collate(encodings)
    assert present.sum(dim=1).tolist() == [len(one.frames) for one in encodings]
    noisy = torch.where(present[..., None], frames, torch.randn_like(frames) * 99)
    with torch.inference_mode():
        together = member(noisy, present)
        for row, one in enumerate(encodings):
            alone = member(torch.from_numpy(one.frames)[None], torch.ones(1, len(one.frames), dtype=torch.bool))
            torch.testing.assert_close(together[row], alone[0], atol=1e-4, rtol=1e-4)


def test_attention_weighs_moments_and_plain_statistics_do_not() -> None:
    (member, *_) = head().attentive_heads()
    frames = torch.randn((1, 9, 512), generator=torch.Generator().manual_seed(2))
    pooled = member.pool(frames, torch.ones(1, 9, dtype=torch.bool)).detach()[0]
    assert len(pooled) == 2 * (4 * 32 + 512)
    mean, deviation = pooled[2 * 4 * 32 :].split(512)
    torch.testing.assert_close(mean, frames[0].mean(dim=0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(deviation, frames[0].std(dim=0, correction=0), atol=1e-4, rtol=1e-4)
    attended = pooled[: 4 * 32].unflatten(0, (4, 32))
    assert (attended[0] - attended[1]).abs().max() > 1e-3  # its heads attend to different moments


@pytest.mark.parametrize("layer_mixes", [1, 3])
def test_each_mix_is_a_weighted_mean_of_the_layers(layer_mixes: int) -> None:
    made = head(layer_mixes=layer_mixes, members=1, width=5, layers=4)
    (member,) = made.stats_heads()
    given = statistics(2, 4, 5)
    weights = torch.softmax(member.layer_logits.detach(), dim=2).numpy()
    assert weights.shape == (layer_mixes, 2, 4)
    expected = np.einsum("blsw,ksl->bksw", given.numpy(), weights).reshape(2, -1)
    np.testing.assert_allclose(member.mix_layers(given).detach().numpy(), expected, atol=1e-5)
    # A layer that has all the weight is passed on as it is.
    member.layer_logits.data[:] = torch.tensor([0.0, 0.0, 99.0, 0.0])
    passed = member.mix_layers(given).detach().reshape(2, layer_mixes, 2, 5)
    torch.testing.assert_close(passed, given[:, 2][:, None].expand(-1, layer_mixes, -1, -1))


def test_a_high_temperature_makes_it_less_sure_of_the_same(model: WhisperStatistics) -> None:
    given = encoded(8)
    cold, warm = (WhisperStatistics("t", LABELS, head(), model.encoder, t).score(given) for t in (1.0, 3.0))
    assert (warm.max(axis=1) < cold.max(axis=1)).all()
    assert np.array_equal(warm.argmax(axis=1), cold.argmax(axis=1))
    np.testing.assert_allclose(warm**3 / (warm**3).sum(axis=1, keepdims=True), cold, atol=1e-4)


# --- saving and loading


def test_what_is_saved_is_what_is_loaded(model: WhisperStatistics, settings: Settings, tmp_path: Path) -> None:
    model.save(tmp_path / "a" / "tried")
    loaded = load_model(tmp_path / "a" / "tried", settings)
    assert isinstance(loaded, WhisperStatistics)
    assert (loaded.id, loaded.labels, loaded.temperature, loaded.card) == ("tried", LABELS, 1.7, CARD)
    assert loaded.head.config == model.head.config
    assert loaded.encoder is model.encoder  # one encoder in memory for all
    np.testing.assert_allclose(loaded.score(encoded(20)), model.score(encoded(20)), atol=0.02)
    np.testing.assert_allclose(probabilities(loaded.predict(CLIPS)), probabilities(model.predict(CLIPS)), atol=0.02)


def test_saving_once_more_changes_nothing(model: WhisperStatistics, settings: Settings, tmp_path: Path) -> None:
    model.save(tmp_path / "once")
    WhisperStatistics.load(tmp_path / "once", settings).save(tmp_path / "twice")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    assert {path.name for path in (tmp_path / "twice").iterdir()} == {"config.json", "model.safetensors"}


def test_the_config_says_what_the_model_is(model: WhisperStatistics, tmp_path: Path) -> None:
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["architecture"] == "whisper-statistics" and config["encoder"] == "whisper-base"
    assert config["labels"] == list(LABELS) and config["temperature"] == 1.7
    assert config["measured"] == CARD["measured"]
    assert set(config["weights"]) == {"model.safetensors"}


UNFIT: dict[str, Callable[[Config], Any]] = {
    "another number of labels": lambda config: config["labels"].pop(),
    "labels missing": lambda config: config.pop("labels"),
    "labels that are none": lambda config: config.update(labels=None),
    "no name": lambda config: config.pop("id"),
    "no head": lambda config: config.pop("head"),
    "a head that is no head": lambda config: config.update(head=[1, 2]),
    "more members than were stored": lambda config: config["head"].update(members=4),
    "fewer members than were stored": lambda config: config["head"].update(members=2),
    "another width": lambda config: config["head"].update(width=384),
    "a width in words": lambda config: config["head"].update(width="wide"),
    "a width below zero": lambda config: config["head"].update(width=-512),
    "other layer_mixes": lambda config: config["head"].update(layer_mixes=1),
    "impossible dropout": lambda config: config["head"].update(dropout=2.0),
    "fewer attentive members than were stored": lambda config: config["head"].update(attentive=1),
    "other heads of attention": lambda config: config["head"].update(attention_heads=3),
    "an entry that means nothing": lambda config: config["head"].update(heads=8),
    "no temperature": lambda config: config.pop("temperature"),
    "temperature in words": lambda config: config.update(temperature="warm"),
    "temperature zero": lambda config: config.update(temperature=0),
    "another encoder": lambda config: config.update(encoder="whisper-small"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_config_that_does_not_fit_is_one_sentence(
    kind: str, model: WhisperStatistics, settings: Settings, tmp_path: Path
) -> None:
    model.save(tmp_path)
    assert_refused(tmp_path, UNFIT[kind], settings)


def test_damaged_weights_are_one_sentence(model: WhisperStatistics, settings: Settings, tmp_path: Path) -> None:
    model.save(tmp_path)
    file = tmp_path / "model.safetensors"
    damaged = bytearray(file.read_bytes())
    damaged[-100] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(WeightsUnavailable, match=r"^.*model\.safetensors is damaged or of another version: .*\.$"):
        load_model(tmp_path, settings)
    file.unlink()
    with pytest.raises(WeightsUnavailable, match=r"model\.safetensors is missing"):
        load_model(tmp_path, settings)


def test_a_head_without_its_encoder_is_one_sentence(
    model: WhisperStatistics, settings: Settings, tmp_path: Path
) -> None:
    model.save(tmp_path / "tried")
    with pytest.raises(WeightsUnavailable, match=r"whisper-base holds no model: there is no config\.json in it\.$"):
        load_model(tmp_path / "tried", replace(settings, models_dir=tmp_path))


def test_another_whisper_for_the_words_leaves_the_encoder_alone(
    model: WhisperStatistics, settings: Settings, tmp_path: Path
) -> None:
    model.save(tmp_path)
    loaded = load_model(tmp_path, replace(settings, whisper="small"))
    assert isinstance(loaded, WhisperStatistics) and loaded.encoder is model.encoder

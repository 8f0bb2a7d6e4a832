"""Tuned heads beside frozen ones: one answer of all, the same alone, in a batch and after saving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ser_engine import Settings
from ser_engine.errors import WeightsUnavailable
from ser_engine.features.encoder import BLOCKS, LOWER_BLOCKS, average_pairs, compute_long_states, pool_states
from ser_engine.models.registry import load_model
from ser_engine.models.store import part_folders, reference
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_heads import Shape, WhisperHeads, build_member
from ser_engine.models.whisper_heads import mean_log_probs as mean_of_members
from ser_engine.models.whisper_statistics import HeadConfig
from ser_engine.models.whisper_tuned import CHUNK, TunedHead, WhisperTuned, mean_log_probs
from tests.ser_engine.models.test_whisper_statistics import CARD, CLIPS, LABELS, probabilities
from tests.ser_engine.models.unfit import Config, assert_refused
from tests.speech import RATE, speech, taken_for_speech

SHAPE = Shape(len(LABELS), hidden=16, mixes=2)


def member(model: WhisperHeads, seed: int = 0) -> TunedHead:
    """Return a member whose blocks are a little off the encoder's, with a random head whose scores differ."""
    torch.manual_seed(seed)
    made = TunedHead(model.encoder, 2, HeadConfig(len(LABELS), hidden=16, projection=32)).eval()
    with torch.no_grad():
        for parameter in made.blocks.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
        made.head.classifier[-1].weight.mul_(8)
    made.frame_mean.normal_()
    made.frame_scale.uniform_(0.5, 1.5)
    return made


@pytest.fixture(scope="module")
def frozen(settings: Settings) -> WhisperHeads:
    encoder = shared_whisper(settings).encoder
    torch.manual_seed(0)
    members = [build_member(encoder, SHAPE) for _ in range(3)]
    for each in members:
        for buffer in each.buffers():
            buffer.uniform_(0.5, 1.5)
    return WhisperHeads("tried", LABELS, members, [SHAPE] * 3, encoder, None, 1.7, CARD)


@pytest.fixture
def folder(frozen: WhisperHeads, tmp_path: Path) -> Path:
    """Return a folder of models with the frozen one in it."""
    frozen.save(tmp_path / "tried")
    return tmp_path


@pytest.fixture
def model(frozen: WhisperHeads, folder: Path, settings: Settings) -> WhisperTuned:
    both = [member(frozen, seed) for seed in (0, 1)]
    return WhisperTuned("both", both, frozen, reference(folder / "tried"), 1.3, CARD)


def test_all_heads_have_the_same_weight_and_there_is_a_temperature(model: WhisperTuned) -> None:
    states = compute_long_states(model.encoder, np.stack([CLIPS[0].samples]))
    with torch.inference_mode():
        frozen_log_probs = mean_of_members(model.base_model.members, pool_states(states[:, : BLOCKS + 1]))
        tuned_log_probs = mean_log_probs(model.heads, average_pairs(states[:, LOWER_BLOCKS]))
        assert not torch.allclose(frozen_log_probs, tuned_log_probs, atol=0.05)
        expected = ((3 * frozen_log_probs + 2 * tuned_log_probs) / 5 / 1.3).softmax(dim=1)
    np.testing.assert_allclose(model.predict_proba(states), expected, atol=1e-6)
    np.testing.assert_allclose(probabilities(model.predict(CLIPS[:1])), expected, atol=1e-6)


def test_alone_and_in_any_batch_the_answer_is_the_same(model: WhisperTuned) -> None:
    alone = np.concatenate([probabilities(model.predict([clip])) for clip in CLIPS])
    np.testing.assert_allclose(probabilities(model.predict(CLIPS[::-1]))[::-1], alone, atol=1e-5)
    np.testing.assert_allclose(alone.sum(axis=1), 1, atol=1e-5)


def test_blocks_that_were_not_tuned_log_probs_what_the_encoder_says(frozen: WhisperHeads) -> None:
    untouched = TunedHead(frozen.encoder, 2, HeadConfig(len(LABELS), hidden=16, projection=32)).eval()
    states = compute_long_states(frozen.encoder, speech()[None, :RATE])
    with torch.inference_mode():
        frames = untouched.frames(states[:, LOWER_BLOCKS])
    np.testing.assert_allclose(frames, states[:, 2:5].mean(dim=1), atol=1e-4)


def test_hidden_frames_reach_the_blocks_nowhere_else(frozen: WhisperHeads) -> None:
    made, lower = member(frozen), torch.randn(1, 10, 512)
    hidden = torch.zeros(1, 10, dtype=torch.bool)
    hidden[0, 3] = True
    louder = lower.clone()
    louder[0, 3] *= 5
    with torch.inference_mode():
        one, other = (made.frames(given, hidden) for given in (lower, louder))
        open_ = made.frames(louder)
    others = [i for i in range(10) if i != 3]
    np.testing.assert_allclose(one[0, others], other[0, others], atol=1e-6)
    assert not torch.allclose(other[0, others], open_[0, others], atol=1e-3)


def test_long_speech_is_processed_in_chunks(frozen: WhisperHeads) -> None:
    made = member(frozen)
    lower = torch.randn(1, CHUNK, 512)
    with torch.inference_mode():
        twice = made.embed(torch.cat([lower, lower], dim=1))
        assert twice.shape == (1, 16)
        pieces = torch.cat([made.frames(lower)] * 2, dim=1)
        np.testing.assert_allclose(twice, made.head.classifier[:-1](made.pool(pieces)), atol=1e-5)


def test_a_minute_of_speech_is_judged(model: WhisperTuned) -> None:
    (prediction,) = model.predict([taken_for_speech(np.tile(speech(), 40)[: 60 * RATE])])
    assert prediction.scores.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_what_is_saved_is_what_is_loaded(model: WhisperTuned, folder: Path, settings: Settings) -> None:
    model.save(folder / "both")
    loaded = load_model(folder / "both", settings)
    assert isinstance(loaded, WhisperTuned)
    assert (loaded.id, loaded.labels, loaded.temperature, loaded.card) == ("both", LABELS, 1.3, CARD)
    assert (
        len(loaded.heads) == 2
        and loaded.encoder is model.encoder
        and part_folders(folder / "both", settings) == (folder / "tried",)
    )
    np.testing.assert_allclose(probabilities(loaded.predict(CLIPS)), probabilities(model.predict(CLIPS)), atol=0.03)
    stored = sum(tensor.nbytes for tensor in load_file(folder / "both" / "model.safetensors").values())
    numbers = sum(tensor.numel() for member in model.heads for tensor in member.state_dict().values())
    assert stored < 1.1 * numbers  # a byte each, with the rows' scales


UNFIT: dict[str, Callable[[Config], Any]] = {
    "no blocks": lambda config: config.pop("blocks"),
    "other blocks": lambda config: config.update(blocks=1),
    "blocks in words": lambda config: config.update(blocks="two"),
    "fewer members": lambda config: config["head"].update(members=1),
    "no members": lambda config: config["head"].update(members=0),
    "other labels": lambda config: config["labels"].reverse(),
    "no base model": lambda config: config.pop("base_model"),
    "base model in words": lambda config: config.update(base_model="tried"),
    "temperature zero": lambda config: config.update(temperature=0),
    "another encoder": lambda config: config.update(encoder="whisper-small"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_config_that_does_not_fit_is_one_sentence(
    kind: str, model: WhisperTuned, folder: Path, settings: Settings
) -> None:
    model.save(folder / "both")
    assert_refused(folder / "both", UNFIT[kind], settings)


def test_another_base_model_is_one_sentence(
    model: WhisperTuned,
    frozen: WhisperHeads,
    folder: Path,
    settings: Settings,
) -> None:
    model.save(folder / "both")
    WhisperHeads("tried", LABELS, frozen.members, frozen.shapes, frozen.encoder, None, 2.9).save(folder / "tried")
    with pytest.raises(WeightsUnavailable, match="is not the model that both was made of"):
        load_model(folder / "both", settings)
    for file in (folder / "tried").iterdir():
        file.unlink()
    with pytest.raises(WeightsUnavailable, match="needs the model tried"):
        load_model(folder / "both", replace(settings, models_dir=folder / "nowhere"))

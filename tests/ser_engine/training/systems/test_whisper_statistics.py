"""Training of heads on statistics and frames: they learn what can be learned, the same each time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_engine.data.corpora.base import Utterance
from ser_engine.features.encoder import Encoding
from ser_engine.models.whisper_statistics import Head
from ser_engine.training.clips import Clips
from ser_engine.training.heads import sampling_weights, smoothed_targets, training_copies
from ser_engine.training.state import History
from ser_engine.training.systems.whisper_statistics import (
    StatisticsConfig,
    log_probabilities,
    train_head,
)

LABELS = ("neutral", "happy", "sad")
LAYERS, WIDTH = 4, 6
CONFIG = StatisticsConfig(
    id="tiny", system="whisper-statistics", corpora=("ravdess",), members=2, mixtures=2, hidden=16, epochs=30, batch=32,
    learning_rate=5e-3, dropout=0.1,
)  # fmt: skip
ATTENTIVE = {"attentive": 2, "projection": 32, "attention_heads": 2, "attentive_epochs": 20, "attentive_batch": 32}


pytestmark = pytest.mark.usefixtures("one_thread")


def examples(count: int, seed: int = 0) -> tuple[list[Encoding], np.ndarray]:
    """Return encodings and labels; the mean of the second layer depends on the label, and one frame."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(LABELS), count)
    statistics = (5 + 3 * rng.standard_normal((count, LAYERS, 2, WIDTH))).astype(np.float32)
    statistics[np.arange(count), 1, 0, true] += 9
    encodings = []
    for row, label in zip(statistics, true, strict=True):
        frames = (2 + rng.standard_normal((rng.integers(3, 30), WIDTH))).astype(np.float16)
        frames[rng.integers(len(frames)), label] += 9
        encodings.append(Encoding(row, frames, frames))
    return encodings, true


def stacked(encodings: list[Encoding]) -> torch.Tensor:
    return torch.from_numpy(np.stack([one.statistics for one in encodings]))


def one_hot(true: np.ndarray) -> np.ndarray:
    return np.eye(len(LABELS), dtype=np.float32)[true]


def trained(config: StatisticsConfig, weights: np.ndarray | None = None) -> Head:
    features, true = examples(300)
    return train_head([features], one_hot(true), np.ones(300) if weights is None else weights, config)


def accuracy(head: Head) -> float:
    features, true = examples(200, seed=1)
    return float(np.mean(log_probabilities(head, features).argmax(axis=1) == true))


@pytest.fixture(scope="module")
def head() -> Head:
    return trained(CONFIG)


def test_what_is_learned_generalizes(head: Head) -> None:
    assert accuracy(head) > 0.85
    log_probs = log_probabilities(head, examples(5)[0])
    assert log_probs.shape == (5, len(LABELS)) and log_probs.dtype == np.float32
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-5)
    assert not head.training


def test_nothing_is_learned_from_shuffled_labels() -> None:
    features, true = examples(300)
    shuffled = np.random.default_rng(2).permutation(true)
    head = train_head([features], one_hot(shuffled), np.ones(300), replace(CONFIG, epochs=5))
    assert accuracy(head) < 0.6


def test_the_informative_layer_gets_the_weight(head: Head) -> None:
    for member in head.stats_heads():
        means = member.layer_logits.detach().softmax(dim=2)[:, 0]  # of each mixture, the weights of the layers' means
        assert (means.argmax(dim=1) == 1).any()


def test_the_shape_is_that_of_the_configuration(head: Head) -> None:
    assert len(head.stats_heads()) == 2
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert shapes["mean"] == (LAYERS, 2, WIDTH)
    assert shapes["members.0.layer_logits"] == (2, 2, LAYERS)
    assert shapes["members.1.classifier.2.weight"] == (16, 2 * 2 * WIDTH)


def test_features_are_standardized_by_the_training_set(head: Head) -> None:
    features, _ = examples(300)
    standard = head.standardize(stacked(features))
    np.testing.assert_allclose(standard.mean(dim=0), 0, atol=1e-3)
    np.testing.assert_allclose(standard.std(dim=0), 1, atol=0.01)


def test_a_constant_feature_does_no_harm() -> None:
    features, true = examples(100)
    for statistics, frames, _ in features:
        statistics[3] = 7.0
        frames[:, 4] = 7.0
    head = train_head([features], one_hot(true), np.ones(100), replace(CONFIG, epochs=2, **ATTENTIVE))
    assert np.isfinite(log_probabilities(head, features)).all()


def test_the_seed_decides_and_members_differ(head: Head) -> None:
    short = replace(CONFIG, epochs=2, mixup=0.4)
    first, again, other = trained(short), trained(short), trained(replace(short, seed=1))
    features, _ = examples(20)
    log_probs = [log_probabilities(head, features) for head in (first, again, other)]
    assert np.array_equal(log_probs[0], log_probs[1])
    assert not np.allclose(log_probs[0], log_probs[2], atol=1e-3)
    one, two = head.stats_heads()
    standard = head.standardize(stacked(features))
    assert not torch.allclose(one(standard), two(standard), atol=1e-3)


def test_members_are_averaged(head: Head) -> None:
    features, _ = examples(20)
    standard = head.standardize(stacked(features))
    with torch.inference_mode():
        mean = torch.stack([member(standard).log_softmax(dim=1) for member in head.stats_heads()]).mean(dim=0)
    np.testing.assert_allclose(log_probabilities(head, features), mean.log_softmax(dim=1), atol=1e-5)


@pytest.mark.parametrize("mixup", [0.0, pytest.param(0.4, marks=pytest.mark.slow)])
def test_an_informative_frame_is_attended_to(mixup: float) -> None:
    config = replace(
        CONFIG, **ATTENTIVE, members=1, epochs=2, learning_rate=1e-8, attentive_learning_rate=5e-3, mixup=mixup
    )
    assert accuracy(trained(config)) > 0.75
    short = replace(config, attentive_epochs=2)
    features, _ = examples(20)
    first, again, other = (log_probabilities(trained(one), features) for one in (short, short, replace(short, seed=1)))
    assert np.array_equal(first, again) and not np.allclose(first, other, atol=1e-3)


def test_both_kinds_of_heads_are_trained_and_numbered(tmp_path: Path) -> None:
    features, true = examples(100)
    path = tmp_path / "history.jsonl"
    config = replace(CONFIG, **ATTENTIVE | {"attentive": 1, "attentive_epochs": 2}, epochs=3)
    head = train_head([features], one_hot(true), np.ones(100), config, History(path, "1"))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["member"] for line in lines] == [0, 0, 0, 1, 1, 1, 2, 2]
    frames = np.concatenate([one.frames for one in features]).astype(np.float32)
    standard = head.standardize_frames(torch.from_numpy(frames))
    np.testing.assert_allclose(standard.mean(dim=0), 0, atol=1e-2)
    np.testing.assert_allclose(standard.std(dim=0), 1, atol=0.02)


@pytest.mark.parametrize(
    "kind", [{}, pytest.param(ATTENTIVE | {"attentive_learning_rate": 5e-3}, marks=pytest.mark.slow)]
)
def test_augmented_copies_are_trained_on_and_missing_ones_are_replaced(kind: dict[str, Any]) -> None:
    config = replace(CONFIG, **kind, degradations=("crop",), augmentation=("crop",))
    encodings, true = examples(300)
    # The recordings themselves are uninformative: all that can be learned is in their copies.
    plain: list[Encoding | None] = [Encoding(*map(np.zeros_like, e)) for e in encodings]
    cropped = [encoding if row % 3 else None for row, encoding in enumerate(encodings)]
    plain[0] = None
    rows, copies = training_copies({"": plain, "crop": cropped}, config.augmentation, np.arange(300))
    assert rows.tolist() == list(range(1, 300)) and copies[1][2] is copies[0][2] and copies[1][0] is encodings[1]
    assert accuracy(train_head(copies, one_hot(true[rows]), np.ones(299), config)) > 0.7
    assert accuracy(train_head(copies[:1], one_hot(true[rows]), np.ones(299), config)) < 0.6


def test_mixup_does_not_prevent_learning() -> None:
    assert accuracy(trained(replace(CONFIG, mixup=0.4))) > 0.8


def test_clips_are_drawn_by_their_weights() -> None:
    _, true = examples(300)
    only_two = (true != 2).astype(float)
    features, _ = examples(200, seed=1)
    drawn = trained(replace(CONFIG, epochs=10), only_two)
    assert (log_probabilities(drawn, features).argmax(axis=1) != 2).all()
    everyone = trained(replace(CONFIG, epochs=10), np.ones(300))
    assert (log_probabilities(everyone, features).argmax(axis=1) == 2).any()


def test_the_history_has_every_epoch_and_the_loss_falls(tmp_path: Path) -> None:
    features, true = examples(100)
    path = tmp_path / "history.jsonl"
    config = replace(CONFIG, epochs=6)
    train_head([features], one_hot(true), np.ones(100), config, History(path, "1"))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["fold"], line["member"], line["epoch"]) for line in lines] == [
        ("1", member, epoch) for member in (0, 1) for epoch in range(1, 7)
    ]
    assert lines[0]["loss"] > lines[5]["loss"] > 0


# --- targets and weights


def labeled(*kinds: tuple[str, str]) -> Clips:
    clips = [Utterance(corpus, Path(f"{i}.wav"), label, f"{corpus}/{i}") for i, (corpus, label) in enumerate(kinds)]
    return Clips(clips, np.array([label for _, label in kinds]), LABELS)


def test_targets_are_smoothed_over_the_labels_of_a_corpus() -> None:
    clips = labeled(("ravdess", "sad"), ("ravdess", "happy"), ("tess", "neutral"), ("ravdess", "neutral"))
    targets = smoothed_targets(clips, np.arange(4), replace(CONFIG, label_smoothing=0.3))
    np.testing.assert_allclose(targets, [[0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [1.0, 0.0, 0.0], [0.8, 0.1, 0.1]], atol=1e-6)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(smoothed_targets(clips, np.array([2, 3]), CONFIG), one_hot(np.array([0, 0])))


def test_rare_labels_have_larger_sampling_weights() -> None:
    clips, rows = labeled(*[("ravdess", "sad")] * 4, ("ravdess", "happy"), ("tess", "sad")), np.arange(6)
    np.testing.assert_allclose(sampling_weights(clips, rows, replace(CONFIG, label_balance=1.0)), [0.6] * 4 + [3, 0.6])
    np.testing.assert_allclose(sampling_weights(clips, rows[3:], replace(CONFIG, label_balance=1.0)), [0.75, 1.5, 0.75])
    np.testing.assert_allclose(sampling_weights(clips, rows, CONFIG), [1] * 6)

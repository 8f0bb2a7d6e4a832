"""Tuned heads averaged with a run of frozen ones: from two TOMLs to figures of both, a model of both and its card."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from ser_engine import Analyzer
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.evaluate import recompute
from ser_engine.evaluation.ordinary import is_ordinary
from ser_engine.evaluation.predictions import DEGRADED, UNTESTED, read_predictions, write_predictions
from ser_engine.evaluation.record import RunRecord
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_tuned import TunedHead, WhisperTuned
from ser_engine.training.config import load_config
from ser_engine.training.runner import run_experiment
from ser_engine.training.systems.whisper_tuned import TunedConfig, train_tuned
from tests.ser_engine.training.systems.test_whisper_heads import add_talk
from tests.ser_engine.training.tiny import LABELS, Bench, make_bench
from tests.tiny_models import write_models

FROZEN = """
id = "tiny"
system = "whisper-heads"
protocols = ["speaker-independent"]
corpora = ["ravdess"]
external = ["emodb", "librispeech"]
degradations = ["telephone"]
degraded = 0.5
baselines = 0.5
save = true
statistics = 3
statistics_epochs = 30
statistics_batch = 8
frozen = 0
hidden = 16

[auxiliary]
librispeech = 0.5
"""
TUNED = """
id = "tuned"
system = "whisper-tuned"
base_run = "test/tried"
protocols = ["speaker-independent"]
corpora = ["ravdess"]
external = ["emodb", "librispeech"]
degradations = ["telephone"]
augmentation = ["telephone"]
save = true
members = 2
blocks = 1
hidden = 16
projection = 32
attentive_epochs = 2
attentive_batch = 8
epochs = 2
batch = 8
learning_rate = 1e-4
masked = 0.2
mixup = 0.2
"""
ID, BASE = "test/tuned/speaker-independent", "test/tried/speaker-independent"


@dataclass(frozen=True)
class Ran:
    """A frozen run, a tuned one, and their bench."""

    bench: Bench
    frozen: RunRecord
    tuned: RunRecord


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("tuned")
    bench = make_bench(folder, write_models(folder / "models"))
    add_talk(bench)
    return Ran(bench, bench.run("tried", FROZEN), bench.run("tuned", TUNED))


def test_both_parts_are_in_every_figure(ran: Ran) -> None:
    joint, frozen = (read_predictions(ran.bench.results / id) for id in (ID, BASE))
    tuned, others = (joint.outputs[f"component.{name}"] for name in ("tuned", "frozen"))
    np.testing.assert_allclose(joint.main, log_softmax((2 * tuned + 3 * others) / 5, axis=1), atol=1e-5)
    assert [one.name for one in joint.utterances] == [one.name for one in frozen.utterances]
    np.testing.assert_array_equal(others, frozen.main)
    assert not np.allclose(joint.main, frozen.main, atol=1e-3, equal_nan=True)
    record = ran.tuned
    assert record.components["frozen"] == {key: ran.frozen.metrics[key] for key in ("UA", "WA")}
    assert record.metrics["UA"] > 55 and record.no_speech == 1 and record.clips == 19
    assert list(record.degradations) == ["telephone"] and not record.corpus_probe
    assert record.external["emodb"]["clips"] == 2 and record.external["librispeech"]["windows"] > 0
    assert recompute(ran.bench.results, ID)[1] == []


def test_what_the_base_run_did_not_test_degraded_is_not_tested(ran: Ran) -> None:
    joint, frozen = (read_predictions(ran.bench.results / id).outputs[f"{DEGRADED}telephone"] for id in (ID, BASE))
    np.testing.assert_array_equal(joint == UNTESTED, frozen == UNTESTED)
    assert ran.tuned.degradations["telephone"]["clips"] == ran.frozen.degradations["telephone"]["clips"]


def test_talk_is_tested_in_windows_and_never_trained_on(ran: Ran) -> None:
    predictions = read_predictions(ran.bench.results / ID)
    talk = is_ordinary(predictions.utterances)
    assert talk.any() and not np.isnan(predictions.outputs["component.tuned"][talk]).any()
    clips = json.loads((ran.bench.results / ID / "folds.json").read_text("utf-8"))
    assert all(fold["trained_on"] < 19 for fold in clips.values())


EPOCHS = [
    (fold, member, epoch) for fold in ("1", "2", "3", "all") for member in (0, 1) for epoch in range(1, 5)
]  # two of the head alone, then two of the blocks, too


def test_the_history_has_the_head_and_then_the_blocks(ran: Ran) -> None:
    lines = ran.bench.history(ID)
    assert [(line["fold"], line["member"], line["epoch"]) for line in lines] == EPOCHS


def test_the_model_answers_like_the_average_of_its_parts(ran: Ran) -> None:
    analyzer = Analyzer(replace(ran.bench.settings, model="tuned", transcribe=False, engine="torch"))
    assert isinstance(analyzer.model, WhisperTuned)
    analysis = analyzer.analyze(ran.bench.data / "ravdess" / "03-01-03-01-01-01-01.wav")
    assert analysis.scores.labels == LABELS and analysis.scores.top == "happy"  # which it was trained on
    cards = analyzer.cards()
    assert list(cards) == ["tuned", "tiny"]
    frozen, tuned = (ran.tuned.components[name]["UA"] for name in ("frozen", "tuned"))
    sentence = f"the tuned heads alone have a UA of {tuned:.1f}, the others alone {frozen:.1f}"
    assert sentence in " ".join(cards["tuned"].split())
    assert analyzer.card() is not None


def test_finished_members_are_not_trained_again(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def train(*args: Any) -> TunedHead:
        begun.append(args[5])
        return train_tuned(*args)

    monkeypatch.setattr("ser_engine.training.systems.whisper_tuned.train_tuned", train)
    state = ran.bench.state(ID)
    (state / "outputs-1.npz").unlink()  # as if it had been stopped in its second member
    (state / "fold-2-member-1.safetensors").unlink()
    again = ran.bench.run("tuned", TUNED)
    assert begun == [1]
    assert again.metrics == ran.tuned.metrics and again.degradations == ran.tuned.degradations
    assert again.seconds is not None and ran.tuned.seconds is not None and again.seconds > ran.tuned.seconds
    lines = ran.bench.history(ID)
    assert sorted((line["fold"], line["member"], line["epoch"]) for line in lines) == EPOCHS


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('base_run = "test/tried"\n', "", "the entry “base_run” is missing"),
        ('base_run = "test/tried"', 'base_run = "test/absent"', "There is no configuration"),
        ('base_run = "test/tried"', 'base_run = "test/wrong"', "is no run of heads"),
        ("blocks = 1", "blocks = 5", "blocks is 5"),
        ("masked = 0.2", "masked = 2.0", "masked is 2.0"),
        ("mixup = 0.2", "mixtures = 2", "there is no entry “mixtures”"),
        ('degradations = ["telephone"]', 'degradations = ["telephone", "crop"]', "lacks"),
    ],
)
def test_invalid_configurations_are_one_sentence(old: str, new: str, reason: str, ran: Ran) -> None:
    ran.bench.write("wrong", TUNED)
    with pytest.raises(InvalidSettings, match=reason):
        ran.bench.run("bad", TUNED.replace(old, new))


def test_a_base_run_that_is_missing_or_of_other_clips_is_one_sentence(ran: Ran, tmp_path: Path) -> None:
    path = ran.bench.write("tuned", TUNED)
    with pytest.raises(InvalidSettings, match="holds no predictions"):
        run_experiment(path, "", replace(ran.bench.settings, results=tmp_path))
    predictions = read_predictions(ran.bench.results / BASE)
    write_predictions(tmp_path / BASE, predictions.select(np.arange(1, len(predictions.utterances))))
    with pytest.raises(InvalidSettings, match="has other clips or folds"):
        run_experiment(path, "", replace(ran.bench.settings, results=tmp_path))


def test_training_changes_the_copies_and_not_the_encoder(ran: Ran) -> None:
    config = load_config(ran.bench.write("tuned", TUNED))
    assert isinstance(config, TunedConfig)
    encoder = shared_whisper(replace(ran.bench.settings, whisper="base")).encoder
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(length, 512)).astype(np.float16) for length in (40, 51, 60, 77)]
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    first, same = (train_tuned([clips], targets, np.ones(4), config, encoder, 0) for _ in range(2))
    other = train_tuned([clips, clips], targets, np.ones(4), config, encoder, 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    copied = encoder.blocks[2].mlp[0].weight
    assert not torch.equal(first.blocks[0].mlp[0].weight, copied)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name
    assert not torch.equal(first.head.attend[0].weight, other.head.attend[0].weight)

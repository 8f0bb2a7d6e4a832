"""Frozen and tuned heads: from a TOML with auxiliary corpora to figures, ordinary talk among them, and a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from ser_engine import Analyzer, Settings
from ser_engine.data.corpora import registry
from ser_engine.data.encodings import encode_clips
from ser_engine.data.splits import assign_auxiliary
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.evaluate import recompute
from ser_engine.evaluation.metrics import unweighted_accuracy
from ser_engine.evaluation.predictions import DEGRADED, UNTESTED, predicted_classes, read_predictions
from ser_engine.evaluation.record import RunRecord
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_heads import AttentiveMember, Member, StatisticsMember, WhisperHeads
from ser_engine.training.config import load_config
from ser_engine.training.head_tasks import HeadsConfig, train_head
from ser_engine.training.runner import prepare_run
from ser_engine.training.trial import run_trial
from tests.ser_engine.models.tiny_text_emotion import make
from tests.ser_engine.training.tiny import LABELS, Bench, make_bench
from tests.speech import RATE, SENTENCES, VOICES, encode, speech
from tests.tiny_models import write_models

HEADS = """
id = "heads"
system = "whisper-heads"
protocols = ["speaker-independent"]
corpora = ["ravdess"]
external = ["emodb", "librispeech"]
degradations = ["telephone"]
augmentation = ["telephone"]
mixes = 1
crowds = 1
degraded = 0.5
voices = ["librispeech"]
save = true
baselines = 0.5
statistics = 1
statistics_epochs = 30
statistics_batch = 8
frozen = 1
tuned = 1
blocks = 1
hidden = 16
projection = 32
attentive_epochs = 10
attentive_batch = 8
attentive_learning_rate = 5e-3
epochs = 2
batch = 8
masked = 0.2
bfloat16 = true
mixup = 0.2

[auxiliary]
librispeech = 0.5
"""
FUSED = """
id = "both"
system = "fused"
protocols = ["speaker-independent"]
corpora = ["ravdess"]
audio_run = "test/heads"
text_model = "silent"
"""
ID = "test/heads/speaker-independent"
SPEAKERS = 10


@dataclass(frozen=True)
class Ran:
    """A run and its bench."""

    bench: Bench
    record: RunRecord


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("heads")
    bench = make_bench(folder, write_models(folder / "models"))
    add_talk(bench)
    return Ran(bench, bench.run("heads", HEADS))


def add_talk(bench: Bench) -> None:
    """Add ordinary talk of `SPEAKERS` speakers to the corpora."""
    talk = bench.data / "librispeech"
    talk.mkdir()
    for number in range(SPEAKERS):
        text = " ".join(SENTENCES) if number % 2 else "I wonder what this is about."
        samples = soxr.resample(speech(text, VOICES[number % 2]), RATE * (0.9 + 0.02 * number), RATE)
        (talk / f"{100 + number}-1-0000.wav").write_bytes(encode(samples))


def test_ordinary_talk_counts_for_alarms_and_not_for_accuracy(ran: Ran) -> None:
    record, predictions = ran.record, read_predictions(ran.bench.results / ID)
    assert record.metrics["UA"] > 55 and record.corpora == ("ravdess",)
    assert record.clips == 19 and record.details["auxiliary"] == {"librispeech": SPEAKERS}
    talk = np.array([utterance.native == "ordinary" for utterance in predictions.utterances])
    assert talk.sum() == SPEAKERS - 2 and np.isfinite(predictions.main[talk]).all()
    assert not np.isfinite(predictions.outputs["degraded.telephone"][talk]).any()
    assert recompute(ran.bench.results, ID)[1] == []


def test_a_part_of_the_clips_is_tested_degraded(ran: Ran) -> None:
    predictions = read_predictions(ran.bench.results / ID)
    degraded = predictions.outputs[f"{DEGRADED}telephone"]
    tested = (degraded != UNTESTED).all(axis=1)
    assert 3 < tested.sum() < ran.record.clips - 3
    row = ran.record.degradations["telephone"]
    clips = predictions.select(tested)
    assert row["UA"] == round(unweighted_accuracy(clips.targets, predicted_classes(degraded[tested])), 2)
    plain = unweighted_accuracy(clips.targets, predicted_classes(clips.main))
    assert row["lost"] == pytest.approx(plain - row["UA"], abs=0.01)


def test_a_fifth_of_the_auxiliary_speakers_is_never_trained_on(ran: Ran) -> None:
    run = prepare_run(ran.bench.write("heads", HEADS), "", ran.bench.settings)
    utterances = run.prepared.clips.utterances
    talk = registry.read_corpus("librispeech", ran.bench.data)
    held = {u.speaker for u, part in zip(talk, assign_auxiliary(talk, 3), strict=True) if part < 0}
    assert len(held) == SPEAKERS / 5
    tasks = [fold.train for fold in run.folds] + [run.system.final_task(run.prepared.clips, run.folds, run.state).train]
    for train in tasks:
        assert not held & {utterances[row].speaker for row in train}
    for fold in run.folds:
        assert not {utterances[r].speaker for r in fold.train} & {utterances[r].speaker for r in fold.test}
    windows = ran.record.external["librispeech"]["windows"]
    assert len(held) <= windows <= 4 * len(held)
    assert ran.record.external["emodb"]["clips"] == 2


def test_the_model_answers_like_its_heads(ran: Ran) -> None:
    analyzer = Analyzer(replace(ran.bench.settings, model="heads", transcribe=False, engine="torch"))
    model = analyzer.model
    assert isinstance(model, WhisperHeads)
    kinds = [StatisticsMember, AttentiveMember, AttentiveMember]
    assert [type(member) for member in model.members] == kinds
    assert [len(member.blocks) for member in model.members if isinstance(member, AttentiveMember)] == [0, 1]
    assert model.card["corpora"] == ["librispeech", "ravdess"]
    analysis = analyzer.analyze(ran.bench.data / "ravdess" / "03-01-03-01-01-01-01.wav")
    assert analysis.scores.labels == LABELS and analysis.scores.top == "happy"  # which it was trained on


def test_a_fused_run_keeps_ordinary_talk_for_its_threshold(ran: Ran) -> None:
    models = ran.bench.settings.models_dir
    make(replace(Settings(), models_dir=models), threshold=0.9999).save(models / "silent")
    record = ran.bench.run("fused", FUSED)
    assert (record.clips, record.corpora, record.audit) == (19, ("ravdess",), ran.record.audit)
    assert record.metrics == ran.record.metrics and record.calibration == ran.record.calibration
    assert record.details["words"] == {"informative": 0.0, "changed": 0.0, "lost": 0.0}
    assert recompute(ran.bench.results, "test/fused/speaker-independent")[1] == []
    assert Analyzer(replace(ran.bench.settings, model="both")).model.card["corpora"] == ["librispeech", "ravdess"]


def test_a_trial_counts_emotional_answers_to_ordinary_talk(ran: Ran) -> None:
    line = run_trial(ran.bench.write("heads", HEADS), [], ["1"], ran.bench.settings)
    assert 0 <= line["ordinary"] <= 100


def test_finished_heads_are_not_trained_again(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def train(*args: Any) -> Member:
        begun.append(args[5])
        return train_head(*args)

    monkeypatch.setattr("ser_engine.training.systems.whisper_heads.train_head", train)
    state = ran.bench.state(ID)
    (state / "outputs-1.npz").unlink()
    (state / "fold-2-head-3.safetensors").unlink()
    again = ran.bench.run("heads", HEADS)
    assert begun == [3] and again.metrics == ran.record.metrics
    assert {line["member"] for line in ran.bench.history(ID)} == {0, 1, 2, 3}


def test_tuning_changes_the_head_s_own_blocks_and_not_the_encoder(ran: Ran) -> None:
    model = Analyzer(replace(ran.bench.settings, model="heads", engine="torch")).model
    assert isinstance(model, WhisperHeads)
    encoder = shared_whisper(ran.bench.settings).encoder
    tuned = train_head(
        AttentiveMember(encoder, model.shapes[2]),
        [encode_clips(sorted((ran.bench.data / "emodb").glob("*a01*.wav")), ran.bench.settings, workers=1)[:1] * 8],
        np.full((8, len(LABELS)), 1 / len(LABELS), np.float32),
        np.ones(8),
        replace(load(ran), attentive_epochs=1, epochs=1, learning_rate=1e-2, averaging=0.0),
        number=0,
    )
    assert isinstance(tuned, AttentiveMember)
    own, original = tuned.blocks[0].state_dict(), encoder.blocks[2].state_dict()
    assert not any(np.allclose(own[name], original[name]) for name in own if name.endswith("mlp.0.weight"))
    for name, tensor in original.items():
        assert np.array_equal(tensor, model.encoder.blocks[2].state_dict()[name])


def load(ran: Ran) -> HeadsConfig:
    config = load_config(ran.bench.write("heads", HEADS))
    assert isinstance(config, HeadsConfig)
    return config


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("blocks = 1", "blocks = 5", "blocks is 5"),
        ("masked = 0.2", "masked = 2.0", "masked is 2.0"),
        ("mixes = 1", "mixing = 2", "there is no entry “mixing”"),
        ("librispeech = 0.5", 'librispeech = "half"', "auxiliary"),
    ],
)
def test_invalid_configurations_are_one_sentence(old: str, new: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "heads.toml"
    path.write_text(HEADS.replace(old, new), encoding="utf-8")
    with pytest.raises(InvalidSettings, match=reason):
        load_config(path)
    path.write_text(HEADS, encoding="utf-8")
    assert isinstance(load_config(path), HeadsConfig)

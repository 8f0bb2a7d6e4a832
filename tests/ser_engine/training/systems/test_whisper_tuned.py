"""Blocks that are tuned beside a frozen run: from two TOMLs to figures of both, a model of both and its card."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.ser_engine.training.test_run import LABELS, TOML, history, write_corpora

from ser_engine import Analyzer, Settings
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation import predictions
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_tuned import TunedMember, WhisperTuned
from ser_engine.training.config import TunedTraining, read_config
from ser_engine.training.runner import run
from ser_engine.training.systems.whisper_tuned import train_tuned
from tests.tiny_models import write_models

FROZEN = TOML.replace('"telephone", "babble"', '"telephone"').replace("epochs = 12", "epochs = 4")
TUNED = f"""
id = "tuned"
architecture = "whisper-tuned"
beside = "tried"
corpora = ["ravdess"]
external = ["emodb"]
conditions = ["telephone"]
augmentation = ["telephone"]
labels = {json.dumps(LABELS)}
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


@dataclass(frozen=True)
class Bench:
    """A frozen run, a tuned one beside it, and where both are."""

    folder: Path
    settings: Settings
    frozen: dict[str, Any]
    tuned: dict[str, Any]

    @property
    def results(self) -> Path:
        """Return the folder of the runs."""
        return self.folder / "results"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("tuned")
    write_corpora(folder / "data")
    settings = replace(Settings(), models_dir=write_models(folder / "models"), cache=folder / "cache")
    entries = []
    for name, toml in (("tried", FROZEN), ("tuned", TUNED)):
        (folder / f"{name}.toml").write_text(toml, encoding="utf-8")
        entries.append(run(folder / f"{name}.toml", folder / "data", settings, folder / "results"))
    return Bench(folder, settings, *entries)


def test_both_are_in_every_figure(bench: Bench) -> None:
    joint, frozen = (predictions.read(bench.results / name).log_probabilities for name in ("tuned", "tried"))
    (state,) = (bench.settings.cache / "runs").glob("tuned-*")
    own = np.concatenate([np.load(state / f"fold-{fold}.npy") for fold in (1, 2, 3)], axis=1)
    order = np.argsort(predictions.read(bench.results / "tuned").folds, kind="stable")
    shares = np.exp((own + frozen[:, order]) / 2)
    np.testing.assert_allclose(np.exp(joint[:, order]), shares / shares.sum(axis=2, keepdims=True), atol=1e-5)
    assert not np.allclose(joint, frozen, atol=1e-3)
    assert bench.tuned["parts"]["frozen"] == {key: bench.frozen["metrics"][key] for key in ("UA", "WA")}
    assert bench.tuned["metrics"]["UA"] > 55 and bench.tuned["no_speech_found"] == 1
    assert list(bench.tuned["conditions"]) == ["telephone"] and bench.tuned["corpus_probe"] == {}
    assert bench.tuned["external"]["emodb"]["clips"] == 2
    assert not predictions.differing(bench.results / "tuned", predictions.recompute(bench.results / "tuned"))


def test_history_tells_of_the_head_and_then_of_the_blocks(bench: Bench) -> None:
    lines = history(bench.results, "tuned")
    assert [(line["fold"], line["member"], line["epoch"]) for line in lines] == [
        (fold, member, epoch) for fold in ("1", "2", "3", "all") for member in (0, 1) for epoch in range(1, 5)
    ]


def test_the_model_answers_like_its_parts_together(bench: Bench) -> None:
    analyzer = Analyzer(replace(bench.settings, model="tuned", transcribe=False))
    assert isinstance(analyzer.model, WhisperTuned)
    analysis = analyzer.analyze(bench.folder / "data" / "ravdess" / "03-01-03-01-01-01-01.wav")
    assert analysis.scores.labels == tuple(LABELS) and analysis.scores.top == "happy"  # which it was trained on
    cards = analyzer.cards()
    assert list(cards) == ["tuned", "tiny"]
    frozen, tuned = (bench.tuned["parts"][name]["UA"] for name in ("frozen", "tuned"))
    assert f"the tuned blocks alone have a UA of {tuned:.1f}, the frozen one alone {frozen:.1f}" in " ".join(
        cards["tuned"].split()
    )
    assert analyzer.card() is not None


def test_what_was_finished_is_not_trained_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def train(*args: Any) -> TunedMember:
        begun.append(args[5])
        return train_tuned(*args)

    monkeypatch.setattr("ser_engine.training.systems.whisper_tuned.train_tuned", train)
    (state,) = (bench.settings.cache / "runs").glob("tuned-*")
    seconds = {file.name: file.read_text(encoding="utf-8") for file in state.glob("*-member-0.seconds")}
    (state / "fold-2.npy").unlink()  # as if it had been stopped in its second member
    (state / "fold-2-member-1.safetensors").unlink()
    again = run(bench.folder / "tuned.toml", bench.folder / "data", bench.settings, bench.results)
    assert begun == [1]
    assert again["metrics"] == bench.tuned["metrics"] and again["conditions"] == bench.tuned["conditions"]
    entries = [(line["fold"], line["member"], line["epoch"]) for line in history(bench.results, "tuned")]
    assert sorted(entries) == [
        (fold, member, epoch) for fold in ("1", "2", "3", "all") for member in (0, 1) for epoch in range(1, 5)
    ]
    assert seconds == {file.name: file.read_text(encoding="utf-8") for file in state.glob("*-member-0.seconds")}
    told = sum(float(file.read_text(encoding="utf-8")) for file in state.glob("fold-*.seconds"))
    assert len(seconds) == 4 and again["seconds"] == pytest.approx(told, abs=0.1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('beside = "tried"\n', "", "beside names no run"),
        ('beside = "tried"', 'beside = "absent"', "There is no configuration"),
        ('beside = "tried"', 'beside = "wrong"', "is no run on the frozen encoder"),
        ("blocks = 1", "blocks = 5", "There are 1 to 4 blocks"),
        ("masked = 0.2", "masked = 2.0", "masked is 2.0"),
        ("mixup = 0.2", "views = 2", "views, attentive and mixtures mean nothing"),
        ('conditions = ["telephone"]', 'conditions = ["telephone", "crop"]', "differ in conditions"),
    ],
)
def test_what_does_not_fit_is_one_sentence(old: str, new: str, said: str, bench: Bench) -> None:
    (bench.folder / "wrong.toml").write_text(TUNED, encoding="utf-8")
    path = bench.folder / "bad.toml"
    path.write_text(TUNED.replace(old, new), encoding="utf-8")
    with pytest.raises(InvalidSettings, match=said):
        run(path, bench.folder / "data", bench.settings, bench.results)


def test_a_run_beside_it_that_is_not_there_or_of_other_clips_is_one_sentence(bench: Bench, tmp_path: Path) -> None:
    path = bench.folder / "tuned.toml"
    with pytest.raises(InvalidSettings, match="holds nothing of what models said"):
        run(path, bench.folder / "data", bench.settings, tmp_path)
    said = predictions.read(bench.results / "tried")
    predictions.write(tmp_path / "tried", said.utterances[1:], said.folds[1:], said.log_probabilities[:, 1:])
    with pytest.raises(InvalidSettings, match="of other clips or folds"):
        run(path, bench.folder / "data", bench.settings, tmp_path)


def test_training_moves_the_copies_and_not_the_encoder(bench: Bench) -> None:
    config = read_config(bench.folder / "tuned.toml")
    assert isinstance(config, TunedTraining)
    encoder = shared_whisper(replace(bench.settings, whisper="base")).encoder
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(length, 512)).astype(np.float16) for length in (40, 51, 60, 77)]
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    one, same = (train_tuned([clips], targets, np.ones(4), config, encoder, 0) for _ in range(2))
    other = train_tuned([clips, [None, *clips[1:]]], targets, np.ones(4), config, encoder, 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    copied = encoder.blocks[2].mlp[0].weight
    assert not torch.equal(one.blocks[0].mlp[0].weight, copied)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name
    assert not torch.equal(one.head.attend[0].weight, other.head.attend[0].weight)

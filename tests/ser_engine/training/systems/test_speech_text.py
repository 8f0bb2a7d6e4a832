"""Encoders of speech and text are trained by the same verb, frozen or not, stopped or not, on one process or two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.ser_engine.training.test_run import write_corpora

from ser_engine import Settings
from ser_engine.data.pooled_states import pooled_speech
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models.registry import load_model
from ser_engine.models.speech_text import SpeechText, SpeechTextForSequenceClassification, SpeechTextProcessor
from ser_engine.settings import PROJECT
from ser_engine.training.config import SpeechTextTraining, read_config
from ser_engine.training.fit_speech_text import Examples, fit
from ser_engine.training.runner import run
from ser_engine.training.systems.speech_text import probabilities, states_of
from tests.ser_engine.models.tiny_encoders import write_speech, write_text

TOML = """
id = "tried"
architecture = "speech-text"
corpora = ["ravdess"]
folds = 3
preprocessing = "none"
epochs = 2
batch = 4
accumulation = 1
warmup = 0
learning_rate = 1e-2
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech-text")
    write_corpora(folder / "data")
    write_speech(folder / "hubert")
    write_text(folder / "bert")
    (folder / "models").mkdir()
    (folder / "models" / "whisper-base").symlink_to(PROJECT / "models" / "whisper-base", target_is_directory=True)
    return folder


def settings(home: Path) -> Settings:
    return Settings(cache=home / "cache", models_dir=home / "models", language="en")


def written(home: Path, more: str, name: str = "tried") -> Path:
    path = home / f"{name}.toml"
    path.write_text(TOML + more, encoding="utf-8")
    return path


def test_frozen_encoders_of_speech_and_text_are_trained_measured_and_saved(home: Path) -> None:
    path = written(home, f'speech = "{home / "hubert"}"\ntext = "{home / "bert"}"\nclips = 9\nsave = true\n')
    entry = run(path, home / "data", settings(home), home / "results")
    assert entry["speaker_independent"] is True and entry["tested"] == 9
    assert set(entry["parts"]) == {"speech", "text"} and all(0 <= of["UA"] <= 100 for of in entry["parts"].values())
    # All actors say the same sentences, which is told wherever words are read.
    assert any("sentence" in finding["sentence"] for finding in entry["audit"]["findings"])
    lines = [json.loads(line) for line in (home / "results" / "tried" / "history.jsonl").read_text().splitlines()]
    folds = json.loads((home / "results" / "tried" / "folds.json").read_text())
    assert {(line["fold"], line["epoch"]) for line in lines} >= {(fold, epoch) for fold in folds for epoch in (1, 2)}
    (state,) = (home / "cache" / "runs").glob("tried-*")
    assert list(state.glob("tensorboard-0000/**/events.out.tfevents.*"))
    heard = [json.loads(file.read_text())["text"] for file in (home / "cache").glob("transcripts-*/*.json")]
    assert len(heard) == 9 and any("door" in text.lower() for text in heard)
    model = load_model(home / "models" / "tried", settings(home))
    assert isinstance(model, SpeechText) and model.labels == tuple(entry["labels"])
    again = run(path, home / "data", settings(home), home / "results")
    assert again["metrics"] == entry["metrics"]


@dataclass(frozen=True)
class Bench:
    """A few clips as tensors' files, and the folder of their encoders."""

    home: Path
    files: list[Path]
    labels: np.ndarray

    def config(self, **changes: Any) -> SpeechTextTraining:
        found = read_config(written(self.home, f'speech = "{self.home / "hubert"}"\n', "bench"))
        assert isinstance(found, SpeechTextTraining)
        return replace(found, **changes)

    def network(self, **options: Any) -> tuple[SpeechTextForSequenceClassification, SpeechTextProcessor]:
        speech = str(self.home / "hubert")
        network = SpeechTextForSequenceClassification.from_encoders(
            ("neutral", "happy"), speech, None, settings(self.home), 0, **options
        )
        return network, SpeechTextProcessor.from_encoders(speech, None, settings(self.home))

    def examples(self, **changes: Any) -> Examples:
        return replace(Examples(self.labels, self.files, [""] * len(self.files)), **changes)


@pytest.fixture(scope="module")
def bench(home: Path) -> Bench:
    """Return sixteen clips of noise, half of them low and half of them high."""
    rng = np.random.default_rng(0)
    (home / "clips").mkdir()
    labels, files = np.arange(16) % 2, []
    for number, label in enumerate(labels):
        samples = rng.normal(0, 0.1, 6400 + 320 * number)
        samples = np.cumsum(samples) / 20 if label else samples
        file = home / "clips" / f"{number}.npy"
        np.save(file, np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))
        files.append(file)
    return Bench(home, files, labels)


def scores(network: SpeechTextForSequenceClassification, processor: SpeechTextProcessor, clips: Examples) -> np.ndarray:
    return probabilities(network, *states_of(network, processor, clips))


def test_copies_are_trained_on_and_never_tested(home: Path) -> None:
    more = f'speech = "{home / "hubert"}"\nclips = 9\naugmentation = "islam"\n'
    entry = run(written(home, more, "copies"), home / "data", settings(home), home / "results")
    assert entry["tested"] == 9 and entry["features"].endswith(", paper-3 augmentation")
    copies = {
        folder.name: len(list(folder.glob("*.npy"))) for folder in (home / "cache").glob("samples-none-*paper-3*")
    }
    assert list(copies.values()) == [9, 9, 9]
    assert len(list((home / "cache").glob("pooled-*/*paper-3*/*.npy"))) == 27


def test_fine_tuning_learns_sixteen_clips_by_heart(bench: Bench, tmp_path: Path) -> None:
    network, processor = bench.network(freezing="entire", head_dropout=0.0)
    before = network.speech.encoder.encoder.layers[0].attention.q_proj.weight.clone()
    clips = bench.examples()
    fit(network, processor, clips, None, bench.config(epochs=40, learning_rate=3e-3), 0, "1", tmp_path)
    assert (scores(network, processor, clips).argmax(axis=1) == bench.labels).all()
    assert not torch.equal(before, network.speech.encoder.encoder.layers[0].attention.q_proj.weight)


def test_states_that_were_kept_train_as_those_that_are_computed_each_time(bench: Bench, tmp_path: Path) -> None:
    found = []
    for cached in (True, False):
        network, processor = bench.network(head_dropout=0.0)
        clips = bench.examples()
        if cached:
            clips = replace(clips, speech=pooled_speech(network, processor, bench.files, settings(bench.home)))
        # One batch an epoch, so that both are trained in the same order.
        fit(network, processor, clips, None, bench.config(batch=16, epochs=3), 0, "1", tmp_path / str(cached))
        found.append(scores(network, processor, bench.examples()))
    assert np.abs(found[0] - found[1]).max() < 2e-3  # kept in 16 bits
    assert np.abs(found[0] - 0.5).max() > 0.05  # something was learnt


class Tired(Examples):
    """Clips that stop the whole run, as Ctrl-C does, when they were asked for so often."""

    def __getitem__(self, row: int) -> dict[str, Any]:
        TIRED[0] -= 1
        if TIRED[0] == 0:
            raise KeyboardInterrupt
        return super().__getitem__(row)


TIRED = [0]


@pytest.mark.parametrize("pooled", [True, False])
def test_training_that_was_stopped_goes_on_and_ends_the_same(bench: Bench, tmp_path: Path, pooled: bool) -> None:
    def trained(folder: str, tired: int) -> tuple[dict[str, torch.Tensor], str]:
        network, processor = bench.network(freezing="head" if pooled else "top-1")
        clips = bench.examples()
        if pooled:
            clips = replace(clips, speech=pooled_speech(network, processor, bench.files, settings(bench.home)))
        TIRED[0] = tired
        clips = Tired(clips.labels, clips.files, clips.words, clips.speech)
        (tmp_path / folder).mkdir(exist_ok=True)
        fit(network, processor, clips, None, bench.config(epochs=3), 0, "1", tmp_path / folder)
        return network.state_dict(), (tmp_path / folder / "history-0000.jsonl").read_text()

    expected, told = trained("straight", -1)
    with pytest.raises(KeyboardInterrupt):
        trained("stopped", 16 + 10)  # in the second of three epochs
    found, told_again = trained("stopped", -1)
    assert TIRED[0] > -(3 * 16)  # the first epoch was not trained again
    for name, tensor in expected.items():
        assert torch.allclose(tensor, found[name], atol=1e-6), name
    assert [json.loads(line)["epoch"] for line in told_again.splitlines()] == [1, 2, 3]
    assert told == told_again


def test_training_ends_when_the_validation_part_gets_no_better(bench: Bench, tmp_path: Path) -> None:
    network, processor = bench.network()
    wrong = bench.examples(labels=1 - bench.labels)
    fit(network, processor, bench.examples(), wrong, bench.config(epochs=30, patience=2), 0, "1", tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "history-0000.jsonl").read_text().splitlines()]
    assert 2 < max(line["epoch"] for line in lines) < 30
    assert all({"validation_loss", "validation_UA"} <= set(line) for line in lines if "validation_WA" in line)


def test_rare_classes_weigh_more_where_that_is_asked_for(bench: Bench, tmp_path: Path) -> None:
    rare = np.array([0] * 14 + [1] * 2)
    found = {}
    for weighted in (False, True):
        network, processor = bench.network()
        clips = bench.examples(labels=rare)
        config = bench.config(class_weights=weighted, epochs=3, learning_rate=5e-3)
        fit(network, processor, clips, None, config, 0, "1", tmp_path / str(weighted))
        found[weighted] = scores(network, processor, clips)[:, 1].mean()
    assert found[True] > found[False] + 0.05


def test_two_processes_train_as_one_with_a_batch_as_large_as_both(home: Path) -> None:
    """The command that people with several GPUs use, on two processes without one."""
    losses = {}
    for count in (1, 2):
        # 24 clips, so that no batch is filled up with clips of another.
        more = f'speech = "{home / "hubert"}"\nprotocol = "paper"\nnetwork = {{ head_dropout = 0.0 }}\n'
        more += 'balance = "count"\nbalance_to = 8\n'
        path = written(home, more, f"processes-{count}")
        path.write_text(path.read_text().replace("batch = 4", f"batch = {8 // count}"), encoding="utf-8")
        # Asked for CPUs alone, accelerate would look for MPI; asked for GPUs, it starts torch's own processes.
        launch = ["-m", "accelerate.commands.launch", "--multi_gpu", f"--num_processes={count}", "--num_machines=1"]
        launch += ["--mixed_precision=no", "--dynamo_backend=no", "--num_cpu_threads_per_process=1"]
        train = ["-m", "ser_engine", "train", str(path), "--data", str(home / "data")]
        command = [sys.executable, *(launch if count > 1 else []), *train]
        environment = {
            **os.environ,
            "ACCELERATE_USE_CPU": "true",
            "SER_CACHE": str(home / f"cache-{count}"),
            "SER_MODELS_DIR": str(home / "models"),
        }
        done = subprocess.run(
            [*command, "--results", str(home / "results")],
            cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        lines = (home / "results" / path.stem / "history.jsonl").read_text().splitlines()
        losses[count] = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert losses[1] == pytest.approx(losses[2], abs=1e-4) and len(losses[1]) == 2


@pytest.mark.parametrize(
    ("more", "error", "sentence"),
    [
        ("", InvalidSettings, "neither an encoder of speech nor one of text"),
        ('speech = "whisper-base"\nnetwork = { heads = 3 }\n', InvalidSettings, "no entry “heads”"),
        ('speech = "whisper-base"\npreprocessing = "paper-9"\n', InvalidSettings, "mean|paper-9"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_computed(
    tmp_path: Path, more: str, error: type[Exception], sentence: str
) -> None:
    path = written(tmp_path, more)
    path.write_text(path.read_text().replace('preprocessing = "none"\n', "", 1), encoding="utf-8")
    with pytest.raises(error, match=sentence):
        run(path, tmp_path / "nowhere", settings(tmp_path), tmp_path / "results")


def test_weights_that_are_not_here_are_told_loudly(home: Path) -> None:
    path = written(home, 'speech = "facebook/hubert-base-ls960@' + "0" * 40 + '"\n', "absent")
    with pytest.raises(WeightsUnavailable, match="SER_ALLOW_DOWNLOAD"):
        run(path, home / "nowhere", settings(home), home / "results")  # before any corpus is read

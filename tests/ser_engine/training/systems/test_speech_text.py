"""Encoders of speech and text trained by the runner: frozen or not, interrupted or not, in one process or in two."""

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

from ser_engine.data.pooled_states import pool_speech_states
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.evaluation.evaluate import recompute
from ser_engine.models.registry import load_model
from ser_engine.models.speech_text import SpeechText
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.settings import PROJECT
from ser_engine.training.config import load_config
from ser_engine.training.runner import run_experiment
from ser_engine.training.state import RunState
from ser_engine.training.system import Task
from ser_engine.training.systems.speech_text import probabilities, states_of
from ser_engine.training.transformers_trainer import Examples, SpeechTextTraining, fine_tune
from tests.ser_engine.models.tiny_encoders import write_speech, write_text
from tests.ser_engine.training.tiny import Bench, make_bench

TOML = """
id = "tried"
system = "speech-text"
protocols = ["speaker-independent", "paper"]
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
def home(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("speech-text")
    write_speech(folder / "hubert")
    write_text(folder / "bert")
    (folder / "models").mkdir()
    (folder / "models" / "whisper-base").symlink_to(PROJECT / "models" / "whisper-base", target_is_directory=True)
    bench = make_bench(folder, folder / "models")
    return replace(bench, settings=replace(bench.settings, language="en"))


def encoders(home: Bench, *names: str) -> str:
    """Return the entries of a TOML that name tiny encoders."""
    folders = {"speech": home.folder / "hubert", "text": home.folder / "bert"}
    return "".join(f'{name} = "{folders[name]}"\n' for name in names)


def test_frozen_encoders_of_speech_and_text_are_trained_measured_and_saved(home: Bench) -> None:
    toml = TOML + encoders(home, "speech", "text") + "clips = 9\nsave = true\n"
    record = home.run("tried", toml)
    assert record.speaker_independent and record.tested == 9 and RunState(home.state(record.id)).size > 0
    assert set(record.components) == {"audio", "text"}
    assert all(0 <= figures["UA"] <= 100 for figures in record.components.values())
    # All actors speak the same sentences, which matters wherever words are input.
    assert any("sentence" in finding["sentence"] for finding in record.audit["findings"])
    folds = json.loads((home.results / record.id / "folds.json").read_text())
    epochs = {(line["fold"], line["epoch"]) for line in home.history(record.id)}
    assert epochs >= {(fold, epoch) for fold in [*folds, "all"] for epoch in (1, 2)}
    assert list(home.state(record.id).glob("tensorboard-0000/**/events.out.tfevents.*"))
    entries = [json.loads(file.read_text()) for file in home.settings.cache.glob("transcripts-*/*.json")]
    assert len(entries) == 9 and any("door" in entry["text"].lower() for entry in entries if entry)
    model = load_model(home.settings.models_dir / "tried", home.settings)
    assert isinstance(model, SpeechText) and model.labels == record.labels and model.card["run"] == record.id
    assert recompute(home.results, record.id)[1] == []
    again = home.run("tried", toml)
    assert again.metrics == record.metrics and again.seconds == record.seconds


@dataclass(frozen=True)
class Noise:
    """A few clips as tensors' files, and the folder of their encoders."""

    home: Bench
    files: list[Path]
    labels: np.ndarray

    def config(self, **changes: Any) -> SpeechTextTraining:
        config = load_config(self.home.write("noise", TOML + encoders(self.home, "speech")))
        assert isinstance(config, SpeechTextTraining)
        return replace(config, **changes)

    def network(self, **options: Any) -> tuple[SpeechTextForSequenceClassification, SpeechTextProcessor]:
        speech = str(self.home.folder / "hubert")
        network = SpeechTextForSequenceClassification.from_encoders(
            ("neutral", "happy"), speech, None, self.home.settings, 0, **options
        )
        return network, SpeechTextProcessor.from_encoders(speech, None, self.home.settings)

    def examples(self, **changes: Any) -> Examples:
        return replace(Examples(self.labels, self.files, [""] * len(self.files)), **changes)


@pytest.fixture(scope="module")
def noise(home: Bench) -> Noise:
    """Return sixteen clips of noise, half of them low and half of them high."""
    rng = np.random.default_rng(0)
    (home.folder / "clips").mkdir()
    labels, files = np.arange(16) % 2, []
    for number, label in enumerate(labels):
        samples = rng.normal(0, 0.1, 6400 + 320 * number)
        samples = np.cumsum(samples) / 20 if label else samples
        file = home.folder / "clips" / f"{number}.npy"
        np.save(file, np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))
        files.append(file)
    return Noise(home, files, labels)


def scores(network: SpeechTextForSequenceClassification, processor: SpeechTextProcessor, clips: Examples) -> np.ndarray:
    return probabilities(network, *states_of(network, processor, clips))


def train(
    network: SpeechTextForSequenceClassification,
    processor: SpeechTextProcessor,
    clips: Examples,
    config: SpeechTextTraining,
    folder: Path,
    validation: Examples | None = None,
) -> None:
    rows = np.arange(len(clips.labels))
    fine_tune(network, processor, clips, validation, config, Task(rows, rows[:0], "1", 0, RunState(folder)))


def test_copies_are_trained_on_and_never_tested(home: Bench) -> None:
    record = home.run("copies", TOML + encoders(home, "speech") + 'clips = 9\naugmentation = "islam"\n')
    assert record.tested == 9 and record.features.endswith(", islam augmentation")
    copies = [len(list(folder.glob("*.npy"))) for folder in home.settings.cache.glob("samples-islam-*")]
    assert copies == [9, 9, 9, 9]
    assert len(list(home.settings.cache.glob("pooled-*/*.npy"))) >= 36  # 9 recordings, and three other copies of each


@pytest.mark.slow
def test_fine_tuning_learns_sixteen_clips_by_heart(noise: Noise, tmp_path: Path) -> None:
    network, processor = noise.network(freezing="entire", head_dropout=0.0)
    before = network.speech.encoder.encoder.layers[0].attention.q_proj.weight.clone()
    clips = noise.examples()
    train(network, processor, clips, noise.config(epochs=40, learning_rate=3e-3), tmp_path)
    assert (scores(network, processor, clips).argmax(axis=1) == noise.labels).all()
    assert not torch.equal(before, network.speech.encoder.encoder.layers[0].attention.q_proj.weight)


def test_states_that_were_kept_train_as_those_that_are_computed_each_time(noise: Noise, tmp_path: Path) -> None:
    found = []
    for cached in (True, False):
        network, processor = noise.network(head_dropout=0.0)
        clips = noise.examples()
        if cached:
            clips = replace(clips, speech=pool_speech_states(network, processor, noise.files, noise.home.settings))
        # One batch an epoch, so that both are trained in the same order.
        train(network, processor, clips, noise.config(batch=16, epochs=3), tmp_path / str(cached))
        found.append(scores(network, processor, noise.examples()))
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
def test_training_that_was_stopped_goes_on_and_ends_the_same(noise: Noise, tmp_path: Path, pooled: bool) -> None:
    def trained(folder: str, tired: int) -> tuple[dict[str, torch.Tensor], str]:
        network, processor = noise.network(freezing="head" if pooled else "top-1")
        clips = noise.examples()
        if pooled:
            clips = replace(clips, speech=pool_speech_states(network, processor, noise.files, noise.home.settings))
        TIRED[0] = tired
        clips = Tired(clips.labels, clips.files, clips.texts, clips.speech)
        train(network, processor, clips, noise.config(epochs=3), tmp_path / folder)
        return network.state_dict(), (tmp_path / folder / "history-0000.jsonl").read_text()

    expected, history = trained("straight", -1)
    with pytest.raises(KeyboardInterrupt):
        trained("stopped", 16 + 10)  # in the second of three epochs
    resumed, history_again = trained("stopped", -1)
    assert TIRED[0] > -(3 * 16)  # the first epoch was not trained again
    for name, tensor in expected.items():
        assert torch.allclose(tensor, resumed[name], atol=1e-6), name
    assert [json.loads(line)["epoch"] for line in history_again.splitlines()] == [1, 2, 3]
    assert history == history_again


def test_training_ends_when_the_validation_part_gets_no_better(noise: Noise, tmp_path: Path) -> None:
    network, processor = noise.network()
    wrong = noise.examples(labels=1 - noise.labels)
    train(network, processor, noise.examples(), noise.config(epochs=30, patience=2), tmp_path, wrong)
    lines = [json.loads(line) for line in (tmp_path / "history-0000.jsonl").read_text().splitlines()]
    assert 2 < max(line["epoch"] for line in lines) < 30
    assert all({"validation_loss", "validation_UA"} <= set(line) for line in lines if "validation_WA" in line)


@pytest.mark.slow
def test_two_processes_train_as_one_with_a_batch_as_large_as_both(home: Bench) -> None:
    """The command for machines with several GPUs, on two processes without one."""
    losses = {}
    for count in (1, 2):
        # 24 clips, so that no batch is filled up with clips of another.
        more = 'network = { head_dropout = 0.0 }\nbalance = "count"\nbalance_to = 8\nsave = true\n'
        toml = (
            TOML.replace('"speaker-independent", ', "").replace('"tried"', '"shared"') + encoders(home, "speech") + more
        )
        path = home.write(f"processes-{count}", toml.replace("batch = 4", f"batch = {8 // count}"))
        # Asked for CPUs alone, accelerate would look for MPI; asked for GPUs, it starts torch's own processes.
        launch = ["-m", "accelerate.commands.launch", "--multi_gpu", f"--num_processes={count}", "--num_machines=1"]
        launch += ["--mixed_precision=no", "--dynamo_backend=no", "--num_cpu_threads_per_process=1"]
        command = ["-m", "ser_engine", "train", str(path), "--data", str(home.data), "--results", str(home.results)]
        environment = {
            **os.environ,
            "ACCELERATE_USE_CPU": "true",
            "SER_CACHE": str(home.folder / f"cache-{count}"),
            "SER_MODELS_DIR": str(home.settings.models_dir),
        }
        done = subprocess.run(
            [sys.executable, *(launch if count > 1 else []), *command],
            cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        lines = home.history(f"test/{path.stem}/paper")
        losses[count] = [line["loss"] for line in lines if "loss" in line and line["fold"] != "all"]
        assert isinstance(load_model(home.settings.models_dir / "shared", home.settings), SpeechText)
        (seconds,) = (home.folder / f"cache-{count}").glob("runs/**/fold-random.seconds")
        assert len(seconds.read_text().split()) == 1
    assert losses[1] == pytest.approx(losses[2], abs=1e-4) and len(losses[1]) == 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("", "neither an encoder of speech nor one of text"),
        ('speech = "whisper-base"\nnetwork = { heads = 3 }\n', "no entry “heads”"),
        ('speech = "whisper-base"\npreprocessing = "hum"\n', "preprocessing is 'hum', but it can be"),
        ('speech = "whisper-base"\nprotocols = ["augmented-before-split"]\n', "for classical systems"),
        (
            'speech = "whisper-base"\nnetwork = { freezing = "entire", standardized = true }\n',
            "Only the states of frozen encoders",
        ),
    ],
)
def test_invalid_configurations_are_refused_before_anything_is_computed(
    home: Bench, tmp_path: Path, more: str, sentence: str
) -> None:
    changed = {line.split(" =")[0] for line in more.splitlines()}
    toml = "".join(line for line in TOML.splitlines(keepends=True) if line.split(" =")[0] not in changed)
    with pytest.raises(InvalidSettings, match=sentence):
        run_experiment(home.write("wrong", toml + more), "", replace(home.settings, data=tmp_path))


def test_missing_weights_are_an_error_before_any_corpus_is_read(home: Bench) -> None:
    path = home.write("absent", TOML + 'speech = "facebook/hubert-base-ls960@' + "0" * 40 + '"\n')
    with pytest.raises(WeightsUnavailable, match="SER_ALLOW_DOWNLOAD"):
        run_experiment(path, "", replace(home.settings, data=home.folder / "nowhere"))

"""Networks are trained by the same verb, under the same protocols, and go on where they were stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.ser_engine.training.test_run import write_corpora
from torch import nn

from ser_engine import Settings
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models.registry import load_model
from ser_engine.papers.network import Network
from ser_engine.training.config import NetworkConfig, read_config
from ser_engine.training.fit_network import Task, fit
from ser_engine.training.runner import run

TOML = """
id = "tried"
architecture = "network"
corpora = ["ravdess"]
folds = 3
epochs = 2
batch = 8
"""
CNN1D = """
kind = "cnn1d"
features = "acoustic94"
options = { filters = [[4, 4], [4]], dense = [8] }
"""
CNN2D = """
kind = "cnn2d"
features = "mel-image"
preprocessing = "gomes"
options = { filters = [4, 4, 4, 4], dense = 8 }
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    write_corpora(folder / "data")
    return folder


def settings(home: Path) -> Settings:
    return Settings(cache=home / "cache", models_dir=home / "models")


def measured(home: Path, toml: str, name: str = "tried") -> dict[str, Any]:
    path = home / f"{name}.toml"
    path.write_text(TOML + toml, encoding="utf-8")
    return run(path, home / "data", settings(home), home / "results")


def test_a_network_on_features_is_trained_measured_and_saved(home: Path) -> None:
    entry = measured(home, CNN1D + "save = true\n")
    assert entry["speaker_independent"] is True and entry["tested"] == 19 and entry["size_mb"] > 0
    assert {"WA", "UA", "UA_ci95"} <= set(entry["metrics"]) and "audit" in entry
    lines = (home / "results" / "tried" / "history.jsonl").read_text().splitlines()
    history = [json.loads(line) for line in lines]
    folds = json.loads((home / "results" / "tried" / "folds.json").read_text())
    assert {(line["fold"], line["epoch"]) for line in history} >= {(fold, epoch) for fold in folds for epoch in (1, 2)}
    model = load_model(home / "models" / "tried", settings(home))
    assert isinstance(model, Network) and model.labels == tuple(entry["labels"])


def test_a_network_on_images_is_trained(home: Path) -> None:
    entry = measured(home, CNN2D, "images")
    assert entry["features"] == "mel-image" and entry["tested"] == 19


def test_genders_are_told_apart_in_training_and_added_up_after(home: Path) -> None:
    entry = measured(home, CNN1D + "genders = true\n", "genders")
    assert np.array(entry["confusion"]).shape == (3, 3) and entry["tested"] == 19


def test_copies_and_balance_are_for_training_alone(home: Path) -> None:
    entry = measured(home, CNN1D + 'augmentation = "gomes"\nbalance = "count"\nbalance_to = 9\n', "copies")
    assert entry["tested"] == 19 and entry["features"] == "acoustic94, paper-4 augmentation"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('kind = "cnn1d"', 'kind = "cnn9d"', "kind is “cnn9d”"),
        ('features = "acoustic94"', 'features = "acoustic95"', "features is “acoustic95”"),
        ("dense = [8]", "depth = 3", "cannot be made of these options"),
        ('kind = "cnn1d"', 'kind = "cnn1d"\nprotocol = "augmented-before-split"', "for classical systems"),
        ('kind = "cnn1d"', 'kind = "cnn1d"\naugmentation = "tiwari"', "augmentation is “paper-5”"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_computed(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    path = tmp_path / "tried.toml"
    path.write_text(TOML + CNN1D.replace(old, new), encoding="utf-8")
    with pytest.raises(InvalidSettings, match=sentence):
        run(path, tmp_path / "nowhere", settings(tmp_path), tmp_path / "results")


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ('kind = "resnet34"\nfeatures = "spectrogram-image"\nimagenet = "microsoft/resnet-34"\n', "needs a revision"),
        ('kind = "embedding-mlp"\nfeatures = "vggish"\n', "VGGish"),
    ],
)
def test_weights_that_are_not_here_are_told_before_any_corpus_is_read(tmp_path: Path, toml: str, sentence: str) -> None:
    path = tmp_path / "tried.toml"
    path.write_text(TOML + toml, encoding="utf-8")
    with pytest.raises(WeightsUnavailable, match=sentence):
        run(path, tmp_path / "nowhere", settings(tmp_path), tmp_path / "results")


class Tired(nn.Module):
    """A network that stops the whole run, as Ctrl-C does, at its nth batch."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))
        self.batches = batches

    def forward(self, blocks: torch.Tensor) -> torch.Tensor:
        self.batches -= 1
        if self.batches == 0:
            raise KeyboardInterrupt
        return self.layers(blocks)


def config(tmp_path: Path, more: str = "") -> NetworkConfig:
    path = tmp_path / "tried.toml"
    path.write_text(TOML.replace("epochs = 2", "epochs = 5") + CNN1D + more, encoding="utf-8")
    found = read_config(path)
    assert isinstance(found, NetworkConfig)
    return found


def task(seed: int = 0, count: int = 32) -> Task:
    rng = np.random.default_rng(seed)
    return Task(rng.normal(size=(count, 4)).astype(np.float32), rng.integers(0, 2, count))


def test_training_that_was_stopped_goes_on_at_its_epoch_and_ends_the_same(tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    for state in (straight, stopped):
        state.mkdir()
    expected = fit(Tired(-1), task(), None, config(tmp_path), 0, "1", straight)
    with pytest.raises(KeyboardInterrupt):
        fit(Tired(11), task(), None, config(tmp_path), 0, "1", stopped)  # in the third epoch of four batches
    found = fit(Tired(-1), task(), None, config(tmp_path), 0, "1", stopped)
    assert found.batches == -1 - 3 * 4  # the first two epochs were not trained again
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[name])
    assert (straight / "history-0000.jsonl").read_bytes() == (stopped / "history-0000.jsonl").read_bytes()


def test_training_ends_when_what_is_held_out_gets_no_better_and_keeps_the_best(tmp_path: Path) -> None:
    # Labels of chance: what is learnt of them makes what is held out worse.
    found = fit(Tired(-1), task(), task(1), config(tmp_path, "patience = 1\nlearning_rate = 0.5\n"), 0, "1", tmp_path)
    history = [json.loads(line) for line in (tmp_path / "history-0000.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in history]
    assert len(history) < 5 and min(losses) < losses[-1]
    held = task(1)
    with torch.inference_mode():
        loss = nn.functional.cross_entropy(found(torch.from_numpy(held.blocks)), torch.from_numpy(held.targets))
    assert loss.item() == pytest.approx(min(losses), abs=1e-4)

"""Training of networks: resumed with the same result, ended early with the best weights, seeded by fold and epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ser_engine.papers.fit import Examples, FitConfig, fit
from ser_engine.training.state import RunState
from ser_engine.training.system import Task

NO_ROWS = np.zeros(0, int)


class Interrupted(nn.Module):
    """A network that stops the whole run, as Ctrl-C does, at its nth batch."""

    def __init__(self, batches: int = -1) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))
        self.batches = batches

    def forward(self, blocks: torch.Tensor) -> torch.Tensor:
        self.batches -= 1
        if self.batches == 0:
            raise KeyboardInterrupt
        logits: torch.Tensor = self.layers(blocks)
        return logits


def config(**fields: Any) -> FitConfig:
    return FitConfig(id="tiny", system="network", corpora=("ravdess",), epochs=5, batch=8, **fields)


def task(folder: Path, number: int = 0) -> Task:
    folder.mkdir(exist_ok=True)
    return Task(NO_ROWS, NO_ROWS, "1", number, RunState(folder))


def examples(seed: int = 0, count: int = 32) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(rng.normal(size=(count, 4)).astype(np.float32), rng.integers(0, 2, count))


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history-0000.jsonl").read_text().splitlines()]


def test_a_stopped_training_resumes_at_its_epoch_and_ends_the_same(tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    expected = fit(Interrupted(), examples(), None, config(), task(straight))
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(11), examples(), None, config(), task(stopped))  # in the third epoch of four batches
    resumed = fit(Interrupted(), examples(), None, config(), task(stopped))
    assert resumed.batches == -1 - 3 * 4  # the first two epochs were not trained again
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])
    assert history(straight) == history(stopped) and [line["epoch"] for line in history(stopped)] == [1, 2, 3, 4, 5]
    assert not list(stopped.glob("*.pt"))


def test_another_fold_has_other_randomness(tmp_path: Path) -> None:
    one, other = (fit(Interrupted(), examples(), None, config(), task(tmp_path, number)) for number in (0, 1))
    assert not torch.equal(one.state_dict()["layers.0.weight"], other.state_dict()["layers.0.weight"])


def test_training_ends_when_the_validation_loss_stops_falling_and_keeps_the_best_weights(tmp_path: Path) -> None:
    # Random labels: the better they are learned, the greater is the validation loss.
    validation = examples(1)
    model = fit(Interrupted(), examples(), validation, config(patience=1, learning_rate=0.5), task(tmp_path))
    losses = [line["validation_loss"] for line in history(tmp_path)]
    assert len(losses) < 5 and min(losses) < losses[-1]
    with torch.inference_mode():
        logits = model(torch.from_numpy(validation.blocks))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(validation.targets))
    assert loss.item() == pytest.approx(min(losses), abs=1e-4)


def test_frozen_weights_are_not_trained(tmp_path: Path) -> None:
    model = Interrupted()
    model.layers[0].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = fit(model, examples(), None, config(weight_decay=0.1), task(tmp_path)).state_dict()
    changed = {name for name, tensor in trained.items() if not torch.equal(tensor, before[name])}
    assert changed == {"layers.3.weight", "layers.3.bias"}


def test_bfloat16_trains_almost_the_same_weights(tmp_path: Path) -> None:
    exact = fit(Interrupted(), examples(), None, config(), task(tmp_path / "exact"))
    rounded = fit(Interrupted(), examples(), None, config(bfloat16=True), task(tmp_path / "rounded"))
    for one, other in zip(exact.parameters(), rounded.parameters(), strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert torch.allclose(one, other, atol=5e-3) and not torch.equal(one, other)

"""islam's training of its perceptron on embeddings, and the random search for how it should be built (3.3.2).

scikit-learn draws the combinations; its own perceptron has neither dropout nor Adamax, so torch trains them.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ser_engine.papers.embedding_mlp import EmbeddingMLP

# paper-3, table 4.
SPACE: dict[str, list[Any]] = {
    "hidden": [
        (4096,),
        (2048,),
        (4096, 2048),
        (4096, 2048, 1024),
        (2048, 1024),
        (1024, 512),
        (512, 256),
        (1024, 512, 256),
        (256,),
        (512,),
        (1024,),
    ],
    "dropout": [0.0, 0.2, 0.5],
    "optimizer": ["adam", "adamax"],
    "learning_rate": [1e-3, 1e-4, 1e-5],
}
# 3.3.2: "up to 5000 epochs with a batch size of 256", ended where the validation loss has not improved for 20 epochs;
# the rate "reduced by half if no improvement is seen in the validation loss for 3 consecutive epochs".
EPOCHS, BATCH, PATIENCE, HALVE_AFTER = 5000, 256, 20, 3
# How many of the 198 combinations are tried is open.
TRIES = 20

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax}

Examples = tuple[NDArray[np.float32], NDArray[np.int_]]
"""Embeddings float32 [n, width], each an example of its own, and what was felt, int [n]."""


@dataclass(frozen=True)
class Recipe:
    """One combination of table 4."""

    hidden: tuple[int, ...]
    dropout: float
    optimizer: str
    learning_rate: float


@dataclass(frozen=True)
class Trial:
    """A combination, its accuracy (0 to 1) and loss on the validation examples, and how many epochs it learned for."""

    recipe: Recipe
    accuracy: float
    loss: float
    epochs: int

    def to_dict(self) -> dict[str, Any]:
        """Return the trial as JSON-ready values."""
        return {
            **asdict(self.recipe),
            "hidden": list(self.recipe.hidden),
            "accuracy": round(self.accuracy, 4),
            "loss": round(self.loss, 5),
            "epochs": self.epochs,
        }


def fit(
    recipe: Recipe,
    training: Examples,
    validation: Examples,
    outputs: int,
    seed: int = 0,
    epochs: int = EPOCHS,
    device: str = "cpu",
) -> tuple[EmbeddingMLP, Trial]:
    """Return a perceptron of the epoch with the least validation loss, and how it did; the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = EmbeddingMLP(outputs, training[0].shape[1], recipe.hidden, recipe.dropout).to(device)
        optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), lr=recipe.learning_rate)
        halving = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=HALVE_AFTER - 1)
        learned, tested = (_on(device, examples) for examples in (training, validation))
        best, kept, since, done = np.inf, deepcopy(model.state_dict()), 0, 0
        while done < epochs and since < PATIENCE:
            _epoch(model, optimizer, *learned)
            loss, _ = _measured(model, *tested)
            halving.step(loss)
            done, since = done + 1, since + 1
            if loss < best:
                best, kept, since = loss, deepcopy(model.state_dict()), 0
    model.load_state_dict(kept)
    loss, accuracy = _measured(model, *tested)
    return model.eval(), Trial(recipe, accuracy, loss, done)


def search(
    training: Examples,
    validation: Examples,
    outputs: int,
    tries: int = TRIES,
    seed: int = 0,
    space: dict[str, list[Any]] = SPACE,
    epochs: int = EPOCHS,
    device: str = "cpu",
    progress: Callable[[Trial], None] | None = None,
) -> tuple[EmbeddingMLP, list[Trial]]:
    """Try random combinations; return the perceptron that is right most often on the validation examples, and all.

    The first trial is the best one. Equally good ones are told apart by their loss. `progress` is told of each.
    """
    from sklearn.model_selection import ParameterSampler

    found: list[tuple[EmbeddingMLP, Trial]] = []
    for drawn in ParameterSampler(space, tries, random_state=seed):
        model, trial = fit(Recipe(**drawn), training, validation, outputs, seed, epochs, device)
        if progress:
            progress(trial)
        found.append((model, trial))
        # Only the best perceptron stays in memory; they can have 20 million weights.
        found.sort(key=lambda pair: (-pair[1].accuracy, pair[1].loss))
        found[1:] = [(found[0][0], trial) for _, trial in found[1:]]
    return found[0][0], [trial for _, trial in found]


def _on(device: str, examples: Examples) -> tuple[Tensor, Tensor]:
    embeddings, labels = examples
    return torch.as_tensor(embeddings).to(device), torch.as_tensor(labels).long().to(device)


def _epoch(model: nn.Module, optimizer: torch.optim.Optimizer, embeddings: Tensor, labels: Tensor) -> None:
    model.train()
    for rows in torch.randperm(len(labels)).to(labels.device).split(BATCH):
        optimizer.zero_grad()
        functional.cross_entropy(model(embeddings[rows]), labels[rows]).backward()
        optimizer.step()


def _measured(model: nn.Module, embeddings: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return loss and accuracy."""
    model.eval()
    with torch.inference_mode():
        logits = model(embeddings)
        right = logits.argmax(dim=1) == labels
        return float(functional.cross_entropy(logits, labels)), float(right.float().mean())

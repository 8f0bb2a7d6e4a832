"""Islam's multi-layer perceptron on embeddings, and the random search for its shape and training (3.3.2).

scikit-learn draws the combinations; its own perceptron has neither dropout nor Adamax, so torch trains them.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_engine.papers.fit import Examples

# Table 4.
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
# 3.3.2: "a batch size of 256", ended when the validation loss has not improved for 20 epochs; the rate "reduced by half
# if no improvement is seen in the validation loss for 3 consecutive epochs".
BATCH, PATIENCE, HALVE_AFTER = 256, 20, 3

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax}


class EmbeddingMLP(nn.Module):
    """Dense layers with ReLU, each followed by dropout.

    The paper states neither the activation nor the places of the dropout: both are the usual ones.
    `width` is that of an embedding, 128 for VGGish and 1024 for YAMNet; `hidden` of the paper is in table 4.
    """

    def __init__(
        self, outputs: int, width: int = 128, hidden: tuple[int, ...] = (1024, 512), dropout: float = 0.2
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((width, *hidden)):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear((width, *hidden)[-1], outputs))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map embeddings float32 [batch, width] to logits [batch, outputs]."""
        logits: Tensor = self.layers(embeddings)
        return logits


@dataclass(frozen=True)
class Recipe:
    """One combination of table 4."""

    hidden: tuple[int, ...]
    dropout: float
    optimizer: str
    learning_rate: float


@dataclass(frozen=True)
class Trial:
    """A combination, its accuracy (0 to 1) and loss on the validation examples, and its number of epochs."""

    recipe: Recipe
    accuracy: float
    loss: float
    epochs: int


def search(
    training: Examples,
    validation: Examples,
    outputs: int,
    tries: int,
    seed: int,
    epochs: int,
    space: dict[str, list[Any]] = SPACE,
) -> tuple[EmbeddingMLP, Trial]:
    """Try random combinations and return the one with the best accuracy, or the least loss if these are equal.

    Examples are embeddings float32 [n, width]. Only the best perceptron stays in memory; it can have 20 million
    weights.
    """
    from sklearn.model_selection import ParameterSampler

    recipes = (Recipe(**drawn) for drawn in ParameterSampler(space, tries, random_state=seed))
    trials = (train_recipe(recipe, training, validation, outputs, seed, epochs) for recipe in recipes)
    return min(trials, key=lambda pair: (-pair[1].accuracy, pair[1].loss))


def train_recipe(
    recipe: Recipe, training: Examples, validation: Examples, outputs: int, seed: int, epochs: int
) -> tuple[EmbeddingMLP, Trial]:
    """Return a perceptron with the weights of the least validation loss; the same for the same seed."""
    train_x, train_y = _tensors(training)
    valid_x, valid_y = _tensors(validation)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = EmbeddingMLP(outputs, train_x.shape[1], recipe.hidden, recipe.dropout)
        optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), lr=recipe.learning_rate)
        halving = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=HALVE_AFTER - 1)
        best_loss, best, best_epoch, epoch = np.inf, deepcopy(model.state_dict()), 0, 0
        while epoch < epochs and epoch - best_epoch < PATIENCE:
            _train_epoch(model, optimizer, train_x, train_y)
            loss, _ = _validate(model, valid_x, valid_y)
            halving.step(loss)
            epoch += 1
            if loss < best_loss:
                best_loss, best, best_epoch = loss, deepcopy(model.state_dict()), epoch
    model.load_state_dict(best)
    loss, accuracy = _validate(model, valid_x, valid_y)
    return model.eval(), Trial(recipe, accuracy, loss, epoch)


def _tensors(examples: Examples) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(examples.blocks, dtype=torch.float32), torch.as_tensor(examples.targets).long()


def _train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, embeddings: Tensor, labels: Tensor) -> None:
    model.train()
    for rows in torch.randperm(len(labels)).split(BATCH):
        optimizer.zero_grad()
        functional.cross_entropy(model(embeddings[rows]), labels[rows]).backward()
        optimizer.step()


def _validate(model: nn.Module, embeddings: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return loss and accuracy."""
    model.eval()
    with torch.inference_mode():
        logits = model(embeddings)
        correct = logits.argmax(dim=1) == labels
        return float(functional.cross_entropy(logits, labels)), float(correct.float().mean())

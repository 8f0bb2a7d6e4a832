"""Train heads on cached statistics: fold by fold for the figures, then once on everything for the weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ser_engine.corpora.base import Utterance
from ser_engine.models.whisper_statistics import Head, HeadConfig, Member
from ser_engine.training.config import TrainingConfig

# Eight layer weights per statistic have to travel far from equal shares within the few steps there are.
LAYER_RATE = 5.0

History = Callable[[dict[str, float]], None]
"""Told {"member", "epoch", "loss"} after each epoch."""


def train_head(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    weights: NDArray[np.float64],
    config: TrainingConfig,
    history: History | None = None,
) -> Head:
    """Train every member of a head.

    Parameters
    ----------
    features : float32 [n, layers, 2, width]
    targets : float32 [n, labels], each row a distribution
    weights : [n], how often each utterance is drawn in relation to the others
    history : told the loss after each epoch of each member
    """
    _, layers, _, width = features.shape
    shape = HeadConfig(
        len(config.labels), layers, width, config.hidden, config.members, config.mixtures, config.dropout
    )
    torch.manual_seed(config.seed)
    head = Head(shape)
    head.mean.copy_(torch.from_numpy(features.mean(axis=0)))
    head.scale.copy_(torch.from_numpy(1.0 / (features.std(axis=0) + 1e-3)))
    inputs, wanted = head.standardise(torch.from_numpy(features)), torch.from_numpy(targets)
    for number, member in enumerate(head.trainable()):
        _train_member(member, inputs, wanted, weights, config, number, history)
    return head.eval()


def _train_member(
    member: Member,
    inputs: Tensor,
    targets: Tensor,
    weights: NDArray[np.float64],
    config: TrainingConfig,
    number: int,
    history: History | None,
) -> None:
    """Train one member with AdamW, a one-cycle schedule and mixup of the inputs, from its own seed."""
    rng = np.random.default_rng([config.seed, number])
    steps = -(-len(inputs) // config.batch)
    rates = [LAYER_RATE * config.learning_rate, config.learning_rate]
    groups = [
        {"params": [member.layer_logits], "weight_decay": 0.0},
        {"params": member.classifier.parameters(), "weight_decay": config.weight_decay},
    ]
    optimiser = torch.optim.AdamW(groups, config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=config.epochs * steps, pct_start=0.1)
    chances = weights / weights.sum()
    member.train()
    for epoch in range(1, config.epochs + 1):
        order = rng.choice(len(inputs), size=len(inputs), p=chances) if config.balance else rng.permutation(len(inputs))
        total = 0.0
        for rows in np.array_split(order, steps):
            x, y = member.weigh(inputs[rows]), targets[rows]
            if config.mixup:  # of the weighted layers, which is the same as of the inputs and eight times less work
                share, other = float(rng.beta(config.mixup, config.mixup)), rng.permutation(len(rows))
                x, y = share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
            loss = functional.cross_entropy(member.classifier(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        if history:
            history({"member": number, "epoch": epoch, "loss": total / steps})


def targets_of(utterances: Sequence[Utterance], config: TrainingConfig) -> NDArray[np.float32]:
    """Return float32 [n, labels]: the label, smoothed over the labels that occur in the utterance's own corpus."""
    labels = np.array([config.labels.index(utterance.label) for utterance in utterances])
    corpora = np.array([utterance.corpus for utterance in utterances])
    targets = np.zeros((len(utterances), len(config.labels)), np.float32)
    for corpus in np.unique(corpora):
        possible = np.unique(labels[corpora == corpus])
        rows = np.flatnonzero(corpora == corpus)
        targets[np.ix_(rows, possible)] = config.label_smoothing / len(possible)
    targets[np.arange(len(labels)), labels] += 1 - config.label_smoothing
    return targets


def weights_of(utterances: Sequence[Utterance], config: TrainingConfig) -> NDArray[np.float64]:
    """Return [n] sampling weights: an utterance of a rare (corpus, label) is drawn more often, by `config.balance`."""
    kinds = [f"{utterance.corpus} {utterance.label}" for utterance in utterances]
    _, codes, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    return (1.0 / counts[codes]) ** config.balance


def log_probabilities(head: Head, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [n, labels] for statistics [n, layers, 2, width]."""
    with torch.inference_mode():
        return head(torch.from_numpy(features)).numpy()


class HistoryFile:
    """Appends one JSON object a line, so that a run can be watched while it trains.

    What the file tells of an earlier attempt at the same fold is forgotten, but for the first `keep` epochs.
    """

    def __init__(self, path: Path, fold: int | str, keep: int = 0) -> None:
        self.path, self.fold = path, fold
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            entries = [(line, json.loads(line)) for line in lines]
            kept = [line for line, entry in entries if entry["fold"] != fold or entry["epoch"] <= keep]
            beside = path.with_suffix(".part")
            beside.write_text("".join(kept), encoding="utf-8")
            beside.replace(path)

    def __call__(self, entry: dict[str, float]) -> None:
        """Write one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"fold": self.fold, **{k: round(v, 5) for k, v in entry.items()}}) + "\n")

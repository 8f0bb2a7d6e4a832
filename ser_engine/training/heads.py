"""What training the bundled networks on Whisper's encoder shares: configuration, targets, sampling and the epochs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from ser_engine.data.corpora import registry
from ser_engine.data.degrade import TITLES, Sources
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.cards import model_languages, write_card
from ser_engine.evaluation.predictions import DEGRADED, MAIN, Outputs
from ser_engine.evaluation.record import RunRecord
from ser_engine.models.cards import LANGUAGES
from ser_engine.settings import Settings
from ser_engine.training.clips import Clips, Rows
from ser_engine.training.config import (
    SPEAKER_INDEPENDENT,
    STRICT,
    Count,
    Dropout,
    ExperimentConfig,
    Exponent,
    Names,
    Rate,
    Share,
)
from ser_engine.training.system import Config, Features, Fitted, System

LENGTH_JITTER = 8.0
"""Frames of 40 ms by which the clips of a batch may differ at random; little of a batch is padding."""
UNDEGRADED = 2 / 3
"""Share of the clips that an epoch takes undegraded; of each other clip it takes one augmented copy."""
SCORED = 64
"""Clips that are scored at once."""

Record = Callable[[Mapping[str, float]], None]
"""Called with {"member", "epoch", "loss"} after each epoch."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HeadTrainingConfig(ExperimentConfig):
    """What the bundled networks on Whisper's encoder share.

    Attributes
    ----------
    external : corpora that are only tested on
    degradations : keys of `degrade.TITLES` under which every fold is tested once more
    augmentation : those of the degradations that are applied in training, too
    hidden, dropout, projection, attention_heads : see `whisper_statistics.HeadConfig`
    attentive_epochs, attentive_batch, attentive_learning_rate : training of the attentive pooling heads
    weight_decay : of AdamW, with a one-cycle schedule
    mixup : Beta(a, a) of mixup (Zhang et al., 2018), 0 for none
    label_smoothing : share of each target that is spread over all labels of the clip's corpus
    label_balance : exponent of a label's inverse frequency in the sampling weights, 0 for none
    """

    external: Names = ()
    degradations: Names = ()
    augmentation: Names = ()
    hidden: Count = 256
    dropout: Dropout = 0.3
    projection: Annotated[int, Field(ge=8, multiple_of=8)] = 256
    attention_heads: Count = 4
    attentive_epochs: Count = 8
    attentive_batch: Count = 64
    attentive_learning_rate: Rate = 1e-3
    weight_decay: Exponent = 1e-2
    mixup: Exponent = 0.0
    label_smoothing: Share = 0.0
    label_balance: Exponent = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := sorted(set(self.degradations) - set(TITLES)):
            names = f"there is no {', '.join(unknown)}; there are {', '.join(TITLES)}"
            raise InvalidSettings(f"degradations is {self.degradations!r}, but {names}.")
        if unknown := sorted(set(self.augmentation) - set(self.degradations)):
            raise InvalidSettings(f"Augmentations have to be tested as degradations, too: {', '.join(unknown)}.")
        if "babble" in self.degradations and not self.external:
            raise InvalidSettings("Babble is made of an external corpus, and none is named.")
        if self.save and self.protocol != SPEAKER_INDEPENDENT:
            raise InvalidSettings(
                f"A model's card states figures on unseen speakers: set save = false under {self.protocol}."
            )


class HeadSystem(System[Config, Features, Fitted]):
    """A system on Whisper's encoder, whose card has the measured figures."""

    def card(self, record: RunRecord) -> dict[str, Any]:
        """Return the corpora and the measured figures."""
        return {"corpora": list(record.corpora), "measured": card_figures(record, record.corpora)}

    def write_card(self, folder: Path, record: RunRecord) -> None:
        """Write the model card."""
        write_card(folder, record, self.card(record)["corpora"])


class MemberTask(ABC):
    """How one member of an ensemble is trained: its parameters, its batches, and what mixup is applied to.

    `groups` are AdamW's parameter groups; one with a "clip" has the norm of its gradient clipped. `copies` is the
    number of augmented copies of each clip, and `plain` the share of the draws that take none. `lengths`, int [1 +
    copies, n], are the frames of each copy of each clip. The member's `classifier` maps what `pool` returns to logits.
    """

    member: Any
    batch: int
    epochs: int
    copies: int
    plain: float = UNDEGRADED
    lengths: NDArray[np.int_]
    rates: list[float]
    groups: list[dict[str, Any]]

    def batches(self, order: Rows, copy: Rows, rng: np.random.Generator) -> list[Rows]:
        """Return the rows of an epoch in batches, in random order, of clips that are similar in length."""
        about = self.lengths[copy[order], order] + rng.uniform(-LENGTH_JITTER, LENGTH_JITTER, len(order))
        batches = np.array_split(order[np.argsort(about)], -(-len(order) // self.batch))
        return [batches[i] for i in rng.permutation(len(batches))]

    @abstractmethod
    def pool(self, rows: Rows, copy: Rows) -> Tensor:
        """Return the embeddings [batch, pooled] of clips, each in one of its copies; mixup is applied to them."""

    def step(self) -> None:  # noqa: B027
        """Continue after a step of the optimizer; nothing by default."""


def train_member(
    task: MemberTask,
    targets: Tensor,
    weights: NDArray[np.float64],
    config: HeadTrainingConfig,
    number: int,
    record: Record | None,
    done: int = 0,
) -> None:
    """Train one member with AdamW, a one-cycle schedule and mixup.

    `targets` float32 [n, labels] are distributions, `weights` [n] how often an epoch draws each clip on average; the
    seed follows from `number`, and `done` epochs came before.
    """
    rng = np.random.default_rng([config.seed, number, *[done] * (done > 0)])
    copies, steps = task.copies, -(-math.ceil(weights.sum()) // task.batch)
    optimizer = torch.optim.AdamW(task.groups, task.rates[-1])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, task.rates, total_steps=task.epochs * steps, pct_start=0.1
    )
    task.member.train()
    for epoch in range(done + 1, done + task.epochs + 1):
        order = draw_rows(weights, rng)
        copy = rng.integers(min(1, copies), copies + 1, len(targets))
        copy[rng.random(len(targets)) < task.plain] = 0
        total = 0.0
        for rows in task.batches(order, copy, rng):
            x, y = task.pool(rows, copy[rows]), targets[rows]
            if config.mixup:
                share, other = float(rng.beta(config.mixup, config.mixup)), rng.permutation(len(rows))
                x, y = share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
            loss = functional.cross_entropy(task.member.classifier(x), y.to(x.device))
            optimizer.zero_grad()
            loss.backward()
            for group in optimizer.param_groups:
                if bound := group.get("clip"):
                    nn.utils.clip_grad_norm_(group["params"], bound)
            optimizer.step()
            schedule.step()
            task.step()
            total += loss.item()
        if record:
            record({"member": number, "epoch": epoch, "loss": total / steps})


@torch.no_grad()
def moving_average(decay: float, averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
    """Update the average, with less decay in the first steps."""
    decay = min(decay, (float(count) + 1) / (float(count) + 10))
    for mean, now in zip(averaged, current, strict=True):
        mean.lerp_(now, 1 - decay)


def draw_rows(weights: NDArray[np.float64], rng: np.random.Generator) -> Rows:
    """Return rows in random order, each as often as its weight says: 2.5 for two or three times."""
    order = rng.permutation(len(weights))
    bounds = np.floor(np.concatenate([[0.0], np.cumsum(weights[order])]) + rng.random())
    return rng.permutation(np.repeat(order, np.diff(bounds).astype(int)))


def smoothed_targets(clips: Clips, rows: Rows, config: HeadTrainingConfig) -> NDArray[np.float32]:
    """Return float32 [rows, classes]: the label, smoothed over the labels that occur in the clip's own corpus."""
    labels = clips.targets[rows]
    corpora = np.array([clips.utterances[row].corpus for row in rows])
    targets = np.zeros((len(rows), len(clips.order)), np.float32)
    for corpus in np.unique(corpora):
        possible = np.unique(labels[corpora == corpus])
        targets[np.ix_(np.flatnonzero(corpora == corpus), possible)] = config.label_smoothing / len(possible)
    targets[np.arange(len(labels)), labels] += 1 - config.label_smoothing
    return targets


def sampling_weights(clips: Clips, rows: Rows, config: HeadTrainingConfig) -> NDArray[np.float64]:
    """Return sampling weights [rows], 1 on average: the inverse frequency of the label to the power `label_balance`."""
    _, codes, counts = np.unique(clips.labels[rows], return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = (1.0 / counts[codes]) ** config.label_balance
    return np.asarray(weights / weights.mean())


def encode_copies(
    encode: Callable[..., list[Any]], clips: Clips, config: HeadTrainingConfig, settings: Settings
) -> dict[str, list[Any]]:
    """Return what `encode` computes of all clips, as they are under "" and under the name of each degradation.

    Babble is made of the recordings of external corpora.
    """
    corpora = config.external if "babble" in config.degradations else ()
    sources = Sources(tuple(clip.path for corpus in corpora for clip in registry.read_corpus(corpus, settings.data)))
    names = ("", *config.degradations)
    return {name: encode(clips.paths, settings, degradation=name, sources=sources) for name in names}


def training_copies(
    copies: Mapping[str, Sequence[Any]], names: Sequence[str], train: Rows
) -> tuple[Rows, list[list[Any]]]:
    """Return the training rows with speech, and their features as they are and in each of the copies `names`.

    A clip without speech in a copy is taken as it is.
    """
    plain = copies[""]
    rows = np.array([row for row in train if plain[row] is not None], int)
    augmented = [copies[name] for name in names]
    filled = [[plain[r] if features[r] is None else features[r] for r in rows] for features in augmented]
    return rows, [[plain[row] for row in rows], *filled]


def predict_copies(
    log_probs: Callable[[Sequence[Any]], NDArray[np.float32]],
    copies: Mapping[str, Sequence[Any]],
    rows: Rows,
    classes: int,
) -> Outputs:
    """Return log-probabilities of the clips themselves and of each degradation; NaN where there is no speech.

    `copies` holds the features of all clips, under "" as they are and under the name of each degradation; a feature of
    None has no speech.
    """
    return {
        f"{DEGRADED}{name}" if name else MAIN: at_speech(log_probs, features, rows, classes)
        for name, features in copies.items()
    }


def at_speech(
    compute: Callable[[Sequence[Any]], NDArray[np.float32]], features: Sequence[Any], rows: Rows, width: int
) -> NDArray[np.float32]:
    """Return float32 [rows, width] computed of the features of clips with speech; NaN for the others."""
    has_speech = np.array([features[row] is not None for row in rows], bool)
    result = np.full((len(rows), width), np.nan, np.float32)
    if has_speech.any():
        result[has_speech] = compute([features[row] for row in rows[has_speech]])
    return result


def card_figures(record: RunRecord, corpora: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a record that stand in a model's config.json; `Analyzer.card` passes them on.

    `corpora` are those of the model's training.
    """
    per_class = record.per_class.items()
    return {
        "protocol": record.protocol,
        **{key: record.metrics[key] for key in ("UA", "WA", "ECE")},
        "UA_ci95": list(record.interval or ()),
        "per_corpus": record.by_corpus,
        "per_label": {label: {key: row[key] for key in ("recall", "precision")} for label, row in per_class},
        "not_sure": record.calibration["threshold"],
        "listeners": record.perceived,
        "external": record.external,
        LANGUAGES: model_languages(record, corpora),
        "run": record.id,
    }

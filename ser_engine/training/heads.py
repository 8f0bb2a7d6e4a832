"""Train heads on cached encodings: fold by fold for the figures, then once on everything for the weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ser_engine.data.cache import replacing
from ser_engine.data.corpora.base import Utterance
from ser_engine.features.encoder import Encoding
from ser_engine.models.whisper_statistics import AttentiveMember, Head, HeadConfig, Member, collate
from ser_engine.models.whisper_tuned import TunedMember
from ser_engine.training.config import TrainingConfig

# Eight layer weights per statistic have to travel far from equal shares within the few steps there are.
LAYER_RATE = 5.0
# Batches hold recordings of about one length, so that little of them is padding; this many frames of 40 ms apart.
LENGTH_JITTER = 8.0
# Of the recordings, this share is heard as it is in an epoch; the others in one of their further versions.
PLAIN = 2 / 3
# Of recordings that are scored together.
SCORED = 64

Rows = NDArray[np.int_]

History = Callable[[dict[str, float]], None]
"""Told {"member", "epoch", "loss"} after each epoch."""


def train_head(
    versions: Sequence[Sequence[Encoding | None]],
    targets: NDArray[np.float32],
    weights: NDArray[np.float64],
    config: TrainingConfig,
    history: History | None = None,
) -> Head:
    """Train every member of a head.

    Parameters
    ----------
    versions : encodings of the n recordings as they are, then of each version of them that is learned from, too; None
        where there was no speech in it any more. Each epoch hears a third of the recordings, drawn at random, in one
        of their further versions.
    targets : float32 [n, labels], each row a distribution
    weights : [n], how often each utterance is drawn in relation to the others
    history : told the loss after each epoch of each member
    """
    plain = _all_present(versions[0])
    # What is not there is heard as it is.
    filled = [[one or other for one, other in zip(version, plain, strict=True)] for version in versions]
    statistics = _statistics_of(plain).numpy()
    _, layers, _, width = statistics.shape
    shape = HeadConfig(
        len(config.labels), layers, width, config.hidden, config.members, config.mixtures, config.dropout,
        config.attentive, config.projection, config.attention_heads,
    )  # fmt: skip
    torch.manual_seed(config.seed)
    head = Head(shape)
    head.mean.copy_(torch.from_numpy(statistics.mean(axis=0)))
    head.scale.copy_(torch.from_numpy(1.0 / (statistics.std(axis=0) + 1e-3)))
    wanted = torch.from_numpy(targets)
    if members := head.trainable():
        inputs = torch.stack([head.standardise(_statistics_of(version)) for version in filled])
        for number, member in enumerate(members):
            train_task(_OnStatistics(member, inputs, config), wanted, weights, config, number, history)
    if attending := head.attending():
        frames = np.concatenate([one.frames for one in plain])
        head.frame_mean.copy_(torch.from_numpy(frames.mean(axis=0, dtype=np.float32)))
        head.frame_scale.copy_(torch.from_numpy(1.0 / (frames.std(axis=0, dtype=np.float32) + 1e-3)))
        for number, attentive in enumerate(attending, start=config.members):
            train_task(_OnFrames(attentive, head, filled, config), wanted, weights, config, number, history)
    return head.eval()


def _all_present(encodings: Sequence[Encoding | None]) -> list[Encoding]:
    found = [one for one in encodings if one is not None]
    assert len(found) == len(encodings)  # who calls leaves out recordings without speech
    return found


def _statistics_of(encodings: Sequence[Encoding]) -> Tensor:
    """Return the statistics of n recordings, float32 [n, layers, 2, width]."""
    return torch.from_numpy(np.stack([one.statistics for one in encodings]).astype(np.float32))


class OnMember:
    """What is the same however a member is trained."""

    member: Member | AttentiveMember | TunedMember

    @property
    def classifier(self) -> nn.Module:
        """Return what maps what `pool` returns to logits."""
        return self.member.classifier

    def train(self) -> None:
        """Make everything ready to learn."""
        self.member.train()

    def stepped(self) -> None:
        """Do nothing more."""


class _OnStatistics(OnMember):
    """How a member on statistics is trained."""

    member: Member

    def __init__(self, member: Member, inputs: Tensor, config: TrainingConfig) -> None:
        self.member, self.inputs = member, inputs
        self.further = len(inputs) - 1
        self.epochs, self.batch = config.epochs, config.batch
        self.rates = [LAYER_RATE * config.learning_rate, config.learning_rate]
        self.groups: list[dict[str, Any]] = [
            {"params": [member.layer_logits], "weight_decay": 0.0},
            {"params": member.classifier.parameters(), "weight_decay": config.weight_decay},
        ]

    def batches(self, order: Rows, version: Rows, rng: np.random.Generator) -> list[Rows]:
        """Return the rows of an epoch, batch by batch."""
        return np.array_split(order, -(-len(order) // self.batch))

    def pool(self, rows: Rows, version: Rows) -> Tensor:
        """Return the weighted layers, whose mixup is the same as of the inputs and eight times less work."""
        return self.member.weigh(self.inputs[version, rows])


class _OnFrames(OnMember):
    """How a member on frames is trained."""

    member: AttentiveMember

    def __init__(
        self, member: AttentiveMember, head: Head, versions: Sequence[Sequence[Encoding]], config: TrainingConfig
    ) -> None:
        self.member, self.head, self.versions = member, head, versions
        self.further = len(versions) - 1
        self.epochs, self.batch = config.attentive_epochs, config.attentive_batch
        self.rates = [config.attentive_learning_rate]
        self.groups: list[dict[str, Any]] = [{"params": member.parameters(), "weight_decay": config.weight_decay}]
        self.lengths = np.array([[len(one.frames) for one in version] for version in versions])

    def batches(self, order: Rows, version: Rows, rng: np.random.Generator) -> list[Rows]:
        """Return the rows of an epoch, batch by batch; of about one length in each."""
        return about_one_length(order, self.lengths[version[order], order], self.batch, LENGTH_JITTER, rng)

    def pool(self, rows: Rows, version: Rows) -> Tensor:
        """Return what is mixed up: what the member keeps of each recording's frames."""
        _, frames, present = collate([self.versions[which][row] for which, row in zip(version, rows, strict=True)])
        return self.member.pool(self.head.standardise_frames(frames), present)


class Task(Protocol):
    """How something is trained: what of it learns, in which batches, and what of a batch is mixed up and classified.

    `groups` are AdamW's; one with a "clip" has its gradient's norm held under that.
    """

    batch: int
    epochs: int
    further: int
    rates: list[float]
    groups: list[dict[str, Any]]

    @property
    def classifier(self) -> nn.Module:
        """Return what maps what `pool` returns to logits."""

    def train(self) -> None:
        """Make everything ready to learn."""

    def batches(self, order: Rows, version: Rows, rng: np.random.Generator) -> list[Rows]:
        """Return the rows of an epoch, batch by batch."""

    def pool(self, rows: Rows, version: Rows) -> Tensor:
        """Return what is mixed up, [batch, pooled], of rows each in its version."""

    def stepped(self) -> None:
        """Be told that a batch has been learned from."""


def train_task(
    task: Task,
    targets: Tensor,
    weights: NDArray[np.float64],
    config: TrainingConfig,
    number: int,
    history: History | None,
    done: int = 0,
) -> None:
    """Train one member with AdamW, a one-cycle schedule and mixup, from its own seed; `done` epochs came before."""
    rng = np.random.default_rng([config.seed, number, *[done] * (done > 0)])
    count, further = len(targets), task.further
    steps = -(-count // task.batch)
    optimiser = torch.optim.AdamW(task.groups, task.rates[-1])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, task.rates, total_steps=task.epochs * steps, pct_start=0.1
    )
    chances = weights / weights.sum()
    task.train()
    for epoch in range(done + 1, done + task.epochs + 1):
        order = rng.choice(count, size=count, p=chances) if np.ptp(weights) else rng.permutation(count)
        version = np.where(rng.random(count) < PLAIN, 0, rng.integers(min(1, further), further + 1, count))
        total = 0.0
        for rows in task.batches(order, version, rng):
            x, y = task.pool(rows, version[rows]), targets[rows]
            if config.mixup:
                share, other = float(rng.beta(config.mixup, config.mixup)), rng.permutation(len(rows))
                x, y = share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
            loss = functional.cross_entropy(task.classifier(x), y.to(x.device))
            optimiser.zero_grad()
            loss.backward()
            for group in optimiser.param_groups:
                if bound := group.get("clip"):
                    nn.utils.clip_grad_norm_(group["params"], bound)
            optimiser.step()
            schedule.step()
            task.stepped()
            total += loss.item()
        if history:
            history({"member": number, "epoch": epoch, "loss": total / steps})


def about_one_length(
    order: Rows, lengths: NDArray[np.int_], batch: int, jitter: float, rng: np.random.Generator
) -> list[Rows]:
    """Return batches, in random order, of rows `order` whose lengths differ little; `jitter` is how much at least."""
    about = lengths + rng.uniform(-jitter, jitter, len(order))
    batches = np.array_split(order[np.argsort(about)], -(-len(order) // batch))
    return [batches[i] for i in rng.permutation(len(batches))]


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
    """Return [n] sampling weights: utterances of a rare label, or label within a corpus, are drawn more often.

    See `config.label_balance` and `config.balance`.
    """
    labels = [str(utterance.label) for utterance in utterances]
    kinds = [f"{utterance.corpus} {label}" for utterance, label in zip(utterances, labels, strict=True)]
    weights = np.ones(len(utterances))
    for names, exponent in ((labels, config.label_balance), (kinds, config.balance)):
        _, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
        weights *= (1.0 / counts[codes]) ** exponent
    return weights


def log_probabilities(head: Head, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
    """Return float32 [n, labels] for n encodings."""
    return _by_length(head, encodings)


def embeddings(head: Head, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
    """Return float32 [n, hidden · members] for n encodings: see `Head.embed`."""
    return _by_length(head.embed, encodings)


def _by_length(
    compute: Callable[[Tensor, Tensor, Tensor], Tensor], encodings: Sequence[Encoding]
) -> NDArray[np.float32]:
    """Return what is computed of n encodings, those of about one length together, in their order."""
    order = np.argsort([len(one.frames) for one in encodings])
    batches = np.array_split(order, -(-len(encodings) // SCORED))
    with torch.inference_mode():
        found = [compute(*collate([encodings[row] for row in rows])) for rows in batches]
    return torch.cat(found).numpy()[np.argsort(order)]


class HistoryFile:
    """Appends one JSON object a line, so that a run can be watched while it trains.

    What the file tells of an earlier attempt at the same fold is forgotten, but for the first `keep` epochs and for
    all of the first `members`.
    """

    def __init__(self, path: Path, fold: int | str, keep: int = 0, members: int = 0) -> None:
        self.path, self.fold = path, fold
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            entries = [(line, json.loads(line)) for line in lines]
            kept = [
                line
                for line, entry in entries
                if entry["fold"] != fold or entry["epoch"] <= keep or entry.get("member", members) < members
            ]
            with replacing(path) as beside:
                beside.write_text("".join(kept), encoding="utf-8")

    def __call__(self, entry: dict[str, float]) -> None:
        """Write one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"fold": self.fold, **{k: round(v, 5) for k, v in entry.items()}}) + "\n")

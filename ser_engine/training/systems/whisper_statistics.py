"""The frozen part of the bundled model: an ensemble of heads on the states of Whisper-base's frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from ser_engine.data.encodings import encode_clips
from ser_engine.evaluation.predictions import Outputs
from ser_engine.features.encoder import Encoding
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_statistics import (
    AttentivePoolingHead,
    Head,
    HeadConfig,
    StatsHead,
    WhisperStatistics,
    collate,
)
from ser_engine.training import heads
from ser_engine.training.clips import Clips, Rows
from ser_engine.training.config import STRICT, Count, Rate
from ser_engine.training.head_tasks import LAYER_RATE
from ser_engine.training.system import Prepared, Task, digest

STATISTICS = "mean and deviation over time of all layers of Whisper-base's encoder, frozen"

Copies = dict[str, list[Encoding | None]]
"""The encodings of all clips, as they are under "" and degraded under the name of each degradation."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StatisticsConfig(heads.HeadTrainingConfig):
    """An experiment with heads on the frozen encoder.

    Attributes
    ----------
    members, mixtures, attentive : see `whisper_statistics.HeadConfig`
    epochs, batch, learning_rate : training of the heads on statistics
    """

    members: Count = 5
    mixtures: Count = 1
    attentive: Annotated[int, Field(ge=0, le=1000)] = 0
    epochs: Count = 40
    batch: Count = 64
    learning_rate: Rate = 1e-3


class WhisperStatisticsSystem(heads.HeadSystem[StatisticsConfig, Copies, Head]):
    """Heads on statistics and on frames of the frozen encoder."""

    config_class = StatisticsConfig

    @property
    def inputs(self) -> str:
        """The statistics, and frames if there are attentive pooling heads."""
        return f"{STATISTICS}, and frames of its lower layers" if self.config.attentive else STATISTICS

    def prepare(self, clips: Clips) -> Prepared[Copies]:
        """Encode every clip as it is and under every degradation."""
        copies = heads.encode_copies(encode_clips, clips, self.config, self.settings)
        arrays = (array for encodings in copies.values() for one in encodings if one is not None for array in one)
        return Prepared(clips, copies, digest(arrays=arrays))

    def prepare_external(self, clips: Clips) -> Prepared[Copies]:
        """Encode every clip as it is."""
        return Prepared(clips, {"": encode_clips(clips.paths, self.settings)}, "")

    def fit(self, prepared: Prepared[Copies], task: Task) -> Head:
        """Train an ensemble on the clips with speech and their augmented copies."""
        rows, copies = heads.training_copies(prepared.features, self.config.augmentation, task.train)
        targets = heads.smoothed_targets(prepared.clips, rows, self.config)
        weights = heads.sampling_weights(prepared.clips, rows, self.config)
        return train_head(copies, targets, weights, self.config, task.state.history(task.number, task.name))

    def predict(self, fitted: Head, prepared: Prepared[Copies], rows: Rows) -> Outputs:
        """Return log-probabilities of the clips as they are and under every degradation."""
        compute = partial(log_probabilities, fitted)
        return heads.predict_copies(compute, prepared.features, rows, len(prepared.clips.order))

    def embed(self, fitted: Head, prepared: Prepared[Copies], rows: Rows) -> dict[str, NDArray[np.float32]]:
        """Return the mean of the layers' statistics, and the input of the heads' last layers."""
        encodings = prepared.features[""]
        shape = fitted.config
        width = shape.hidden * (shape.members + shape.attentive)
        return {
            "encoder": heads.at_speech(mean_of_layers, encodings, rows, 2 * shape.width),
            "model": heads.at_speech(partial(_by_length, fitted.embed), encodings, rows, width),
        }

    def export(self, fitted: Head, prepared: Prepared[Copies], temperature: float) -> WhisperStatistics:
        """Return the head and the encoder as a model."""
        encoder = shared_whisper(replace(self.settings, whisper="base")).encoder
        return WhisperStatistics(self.config.id, prepared.clips.order, fitted, encoder, temperature)

    def training_files(self, prepared: Prepared[Copies]) -> list[Path]:
        """Return the recordings with speech."""
        return [path for path, one in zip(prepared.clips.paths, prepared.features[""], strict=True) if one is not None]


def train_head(
    copies: Sequence[Sequence[Encoding]],
    targets: NDArray[np.float32],
    weights: NDArray[np.float64],
    config: StatisticsConfig,
    record: heads.Record | None = None,
) -> Head:
    """Train every member of an ensemble.

    `copies` are the encodings of n clips as they are, then of each augmented copy of them; `targets` float32 [n,
    labels] are distributions, `weights` [n] those of sampling; `record` is called after each epoch of each member.
    """
    plain = copies[0]
    statistics = _stack_statistics(plain).numpy()
    _, layers, _, width = statistics.shape
    shape = HeadConfig(
        targets.shape[1], layers, width, config.hidden, config.members, config.mixtures, config.dropout,
        config.attentive, config.projection, config.attention_heads,
    )  # fmt: skip
    torch.manual_seed(config.seed)
    head = Head(shape)
    head.mean.copy_(torch.from_numpy(statistics.mean(axis=0)))
    head.scale.copy_(torch.from_numpy(1.0 / (statistics.std(axis=0) + 1e-3)))
    distributions = torch.from_numpy(targets)
    inputs = torch.stack([head.standardize(_stack_statistics(encodings)) for encodings in copies])
    for number, member in enumerate(head.stats_heads()):
        heads.train_member(_StatisticsTask(member, inputs, config), distributions, weights, config, number, record)
    if attending := head.attentive_heads():
        frames = np.concatenate([encoding.frames for encoding in plain])
        head.frame_mean.copy_(torch.from_numpy(frames.mean(axis=0, dtype=np.float32)))
        head.frame_scale.copy_(torch.from_numpy(1.0 / (frames.std(axis=0, dtype=np.float32) + 1e-3)))
        for number, attentive in enumerate(attending, start=config.members):
            task = _FramesTask(attentive, head, copies, config)
            heads.train_member(task, distributions, weights, config, number, record)
    return head.eval()


def _stack_statistics(encodings: Sequence[Encoding]) -> Tensor:
    """Return the statistics of n clips, float32 [n, layers, 2, width]."""
    return torch.from_numpy(np.stack([encoding.statistics for encoding in encodings]).astype(np.float32))


class _StatisticsTask(heads.MemberTask):
    """Training of a head on statistics, float32 [copies, n, layers, 2, width]."""

    member: StatsHead

    def __init__(self, member: StatsHead, inputs: Tensor, config: StatisticsConfig) -> None:
        self.member, self.inputs = member, inputs
        self.copies = len(inputs) - 1
        self.epochs, self.batch = config.epochs, config.batch
        self.rates = [LAYER_RATE * config.learning_rate, config.learning_rate]
        self.groups: list[dict[str, Any]] = [
            {"params": [member.layer_logits], "weight_decay": 0.0},
            {"params": member.classifier.parameters(), "weight_decay": config.weight_decay},
        ]

    def batches(self, order: Rows, copy: Rows, rng: np.random.Generator) -> list[Rows]:
        """Return the rows of an epoch in batches: statistics have one length."""
        return np.array_split(order, -(-len(order) // self.batch))

    def pool(self, rows: Rows, copy: Rows) -> Tensor:
        """Return the weighted layers; mixup of them equals mixup of the inputs at an eighth of the work."""
        return self.member.mix_layers(self.inputs[copy, rows])


class _FramesTask(heads.MemberTask):
    """Training of an attentive pooling head on frames."""

    member: AttentivePoolingHead

    def __init__(
        self, member: AttentivePoolingHead, head: Head, copies: Sequence[Sequence[Encoding]], config: StatisticsConfig
    ) -> None:
        self.member, self.head, self.encodings = member, head, copies
        self.copies = len(copies) - 1
        self.epochs, self.batch = config.attentive_epochs, config.attentive_batch
        self.rates = [config.attentive_learning_rate]
        self.groups: list[dict[str, Any]] = [{"params": member.parameters(), "weight_decay": config.weight_decay}]
        self.lengths = np.array([[len(encoding.frames) for encoding in encodings] for encodings in copies])

    def pool(self, rows: Rows, copy: Rows) -> Tensor:
        """Return the pooled frames of each clip."""
        _, frames, present = collate([self.encodings[which][row] for which, row in zip(copy, rows, strict=True)])
        return self.member.pool(self.head.standardize_frames(frames), present)


def log_probabilities(head: Head, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
    """Return float32 [n, labels] for n encodings."""
    return _by_length(head, encodings)


def mean_of_layers(encodings: Sequence[Encoding]) -> NDArray[np.float32]:
    """Return float32 [n, 2 · width], the mean of the layers' statistics of n encodings."""
    return np.stack([encoding.statistics.mean(axis=0, dtype=np.float32).ravel() for encoding in encodings])


def _by_length(
    compute: Callable[[Tensor, Tensor, Tensor], Tensor], encodings: Sequence[Encoding]
) -> NDArray[np.float32]:
    """Return what is computed of n encodings, in batches of similar length, in their order."""
    order = np.argsort([len(encoding.frames) for encoding in encodings])
    batches = np.array_split(order, -(-len(encodings) // heads.SCORED))
    with torch.inference_mode():
        results = [compute(*collate([encodings[row] for row in rows])) for rows in batches]
    values: NDArray[np.float32] = torch.cat(results).numpy()[np.argsort(order)]
    return values


SYSTEM = WhisperStatisticsSystem

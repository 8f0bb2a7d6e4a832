"""Heads on Whisper's encoder, whose log-probabilities are averaged.

Heads on statistics weight the layers' means and deviations over time. Attentive heads pool frames of 40 ms; the frozen
ones share the frames that the encoder computes, tuned ones send the output of its lower blocks through copies of the
next blocks, which were trained together with the head.

Where the speaker's calm voice is known, all states are shifted by how far it is from the voice of the average speaker.
A short baseline is mostly chance, so that it is shrunk (Efron and Morris, 1975): one of `PRIOR_S` counts half.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from whisper.model import AudioEncoder

from ser_engine.errors import WeightsUnavailable
from ser_engine.features.encoder import (
    BLOCKS,
    FRAME_LAYERS,
    LOWER_BLOCKS,
    STATISTICS,
    Encoding,
    compute_long_states,
    pool_states,
)
from ser_engine.models.batching import map_alike
from ser_engine.models.quantization import quantize
from ser_engine.models.store import read_config, read_tensors, write_config, write_tensors
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_statistics import (
    ENCODER,
    AttentivePoolingHead,
    HeadConfig,
    StatsHead,
    WhisperEncoderModel,
)
from ser_engine.settings import Settings
from ser_engine.types import Baseline, CleanSpeech

ARCHITECTURE = "whisper-heads"
PRIOR_S = 20.0
"""Seconds of speech from which a baseline counts more than the average speaker."""
TUNED_BATCH = 64
"""Clips that tuned blocks process at a time."""
CHUNK = 250
"""Frames of 40 ms that tuned blocks process at a time: clips of acted speech are no longer."""
POPULATION = "population"
"""Name of the average speaker's states among the weights."""
# Entries of config.json that `save` writes itself; the others are the card.
WRITTEN = ("id", "architecture", "encoder", "labels", "heads", "temperature", "weights")


@dataclass(frozen=True)
class Shape:
    """The shape of one head and the widths of its layers.

    `mixes` layer mixes make it a head on statistics; 0 makes it an attentive one, of which `blocks` are fine-tuned.
    """

    labels: int
    blocks: int = 0
    width: int = 512
    projection: int = 256
    attention_heads: int = 4
    hidden: int = 256
    dropout: float = 0.5
    mixes: int = 0

    @property
    def head(self) -> HeadConfig:
        """The shape of the layers."""
        return HeadConfig(
            labels=self.labels,
            layers=BLOCKS + 1,
            width=self.width,
            hidden=self.hidden,
            layer_mixes=max(1, self.mixes),
            dropout=self.dropout,
            projection=self.projection,
            attention_heads=self.attention_heads,
        )


class Member(nn.Module, ABC):
    """One head with its standardization of what it pools."""

    head: StatsHead | AttentivePoolingHead

    @property
    def classifier(self) -> nn.Sequential:
        """The layers from pooled vectors to logits."""
        return self.head.classifier

    @abstractmethod
    def pool_encodings(self, encodings: Sequence[Encoding]) -> Tensor:
        """Return pooled vectors [batch, pooled] for encodings of one length."""

    def embed(self, encodings: Sequence[Encoding]) -> Tensor:
        """Return the input of the last layer, [batch, hidden], for encodings of one length."""
        embedded: Tensor = self.classifier[:-1](self.pool_encodings(encodings))
        return embedded

    def forward(self, encodings: Sequence[Encoding]) -> Tensor:
        """Return log-probabilities [batch, labels] for encodings of one length."""
        logits: Tensor = self.classifier[-1](self.embed(encodings))
        return logits.log_softmax(dim=1)


class StatisticsMember(Member):
    """A head on the statistics of the layers."""

    head: StatsHead
    mean: Tensor
    scale: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        layers = (shape.head.layers, len(STATISTICS), shape.width)
        self.register_buffer("mean", torch.zeros(layers))
        self.register_buffer("scale", torch.ones(layers))
        self.head = StatsHead(shape.head)

    def pool(self, statistics: Tensor) -> Tensor:
        """Map statistics [batch, layers, 2, width] to pooled vectors [batch, pooled]."""
        return self.head.mix_layers((statistics - self.mean) * self.scale)

    def pool_encodings(self, encodings: Sequence[Encoding]) -> Tensor:
        """Return pooled vectors [batch, pooled]."""
        statistics = torch.from_numpy(np.stack([one.statistics for one in encodings])).float()
        return self.pool(statistics.to(self.mean.device))


class AttentiveMember(Member):
    """A head that pools frames, with its own blocks if it is tuned.

    Parameters
    ----------
    encoder : its blocks from `LOWER_BLOCKS` + 1 on are copied
    shape : see `Shape`
    """

    head: AttentivePoolingHead
    frame_mean: Tensor
    frame_scale: Tensor

    def __init__(self, encoder: AudioEncoder, shape: Shape) -> None:
        super().__init__()
        chosen = list(encoder.blocks)[LOWER_BLOCKS : LOWER_BLOCKS + shape.blocks]
        self.blocks = nn.ModuleList(copy.deepcopy(chosen)).requires_grad_(True)
        self.register_buffer("frame_mean", torch.zeros(shape.width))
        self.register_buffer("frame_scale", torch.ones(shape.width))
        self.head = AttentivePoolingHead(shape.head)

    def frames(self, lower: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Map states [batch, t, width] of the lower blocks to frames of the same shape by the head's own blocks.

        A frame is the mean of the input and of each block's output. Where bool `hidden` [batch, t] is true, the blocks
        get zeros.
        """
        total, x = lower, lower if hidden is None else lower.masked_fill(hidden[..., None], 0)
        for block in self.blocks:
            x = block(x)
            total = total + x
        return total / (1 + len(self.blocks))

    def pool(self, frames: Tensor) -> Tensor:
        """Map frames [batch, t, width] to pooled vectors [batch, pooled]."""
        present = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        return self.head.pool((frames - self.frame_mean) * self.frame_scale, present)

    def input_frames(self, encodings: Sequence[Encoding]) -> list[NDArray[np.floating[Any]]]:
        """Return the frames [t, width] that the head pools: those of each encoding, or of the head's own blocks."""
        if not len(self.blocks):
            return [one.frames for one in encodings]

        def compute(batch: list[NDArray[Any]]) -> NDArray[Any]:
            lower = torch.from_numpy(np.stack(batch)).float().to(self.frame_mean.device)
            pieces = lower.tensor_split(-(-lower.shape[1] // CHUNK), dim=1)
            frames = torch.cat([self.frames(piece) for piece in pieces], dim=1)
            return frames.cpu().numpy().astype(batch[0].dtype)

        with torch.inference_mode():
            return map_alike(compute, [one.lower for one in encodings], len, TUNED_BATCH)

    def pool_encodings(self, encodings: Sequence[Encoding]) -> Tensor:
        """Return pooled vectors [batch, pooled] for encodings of one length."""
        frames = torch.from_numpy(np.stack(self.input_frames(encodings))).float()
        return self.pool(frames.to(self.frame_mean.device))


def build_member(encoder: AudioEncoder, shape: Shape) -> Member:
    """Return an untrained head."""
    return StatisticsMember(shape) if shape.mixes else AttentiveMember(encoder, shape)


def shift(encoding: Encoding, by: NDArray[np.floating[Any]]) -> Encoding:
    """Return an encoding of float32 whose states are less by [states, width] at every time."""
    statistics = np.array(encoding.statistics, np.float32)
    statistics[:, 0] -= by
    return Encoding(
        statistics, encoding.frames - by[list(FRAME_LAYERS)].mean(axis=0), encoding.lower - by[LOWER_BLOCKS]
    )


def shrink(seconds: float | NDArray[np.floating[Any]]) -> Any:
    """Return the share, 0 to 1, that a baseline of so many seconds of speech counts."""
    return seconds / (seconds + PRIOR_S)


def mean_log_probs(members: Sequence[Member], encodings: Sequence[Encoding]) -> Tensor:
    """Return the mean of the heads' log-probabilities [batch, labels] for encodings of one length."""
    return torch.stack([member(encodings) for member in members]).mean(dim=0)


class WhisperHeads(WhisperEncoderModel):
    """Heads and temperature as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id, labels, encoder, card : see `WhisperEncoderModel`
    members : trained; their outputs are in the order of the labels
    shapes : those of the members
    population : the average speaker's mean of every state, float32 [states, width]; None for a model that was not
        trained with baselines
    temperature : divisor of the mean log-probabilities, fitted on unseen speakers
    """

    def __init__(
        self,
        id: str,
        labels: tuple[str, ...],
        members: Sequence[Member],
        shapes: Sequence[Shape],
        encoder: AudioEncoder,
        population: NDArray[np.float32] | None = None,
        temperature: float = 1.0,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, labels, encoder, card)
        self.members = [member.eval().requires_grad_(False) for member in members]
        self.shapes, self.population = list(shapes), population
        self.temperature = temperature

    @property
    def blocks(self) -> int:
        """The encoder's blocks that are computed."""
        return BLOCKS

    @property
    def can_calibrate(self) -> bool:
        """Whether the model was trained with baselines."""
        return self.population is not None

    def predict_proba(self, states: Tensor) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of what `features.encoder.long_states` returns."""
        return self.score(pool_states(states[:, : BLOCKS + 1]))

    def score(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] for encodings of one length."""
        with torch.inference_mode():
            log_probs = mean_log_probs(self.members, encodings)
            return np.asarray((log_probs / self.temperature).softmax(dim=1).cpu(), np.float32)

    def score_speech(self, clips: Sequence[CleanSpeech]) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of clips of one length."""
        return self.score([self._relate(*both) for both in zip(self._encode(clips), clips, strict=True)])

    def calibrate(self, speech: CleanSpeech) -> Baseline | None:
        """Return the mean of every state over a speaker's calm speech; None for a model trained without baselines."""
        if self.population is None:
            return None
        (encoding,) = self._encode([speech])
        return Baseline(self.id, np.asarray(encoding.statistics[:, 0], np.float32), speech.duration_s)

    def _encode(self, clips: Sequence[CleanSpeech]) -> list[Encoding]:
        samples = np.stack([clip.samples for clip in clips])
        return pool_states(compute_long_states(self.encoder, samples, self.blocks))

    def _relate(self, encoding: Encoding, speech: CleanSpeech) -> Encoding:
        """Return an encoding relative to the speaker's baseline, where one that this model made is known."""
        known = speech.baseline
        if known is None or self.population is None or not self.accepts(known):
            return encoding
        return shift(encoding, shrink(known.speech_s) * (known.mean - self.population))

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (matrices in 8 bits) into `folder`."""
        tensors = nn.ModuleList(self.members).state_dict()
        if self.population is not None:
            tensors[POPULATION] = torch.from_numpy(self.population)
        checksum = write_tensors(folder, quantize(tensors, keep=[name for name in tensors if name == POPULATION]))
        config = {
            "id": self.id,
            "architecture": ARCHITECTURE,
            "encoder": ENCODER,
            "labels": list(self.labels),
            "heads": [asdict(shape) for shape in self.shapes],
            "temperature": self.temperature,
            **self.card,
            "weights": {"model.safetensors": checksum},
        }
        write_config(folder, config)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> WhisperHeads:
        """Read what `save` wrote, and the encoder that it refers to.

        Raise WeightsUnavailable as `Model.load` does, also for the encoder's files.
        """
        config, tensors = read_config(folder), read_tensors(folder)
        encoder = shared_whisper(replace(settings, whisper="base")).encoder
        try:
            id, labels, temperature = config["id"], tuple(config["labels"]), float(config["temperature"])
            shapes = [Shape(**shape) for shape in config["heads"]]
            members = [build_member(encoder, shape).to(encoder.conv1.weight.device) for shape in shapes]
            population = tensors.pop(POPULATION, None)
            nn.ModuleList(members).load_state_dict(tensors)
            if config["encoder"] != ENCODER or not members or not 0 < temperature < math.inf:
                raise ValueError
            if any(shape.labels != len(labels) for shape in shapes):
                raise ValueError
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        mean = None if population is None else population.numpy()
        return cls(id, labels, members, shapes, encoder, mean, temperature, card)

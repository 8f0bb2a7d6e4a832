"""An ensemble of small heads on the layers of Whisper's frozen encoder.

Whisper's first layers represent how something is said, its last what is said (EmoBox and our own measurements agree
that the last is the worst for emotion). So some heads learn weights of each layer's statistics over time, and others
pool frames of the first layers by attention. Their errors differ, which makes their average better than either kind.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from whisper.model import AudioEncoder

from ser_engine.errors import WeightsUnavailable
from ser_engine.features.encoder import BLOCKS, STATISTICS, Encoding, compute_long_states, pool_states
from ser_engine.models.base import Model
from ser_engine.models.batching import map_alike
from ser_engine.models.store import read_config, read_tensors, write_config, write_tensors
from ser_engine.models.whisper import shared_whisper
from ser_engine.settings import Settings
from ser_engine.types import CleanSpeech, Prediction, Scores, Transcript

ENCODER = "whisper-base"
# Attention sees a frame with its neighbors, 0.2 s in all.
NEIGHBORS, GROUPS = 5, 8
FRAME_DROPOUT = 0.3
BATCH = 8
# Entries of config.json that `save` writes itself; the others are the card.
WRITTEN = ("id", "architecture", "encoder", "labels", "head", "temperature", "weights")


@dataclass(frozen=True)
class HeadConfig:
    """The shape of an ensemble of heads, trained from different seeds, whose log-probabilities are averaged.

    `members` heads classify the concatenated statistics of `layer_mixes` weighted means of the layers; `attentive`
    heads pool frames, projected to `projection` numbers, by `attention_heads` attention heads. Both kinds have the
    same weight, however many heads there are of each.
    """

    labels: int
    layers: int = 8
    width: int = 512
    hidden: int = 256
    members: int = 5
    layer_mixes: int = 1
    dropout: float = 0.3
    attentive: int = 0
    projection: int = 256
    attention_heads: int = 4


class StatsHead(nn.Module):
    """Layer mixes of statistics, layer normalization, one hidden layer, one logit a label."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        # Random, so that the mixes differ from each other.
        self.layer_logits = nn.Parameter(torch.randn(config.layer_mixes, len(STATISTICS), config.layers))
        size = config.layer_mixes * len(STATISTICS) * config.width
        self.classifier = _classifier(size, config)

    def mix_layers(self, features: Tensor) -> Tensor:
        """Map standardized statistics [batch, layers, 2, width] to weighted means [batch, layer_mixes · 2 width]."""
        return torch.einsum("blsw,ksl->bksw", features, self.layer_logits.softmax(dim=2)).flatten(1)

    def forward(self, features: Tensor) -> Tensor:
        """Map standardized statistics [batch, layers, 2, width] to logits [batch, labels]."""
        logits: torch.Tensor = self.classifier(self.mix_layers(features))
        return logits


class AttentivePoolingHead(nn.Module):
    """Attentive statistics pooling (Okabe et al., 2018) next to plain statistics of frames, and one hidden layer.

    Each attention head weights the frames of a recording. The pooled vector holds the weighted means and deviations of
    the projected frames, and the plain ones of the frames themselves.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.projection
        self.project = nn.Sequential(nn.Linear(config.width, inner), nn.GELU(), nn.Dropout(FRAME_DROPOUT))
        self.near = nn.Conv1d(inner, inner, NEIGHBORS, padding="same", groups=GROUPS)
        self.attend = nn.Sequential(
            nn.Linear(inner, inner // 4), nn.Tanh(), nn.Linear(inner // 4, config.attention_heads)
        )
        size = len(STATISTICS) * (config.attention_heads * inner + config.width)
        self.classifier = _classifier(size, config)

    def pool(self, frames: Tensor, present: Tensor) -> Tensor:
        """Map standardized frames [batch, t, width] to [batch, 2 · (heads · projection + width)].

        `present` is bool [batch, t], false after a recording's end; every recording has at least one frame.
        """
        projected = self.project(frames) * present[..., None]
        projected = projected + functional.gelu(self.near(projected.transpose(1, 2))).transpose(1, 2)
        shares = self.attend(projected).masked_fill(~present[..., None], -torch.inf).softmax(dim=1)
        even = (present / present.sum(dim=1, keepdim=True))[..., None]
        return torch.cat([_mean_and_deviation(projected, shares), _mean_and_deviation(frames, even)], dim=1)

    def forward(self, frames: Tensor, present: Tensor) -> Tensor:
        """Map standardized frames [batch, t, width] to logits [batch, labels]."""
        logits: torch.Tensor = self.classifier(self.pool(frames, present))
        return logits


def _classifier(size: int, config: HeadConfig) -> nn.Sequential:
    """Return the layers from `size` numbers to logits."""
    return nn.Sequential(
        nn.LayerNorm(size),
        nn.Dropout(config.dropout),
        nn.Linear(size, config.hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, config.labels),
    )


def _mean_and_deviation(frames: Tensor, shares: Tensor) -> Tensor:
    """Return both of [batch, t, width], weighted by `shares` [batch, t, heads], as [batch, 2 · heads · width]."""
    mean = torch.einsum("bth,btw->bhw", shares, frames)
    square = torch.einsum("bth,btw->bhw", shares, frames * frames)
    deviation = (square - mean**2).clamp(min=1e-5).sqrt()
    return torch.cat([mean.flatten(1), deviation.flatten(1)], dim=1)


def mean_log_probs(heads: Iterable[nn.Module], *inputs: Tensor) -> Tensor:
    """Return the mean of the heads' log-probabilities [batch, labels] of the same inputs."""
    return torch.stack([head(*inputs).log_softmax(dim=1) for head in heads]).mean(dim=0)


class Head(nn.Module):
    """An ensemble of heads on standardized statistics and standardized frames."""

    mean: Tensor
    scale: Tensor
    frame_mean: Tensor
    frame_scale: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.layers, len(STATISTICS), config.width)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.members = nn.ModuleList(StatsHead(config) for _ in range(config.members))
        if config.attentive:
            self.register_buffer("frame_mean", torch.zeros(config.width))
            self.register_buffer("frame_scale", torch.ones(config.width))
        self.attentive = nn.ModuleList(AttentivePoolingHead(config) for _ in range(config.attentive))

    def stats_heads(self) -> list[StatsHead]:
        """Return the heads on statistics."""
        return [head for head in self.members if isinstance(head, StatsHead)]

    def attentive_heads(self) -> list[AttentivePoolingHead]:
        """Return the attentive pooling heads."""
        return [head for head in self.attentive if isinstance(head, AttentivePoolingHead)]

    def standardize(self, features: Tensor) -> Tensor:
        """Return statistics [batch, layers, 2, width] centered and scaled by the training set's mean and deviation."""
        return (features - self.mean) * self.scale

    def standardize_frames(self, frames: Tensor) -> Tensor:
        """Return frames [batch, t, width] centered and scaled by the training set's mean and deviation."""
        return (frames - self.frame_mean) * self.frame_scale

    def forward(self, statistics: Tensor, frames: Tensor, present: Tensor) -> Tensor:
        """Map what `collate` returns to log-probabilities [batch, labels], averaged by kind of head, then over both."""
        log_probs = []
        if self.members:
            log_probs.append(mean_log_probs(self.members, self.standardize(statistics)))
        if self.attentive:
            log_probs.append(mean_log_probs(self.attentive, self.standardize_frames(frames), present))
        return torch.stack(log_probs).mean(dim=0).log_softmax(dim=1)

    def embed(self, statistics: Tensor, frames: Tensor, present: Tensor) -> Tensor:
        """Map what `collate` returns to [batch, hidden · heads], the inputs of all heads' last layers."""
        standard = self.standardize(statistics)
        pooled = [(head.classifier, head.mix_layers(standard)) for head in self.stats_heads()]
        if attentive_heads := self.attentive_heads():
            frames = self.standardize_frames(frames)
            pooled += [(head.classifier, head.pool(frames, present)) for head in attentive_heads]
        return torch.cat([classifier[:-1](vectors) for classifier, vectors in pooled], dim=1)


def collate(encodings: Sequence[Encoding]) -> tuple[Tensor, Tensor, Tensor]:
    """Batch encodings: statistics [batch, layers, 2, width], frames [batch, t, width], mask bool [batch, t].

    Shorter recordings are padded with zeros, where the mask is false.
    """
    statistics = torch.from_numpy(np.stack([one.statistics for one in encodings]).astype(np.float32))
    frames = nn.utils.rnn.pad_sequence([torch.from_numpy(one.frames) for one in encodings], batch_first=True).float()
    lengths = torch.tensor([len(one.frames) for one in encodings])
    return statistics, frames, torch.arange(frames.shape[1]) < lengths[:, None]


class WhisperEncoderModel(Model):
    """A `Model` on the hidden states of Whisper-base's encoder.

    Parameters
    ----------
    id, labels, card : see `Model`
    encoder : Whisper-base's audio encoder, float32, in evaluation mode
    """

    def __init__(
        self, id: str, labels: tuple[str, ...], encoder: AudioEncoder, card: dict[str, Any] | None = None
    ) -> None:
        super().__init__(id, labels, card)
        self.encoder = encoder

    @property
    def device(self) -> str:
        """Where the encoder computes, as torch names it."""
        return str(self.encoder.conv1.weight.device)

    @property
    def blocks(self) -> int | None:
        """How many of the encoder's blocks are computed; None for all, and the normalized last output."""
        return None

    @abstractmethod
    def predict_proba(self, states: Tensor) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of what `features.encoder.long_states` returns."""

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording; those of equal length are encoded together."""
        rows = map_alike(self.score_speech, batch, lambda speech: len(speech.samples), BATCH)
        return [Prediction(Scores(self.labels, row)) for row in rows]

    def score_speech(self, clips: Sequence[CleanSpeech]) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of clips of one length."""
        samples = np.stack([clip.samples for clip in clips])
        return self.predict_proba(compute_long_states(self.encoder, samples, self.blocks))


class WhisperStatistics(WhisperEncoderModel):
    """Encoder, head and temperature as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id, labels, encoder, card : see `WhisperEncoderModel`
    head : trained; its outputs are in the order of the labels
    temperature : divisor of the log-probabilities, fitted on unseen speakers
    """

    def __init__(
        self,
        id: str,
        labels: tuple[str, ...],
        head: Head,
        encoder: AudioEncoder,
        temperature: float = 1.0,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, labels, encoder, card)
        self.head = head.eval()
        self.temperature = temperature

    @property
    def blocks(self) -> int | None:
        """As many blocks as the head has statistics of; None for all."""
        return BLOCKS if self.head.config.layers == BLOCKS + 1 else None

    def predict_proba(self, states: Tensor) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of what `features.encoder.long_states` returns."""
        return self.score(pool_states(states))

    def score(self, encoded: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of encoded recordings."""
        with torch.inference_mode():
            logits = self.head(*collate(encoded)) / self.temperature
            return np.asarray(logits.softmax(dim=1))

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (the head in float16) into `folder`."""
        tensors = {name: tensor.half().contiguous() for name, tensor in self.head.state_dict().items()}
        checksum = write_tensors(folder, tensors)
        config = {
            "id": self.id,
            "architecture": "whisper-statistics",
            "encoder": ENCODER,
            "labels": list(self.labels),
            "head": asdict(self.head.config),
            "temperature": self.temperature,
            **self.card,
            "weights": {"model.safetensors": checksum},
        }
        write_config(folder, config)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> WhisperStatistics:
        """Read what `save` wrote, and the encoder that it refers to.

        Raise WeightsUnavailable as `Model.load` does, also for the encoder's files.
        """
        config, tensors = read_config(folder), read_tensors(folder)
        try:
            id, labels, temperature = config["id"], tuple(config["labels"]), float(config["temperature"])
            head = Head(HeadConfig(**config["head"]))
            head.load_state_dict(tensors)
            if (config["encoder"], len(labels)) != (ENCODER, head.config.labels) or not 0 < temperature < math.inf:
                raise ValueError
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None
        encoder = shared_whisper(replace(settings, whisper="base")).encoder
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        return cls(id, labels, head, encoder, temperature, card)

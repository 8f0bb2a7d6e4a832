"""The default model: a small head on statistics over time of the layers of Whisper's frozen encoder.

Whisper's first layers hear how something is said, its last what is said (EmoBox and our own measurements agree that
the last is the worst for emotion). So some members of the head learn how much of each layer's statistics they want, and
others attend to moments of its first layers. They err differently, which makes their average better than either.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
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
from ser_engine.features.encoder import STATISTICS, Encoding, compute_long_states, pool_states
from ser_engine.models import store as weights
from ser_engine.models.base import Model
from ser_engine.settings import Settings
from ser_engine.types import CleanSpeech, Prediction, Scores, Transcript

ENCODER = "whisper-base"
# A moment is heard with its neighbours, 0.2 s in all.
NEIGHBOURS, GROUPS = 5, 8
FRAME_DROPOUT = 0.3
BATCH = 8
# What `save` itself writes into config.json; the rest is the card.
WRITTEN = ("id", "architecture", "encoder", "labels", "head", "temperature", "weights")


@dataclass(frozen=True)
class HeadConfig:
    """The shape of a head: classifiers, trained from different seeds, whose log-opinions are averaged.

    `members` of them weigh the layers in `mixtures` different ways and look at the statistics of all of them side by
    side; `attentive` more look at frames, projected to `projection` numbers, through `attention_heads` ways to attend.
    Both kinds have the same say, however many there are of each.
    """

    labels: int
    layers: int = 8
    width: int = 512
    hidden: int = 256
    members: int = 5
    mixtures: int = 1
    dropout: float = 0.3
    attentive: int = 0
    projection: int = 256
    attention_heads: int = 4


class Member(nn.Module):
    """Weigh the layers, normalise, one hidden layer, one logit a label."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        # Random, so that the mixtures differ from each other.
        self.layer_logits = nn.Parameter(torch.randn(config.mixtures, len(STATISTICS), config.layers))
        size = config.mixtures * len(STATISTICS) * config.width
        self.classifier = _classifier(size, config)

    def weigh(self, features: Tensor) -> Tensor:
        """Map standardised statistics [batch, layers, 2, width] to weighted means [batch, mixtures · 2 width]."""
        return torch.einsum("blsw,ksl->bksw", features, self.layer_logits.softmax(dim=2)).flatten(1)

    def forward(self, features: Tensor) -> Tensor:
        """Map standardised statistics [batch, layers, 2, width] to logits [batch, labels]."""
        return self.classifier(self.weigh(features))


class AttentiveMember(nn.Module):
    """Attentive statistics pooling (Okabe et al., 2018) beside plain statistics of frames, and one hidden layer.

    Each head of the attention weighs the moments of a recording; what is kept of it are the weighted mean and deviation
    of its projected frames, and the plain ones of the frames as they are.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.projection
        self.project = nn.Sequential(nn.Linear(config.width, inner), nn.GELU(), nn.Dropout(FRAME_DROPOUT))
        self.near = nn.Conv1d(inner, inner, NEIGHBOURS, padding="same", groups=GROUPS)
        self.attend = nn.Sequential(
            nn.Linear(inner, inner // 4), nn.Tanh(), nn.Linear(inner // 4, config.attention_heads)
        )
        size = len(STATISTICS) * (config.attention_heads * inner + config.width)
        self.classifier = _classifier(size, config)

    def pool(self, frames: Tensor, present: Tensor) -> Tensor:
        """Map standardised frames [batch, t, width] to [batch, 2 · (heads · projection + width)].

        `present` is bool [batch, t], false where a recording has ended; every recording has a frame.
        """
        projected = self.project(frames) * present[..., None]
        projected = projected + functional.gelu(self.near(projected.transpose(1, 2))).transpose(1, 2)
        shares = self.attend(projected).masked_fill(~present[..., None], -torch.inf).softmax(dim=1)
        even = (present / present.sum(dim=1, keepdim=True))[..., None]
        return torch.cat([_mean_and_deviation(projected, shares), _mean_and_deviation(frames, even)], dim=1)

    def forward(self, frames: Tensor, present: Tensor) -> Tensor:
        """Map standardised frames [batch, t, width] to logits [batch, labels]."""
        return self.classifier(self.pool(frames, present))


def _classifier(size: int, config: HeadConfig) -> nn.Sequential:
    """Return what makes logits of `size` numbers."""
    return nn.Sequential(
        nn.LayerNorm(size),
        nn.Dropout(config.dropout),
        nn.Linear(size, config.hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, config.labels),
    )


def _mean_and_deviation(frames: Tensor, shares: Tensor) -> Tensor:
    """Return both of [batch, t, width], weighed by `shares` [batch, t, heads], as [batch, 2 · heads · width]."""
    mean = torch.einsum("bth,btw->bhw", shares, frames)
    square = torch.einsum("bth,btw->bhw", shares, frames * frames)
    deviation = (square - mean**2).clamp(min=1e-5).sqrt()
    return torch.cat([mean.flatten(1), deviation.flatten(1)], dim=1)


class Head(nn.Module):
    """An ensemble of members behind one standardisation of the statistics, and one of the frames."""

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
        self.members = nn.ModuleList(Member(config) for _ in range(config.members))
        if config.attentive:
            self.register_buffer("frame_mean", torch.zeros(config.width))
            self.register_buffer("frame_scale", torch.ones(config.width))
        self.attentive = nn.ModuleList(AttentiveMember(config) for _ in range(config.attentive))

    def trainable(self) -> list[Member]:
        """Return the members that look at statistics, to be trained one by one."""
        return [member for member in self.members if isinstance(member, Member)]

    def attending(self) -> list[AttentiveMember]:
        """Return the members that attend to frames, to be trained one by one."""
        return [member for member in self.attentive if isinstance(member, AttentiveMember)]

    def standardise(self, features: Tensor) -> Tensor:
        """Return statistics [batch, layers, 2, width] with the training set's mean and deviation taken out."""
        return (features - self.mean) * self.scale

    def standardise_frames(self, frames: Tensor) -> Tensor:
        """Return frames [batch, t, width] with the training set's mean and deviation taken out."""
        return (frames - self.frame_mean) * self.frame_scale

    def forward(self, statistics: Tensor, frames: Tensor, present: Tensor) -> Tensor:
        """Map what `collate` returns to log-probabilities [batch, labels], the average of the members' opinions."""
        kinds = []
        if members := self.trainable():
            standard = self.standardise(statistics)
            kinds.append(torch.stack([member(standard).log_softmax(dim=1) for member in members]).mean(dim=0))
        if attending := self.attending():
            standard = self.standardise_frames(frames)
            kinds.append(
                torch.stack([member(standard, present).log_softmax(dim=1) for member in attending]).mean(dim=0)
            )
        return torch.stack(kinds).mean(dim=0).log_softmax(dim=1)

    def embed(self, statistics: Tensor, frames: Tensor, present: Tensor) -> Tensor:
        """Map what `collate` returns to [batch, hidden · members], what every member's last layer is given."""
        standard = self.standardise(statistics)
        pooled: list[tuple[Member | AttentiveMember, Tensor]] = [
            (member, member.weigh(standard)) for member in self.trainable()
        ]
        if attending := self.attending():
            frames = self.standardise_frames(frames)
            pooled += [(member, member.pool(frames, present)) for member in attending]
        return torch.cat([member.classifier[:-1](given) for member, given in pooled], dim=1)


def collate(encodings: Sequence[Encoding]) -> tuple[Tensor, Tensor, Tensor]:
    """Return encodings side by side: statistics [batch, layers, 2, width], frames [batch, t, width], bool [batch, t].

    Shorter ones are filled up with zeros, and the last of the three is false there.
    """
    statistics = torch.from_numpy(np.stack([one.statistics for one in encodings]).astype(np.float32))
    frames = nn.utils.rnn.pad_sequence([torch.from_numpy(one.frames) for one in encodings], batch_first=True).float()
    lengths = torch.tensor([len(one.frames) for one in encodings])
    return statistics, frames, torch.arange(frames.shape[1]) < lengths[:, None]


class WhisperEncoderModel(Model):
    """A `Model` on the hidden states of Whisper-base's encoder.

    Parameters
    ----------
    id : name of the model
    labels : emotions in the order of the scores
    encoder : Whisper-base's audio encoder, float32, in evaluation mode
    card : further entries of config.json (corpora, measured figures)
    """

    def __init__(
        self, id: str, labels: tuple[str, ...], encoder: AudioEncoder, card: dict[str, Any] | None = None
    ) -> None:
        super().__init__(id, labels, card)
        self.encoder = encoder

    @abstractmethod
    def predict_proba(self, states: Tensor) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of what `features.encoder.long_states` returns."""

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording; those of equal length are encoded together."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for i, speech in enumerate(batch):
            by_length[len(speech.samples)].append(i)
        predictions: dict[int, Prediction] = {}
        for rows in by_length.values():
            for first in range(0, len(rows), BATCH):
                chunk = rows[first : first + BATCH]
                states = compute_long_states(self.encoder, np.stack([batch[i].samples for i in chunk]))
                for i, probabilities in zip(chunk, self.predict_proba(states), strict=True):
                    predictions[i] = Prediction(Scores(self.labels, probabilities))
        return [predictions[i] for i in range(len(batch))]


class WhisperStatistics(WhisperEncoderModel):
    """Encoder, head and temperature as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id : name of the model
    labels : emotions in the order of the head's outputs
    head : trained `Head`
    encoder : Whisper-base's audio encoder, float32, in evaluation mode
    temperature : what the log-probabilities are divided by, fitted on speakers that the head had not heard
    card : further entries of config.json (corpora, measured figures)
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

    def predict_proba(self, states: Tensor) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of what `features.encoder.long_states` returns."""
        return self.score(pool_states(states))

    def score(self, encoded: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of encoded recordings."""
        with torch.inference_mode():
            logits = self.head(*collate(encoded)) / self.temperature
            return logits.softmax(dim=1).numpy()

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (the head in float16) into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.half().contiguous() for name, tensor in self.head.state_dict().items()}
        checksum = weights.write_tensors(folder, tensors)
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
        weights.write_config(folder, config)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> WhisperStatistics:
        """Read what `save` wrote, and the encoder that it refers to.

        Raises
        ------
        WeightsUnavailable
            A file of the model or of its encoder is missing, differs from its checksum or does not fit the others.
        """
        config, tensors = weights.read_config(folder), weights.read_tensors(folder)
        try:
            id, labels, temperature = config["id"], tuple(config["labels"]), float(config["temperature"])
            head = Head(HeadConfig(**config["head"]))
            head.load_state_dict(tensors)
            if (config["encoder"], len(labels)) != (ENCODER, head.config.labels) or not 0 < temperature < math.inf:
                raise ValueError
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit the weights beside it.") from None
        encoder = weights.shared_whisper(replace(settings, whisper="base")).encoder
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        return cls(id, labels, head, encoder, temperature, card)

"""The default model: a small head on statistics of all layers of Whisper's frozen encoder.

Whisper's first layers hear how something is said, its last what is said (EmoBox and our own measurements agree that
the last is the worst for emotion), so the head learns how much of each layer it wants.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from whisper.model import AudioEncoder

from ser_engine import weights
from ser_engine.analysis import CleanSpeech, Scores, Transcript
from ser_engine.errors import WeightsUnavailable
from ser_engine.features.encoder import STATISTICS, statistics
from ser_engine.settings import Settings

ENCODER = "whisper-base"
BATCH = 8
# What `save` itself writes into config.json; the rest is the card.
WRITTEN = ("id", "architecture", "encoder", "labels", "head", "temperature", "weights")


@dataclass(frozen=True)
class HeadConfig:
    """The shape of a head: `members` classifiers, trained from different seeds, whose log-opinions are averaged.

    Each weighs the layers in `mixtures` different ways and looks at all of them side by side.
    """

    labels: int
    layers: int = 8
    width: int = 512
    hidden: int = 256
    members: int = 5
    mixtures: int = 1
    dropout: float = 0.3


class Member(nn.Module):
    """Weigh the layers, normalise, one hidden layer, one logit a label."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        # Random, so that the mixtures differ from each other.
        self.layer_logits = nn.Parameter(torch.randn(config.mixtures, len(STATISTICS), config.layers))
        size = config.mixtures * len(STATISTICS) * config.width
        self.classifier = nn.Sequential(
            nn.LayerNorm(size),
            nn.Dropout(config.dropout),
            nn.Linear(size, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.labels),
        )

    def weigh(self, features: Tensor) -> Tensor:
        """Map standardised statistics [batch, layers, 2, width] to weighted means [batch, mixtures · 2 width]."""
        return torch.einsum("blsw,ksl->bksw", features, self.layer_logits.softmax(dim=2)).flatten(1)

    def forward(self, features: Tensor) -> Tensor:
        """Map standardised statistics [batch, layers, 2, width] to logits [batch, labels]."""
        return self.classifier(self.weigh(features))


class Head(nn.Module):
    """An ensemble of members behind one standardisation of the features."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.layers, len(STATISTICS), config.width)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.members = nn.ModuleList(Member(config) for _ in range(config.members))

    def trainable(self) -> list[Member]:
        """Return the members, to be trained one by one."""
        return [member for member in self.members if isinstance(member, Member)]

    def standardise(self, features: Tensor) -> Tensor:
        """Return statistics [batch, layers, 2, width] with the training set's mean and deviation taken out."""
        return (features - self.mean) * self.scale

    def forward(self, features: Tensor) -> Tensor:
        """Map statistics [batch, layers, 2, width] to log-probabilities [batch, labels], the members' average."""
        standard = self.standardise(features)
        opinions = torch.stack([member(standard).log_softmax(dim=1) for member in self.members])
        return opinions.mean(dim=0).log_softmax(dim=1)


class WhisperStatistics:
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
        self.id, self.labels = id, labels
        self.head, self.encoder = head.eval(), encoder
        self.temperature = temperature
        self.card = card or {}

    def predict(self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript] | None = None) -> list[Scores]:
        """Return the scores of each recording; words play no part. Equal lengths are encoded together."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for i, speech in enumerate(batch):
            by_length[len(speech.samples)].append(i)
        scores: dict[int, Scores] = {}
        for rows in by_length.values():
            for first in range(0, len(rows), BATCH):
                some = rows[first : first + BATCH]
                features = statistics(self.encoder, np.stack([batch[i].samples for i in some]))
                for i, probabilities in zip(some, self.score(features), strict=True):
                    scores[i] = Scores(self.labels, probabilities)
        return [scores[i] for i in range(len(batch))]

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map statistics float32 [batch, layers, 2, width] to calibrated probabilities [batch, labels]."""
        with torch.inference_mode():
            logits = self.head(torch.from_numpy(features)) / self.temperature
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

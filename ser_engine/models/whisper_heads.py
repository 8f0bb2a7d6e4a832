"""Attentive pooling heads on Whisper's encoder; some have fine-tuned copies of its blocks.

Each head pools frames of 40 ms by attention. Frozen heads share the frames that the encoder computes; tuned ones send
the output of its lower blocks through copies of the next blocks, which were trained together with the head. The
log-probabilities of all heads are averaged.
"""

from __future__ import annotations

import copy
import math
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
from ser_engine.features.encoder import BLOCKS, LOWER_BLOCKS, Encoding, pool_states
from ser_engine.models.batching import map_alike
from ser_engine.models.quantization import quantize
from ser_engine.models.store import read_config, read_tensors, write_config, write_tensors
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_statistics import ENCODER, AttentivePoolingHead, HeadConfig, WhisperEncoderModel
from ser_engine.settings import Settings

ARCHITECTURE = "whisper-heads"
BATCH = 64
"""Clips that tuned blocks process at a time."""
CHUNK = 250
"""Frames of 40 ms that tuned blocks process at a time: clips of acted speech are no longer."""
# Entries of config.json that `save` writes itself; the others are the card.
WRITTEN = ("id", "architecture", "encoder", "labels", "heads", "temperature", "weights")


@dataclass(frozen=True)
class Shape:
    """The shape of one head: `blocks` fine-tuned blocks (0: frozen) and the widths of its layers."""

    labels: int
    blocks: int = 0
    width: int = 512
    projection: int = 256
    attention_heads: int = 4
    hidden: int = 256
    dropout: float = 0.5


class Member(nn.Module):
    """One head with its standardization of frames and, if it is tuned, its blocks.

    Parameters
    ----------
    encoder : its blocks from `LOWER_BLOCKS` + 1 on are copied
    shape : see `Shape`
    """

    frame_mean: Tensor
    frame_scale: Tensor

    def __init__(self, encoder: AudioEncoder, shape: Shape) -> None:
        super().__init__()
        chosen = list(encoder.blocks)[LOWER_BLOCKS : LOWER_BLOCKS + shape.blocks]
        self.blocks = nn.ModuleList(copy.deepcopy(chosen)).requires_grad_(True)
        self.register_buffer("frame_mean", torch.zeros(shape.width))
        self.register_buffer("frame_scale", torch.ones(shape.width))
        self.head = AttentivePoolingHead(
            HeadConfig(
                labels=shape.labels,
                width=shape.width,
                hidden=shape.hidden,
                dropout=shape.dropout,
                projection=shape.projection,
                attention_heads=shape.attention_heads,
            )
        )

    @property
    def classifier(self) -> nn.Sequential:
        """The layers from pooled vectors to logits."""
        return self.head.classifier

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
            return map_alike(compute, [one.lower for one in encodings], len, BATCH)

    def embed(self, encodings: Sequence[Encoding]) -> Tensor:
        """Return the input of the last layer, [batch, hidden], for encodings of one length."""
        frames = torch.from_numpy(np.stack(self.input_frames(encodings))).float()
        embedded: Tensor = self.classifier[:-1](self.pool(frames))
        return embedded

    def forward(self, encodings: Sequence[Encoding]) -> Tensor:
        """Return log-probabilities [batch, labels] for encodings of one length."""
        logits: Tensor = self.classifier[-1](self.embed(encodings))
        return logits.log_softmax(dim=1)


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
    temperature : divisor of the mean log-probabilities, fitted on unseen speakers
    """

    def __init__(
        self,
        id: str,
        labels: tuple[str, ...],
        members: Sequence[Member],
        shapes: Sequence[Shape],
        encoder: AudioEncoder,
        temperature: float = 1.0,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, labels, encoder, card)
        self.members = [member.eval().requires_grad_(False) for member in members]
        self.shapes = list(shapes)
        self.temperature = temperature

    @property
    def blocks(self) -> int:
        """The encoder's blocks that are computed."""
        return BLOCKS

    def predict_proba(self, states: Tensor) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of what `features.encoder.long_states` returns."""
        with torch.inference_mode():
            log_probs = mean_log_probs(self.members, pool_states(states))
            return np.asarray((log_probs / self.temperature).softmax(dim=1), np.float32)

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (matrices in 8 bits) into `folder`."""
        checksum = write_tensors(folder, quantize(nn.ModuleList(self.members).state_dict()))
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
            members = [Member(encoder, shape) for shape in shapes]
            nn.ModuleList(members).load_state_dict(tensors)
            if config["encoder"] != ENCODER or not members or not 0 < temperature < math.inf:
                raise ValueError
            if any(shape.labels != len(labels) for shape in shapes):
                raise ValueError
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        return cls(id, labels, members, shapes, encoder, temperature, card)

"""Heads with fine-tuned blocks of Whisper's encoder, averaged with the heads of a model on the frozen encoder.

The output of the encoder's lower blocks goes through copies of the next ones, which were fine-tuned together with an
attentive pooling head. Their errors differ from those of the other heads; all heads have the same weight.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from whisper.model import AudioEncoder

from ser_engine.errors import WeightsUnavailable
from ser_engine.features.encoder import LOWER_BLOCKS, pool_states
from ser_engine.models import whisper_heads
from ser_engine.models.quantization import quantize
from ser_engine.models.store import read_config, read_tensors, write_config, write_tensors
from ser_engine.models.whisper_heads import WhisperHeads
from ser_engine.models.whisper_statistics import (
    ENCODER,
    AttentivePoolingHead,
    HeadConfig,
    WhisperEncoderModel,
    mean_log_probs,
)
from ser_engine.settings import Settings

ARCHITECTURE = "whisper-tuned"
BASE_MODEL = "base_model"
CHUNK = 250
"""Frames of 40 ms that the tuned blocks process at a time: clips of acted speech are no longer."""
# Entries of config.json that `save` writes itself; the others are the card.
WRITTEN = ("id", "architecture", "encoder", "labels", "blocks", "head", BASE_MODEL, "temperature", "weights")


class TunedHead(nn.Module):
    """Copies of an encoder's blocks from `LOWER_BLOCKS` + 1 on, and an attentive pooling head on their mean states.

    Parameters
    ----------
    encoder : its weights are copied
    blocks : number of copied blocks
    config : shape of the head; the entries on ensembles are not used
    """

    frame_mean: Tensor
    frame_scale: Tensor

    def __init__(self, encoder: AudioEncoder, blocks: int, config: HeadConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(copy.deepcopy(list(encoder.blocks)[LOWER_BLOCKS : LOWER_BLOCKS + blocks]))
        self.blocks.requires_grad_(True)
        self.register_buffer("frame_mean", torch.zeros(config.width))
        self.register_buffer("frame_scale", torch.ones(config.width))
        self.head = AttentivePoolingHead(config)

    @property
    def classifier(self) -> nn.Sequential:
        """The layers from pooled vectors to logits."""
        return self.head.classifier

    def frames(self, lower: Tensor, hidden: Tensor | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Map states [batch, t, width] of the lower blocks, 40 ms each, to frames [batch, t, width].

        A frame is the mean of the input and of each block's output. Where bool `hidden` [batch, t] is true, the blocks
        get zeros; `dtype` is the precision that they compute in.
        """
        total = lower.float()
        x = (lower if hidden is None else lower.masked_fill(hidden[..., None], 0)).to(dtype)
        for block in self.blocks:
            x = block(x)
            total = total + x.float()
        return total / (1 + len(self.blocks))

    def standardize(self, frames: Tensor) -> Tensor:
        """Return frames [batch, t, width] centered and scaled by the training set's mean and deviation."""
        return (frames - self.frame_mean) * self.frame_scale

    def pool(self, frames: Tensor) -> Tensor:
        """Map frames [batch, t, width] to pooled vectors [batch, pooled]."""
        present = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        return self.head.pool(self.standardize(frames), present)

    def embed(self, lower: Tensor) -> Tensor:
        """Map states [batch, t, width] of any length to the input of the last layer, [batch, hidden]."""
        pieces = torch.tensor_split(lower, -(-lower.shape[1] // CHUNK), dim=1)
        embedded: Tensor = self.classifier[:-1](self.pool(torch.cat([self.frames(piece) for piece in pieces], dim=1)))
        return embedded

    def forward(self, lower: Tensor) -> Tensor:
        """Map states [batch, t, width] of any length to logits [batch, labels]."""
        logits: Tensor = self.classifier[-1](self.embed(lower))
        return logits


class WhisperTuned(WhisperEncoderModel):
    """Tuned heads and a model on the frozen encoder as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id, card : see `Model`
    heads : trained, of one shape
    base_model : the model on the frozen encoder, whose labels are this model's
    part : the reference (`store.reference`) to its folder
    temperature : divisor of the mean log-probabilities, fitted on unseen speakers
    """

    def __init__(
        self,
        id: str,
        heads: Sequence[TunedHead],
        base_model: WhisperHeads,
        part: dict[str, str],
        temperature: float = 1.0,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, base_model.labels, base_model.encoder, card)
        self.heads = [head.eval().requires_grad_(False) for head in heads]
        self.base_model, self.part = base_model, part
        self.temperature = temperature

    @property
    def blocks(self) -> int:
        """The encoder's blocks that are computed, as many as the base model needs."""
        return self.base_model.blocks

    def predict_proba(self, states: Tensor) -> NDArray[np.float32]:
        """Return calibrated probabilities float32 [batch, labels] of what `features.encoder.long_states` returns."""
        encodings, members = pool_states(states[:, : self.blocks + 1]), self.base_model.members
        with torch.inference_mode():
            lower = torch.from_numpy(np.stack([one.lower for one in encodings])).to(self.heads[0].frame_mean.device)
            tuned = mean_log_probs(self.heads, lower)
            others = whisper_heads.mean_log_probs(members, encodings)
            mean = (len(self.heads) * tuned + len(members) * others) / (len(self.heads) + len(members))
            return np.asarray((mean / self.temperature).softmax(dim=1).cpu(), np.float32)

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (the tuned heads, their matrices in 8 bits) into `folder`."""
        checksum = write_tensors(folder, quantize(nn.ModuleList(self.heads).state_dict()))
        config = {
            "id": self.id,
            "architecture": ARCHITECTURE,
            "encoder": ENCODER,
            "labels": list(self.labels),
            "blocks": len(self.heads[0].blocks),
            "head": asdict(replace(self.heads[0].head.config, members=len(self.heads))),
            BASE_MODEL: self.part,
            "temperature": self.temperature,
            **self.card,
            "weights": {"model.safetensors": checksum},
        }
        write_config(folder, config)

    @classmethod
    def load(cls, folder: Path, settings: Settings, parts: Mapping[str, Any] | None = None) -> WhisperTuned:
        """Read what `save` wrote; `parts` are the loaded base model."""
        config, tensors = read_config(folder), read_tensors(folder)
        unfit = WeightsUnavailable(f"The config.json in {folder} does not fit its weights.")
        base_model = (parts or {}).get(BASE_MODEL)
        if not isinstance(base_model, WhisperHeads):
            raise unfit
        try:
            id, labels, temperature = config["id"], tuple(config["labels"]), float(config["temperature"])
            shape = HeadConfig(**config["head"])
            encoder = base_model.encoder
            device = encoder.conv1.weight.device
            heads = [TunedHead(encoder, config["blocks"], shape).to(device) for _ in range(shape.members)]
            nn.ModuleList(heads).load_state_dict(tensors)
            if (
                config["encoder"] != ENCODER
                or labels != base_model.labels
                or not 0 < temperature < math.inf
                or not heads
            ):
                raise ValueError
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise unfit from None
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        return cls(id, heads, base_model, config[BASE_MODEL], temperature, card)

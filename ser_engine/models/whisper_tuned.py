"""Blocks of Whisper's encoder that were trained further for emotion, beside a finished model on the frozen encoder.

What leaves the encoder's lower blocks goes through copies of the next ones, whose weights were tuned together with an
attentive head. They and the frozen model err differently; both have the same say.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from whisper.model import AudioEncoder, ResidualAttentionBlock

from ser_engine.errors import WeightsUnavailable
from ser_engine.features.encoder import LOWER_BLOCKS, average_pairs, pool_states
from ser_engine.models import store as weights
from ser_engine.models.quantization import quantize
from ser_engine.models.registry import found_part, identity, is_part
from ser_engine.models.whisper_statistics import (
    ENCODER,
    AttentiveMember,
    HeadConfig,
    WhisperEncoderModel,
    WhisperStatistics,
    collate,
)
from ser_engine.settings import Settings

ARCHITECTURE = "whisper-tuned"
BESIDE = "beside"
STRETCH = 250
"""Frames of 40 ms that the tuned blocks are given at a time: clips of acted speech are no longer."""
# What `save` itself writes into config.json; the rest is the card.
WRITTEN = ("id", "architecture", "encoder", "labels", "blocks", "head", BESIDE, "temperature", "weights")


class TunedMember(nn.Module):
    """Copies of an encoder's blocks `LOWER_BLOCKS` + 1 and on, and a head that attends to the mean of their states.

    Parameters
    ----------
    encoder : of whose weights the copies are made
    blocks : how many
    config : shape of the head; what it says of ensembles plays no part
    """

    frame_mean: Tensor
    frame_scale: Tensor

    def __init__(self, encoder: AudioEncoder, blocks: int, config: HeadConfig) -> None:
        super().__init__()
        own = [copy.deepcopy(block) for block in encoder.blocks[LOWER_BLOCKS : LOWER_BLOCKS + blocks]]
        self.blocks = nn.ModuleList(block for block in own if isinstance(block, ResidualAttentionBlock))
        self.blocks.requires_grad_(True)
        self.register_buffer("frame_mean", torch.zeros(config.width))
        self.register_buffer("frame_scale", torch.ones(config.width))
        self.head = AttentiveMember(config)

    @property
    def classifier(self) -> nn.Sequential:
        """Return what maps what `pool` returns to logits."""
        return self.head.classifier

    def frames(self, lower: Tensor, hidden: Tensor | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Map states [batch, t, width] of the lower blocks, 40 ms each, to frames [batch, t, width].

        The mean of what is given and of what leaves each block. Where bool `hidden` [batch, t] is true the blocks are
        given zeros; `dtype` is what they compute in.
        """
        total = lower.float()
        x = (lower if hidden is None else lower.masked_fill(hidden[..., None], 0)).to(dtype)
        for block in self.blocks:
            x = block(x)
            total = total + x.float()
        return total / (1 + len(self.blocks))

    def standardise(self, frames: Tensor) -> Tensor:
        """Return frames [batch, t, width] with the training set's mean and deviation taken out."""
        return (frames - self.frame_mean) * self.frame_scale

    def pool(self, frames: Tensor) -> Tensor:
        """Map frames [batch, t, width] to what the head keeps of each recording, [batch, pooled]."""
        present = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        return self.head.pool(self.standardise(frames), present)

    def embed(self, lower: Tensor) -> Tensor:
        """Map states [batch, t, width] of any length to what the last layer is given, [batch, hidden]."""
        pieces = torch.tensor_split(lower, -(-lower.shape[1] // STRETCH), dim=1)
        embedded: Tensor = self.classifier[:-1](self.pool(torch.cat([self.frames(one) for one in pieces], dim=1)))
        return embedded

    def forward(self, lower: Tensor) -> Tensor:
        """Map states [batch, t, width] of any length to logits [batch, labels]."""
        logits: Tensor = self.classifier[-1](self.embed(lower))
        return logits


def opinion(members: Sequence[TunedMember], lower: Tensor) -> Tensor:
    """Return the mean log-opinion [batch, labels] of members about states [batch, t, width] of the lower blocks."""
    return torch.stack([member(lower).log_softmax(dim=1) for member in members]).mean(dim=0)


class WhisperTuned(WhisperEncoderModel):
    """Tuned members and a model on the frozen encoder as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id : name of the model
    labels : emotions in the order of the scores, those of `beside`
    members : trained, of one shape
    beside : the model on the frozen encoder
    part : its id and the sha256 of what it says of itself, see `registry.identity`
    temperature : what the joint log-probabilities are divided by, fitted on speakers that nobody had heard
    card : further entries of config.json (corpora, measured figures)
    """

    def __init__(
        self,
        id: str,
        labels: tuple[str, ...],
        members: Sequence[TunedMember],
        beside: WhisperStatistics,
        part: dict[str, str],
        temperature: float = 1.0,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, labels, beside.encoder, card)
        self.members = [member.eval().requires_grad_(False) for member in members]
        self.beside, self.part = beside, part
        self.temperature = temperature

    def predict_proba(self, states: Tensor) -> NDArray[Any]:
        """Return calibrated probabilities float32 [batch, labels] of what `features.encoder.long_states` returns."""
        with torch.inference_mode():
            frozen = self.beside.head(*collate(pool_states(states)))
            both = (frozen + opinion(self.members, average_pairs(states[:, LOWER_BLOCKS]))) / 2
            probabilities: NDArray[Any] = (both / self.temperature).softmax(dim=1).numpy()
            return probabilities

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (the tuned members, their matrices in 8 bits) into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        checksum = weights.write_tensors(folder, quantize(nn.ModuleList(self.members).state_dict()))
        config = {
            "id": self.id,
            "architecture": ARCHITECTURE,
            "encoder": ENCODER,
            "labels": list(self.labels),
            "blocks": len(self.members[0].blocks),
            "head": asdict(replace(self.members[0].head.config, members=len(self.members))),
            BESIDE: self.part,
            "temperature": self.temperature,
            **self.card,
            "weights": {"model.safetensors": checksum},
        }
        weights.write_config(folder, config)

    @classmethod
    def join(
        cls,
        id: str,
        members: Sequence[TunedMember],
        beside: Path,
        settings: Settings,
        temperature: float,
        card: dict[str, Any] | None = None,
    ) -> WhisperTuned:
        """Return a model of trained members and a folder, which, to be found again, lies in `settings.models_dir`.

        Raises
        ------
        WeightsUnavailable
            The folder holds no model of its kind.
        """
        frozen = WhisperStatistics.load(beside, settings)
        part = {"id": beside.name, "sha256": identity(beside)}
        return cls(id, frozen.labels, members, frozen, part, temperature, card)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> WhisperTuned:
        """Read what `save` wrote, and the model and the encoder that it refers to.

        Raises
        ------
        WeightsUnavailable
            A file of the model, of the one beside it or of the encoder is missing, differs from its checksum or does
            not fit the others.
        """
        config, tensors = weights.read_config(folder), weights.read_tensors(folder)
        unfit = WeightsUnavailable(f"The config.json in {folder} does not fit the weights beside it.")
        part: Any = config.get(BESIDE)
        if not is_part(part):
            raise unfit
        beside = WhisperStatistics.load(found_part(part, folder, settings), settings)
        try:
            id, labels, temperature = config["id"], tuple(config["labels"]), float(config["temperature"])
            shape = HeadConfig(**config["head"])
            members = [TunedMember(beside.encoder, config["blocks"], shape) for _ in range(shape.members)]
            nn.ModuleList(members).load_state_dict(tensors)
            if config["encoder"] != ENCODER or labels != beside.labels or not 0 < temperature < math.inf or not members:
                raise ValueError
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise unfit from None
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        return cls(id, labels, members, beside, part, temperature, card)

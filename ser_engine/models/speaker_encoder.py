"""Embeddings of voices: Resemblyzer's GE2E encoder (Wan et al., 2018), and a projection that ignores emotion.

The package is no dependency: webrtcvad, which it asks for, has no wheels, and is not needed here. Its network is five
lines, and its front end is librosa's mel spectrogram with the defaults.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ser_engine.models.speaker_onnx import BANDS, BATCH, FRAMES, HOP, ID, LAYERS, PART, STATES, WIDTH, WINDOW
from ser_engine.models.store import find_bundled, read_tensors
from ser_engine.settings import Settings

__all__ = ["BANDS", "BATCH", "ID", "PART", "STATES", "WIDTH", "WINDOW", "SpeakerEncoder", "load_encoder"]

_LOADING = threading.Lock()


class SpeakerEncoder(torch.nn.Module):
    """Three LSTM layers over mel frames, the last state of which gives the embedding, and a projection of all of these.

    In the projected space, the emotions of one speaker differ little compared with speakers, from whose clips in all
    emotions it was learned.
    """

    filters: Tensor
    mean: Tensor
    projection: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.lstm = torch.nn.LSTM(BANDS, WIDTH, num_layers=LAYERS, batch_first=True)
        self.linear = torch.nn.Linear(WIDTH, WIDTH)
        self.register_buffer("filters", torch.zeros(BANDS, WINDOW // 2 + 1))
        self.register_buffer("mean", torch.zeros(STATES))
        self.register_buffer("projection", torch.zeros(STATES, width))

    @torch.inference_mode()
    def forward(self, parts: Tensor) -> Tensor:
        """Return the projected embeddings [n, width] of parts [n, PART] at 16 kHz."""
        return (self.states(parts) - self.mean) @ self.projection

    @torch.inference_mode()
    def states(self, parts: Tensor) -> Tensor:
        """Return the last states of the layers and the embeddings as Resemblyzer computes them, [n, STATES]."""
        hidden = self.lstm(self.mel(parts))[1][0]
        embeddings = torch.nn.functional.normalize(torch.relu(self.linear(hidden[-1])))
        return torch.cat([*hidden, embeddings], dim=1)

    def project(self, parts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the projected embeddings [n, width] of parts [n, PART] at 16 kHz."""
        return np.asarray(self(torch.from_numpy(parts)).numpy(), np.float32)

    def mel(self, parts: Tensor) -> Tensor:
        """Return the mel power [n, FRAMES, BANDS] of parts [n, PART], as librosa computes it."""
        window = torch.hann_window(WINDOW)
        spectra = torch.stft(parts, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)
        return (self.filters @ spectra.abs().square()).transpose(1, 2)[:, :FRAMES]


def build_encoder(tensors: Mapping[str, Tensor]) -> SpeakerEncoder:
    """Return the encoder with these tensors, for inference only."""
    encoder = SpeakerEncoder(tensors["projection"].shape[1])
    encoder.load_state_dict(dict(tensors))
    return encoder.eval().requires_grad_(False)


def load_encoder(settings: Settings) -> SpeakerEncoder:
    """Return the encoder, loaded once, that of `settings.models_dir` or else the bundled one.

    Raise WeightsUnavailable if its weights are missing or damaged.
    """
    with _LOADING:
        return _load(find_bundled(settings, ID))


@lru_cache(maxsize=1)
def _load(folder: Path) -> SpeakerEncoder:
    return build_encoder(read_tensors(folder))

"""Detection of overlapped speech: a small convolutional network that counts the speakers of each moment, up to two.

Its classes are silence, one speaker, and several at once, as in the powerset of Plaquet and Bredin (2023), "Powerset
multi-class cross entropy loss for neural speaker diarization", without telling the speakers apart.
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

from ser_engine.models.store import read_tensors
from ser_engine.settings import PROJECT, Settings
from ser_engine.types import SAMPLE_RATE

ID = "overlap"
WINDOW, HOP, BANDS, WIDTH = 400, 160, 64, 96
STRIDE = 2
"""Mel frames of a frame of the output."""
FRAME_S = STRIDE * HOP / SAMPLE_RATE
# Chunks are normalized one by one, in training as here. Their edges see less and are answered by their neighbors.
CHUNK, MARGIN = 8 * SAMPLE_RATE, 1 * SAMPLE_RATE
BATCH = 8
DILATIONS = (1, 2, 4, 8, 16, 32)
SILENCE, ONE, SEVERAL = range(3)
"""The classes."""

_LOADING = threading.Lock()


class OverlapDetector(torch.nn.Module):
    """Dilated convolutions with residual connections over a log-mel spectrogram."""

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", torch.zeros(BANDS, WINDOW // 2 + 1))
        self.first = torch.nn.Conv1d(BANDS, WIDTH, 5, stride=STRIDE, padding=2)
        convolutions = [torch.nn.Conv1d(WIDTH, WIDTH, 3, dilation=each, padding=each) for each in DILATIONS]
        self.convolutions = torch.nn.ModuleList(convolutions)
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(WIDTH) for _ in DILATIONS])
        self.last = torch.nn.Conv1d(WIDTH, 3, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the logits of the classes [n, 3, frames / STRIDE] of spectrograms [n, BANDS, frames]."""
        hidden = torch.relu(self.first(normalize_mel(mel)))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = hidden + torch.relu(norm(convolution(hidden)))
        logits: Tensor = self.last(hidden)
        return logits

    @torch.inference_mode()
    def mel(self, samples: Tensor) -> Tensor:
        """Return the logarithm of the mel power [n, BANDS, samples / HOP] of samples [n, samples] at 16 kHz."""
        window = torch.hann_window(WINDOW)
        spectra = torch.stft(samples, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)
        return torch.log(self.filters @ spectra.abs().square() + 1e-8)[..., : samples.shape[-1] // HOP]

    @torch.inference_mode()
    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of the classes [n, 3] for each `FRAME_S` of float32 samples at an even level."""
        inner, size = CHUNK - 2 * MARGIN, STRIDE * HOP
        count = max(1, -(-len(samples) // inner))
        padded = torch.from_numpy(np.pad(samples, (MARGIN, count * inner + MARGIN - len(samples))))
        answers = []
        for first in range(0, count, BATCH):
            starts = range(first * inner, min(count, first + BATCH) * inner, inner)
            logits = self(self.mel(torch.stack([padded[start : start + CHUNK] for start in starts])))
            answers.append(logits[..., MARGIN // size : -(MARGIN // size)].softmax(dim=1))
        joined = torch.cat(answers).transpose(1, 2).reshape(-1, 3)
        return np.asarray(joined.numpy()[: -(-len(samples) // size)], np.float32)


def normalize_mel(mel: Tensor) -> Tensor:
    """Return spectrograms [n, BANDS, frames] without the mean of each band, which depends on the microphone."""
    centered = mel - mel.mean(dim=2, keepdim=True)
    return centered / centered.std(dim=(1, 2), keepdim=True).clamp(min=1e-3)


def build_detector(tensors: Mapping[str, Tensor]) -> OverlapDetector:
    """Return the detector with these tensors, for inference only."""
    detector = OverlapDetector()
    detector.load_state_dict(dict(tensors), strict=True)
    return detector.eval().requires_grad_(False)


def load_detector(settings: Settings) -> OverlapDetector:
    """Return the detector, loaded once, that of `settings.models_dir` or else the bundled one.

    Raise WeightsUnavailable if its weights are missing or damaged.
    """
    folder = settings.models_dir / ID
    with _LOADING:
        return _load(folder if folder.is_dir() else PROJECT / "models" / ID)


@lru_cache(maxsize=1)
def _load(folder: Path) -> OverlapDetector:
    return build_detector(read_tensors(folder))

"""Detection of overlapped speech: a small convolutional network that counts the speakers of each moment, up to two.

Its classes are silence, one speaker, and several at once, as in the powerset of Plaquet and Bredin (2023), "Powerset
multi-class cross entropy loss for neural speaker diarization", without telling the speakers apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ser_engine.models.overlap_onnx import BANDS, DILATIONS, HOP, STRIDE, WIDTH, WINDOW
from ser_engine.models.store import read_tensors


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
        return self.classify(normalize_mel(mel))

    def classify(self, normalized: Tensor) -> Tensor:
        """Return the logits of spectrograms that are normalized already."""
        hidden = torch.relu(self.first(normalized))
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


def normalize_mel(mel: Tensor) -> Tensor:
    """Return spectrograms [n, BANDS, frames] without the mean of each band, which depends on the microphone."""
    centered = mel - mel.mean(dim=2, keepdim=True)
    return centered / centered.std(dim=(1, 2), keepdim=True).clamp(min=1e-3)


def build_detector(tensors: Mapping[str, Tensor]) -> OverlapDetector:
    """Return the detector with these tensors, for inference only."""
    detector = OverlapDetector()
    detector.load_state_dict(dict(tensors), strict=True)
    return detector.eval().requires_grad_(False)


def read_classifier(folder: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return what computes the logits [n, 3, frames] of normalized spectrograms; see `overlap_onnx`."""
    detector = build_detector(read_tensors(folder))
    return lambda mel: np.asarray(detector.classify(torch.from_numpy(mel)).numpy(), np.float32)

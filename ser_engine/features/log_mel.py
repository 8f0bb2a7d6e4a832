"""Whisper's spectrogram in numpy, as `whisper.audio.log_mel_spectrogram` computes it with torch."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.features.mel import cut_frames, spectral_power

WINDOW, HOP = 400, 160
RANGE = 8.0
"""What lies this many powers of ten below the loudest counts as that."""


def log_mel(samples: NDArray[np.float32], bands: int = 80) -> NDArray[np.float32]:
    """Return float32 [bands, n // 160] of samples [n] at 16 kHz; the reference level depends on all of them."""
    power = spectral_power(cut_frames(samples, WINDOW, HOP, "reflect")[: len(samples) // HOP])
    logarithm = np.log10(np.maximum(mel_filters(bands) @ power.T, np.float32(1e-10)))
    return np.asarray((np.maximum(logarithm, logarithm.max() - RANGE) + 4.0) / 4.0, np.float32)


@lru_cache(maxsize=2)
def mel_filters(bands: int) -> NDArray[np.float32]:
    """Return openai-whisper's own filters, without importing the package, which would load torch."""
    spec = find_spec("whisper")
    assert spec is not None and spec.origin is not None
    with np.load(Path(spec.origin).parent / "assets" / "mel_filters.npz", allow_pickle=False) as file:
        return np.asarray(file[f"mel_{bands}"], np.float32)

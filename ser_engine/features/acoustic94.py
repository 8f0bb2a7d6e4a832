"""The 94 features of Sharma's classical systems (III.B): chroma, mel, MFCC, zero crossings and spectral centroid.

Each is averaged over a clip's frames, as the paper's number of features implies. There are 60 mel bands; all else is
as in `spectra`. The paper's standard scaling is part of the system.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ser_engine.features import spectra

MEL_BANDS = 60

NAMES: tuple[str, ...] = (
    *(f"chroma_{name}" for name in spectra.PITCH_CLASSES),
    *(f"mel_{band}" for band in range(1, MEL_BANDS + 1)),
    *(f"mfcc_{i}" for i in range(1, spectra.MFCCS + 1)),
    "zero_crossing_rate",
    "spectral_centroid",
)
"""Names of the 94; mel bands are powers, the centroid is in Hz, the zero crossings are a share of the samples."""


def extract(samples: NDArray[np.float32], rate: int = 16_000) -> NDArray[np.float32]:
    """Compute float32 [94], in the order of `NAMES`, of mono float32 [n] at `rate` Hz; finite for silence, too."""
    import librosa

    samples = spectra.pad(samples)
    magnitude = spectra.magnitude(samples)
    power = magnitude**2
    crossings = librosa.feature.zero_crossing_rate(samples, frame_length=spectra.WINDOW, hop_length=spectra.HOP)
    rows = (
        spectra.chroma(power, rate),
        spectra.mel(power, rate, MEL_BANDS),
        spectra.mfcc(power, rate),
        crossings,
        librosa.feature.spectral_centroid(S=magnitude, sr=rate, n_fft=spectra.WINDOW),
    )
    return np.concatenate([row.mean(axis=1) for row in rows]).astype(np.float32)

"""The 173 features of Gomes' SVM (III.C): MFCC, mel, chroma, spectral contrast and tonnetz, as means over time.

They are as in `spectra`, and the tonnetz uses that same chroma instead of a constant-Q one, which alone would cost more
than ten times all the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ser_engine.features import spectra

MEL_BANDS = 128
CONTRAST_BANDS = 6  # octaves from 200 Hz on; one more band lies below them
TONNETZ = ("fifth_x", "fifth_y", "minor_third_x", "minor_third_y", "major_third_x", "major_third_y")

NAMES: tuple[str, ...] = (
    *(f"mfcc_{i}" for i in range(1, spectra.MFCCS + 1)),
    *(f"mel_{band}" for band in range(1, MEL_BANDS + 1)),
    *(f"chroma_{name}" for name in spectra.PITCH_CLASSES),
    *(f"contrast_{band}" for band in range(1, CONTRAST_BANDS + 2)),
    *(f"tonnetz_{name}" for name in TONNETZ),
)
"""Names of the 173; mel bands are powers, the contrast is in dB."""


def extract(samples: NDArray[np.float32], rate: int = 16_000) -> NDArray[np.float32]:
    """Compute float32 [173], in the order of `NAMES`, of mono float32 [n] at `rate` Hz; finite for silence, too.

    The rate has to exceed 12,800 Hz, where the last band of the contrast begins.
    """
    import librosa

    magnitude = spectra.magnitude(spectra.pad(samples))
    power = magnitude**2
    chroma = spectra.chroma(power, rate)
    rows = (
        spectra.mfcc(power, rate),
        spectra.mel(power, rate, MEL_BANDS),
        chroma,
        librosa.feature.spectral_contrast(S=magnitude, sr=rate, n_bands=CONTRAST_BANDS),
        librosa.feature.tonnetz(chroma=chroma),
    )
    return np.concatenate([row.mean(axis=1) for row in rows]).astype(np.float32)

"""Spectra shared by the acoustic features: one Fourier transform per clip, and filters on it.

Everything is librosa's, with its defaults (window of 2,048 samples, hop of 512, centered), but the filters are
computed once instead of per clip, and the transform once instead of per feature. Pitch classes are tuned to 440 Hz
instead of to a tuning that librosa estimates per clip; a voice has none, and the estimate costs as much as everything
else together.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WINDOW, HOP = 2048, 512
# librosa's MFCCs have this many bands, whatever the number of mel features.
MFCC_BANDS, MFCCS = 128, 20
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

Frames = NDArray[np.floating]
"""One row per feature, one column per frame."""


def pad(samples: NDArray[np.float32], length: int = WINDOW) -> NDArray[np.float32]:
    """Pad float32 [n] with silence to at least `length`, contiguous."""
    return np.pad(np.asarray(samples, np.float32), (0, max(0, length - len(samples))))


def magnitude(samples: NDArray[np.float32]) -> Frames:
    """Compute the magnitudes [1 + WINDOW / 2, frames] of float32 [n], n being at least WINDOW."""
    import librosa

    return np.asarray(np.abs(librosa.stft(samples, n_fft=WINDOW, hop_length=HOP)))


def mel(power: Frames, rate: int, bands: int) -> Frames:
    """Compute the mel spectrogram [bands, frames] of a power spectrogram, as power."""
    return mel_filters(rate, bands) @ power


def mfcc(power: Frames, rate: int) -> Frames:
    """Compute 20 mel-frequency cepstral coefficients [20, frames] of a power spectrogram."""
    import librosa

    return librosa.feature.mfcc(S=librosa.power_to_db(mel(power, rate, MFCC_BANDS)), n_mfcc=MFCCS)


def chroma(power: Frames, rate: int) -> Frames:
    """Compute the pitch classes [12, frames] of a power spectrogram, the strongest of each frame being 1."""
    import librosa

    return librosa.util.normalize(chroma_filters(rate) @ power, norm=np.inf, axis=0)


@lru_cache(maxsize=8)
def mel_filters(rate: int, bands: int) -> NDArray[np.float32]:
    """Return float32 [bands, 1 + WINDOW / 2] up to half the rate."""
    import librosa

    return librosa.filters.mel(sr=rate, n_fft=WINDOW, n_mels=bands)


@lru_cache(maxsize=8)
def chroma_filters(rate: int) -> NDArray[np.float32]:
    """Return float32 [12, 1 + WINDOW / 2] for instruments tuned to 440 Hz."""
    import librosa

    return librosa.filters.chroma(sr=rate, n_fft=WINDOW, tuning=0.0)

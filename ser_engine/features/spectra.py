"""What the acoustic features share: one Fourier transform of a clip, and the filters that summarise it.

Everything is librosa's, with librosa's own defaults (window of 2,048 samples, hop of 512, centred); the filters are
made once rather than for every clip, and the transform is made once rather than for every feature.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WINDOW, HOP = 2048, 512
# librosa makes its MFCCs from so many bands, however many the mel features beside them have.
MFCC_BANDS, MFCCS = 128, 20
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

Frames = NDArray[np.floating]
"""One row for each feature, one column for each frame."""


def pad(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [n] as contiguous float32, with silence after what is shorter than one window."""
    return np.pad(np.asarray(samples, np.float32), (0, max(0, WINDOW - len(samples))))


def magnitude(samples: NDArray[np.float32]) -> Frames:
    """Return float32 [1 + WINDOW / 2, frames] of float32 [n], where n is at least WINDOW."""
    import librosa

    return np.abs(librosa.stft(samples, n_fft=WINDOW, hop_length=HOP))


def mel(power: Frames, rate: int, bands: int) -> Frames:
    """Return the mel spectrogram [bands, frames] of a power spectrogram, as power."""
    return mel_filters(rate, bands) @ power


def mfcc(power: Frames, rate: int) -> Frames:
    """Return 20 mel-frequency cepstral coefficients [20, frames] of a power spectrogram."""
    import librosa

    return librosa.feature.mfcc(S=librosa.power_to_db(mel(power, rate, MFCC_BANDS)), n_mfcc=MFCCS)


def chroma(power: Frames, rate: int) -> Frames:
    """Return the share of each pitch class [12, frames], the strongest of each frame being 1."""
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

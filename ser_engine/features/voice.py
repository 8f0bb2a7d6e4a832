"""Pitch, variation of loudness, and rate of speaking, as phonetics measures them.

Frames of 32 ms are 10 ms apart. Pitch is that of YIN (de Cheveigné and Kawahara, 2002), without its refinements beyond
step 5; a syllable is a voiced peak of the level between dips of 2 dB (de Jong and Wempe, 2009).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ser_engine.types import SAMPLE_RATE, Voice

HOP, WINDOW = SAMPLE_RATE // 100, SAMPLE_RATE * 32 // 1000
LOWEST_HZ, HIGHEST_HZ = 65.0, 500.0
PITCHED, VOICED = 0.15, 0.4
"""Share of a frame's power that may be aperiodic where its pitch counts (YIN has 0.1, librosa 0.2), and where it may be
the peak of a syllable: with 0.4, 6.9 of the seven in a clip of RAVDESS are counted, with 0.15 there are 4.7.
"""
FLOOR_DB, DIP_DB, SILENCE_DB = 25.0, 2.0, -60.0
"""Level below the loudest frames from which a frame counts as speech, and the depth of a dip (de Jong and Wempe, 2009);
the level (dB below full scale) of silence in speech of normal level."""
FEWEST = 10
"""Voiced frames (a tenth of a second) without which nothing is said about pitch and loudness."""


def measure_voice(samples: NDArray[np.float32]) -> Voice:
    """Measure speech, float32 [n] at 16 kHz, without long silences."""
    from scipy.signal import find_peaks  # here, since loading it takes a second

    levels, (pitch, aperiodic) = frame_levels(samples), frame_pitch(samples)
    spoken = levels > max(SILENCE_DB, np.percentile(levels, 99) - FLOOR_DB)
    pitched = pitch[spoken & (pitch > 0)]
    if len(pitched) < FEWEST:
        return Voice(None, None, None, None)
    semitones = 12 * np.log2(pitched)
    low, high = np.percentile(semitones, (10, 90))
    nuclei, _ = find_peaks(levels, prominence=DIP_DB)
    return Voice(
        pitch_hz=float(np.median(pitched)),
        pitch_range_semitones=float(high - low),
        level_range_db=float(np.subtract(*np.percentile(levels[spoken], (90, 10)))),
        syllables_per_s=float((spoken & (aperiodic < VOICED))[nuclei].sum() * SAMPLE_RATE / len(samples)),
    )


def frame_levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the level of each frame in dB below full scale, smoothed over 64 ms, float64 [frames]."""
    window = np.hanning(2 * WINDOW)
    power = _frames(samples.astype(np.float64) ** 2, 2 * WINDOW) @ (window / window.sum())
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-12))
    return levels


def frame_pitch(samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the fundamental frequency of each frame in Hz (0 where there is none) and its aperiodic share.

    Both are float64 [frames].
    """
    longest, shortest = round(SAMPLE_RATE / LOWEST_HZ), round(SAMPLE_RATE / HIGHEST_HZ)
    frames = _frames(samples.astype(np.float64), WINDOW + longest)
    size = 2 ** int(np.ceil(np.log2(2 * WINDOW + longest)))
    spectra = np.fft.rfft(frames, size)
    products = np.fft.irfft(spectra * np.fft.rfft(frames[:, :WINDOW], size).conj(), size)[:, : longest + 1]
    powers = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    powers = powers[:, WINDOW:] - powers[:, : longest + 1]
    difference = np.maximum(powers[:, :1] + powers - 2 * products, 0)[:, 1:]
    lags = np.arange(1, longest + 1)
    relative = difference * lags / np.maximum(np.cumsum(difference, axis=1), 1e-10)
    return np.array([_first_dip(row, shortest) for row in relative]), relative[:, shortest - 1 :].min(axis=1)


def _first_dip(relative: NDArray[np.float64], shortest: int) -> float:
    """Return the frequency of the first dip of a normalized difference function, whose first lag is 1; 0 if none."""
    low = np.flatnonzero(relative[shortest - 1 : -1] < PITCHED)
    if not len(low):
        return 0.0
    lag = low[0] + shortest - 1
    while lag + 2 < len(relative) and relative[lag + 1] < relative[lag]:
        lag += 1
    before, here, after = relative[lag - 1 : lag + 2]
    curve = before - 2 * here + after
    # At the shortest lag there may be a slope instead of a dip.
    shift = min(0.5, max(-0.5, 0.5 * (before - after) / curve)) if curve > 0 else 0.0
    return float(SAMPLE_RATE / (lag + 1 + shift))


def _frames(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return frames [frames, length], centered `HOP` apart; the edges are padded with zeros."""
    padded = np.pad(values, (length // 2, length))
    views = np.lib.stride_tricks.sliding_window_view(padded, length)
    frames: NDArray[np.float64] = views[: len(values) : HOP]
    return frames

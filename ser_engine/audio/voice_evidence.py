"""A further check where the speech detector is undecided: does a recording contain a voice, or music and noise?

The pitch of a voice is never still, so that its overtones move; the partials of an instrument stay where they are for
as long as the note lasts. Machines and rain have an even level, voices have not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ser_engine.types import SAMPLE_RATE

HOP = 512
"""Samples for which the detector returns one probability."""
ACTIVE = 0.1
"""Probability of speech from which a moment is measured; the whole recording is where none reaches it."""

# Overtones are resolved in windows of 128 ms, and compared with those of the window after, from 200 to 4,000 Hz; what
# counts is how far a line stands out from the mean of the 31 around it (240 Hz). At most this many pairs are compared.
WINDOW, LOWEST_HZ, HIGHEST_HZ, AROUND, MOST_PAIRS = 2048, 200, 4000, 31, 500
# Pairs that are this much softer than the loudest are left out, and so are levels: they are background.
QUIET_DB, SILENT_DB = 30.0, 40.0
# More variation than this of the level (dB) says no more.
MOST_SPREAD_DB = 8.0

WEIGHTS, BIAS = (0.58, 1.79, -5.94, 0.64), -0.41
"""Of `measure_evidence`, by logistic regression: `python -m tools.fit_speech_detection`."""
ENOUGH = 0.5
"""Sum (log-odds) from which there is a voice; from more on, voices are refused, but no fewer sounds are accepted."""


def is_voice(samples: NDArray[np.float32], probabilities: NDArray[np.float32], slowed: NDArray[np.float32]) -> bool:
    """Whether float32 [n] at 16 kHz contains a voice; see `measure_evidence`."""
    return bool(measure_evidence(samples, probabilities, slowed) @ np.array(WEIGHTS) + BIAS >= ENOUGH)


def measure_evidence(
    samples: NDArray[np.float32], probabilities: NDArray[np.float32], slowed: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return measurements that distinguish a voice from other sounds, float64 [4].

    The log-odds of the detector's highest probability of speech, and of the highest for slowed copies (both are given
    for each `HOP` samples), how much the overtones stay where they are (0 to 1), and how much the level varies (dB).
    """
    active = np.repeat(np.maximum(probabilities, slowed) >= ACTIVE, HOP)[: len(samples)]
    sound = samples[: len(active)][active] if active.sum() >= WINDOW else samples
    odds = [_log_odds(float(values.max(initial=0.0))) for values in (probabilities, slowed)]
    return np.array([*odds, measure_persistence(sound), _level_spread(sound)])


def measure_persistence(samples: NDArray[np.float32]) -> float:
    """Return the mean correlation between the overtones of each 128 ms of float32 [n] at 16 kHz and of the next."""
    from scipy.ndimage import uniform_filter1d  # here, since few recordings need it

    samples = np.pad(samples, (0, max(0, 2 * WINDOW - len(samples))))
    starts = np.arange(0, len(samples) - 2 * WINDOW + 1, HOP)
    starts = starts[:: -(-len(starts) // MOST_PAIRS)]
    views = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)
    pairs = np.stack([views[starts], views[starts + WINDOW]])
    lines = slice(*(round(hz * WINDOW / SAMPLE_RATE) for hz in (LOWEST_HZ, HIGHEST_HZ)))
    spectra = np.abs(np.fft.rfft(pairs * np.hanning(WINDOW).astype(np.float32), axis=2)[..., lines])
    power = np.square(spectra).sum(axis=2).min(axis=0)
    shapes = np.log(spectra + 1e-4)
    shapes -= uniform_filter1d(shapes, AROUND, axis=2)
    before, after = shapes
    norms = np.sqrt(np.square(before).sum(axis=1) * np.square(after).sum(axis=1))
    correlations = (before * after).sum(axis=1) / np.maximum(norms, 1e-9)
    return float(correlations[power >= power.max() * 10 ** (-QUIET_DB / 10)].mean())


def _level_spread(samples: NDArray[np.float32]) -> float:
    """Return the standard deviation of the level in frames of 32 ms, in dB."""
    frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    if not len(frames):
        return 0.0
    levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    return min(MOST_SPREAD_DB, float(levels[levels > levels.max() - SILENT_DB].std()))


def _log_odds(probability: float) -> float:
    return float(np.log((probability + 0.02) / (1.02 - probability)))

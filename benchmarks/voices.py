"""Whispered copies of speech, by a vocoder, since none of the corpora is whispered.

Linear prediction (Atal and Hanauer, 1971) takes the shape of the vocal tract from speech every 5 ms, and noise is put
in place of the voice.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.signal
from numpy.typing import NDArray

from ser_engine.audio.quality import normalize_level
from ser_engine.types import SAMPLE_RATE

Samples = NDArray[np.float32]
Values = NDArray[np.float64]

ORDER, STEP, WINDOW, PRE_EMPHASIS = 18, SAMPLE_RATE // 200, SAMPLE_RATE // 40, 0.95
# A whisper has less energy at low frequencies than a voice: the coefficient of a high-pass, between these.
WHISPER_TILT = (0.3, 0.9)


def whisper(samples: Samples, rng: np.random.Generator) -> Samples:
    """Return speech, float32 [n] at 16 kHz, with noise in place of the voice."""
    whispered = _resynthesize(samples, rng.standard_normal(len(samples)))
    tilted = scipy.signal.lfilter([1.0, -rng.uniform(*WHISPER_TILT)], [1.0], whispered)
    return normalize_level(tilted.astype(np.float32))


def _resynthesize(samples: Samples, source: Values) -> Values:
    """Return a source of unit power, float64 [n], through the vocal tract of speech [n]."""
    emphasized = scipy.signal.lfilter([1.0, -PRE_EMPHASIS], [1.0], samples.astype(np.float64))
    padded = np.pad(emphasized, WINDOW)
    window = np.hanning(WINDOW)
    out = np.zeros(len(source) + 2 * WINDOW)
    for start in range(0, len(source), STEP):
        frame = padded[start + WINDOW : start + 2 * WINDOW] * window
        correlation = np.correlate(frame, frame, "full")[WINDOW - 1 : WINDOW + ORDER]
        correlation[0] = correlation[0] * 1.0001 + 1e-9
        coefficients = scipy.linalg.solve_toeplitz(correlation[:-1], correlation[1:])
        gain = np.sqrt(max(0.0, correlation[0] - coefficients @ correlation[1:]) / WINDOW)
        piece = gain * source[start : start + WINDOW]
        voice = scipy.signal.lfilter([1.0], np.concatenate([[1.0], -coefficients]), piece)
        out[start : start + len(voice)] += window[: len(voice)] * voice
    return np.asarray(scipy.signal.lfilter([1.0], [1.0, -PRE_EMPHASIS], out))[: len(source)]

"""Whispered and sung copies of speech, by a vocoder: no corpus at hand has such recordings with permission to use them.

Linear prediction (Atal and Hanauer, 1971) takes the shape of the vocal tract from speech every 5 ms; noise in its place
of the voice is a whisper, pulses whose pitch stays on notes are a song.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.signal
from numpy.typing import NDArray

from ser_engine.audio.quality import normalize_level
from ser_engine.features.voice import HOP, frame_pitch
from ser_engine.types import SAMPLE_RATE

Samples = NDArray[np.float32]
Values = NDArray[np.float64]

ORDER, STEP, WINDOW, PRE_EMPHASIS = 18, SAMPLE_RATE // 200, SAMPLE_RATE // 40, 0.95
# A whisper has less energy at low frequencies than a voice (Jovicic, 1998): a high-pass between these numbers.
WHISPER_TILT = (0.3, 0.9)
# A singer holds vowels, changes pitch in steps, and has a vibrato of this rate and depth (Sundberg, 1987).
SLOWER, NOTE_S, VIBRATO_HZ, VIBRATO_CENTS = (1.5, 3.0), (0.3, 0.9), 5.5, (0.0, 60.0)
SCALE = (-5, -3, 0, 2, 4, 5, 7)


def whisper(samples: Samples, rng: np.random.Generator) -> Samples:
    """Return speech, float32 [n] at 16 kHz, with noise in place of the voice."""
    source = rng.standard_normal(len(samples))
    whispered = _resynthesize(samples, source, 1.0)
    return _finish(scipy.signal.lfilter([1.0, -rng.uniform(*WHISPER_TILT)], [1.0], whispered))


def sing(samples: Samples, rng: np.random.Generator) -> Samples:
    """Return speech, float32 [n] at 16 kHz, slower and with a pitch that stays on notes around its own median."""
    pitch, _ = frame_pitch(samples)
    voiced = pitch > 0
    slower = rng.uniform(*SLOWER)
    time = np.arange(round(len(samples) * slower)) / SAMPLE_RATE
    notes = rng.choice(SCALE, len(time))[np.cumsum(_note_starts(rng, len(time)))]
    vibrato = rng.uniform(*VIBRATO_CENTS) / 100 * np.sin(2 * np.pi * VIBRATO_HZ * time)
    hz = np.median(pitch[voiced]) * 2 ** ((_glide(notes.astype(float)) + vibrato) / 12)
    phase = np.cumsum(hz) / SAMPLE_RATE
    pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(SAMPLE_RATE / hz)
    frames = np.minimum((time / slower * SAMPLE_RATE / HOP).astype(int), len(voiced) - 1)
    source = np.where(voiced[frames], pulses, rng.standard_normal(len(time)))
    return _finish(_resynthesize(samples, source, slower))


def _note_starts(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    starts = np.zeros(count, np.int64)
    times = np.cumsum(rng.uniform(*NOTE_S, round(count / SAMPLE_RATE / NOTE_S[0]) + 1))
    starts[[round(time * SAMPLE_RATE) for time in times if time * SAMPLE_RATE < count - 1]] = 1
    return starts


def _glide(notes: Values) -> Values:
    """Round off the steps between notes over 60 ms."""
    size = round(0.06 * SAMPLE_RATE)
    return np.convolve(np.pad(notes, size // 2, "edge"), np.full(size, 1 / size), "same")[size // 2 :][: len(notes)]


def _resynthesize(samples: Samples, source: Values, slower: float) -> Values:
    """Return a source of unit power, [n * slower], through the vocal tract of speech [n]."""
    emphasized = scipy.signal.lfilter([1.0, -PRE_EMPHASIS], [1.0], samples.astype(np.float64))
    padded = np.pad(emphasized, WINDOW)
    window = np.hanning(WINDOW)
    out = np.zeros(len(source) + 2 * WINDOW)
    for start in range(0, len(source), STEP):
        at = round(start / slower) + WINDOW // 2
        frame = padded[at : at + WINDOW] * window
        correlation = np.correlate(frame, frame, "full")[WINDOW - 1 : WINDOW + ORDER]
        correlation[0] = correlation[0] * 1.0001 + 1e-9
        coefficients = scipy.linalg.solve_toeplitz(correlation[:-1], correlation[1:])
        gain = np.sqrt(max(0.0, correlation[0] - coefficients @ correlation[1:]) / WINDOW)
        piece = gain * source[start : start + WINDOW]
        voice = scipy.signal.lfilter([1.0], np.concatenate([[1.0], -coefficients]), piece)
        out[start : start + len(voice)] += window[: len(voice)] * voice
    return np.asarray(scipy.signal.lfilter([1.0], [1.0, -PRE_EMPHASIS], out))[: len(source)]


def _finish(voice: Values) -> Samples:
    return normalize_level(voice.astype(np.float32))

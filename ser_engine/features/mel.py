"""Mel spectra in numpy, as librosa computes them with its defaults, and Kaldi: librosa itself takes seconds to load."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Slaney's scale, as librosa has it: linear up to 1 kHz, 27 steps for each factor of 6.4 above.
LINEAR_HZ, BREAK_HZ, STEP = 200 / 3, 1000.0, math.log(6.4) / 27
FRAMES = 1000
"""Frames that are transformed at once, which bounds the memory."""


def mel_frequencies(count: int, top_hz: float) -> NDArray[np.float64]:
    """Return `count` frequencies in Hz from 0 to `top_hz`, evenly spaced in mel."""
    bend = BREAK_HZ / LINEAR_HZ
    top = top_hz / LINEAR_HZ if top_hz < BREAK_HZ else bend + math.log(top_hz / BREAK_HZ) / STEP
    mels = np.linspace(0, top, count)
    return np.where(mels < bend, LINEAR_HZ * mels, BREAK_HZ * np.exp(STEP * (mels - bend)))


def mel_power(
    samples: NDArray[np.float32], rate: int, window: int, hop: int, bands: int, top_hz: float
) -> NDArray[np.float32]:
    """Return the power [bands, 1 + n // hop] of float32 [n] in mel bands, each frame around every `hop`-th sample."""
    frames = cut_frames(samples, window, hop)
    filters = _filters(rate, window, bands, top_hz)
    found = [filters @ spectral_power(frames[first : first + FRAMES]).T for first in range(0, len(frames), FRAMES)]
    return np.concatenate(found, axis=1, dtype=np.float32)


def kaldi_mel(samples: NDArray[np.float32], bands: int) -> NDArray[np.float32]:
    """Return Kaldi's log-mel spectrogram [n, frames, bands] of float32 [n, samples] at 16 kHz, without its dither.

    Each frame of 25 ms is within the samples; they are 10 ms apart. Models of speakers are trained on such features.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples * np.float32(2**15), 400, axis=-1)[..., ::160, :]
    frames = frames - frames.mean(axis=-1, keepdims=True)
    emphasized = frames - 0.97 * np.concatenate([frames[..., :1], frames[..., :-1]], axis=-1)
    spectra = np.fft.rfft(emphasized * np.hanning(400).astype(np.float32) ** 0.85, 512)
    power = np.square(spectra.real) + np.square(spectra.imag)
    energies = power @ _kaldi_filters(bands).T
    return np.log(np.maximum(energies, np.finfo(np.float32).eps), dtype=np.float32)


def cut_frames(
    samples: NDArray[np.float32], window: int, hop: int, mode: Literal["constant", "reflect"] = "constant"
) -> NDArray[np.float32]:
    """Return a view of the frames [..., 1 + n // hop, window] around every `hop`-th sample of float32 [..., n]."""
    around = [(0, 0)] * (samples.ndim - 1) + [(window // 2, window // 2)]
    padded = np.pad(samples, around, mode=mode)
    frames: NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(padded, window, axis=-1)[..., ::hop, :]
    return frames


def spectral_power(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the power [..., window // 2 + 1] of frames [..., window] under a periodic Hann window."""
    spectra = np.fft.rfft(frames * _hann(frames.shape[-1]))
    return np.asarray(np.square(spectra.real) + np.square(spectra.imag), np.float32)


@lru_cache(maxsize=4)
def _hann(window: int) -> NDArray[np.float32]:
    return np.hanning(window + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=4)
def _filters(rate: int, window: int, bands: int, top_hz: float) -> NDArray[np.float32]:
    """Return triangular filters [bands, window // 2 + 1] of equal area."""
    lines = np.arange(window // 2 + 1) * rate / window
    edges = mel_frequencies(bands + 2, top_hz)
    rising = (lines - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - lines) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2]))[:, None], np.float32)


@lru_cache(maxsize=1)
def _kaldi_filters(bands: int) -> NDArray[np.float32]:
    """Return filters [bands, 257] from 20 Hz to 8 kHz that are triangles in mel, on the scale of HTK."""
    mels = 1127 * np.log1p(np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(1127 * math.log1p(20 / 700), mels[-1], bands + 2)
    width = edges[1] - edges[0]
    filters = np.maximum(0, 1 - np.abs(mels - edges[1:-1, None]) / width)
    return np.asarray(filters, np.float32)

"""The log-mel patches that are the inputs of VGGish and YAMNet, as their authors publish them.

Both: 16 kHz, Hann windows of 25 ms every 10 ms, a Fourier transform of 512, magnitudes in 64 mel bands from 125 to
7,500 Hz, and patches of 96 frames (0.96 s). Sources: tensorflow/models, research/audioset, vggish/vggish_params.py and
mel_features.py, yamnet/params.py and features.py (vggish, section 3; Islam, 3.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import get_window

from ser_engine.types import SAMPLE_RATE

WINDOW, SHIFT, FFT = SAMPLE_RATE * 25 // 1000, SAMPLE_RATE * 10 // 1000, 512
BANDS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
PATCH_FRAMES = 96
# Samples under a patch's frames: 0.975 s.
PATCH = (PATCH_FRAMES - 1) * SHIFT + WINDOW


@dataclass(frozen=True)
class FrontEnd:
    """How the patches of the two networks differ.

    Attributes
    ----------
    hop : frames from the beginning of one patch to that of the next
    offset : added to a band before its logarithm
    pad_end : whether silence is added after a clip until its last sample lies in a patch
    """

    hop: int
    offset: float
    pad_end: bool


VGGISH = FrontEnd(hop=96, offset=0.01, pad_end=False)
YAMNET = FrontEnd(hop=48, offset=0.001, pad_end=True)


def patches(samples: NDArray[np.float32], front_end: FrontEnd) -> NDArray[np.float32]:
    """Return float32 [patches, 96, 64] (frames, bands) of mono float32 [n] at 16 kHz; at least one patch.

    A clip that is shorter than a patch is padded with silence, as by YAMNet's authors; VGGish's would make no patch of
    it, which would leave it without a prediction.
    """
    beyond = max(0, len(samples) - PATCH)
    hop = front_end.hop * SHIFT
    length = PATCH + (-(-beyond // hop) * hop if front_end.pad_end else beyond)
    padded = np.pad(np.asarray(samples, np.float32), (0, length - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::SHIFT]
    magnitude = np.abs(np.fft.rfft(frames * get_window("hann", WINDOW), FFT))
    levels = np.log(magnitude @ _filters() + front_end.offset).astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(levels, PATCH_FRAMES, axis=0)[:: front_end.hop]
    return views.swapaxes(1, 2).copy()


@lru_cache
def _filters() -> NDArray[np.float64]:
    """Return float64 [257, 64]: triangles of height 1, linear on the mel scale and not in Hz like librosa's."""
    from transformers.audio_utils import mel_filter_bank

    filters: NDArray[np.float64] = mel_filter_bank(
        num_frequency_bins=FFT // 2 + 1,
        num_mel_filters=BANDS,
        min_frequency=LOWEST_HZ,
        max_frequency=HIGHEST_HZ,
        sampling_rate=SAMPLE_RATE,
        mel_scale="htk",
        triangularize_in_mel_space=True,
    )
    return filters

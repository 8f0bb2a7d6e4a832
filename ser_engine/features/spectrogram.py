"""The papers' images of speech: colours for levels, time to the right, low frequencies and coefficients at the bottom.

Every function takes mono float32 [n] at 16 kHz and returns uint8 [images, 3, height, width] in RGB. The papers drew
their images as figures and read them back; here a colour map is looked up and nothing is drawn, so that no axes, no
fonts and no screen take part, and the same audio gives the same image anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ser_engine.features import spectra
from ser_engine.types import SAMPLE_RATE

Samples = NDArray[np.float32]
Images = NDArray[np.uint8]

# Levels this far below an image's loudest are as dark as silence: librosa's own choice in decibels.
RANGE_DB = 80.0

# paper-1, III.C.1: "1-s blocks", "a window of length '16' ms", "time-shift '4ms'", "shape 257 x 251", "jet".
# 257 frequencies ask for a transform of 512 samples, into which a window of 256 is padded.
BLOCK = SAMPLE_RATE
BLOCK_WINDOW, BLOCK_SHIFT, BLOCK_FFT = SAMPLE_RATE * 16 // 1000, SAMPLE_RATE * 4 // 1000, 512
# "overlapping windows of 10ms": a block begins 10 ms after the one before. Blocks that share 10 ms would hardly be more
# than blocks that share none, but the paper had so many that it could not use all of its clips.
OVERLAPPING_HOP = SAMPLE_RATE * 10 // 1000

# paper-4, III.A and IV.A: 2.5 s, librosa's mel spectrogram with its defaults, images of 128 x 128.
MEL_SECONDS, MEL_BANDS, MEL_SIZE = 2.5, 128, 128

# paper-3, 3.2.1 and 3.3.1: silence below 25 dB trimmed at both ends; figures of 288 x 288, resized to 224 x 224.
TRIM_DB, FIGURE_SIZE, MFCC_SIZE = 25, 288, 224

# paper-5, III.D: frames of "typically 20-30 ms". Shift and size of the image are open: 10 ms, and what ResNet-34 was
# made for.
FRAME_WINDOW, FRAME_SHIFT, FRAME_FFT, FRAME_SIZE = SAMPLE_RATE * 25 // 1000, SAMPLE_RATE * 10 // 1000, 512, 224


def jet_blocks(samples: Samples, hop: int = BLOCK) -> Images:
    """Return one image uint8 [3, 257, 251] for each second of float32 [n] at 16 kHz: paper-1, III.C.1.

    `hop` is the samples from the beginning of one block to that of the next. Speech of less than a second is padded
    with silence; what is left after the last whole block is not looked at. Each block is brought to a peak of 1, as the
    order of the paper's steps has it. The paper does not say how magnitudes become colours: in decibels here, as linear
    ones would leave nearly all of an image dark blue.
    """
    import librosa

    padded = np.pad(np.asarray(samples, np.float32), (0, max(0, BLOCK - len(samples))))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, BLOCK)[::hop]
    peaks = np.abs(blocks).max(axis=1, keepdims=True)
    blocks = np.divide(blocks, peaks, out=np.zeros(blocks.shape, np.float32), where=peaks > 0)
    spectrum = librosa.stft(blocks, n_fft=BLOCK_FFT, win_length=BLOCK_WINDOW, hop_length=BLOCK_SHIFT)
    return _coloured(_levels(np.abs(spectrum) ** 2), "jet")


def overlapping_jet_blocks(samples: Samples) -> Images:
    """Return `jet_blocks` that begin 10 ms after one another; 201 images for a clip of three seconds."""
    return jet_blocks(samples, OVERLAPPING_HOP)


def mel_image(samples: Samples) -> Images:
    """Return uint8 [1, 3, 128, 128], the mel spectrogram of the first 2.5 s of float32 [n] at 16 kHz: paper-4, IV.A.

    Shorter speech is followed by silence. The colours are those in which librosa shows levels ("magma"); columns are
    repeated to fill the width, as in a figure that is read back with Keras's own resizing.
    """
    length = round(MEL_SECONDS * SAMPLE_RATE)
    cut = np.pad(np.asarray(samples[:length], np.float32), (0, max(0, length - len(samples))))
    power = spectra.mel(spectra.magnitude(cut) ** 2, SAMPLE_RATE, MEL_BANDS)
    return _coloured(_stretched(_levels(power), MEL_SIZE, MEL_SIZE), "magma")[None]


def mfcc_image(samples: Samples) -> Images:
    """Return uint8 [1, 3, 224, 224], 20 MFCCs over a whole clip of float32 [n] at 16 kHz: paper-3, 3.2.1 and 3.3.1.

    The figure's 288 x 288 pixels are resized by Pillow, as in the paper; its colours are those in which librosa shows
    values of both signs ("coolwarm"), from the smallest to the largest.
    """
    import librosa

    trimmed, _ = librosa.effects.trim(np.asarray(samples, np.float32), top_db=TRIM_DB)
    coefficients = spectra.mfcc(spectra.magnitude(spectra.pad(trimmed)) ** 2, SAMPLE_RATE)
    least, most = coefficients.min(), coefficients.max()
    shares = (coefficients - least) / (most - least) if most > least else np.zeros_like(coefficients)
    return _resized(_coloured(_stretched(shares, FIGURE_SIZE, FIGURE_SIZE), "coolwarm"), MFCC_SIZE)[None]


def spectrogram_image(samples: Samples) -> Images:
    """Return uint8 [1, 3, 224, 224], the spectrogram of a whole clip of float32 [n] at 16 kHz: paper-5, III.D.

    Frames of 25 ms every 10 ms, in decibels. The paper leaves size and colours open: 224 x 224 and librosa's "magma".
    """
    import librosa

    padded = np.pad(np.asarray(samples, np.float32), (0, max(0, FRAME_FFT - len(samples))))
    spectrum = librosa.stft(padded, n_fft=FRAME_FFT, win_length=FRAME_WINDOW, hop_length=FRAME_SHIFT)
    return _resized(_coloured(_levels(np.abs(spectrum) ** 2), "magma"), FRAME_SIZE)[None]


IMAGES: dict[str, tuple[Callable[[Samples], Images], tuple[int, int, int]]] = {
    "jet-blocks": (jet_blocks, (3, BLOCK_FFT // 2 + 1, BLOCK // BLOCK_SHIFT + 1)),
    "jet-blocks-overlapping": (overlapping_jet_blocks, (3, BLOCK_FFT // 2 + 1, BLOCK // BLOCK_SHIFT + 1)),
    "mel-image": (mel_image, (3, MEL_SIZE, MEL_SIZE)),
    "mfcc-image": (mfcc_image, (3, MFCC_SIZE, MFCC_SIZE)),
    "spectrogram-image": (spectrogram_image, (3, FRAME_SIZE, FRAME_SIZE)),
}
"""Name → what makes the images of a clip, and the shape of each."""


def _levels(power: NDArray[np.floating]) -> NDArray[np.floating]:
    """Map power [..., h, w] to 0..1: each image's loudest is 1, and 0 is what lies `RANGE_DB` below, or silence."""
    loudest = power.max(axis=(-2, -1), keepdims=True)
    shares = np.divide(power, loudest, out=np.zeros_like(power), where=loudest > 0)
    return 1.0 + 10.0 * np.log10(np.maximum(shares, 10 ** (-RANGE_DB / 10))) / RANGE_DB


def _stretched(rows: NDArray[np.floating], height: int, width: int) -> NDArray[np.floating]:
    """Return [height, width] from [h, w], repeating rows and columns as a figure of coloured cells does."""
    down = np.arange(height) * rows.shape[0] // height
    right = np.arange(width) * rows.shape[1] // width
    return rows[down[:, None], right]


def _coloured(shares: NDArray[np.floating], name: str) -> Images:
    """Map values 0..1 [..., h, w] to colours uint8 [..., 3, h, w], the first row of values at the bottom."""
    index = np.ascontiguousarray(np.clip(shares[..., ::-1, :] * 256, 0, 255).astype(np.uint8))
    return np.stack([channel[index] for channel in _colours(name)], axis=-3)


@lru_cache
def _colours(name: str) -> Images:
    """Return the colour map of that name as uint8 [3, 256]."""
    from matplotlib import colormaps

    return np.ascontiguousarray(colormaps[name](np.arange(256), bytes=True)[:, :3].T)


def _resized(image: Images, size: int) -> Images:
    """Return uint8 [3, size, size] from uint8 [3, h, w], resampled by Pillow's default for colours (bicubic)."""
    from PIL import Image

    resized = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).resize((size, size))
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

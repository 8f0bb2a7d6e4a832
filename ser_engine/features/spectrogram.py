"""The papers' images of speech: colors for levels, time to the right, low frequencies and coefficients at the bottom.

Every function takes mono float32 [n] at 16 kHz and returns uint8 [images, 3, height, width] in RGB. The papers plotted
figures and read them back; here a color map is applied without plotting, so that there are no axes and fonts, no
display is needed, and the same audio gives the same image anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ser_engine.features import spectra
from ser_engine.types import SAMPLE_RATE

Samples = NDArray[np.float32]
Images = NDArray[np.uint8]

# Levels this far below an image's loudest are as dark as silence: librosa's default in decibels.
RANGE_DB = 80.0

# Sharma, III.C.1: "1-s blocks", "a window of length '16' ms", "time-shift '4ms'", "shape 257 x 251", "jet".
# 257 frequencies imply a transform of 512 samples, to which a window of 256 is padded.
BLOCK = SAMPLE_RATE
BLOCK_WINDOW, BLOCK_SHIFT, BLOCK_FFT = SAMPLE_RATE * 16 // 1000, SAMPLE_RATE * 4 // 1000, 512
# "overlapping windows of 10ms": a block begins 10 ms after the one before. Blocks that overlap by 10 ms would hardly be
# more than blocks without overlap, but the paper had too many to use all of its clips.
OVERLAPPING_HOP = SAMPLE_RATE * 10 // 1000

# Gomes, III.A and IV.A: 2.5 s, librosa's mel spectrogram with its defaults, images of 128 x 128.
MEL_SECONDS, MEL_BANDS, MEL_SIZE = 2.5, 128, 128

# Islam, 3.3.1: figures of 288 x 288, resized to 224 x 224.
FIGURE_SIZE, MFCC_SIZE = 288, 224

# Tiwari, III.D: frames of "typically 20-30 ms". Shift and image size are not given: 10 ms, and the input size of
# ResNet-34.
FRAME_WINDOW, FRAME_SHIFT, FRAME_FFT, FRAME_SIZE = SAMPLE_RATE * 25 // 1000, SAMPLE_RATE * 10 // 1000, 512, 224


def jet_blocks(samples: Samples, hop: int = BLOCK) -> Images:
    """Compute one image uint8 [3, 257, 251] for each second of float32 [n] at 16 kHz: Sharma, III.C.1.

    `hop` is the number of samples between the beginnings of two blocks. Speech of less than a second is padded with
    silence; an incomplete last block is dropped. Each block is scaled to a peak of 1, following the order of the
    paper's steps. The paper does not state how magnitudes become colors: in decibels here, since linear magnitudes
    would leave nearly all of an image dark blue.
    """
    import librosa

    blocks = np.lib.stride_tricks.sliding_window_view(spectra.pad(samples, BLOCK), BLOCK)[::hop]
    peaks = np.abs(blocks).max(axis=1, keepdims=True)
    blocks = np.divide(blocks, peaks, out=np.zeros(blocks.shape, np.float32), where=peaks > 0)
    spectrum = librosa.stft(blocks, n_fft=BLOCK_FFT, win_length=BLOCK_WINDOW, hop_length=BLOCK_SHIFT)
    return _apply_colors(_to_levels(np.abs(spectrum) ** 2), "jet")


def mel_image(samples: Samples) -> Images:
    """Compute uint8 [1, 3, 128, 128], the mel spectrogram of the first 2.5 s of float32 [n] at 16 kHz: Gomes, IV.A.

    Shorter speech is padded with silence. The color map is librosa's for levels ("magma"); columns are repeated to fill
    the width, as by Keras's resizing of a figure.
    """
    length = round(MEL_SECONDS * SAMPLE_RATE)
    power = spectra.mel(spectra.magnitude(spectra.pad(samples[:length], length)) ** 2, SAMPLE_RATE, MEL_BANDS)
    return _apply_colors(_enlarge(_to_levels(power), MEL_SIZE, MEL_SIZE), "magma")[None]


def mfcc_image(samples: Samples) -> Images:
    """Compute uint8 [1, 3, 224, 224], 20 MFCCs over a whole clip of float32 [n] at 16 kHz: Islam, 3.3.1.

    The figure's 288 x 288 pixels are resized by Pillow, as in the paper; the color map is librosa's for values of both
    signs ("coolwarm"), from the smallest to the largest.
    """
    coefficients = spectra.mfcc(spectra.magnitude(spectra.pad(samples)) ** 2, SAMPLE_RATE)
    least, most = coefficients.min(), coefficients.max()
    shares = (coefficients - least) / (most - least) if most > least else np.zeros_like(coefficients)
    return _resize(_apply_colors(_enlarge(shares, FIGURE_SIZE, FIGURE_SIZE), "coolwarm"), MFCC_SIZE)[None]


def spectrogram_image(samples: Samples) -> Images:
    """Compute uint8 [1, 3, 224, 224], the spectrogram of a whole clip of float32 [n] at 16 kHz: Tiwari, III.D.

    Frames of 25 ms every 10 ms, in decibels. The paper states neither size nor colors: 224 x 224 and librosa's "magma".
    """
    import librosa

    padded = spectra.pad(samples, FRAME_FFT)
    spectrum = librosa.stft(padded, n_fft=FRAME_FFT, win_length=FRAME_WINDOW, hop_length=FRAME_SHIFT)
    return _resize(_apply_colors(_to_levels(np.abs(spectrum) ** 2), "magma"), FRAME_SIZE)[None]


_JET_SHAPE = (3, BLOCK_FFT // 2 + 1, BLOCK // BLOCK_SHIFT + 1)
IMAGES: dict[str, tuple[Callable[[Samples], Images], tuple[int, int, int]]] = {
    "jet-blocks": (jet_blocks, _JET_SHAPE),
    "jet-blocks-overlapping": (partial(jet_blocks, hop=OVERLAPPING_HOP), _JET_SHAPE),
    "mel-image": (mel_image, (3, MEL_SIZE, MEL_SIZE)),
    "mfcc-image": (mfcc_image, (3, MFCC_SIZE, MFCC_SIZE)),
    "spectrogram-image": (spectrogram_image, (3, FRAME_SIZE, FRAME_SIZE)),
}
"""Name → function from a clip to its images, and the shape of each image."""


def _to_levels(power: NDArray[np.floating]) -> NDArray[np.floating]:
    """Map power [..., h, w] to 0..1: each image's loudest value to 1, values `RANGE_DB` below and silence to 0."""
    loudest = power.max(axis=(-2, -1), keepdims=True)
    shares = np.divide(power, loudest, out=np.zeros_like(power), where=loudest > 0)
    return np.asarray(1.0 + 10.0 * np.log10(np.maximum(shares, 10 ** (-RANGE_DB / 10))) / RANGE_DB)


def _enlarge(rows: NDArray[np.floating], height: int, width: int) -> NDArray[np.floating]:
    """Enlarge [h, w] to [height, width] by repeating rows and columns, as in a figure of colored cells."""
    down = np.arange(height) * rows.shape[0] // height
    right = np.arange(width) * rows.shape[1] // width
    return np.asarray(rows[down[:, None], right])


def _apply_colors(shares: NDArray[np.floating], name: str) -> Images:
    """Map values 0..1 [..., h, w] to colors uint8 [..., 3, h, w], the first row at the bottom."""
    index = np.ascontiguousarray(np.clip(shares[..., ::-1, :] * 256, 0, 255).astype(np.uint8))
    return np.stack([channel[index] for channel in _color_map(name)], axis=-3)


@lru_cache
def _color_map(name: str) -> Images:
    """Return a color map as uint8 [3, 256]."""
    from matplotlib import colormaps

    return np.ascontiguousarray(colormaps[name](np.arange(256), bytes=True)[:, :3].T)


def _resize(image: Images, size: int) -> Images:
    """Resize uint8 [3, h, w] to [3, size, size], by Pillow's default for colors (bicubic)."""
    from PIL import Image

    resized = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).resize((size, size))
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

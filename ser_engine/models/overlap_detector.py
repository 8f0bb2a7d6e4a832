"""Where several speak at once: pyannote's segmentation network, which distinguishes up to three speakers within 10 s.

Its classes are the sets of those who speak (Plaquet and Bredin, 2023, "Powerset multi-class cross entropy loss for
neural speaker diarization"): nobody, one of three, two of three.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.models.onnx_graph import open_model, run
from ser_engine.models.store import find_bundled
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

Array = NDArray[np.float32]
ID = "segmentation"
CHUNK, FRAMES, STRIDE, CENTER = 10 * SAMPLE_RATE, 589, 270, 495
"""Samples of a chunk, its frames, samples from one frame to the next, and the sample in the middle of the first."""
FRAME_S = STRIDE / SAMPLE_RATE
SEVERAL = slice(4, 7)
"""The classes in which two speak."""
# The frames at the edges of a chunk see less and are answered by its neighbors.
MARGIN = 148
INNER = FRAMES - 2 * MARGIN
BATCH = 4


class OverlapDetector:
    """Finds overlapped speech."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._session = open_model(folder, threads)

    def probabilities(self, samples: Array) -> Array:
        """Return the probability [n] for each `FRAME_S` of float32 samples at 16 kHz that several speak at once."""
        frames = -(-len(samples) // STRIDE)
        count = max(1, -(-frames // INNER))
        # Such that the middle of the first answering frame is the middle of the first `STRIDE` samples.
        before = CENTER + MARGIN * STRIDE - STRIDE // 2
        padded = np.pad(samples, (before, (count - 1) * INNER * STRIDE + CHUNK - before))
        answers = []
        for first in range(0, count, BATCH):
            starts = range(first * INNER * STRIDE, min(count, first + BATCH) * INNER * STRIDE, INNER * STRIDE)
            chunks = np.stack([padded[start : start + CHUNK] for start in starts])
            logarithms = run(self._session, ["logarithms"], {"samples": chunks[:, None]})[0]
            answers.append(np.exp(logarithms[:, MARGIN:-MARGIN, SEVERAL]).sum(axis=2).ravel())
        return np.asarray(np.concatenate(answers)[:frames], np.float32)


def load_detector(settings: Settings) -> OverlapDetector:
    """Return the detector of `settings.models_dir`, or else the bundled one; its network is loaded once.

    Raise WeightsUnavailable if its weights are missing or damaged.
    """
    return OverlapDetector(find_bundled(settings, ID), settings.thread_count)

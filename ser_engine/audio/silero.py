"""Silero VAD: its network, by onnxruntime, and its rules for spans of speech; tests hold both against its package."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_engine.settings import PROJECT

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NETWORK = PROJECT / "models" / "speech-detector" / "model.onnx"
FRAME, CONTEXT, MIRRORED = 512, 64, 64
"""Samples of a frame, of the end of the one before, and of its own end, reversed: the network gets all of them."""
SAMPLES, UNITS = FRAME + CONTEXT + MIRRORED, 128
"""Samples in all, and units of the LSTM."""
FRAMES = 512
"""Frames that are computed at once: 16 s."""
BELOW, LOWEST = 0.15, 0.01
"""A span ends where the probability is this much below the threshold that it began with, but at least the second."""

_LOADING = threading.Lock()


def speech_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of speech of each `FRAME` samples of float32 [n] at 16 kHz; the last may be shorter."""
    count = -(-len(samples) // FRAME)
    frames = np.pad(samples, (0, count * FRAME - len(samples))).reshape(count, FRAME)
    before = np.zeros((count, CONTEXT), np.float32)
    before[1:] = frames[:-1, -CONTEXT:]
    inputs = np.concatenate([before, frames, frames[:, -2 : -MIRRORED - 2 : -1]], axis=1, dtype=np.float32)
    hidden = cell = np.zeros((1, 1, UNITS), np.float32)
    found = [np.zeros(0, np.float32)]
    session = _session()
    for first in range(0, count, FRAMES):
        states = {"frames": inputs[first : first + FRAMES], "hidden": hidden, "cell": cell}
        probabilities, hidden, cell = session.run(["probabilities", "next_hidden", "next_cell"], states)
        found.append(np.asarray(probabilities, np.float32).ravel())
    return np.concatenate(found)


def find_spans(
    probabilities: Sequence[float], threshold: float, length: int, min_speech: int, min_silence: int
) -> list[tuple[int, int]]:
    """Return the (first, last) sample of each span of speech of `length` samples, from the probabilities of frames.

    A span begins at `threshold`, and ends before `min_silence` samples without speech; one of at most `min_speech`
    samples is left out.
    """
    spans: list[tuple[int, int]] = []
    begin, quiet = -1, -1
    for n, probability in enumerate(probabilities):
        if probability >= threshold:
            begin, quiet = n * FRAME if begin < 0 else begin, -1
        elif begin >= 0 and probability < max(threshold - BELOW, LOWEST):
            quiet = n * FRAME if quiet < 0 else quiet
            if n * FRAME - quiet >= min_silence:
                spans.append((begin, quiet))
                begin, quiet = -1, -1
    if begin >= 0:
        spans.append((begin, length))
    return [(first, min(last, length)) for first, last in spans if last - first > min_speech]


def _session() -> InferenceSession:
    """Return the network, loaded once; it may be called from several threads."""
    with _LOADING:
        return _load()


@lru_cache(maxsize=1)
def _load() -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(NETWORK, options, providers=["CPUExecutionProvider"])

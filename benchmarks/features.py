"""How many times faster than it was spoken a voice becomes acoustic features, on each core."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.features import ACOUSTIC
from ser_engine.types import SAMPLE_RATE
from tests.speech import SENTENCES, VOICES, speech  # generated, so that the figures need no corpus

CLIPS, CLIP_S, WORKERS = 10_000, 3.0, 2


def measure(clips: int = CLIPS, workers: int = WORKERS) -> dict[str, Any]:
    """Return `feature_realtime_factor`, of the slower of both feature sets, and `feature_ms_per_clip` of each.

    Every clip is 3 s of speech under noise, and no two are the same. What counts is the processor's time within
    `extract`, of all threads together, so that the figure is per core, whatever else the machine does.
    """
    milliseconds = {}
    with ProcessPoolExecutor(workers, initializer=_start) as pool:
        for features in ACOUSTIC:
            seconds = pool.map(partial(_time, features=features), range(clips), chunksize=32)
            bar = tqdm(seconds, total=clips, desc=features, unit="clip")
            milliseconds[features] = round(1000 * sum(bar) / clips, 2)
    return {
        "feature_realtime_factor": round(1000 * CLIP_S / max(milliseconds.values())),
        "feature_ms_per_clip": milliseconds,
    }


def clip(number: int) -> NDArray[np.float32]:
    """Return 3 s of the spoken sentences from a random place on, at a random level and under random noise."""
    rng = np.random.default_rng(number)
    sentences, length = _sentences(), round(CLIP_S * SAMPLE_RATE)
    start = rng.integers(len(sentences) - length)
    noise = rng.standard_normal(length, np.float32) * np.float32(10 ** rng.uniform(-4, -2))
    return np.float32(rng.uniform(0.1, 1.0)) * sentences[start : start + length] + noise


@lru_cache(maxsize=1)
def _sentences() -> NDArray[np.float32]:
    return np.concatenate([speech(text, voice) for text in SENTENCES for voice in VOICES])


def _start() -> None:
    """Have a worker process compute on one thread; what is made once only is made before the clock runs."""
    from threadpoolctl import threadpool_limits

    for features in ACOUSTIC:
        _extract(features, clip(0))
    threadpool_limits(1)


def _time(number: int, features: str) -> float:
    """Return the processor's seconds that one clip takes."""
    samples = clip(number)
    begun = time.process_time()
    _extract(features, samples)
    return time.process_time() - begun


def _extract(features: str, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return ACOUSTIC[features](samples, SAMPLE_RATE)

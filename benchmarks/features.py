"""Real-time factor of acoustic features, per core."""

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
from tests.speech import SENTENCES, VOICES, speech  # synthetic, so that no corpus is needed

CLIPS, CLIP_S, WORKERS = 10_000, 3.0, 2


def measure(clips: int = CLIPS, workers: int = WORKERS) -> dict[str, Any]:
    """Return `feature_realtime_factor` of the slowest feature set, and `feature_ms_per_clip` of each.

    Clips are 3 s of noisy speech, all different. Processor time of all threads is counted, so the figures are per
    core and do not depend on other load.
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
    """Return 3 s of synthetic speech from a random position, at a random level, with random noise."""
    rng = np.random.default_rng(number)
    sentences, length = _sentences(), round(CLIP_S * SAMPLE_RATE)
    start = rng.integers(len(sentences) - length)
    noise = rng.standard_normal(length, np.float32) * np.float32(10 ** rng.uniform(-4, -2))
    return np.float32(rng.uniform(0.1, 1.0)) * sentences[start : start + length] + noise


@lru_cache(maxsize=1)
def _sentences() -> NDArray[np.float32]:
    return np.concatenate([speech(text, voice) for text in SENTENCES for voice in VOICES])


def _start() -> None:
    """Warm up a worker process, and limit it to one thread."""
    from threadpoolctl import threadpool_limits

    for features in ACOUSTIC:
        _extract(features, clip(0))
    threadpool_limits(1)


def _time(number: int, features: str) -> float:
    """Return the processor seconds for one clip."""
    samples = clip(number)
    begun = time.process_time()
    _extract(features, samples)
    return time.process_time() - begun


def _extract(features: str, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return ACOUSTIC[features](samples, SAMPLE_RATE)

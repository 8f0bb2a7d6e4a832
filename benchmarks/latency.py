"""Latency of warm models on a recording, compared with the plain pipeline."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ser_engine.analyzer import Analyzer
from ser_engine.models.whisper import load_whisper
from ser_engine.settings import Settings
from ser_engine.types import STAGES, Analysis

REPETITIONS = 20
PLAIN_REPETITIONS = 10


def measure(clip_3s: Path, clip_60s: Path) -> dict[str, Any]:
    """Return `warm_*`, `stages`, `peak_rss_mb` and `speedup_vs_plain_3s`; times are seconds."""
    analyzer = Analyzer(Settings())
    analyzer.warm_up()
    short, stages = _times(analyzer, clip_3s)
    long, long_stages = _times(analyzer, clip_60s)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    plain = _plain(clip_3s)
    p50 = float(np.median(short))
    return {
        "warm_3s_p50": round(p50, 3),
        "warm_3s_p95": round(float(np.percentile(short, 95)), 3),
        "warm_60s_p50": round(float(np.median(long)), 3),
        "warm_60s_p95": round(float(np.percentile(long, 95)), 3),
        "stages": {"3s": stages, "60s": long_stages},
        "peak_rss_mb": round(peak),
        "plain_3s_p50": round(plain, 3),
        "speedup_vs_plain_3s": round(plain / p50, 2),
    }


def _times(analyzer: Analyzer, clip: Path) -> tuple[list[float], dict[str, float]]:
    """Return the seconds of each repetition, and the median seconds of each stage."""
    data = clip.read_bytes()
    analyses = [_analyze_uncached(analyzer, data) for _ in range(REPETITIONS)]
    stages = {stage: round(float(np.median([a.seconds[stage] for a in analyses])), 4) for stage in STAGES}
    return [analysis.seconds["total"] for analysis in analyses], stages


def _analyze_uncached(analyzer: Analyzer, data: bytes) -> Analysis:
    """Analyze a recording with an empty cache."""
    analyzer.model.clear_cache()
    return analyzer.analyze(data)


def _plain(clip: Path) -> float:
    """Return the median seconds of the warm plain pipeline, which has a float32 copy of the model."""
    from benchmarks import plain
    from ser_engine.models.fused import Fused
    from ser_engine.models.registry import find_model, load_model
    from ser_engine.models.whisper_statistics import WhisperEncoderModel

    model = load_whisper(Settings())
    fused = load_model(find_model(Settings()), Settings())
    assert isinstance(fused, Fused)
    classifier = fused.audio
    assert isinstance(classifier, WhisperEncoderModel)
    plain.analyze(clip, model, classifier)
    return float(np.median(_timed(lambda: plain.analyze(clip, model, classifier), PLAIN_REPETITIONS)))


def _timed(call: Callable[[], object], repetitions: int) -> list[float]:
    seconds = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return seconds

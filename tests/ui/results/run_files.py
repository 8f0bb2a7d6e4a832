"""run.json as a training writes it, for tests of what reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABELS = ["happy", "sad", "angry"]
Write = Callable[..., Path]


def entry(**given: Any) -> dict[str, Any]:
    """Return a run.json as a training writes it."""
    return {
        "model": "knn",
        "features": "acoustic94",
        "protocol": "speaker-independent (whole speakers; shares sentences)",
        "speaker_independent": True,
        "corpora": ["ravdess", "tess"],
        "labels": LABELS,
        "metrics": {"UA": 40.0, "WA": 42.0, "macro_f1": 39.0, "UA_ci95": [35.0, 45.0]},
        "per_class": {label: {"precision": 50.0, "recall": 40.0, "f1": 44.4, "support": 10} for label in LABELS},
        "confusion": [[4, 3, 3], [1, 8, 1], [0, 10, 0]],
        "by_corpus": {"ravdess": {"UA": 40.0, "WA": 41.0, "clips": 30}},
        "by_speaker": {f"ravdess/{i:02}": {"UA": 10.0 * i, "WA": 50.0, "clips": 5} for i in range(1, 7)},
        "by_gender": {},
        "seconds": 12.5,
        "size_mb": 1.5,
        "config": {"estimator": "knn", "seed": 0},
    } | given


def random_split(ua: float, **given: Any) -> dict[str, Any]:
    """Return the same under a random split."""
    figures = {"UA": ua, "WA": ua}
    return entry(protocol="paper (random; shares speakers)", speaker_independent=False, metrics=figures, **given)

"""Records as a run writes them, for tests of the results page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABELS = ["happy", "sad", "angry"]
Write = Callable[..., Path]


def entry(**given: Any) -> dict[str, Any]:
    """Return a record on unseen speakers."""
    return {
        "version": 1,
        "kind": "emotion",
        "model": "knn",
        "system": "classical",
        "features": "acoustic94",
        "protocol": "speaker-independent",
        "split": "folds of whole speakers; shares sentences",
        "speaker_independent": True,
        "corpora": ["ravdess", "tess"],
        "labels": LABELS,
        "metrics": {"UA": 40.0, "WA": 42.0, "UA_plus_WA": 82.0, "macro_f1": 39.0},
        "interval": [35.0, 45.0],
        "per_class": {label: {"precision": 50.0, "recall": 40.0, "f1": 44.4, "support": 10} for label in LABELS},
        "confusion": [[4, 3, 3, 0], [1, 8, 1, 0], [0, 10, 0, 0]],
        "by_corpus": {"ravdess": {"UA": 40.0, "WA": 41.0, "clips": 30}},
        "by_speaker": {f"ravdess/{i:02}": {"UA": 10.0 * i, "WA": 50.0, "clips": 5} for i in range(1, 7)},
        "seconds": 12.5,
        "size_mb": 1.5,
        "seed": 0,
        "config": {"estimator": "knn"},
    } | given


def random_split(ua: float, **given: Any) -> dict[str, Any]:
    """Return the same under a random split."""
    return entry(
        protocol="paper",
        split="random 80:20; shares speakers and sentences",
        speaker_independent=False,
        metrics={"UA": ua, "WA": ua},
        **given,
    )

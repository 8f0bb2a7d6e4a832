"""The detector of overlapped speech that the settings ask for."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ser_engine.models.onnx_graph import Weights, open_graph, run
from ser_engine.models.overlap_onnx import ID, OverlapDetection
from ser_engine.models.store import find_bundled
from ser_engine.settings import Settings

_LOADING = threading.Lock()


def load_detector(settings: Settings) -> OverlapDetection:
    """Return the detector, loaded once, that of `settings.models_dir` or else the bundled one.

    Raise WeightsUnavailable if its weights are missing or damaged.
    """
    with _LOADING:
        return _load(find_bundled(settings, ID), settings.engine, settings.thread_count)


@lru_cache(maxsize=2)
def _load(folder: Path, engine: Literal["onnx", "torch"], threads: int) -> OverlapDetection:
    weights = Weights(folder)
    if engine == "torch":
        from ser_engine.models.overlap_detector import read_classifier

        return OverlapDetection(read_classifier(folder), weights.read("filters"))
    session = open_graph("overlap_detector", weights, threads)
    return OverlapDetection(lambda mel: run(session, ["logits"], {"mel": mel})[0], weights.read("filters"))

"""The hall: the whole way from a recording to an answer, on one screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ser_engine.analysis import Analysis
from ser_engine.settings import Settings

Progress = Callable[[str, float | None], None]
"""Told (stage, None) when a stage of `STAGES` begins and (stage, seconds) when it has ended."""


class Analyzer:
    """Analyses recordings; safe to share between threads, one model in memory for all."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_env()

    def warm_up(self) -> None:
        """Load every model now, so that the first analysis does not wait for them."""
        raise NotImplementedError

    def analyze(
        self, source: bytes | str | Path, *, name: str = "", transcribe: bool | None = None, progress: Progress | None = None
    ) -> Analysis:
        """Analyse one recording, given as the bytes of an encoded file or as a path."""
        raise NotImplementedError

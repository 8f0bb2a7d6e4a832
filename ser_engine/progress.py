"""What an analysis reports on its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ser_engine.types import Recording

Progress = Callable[[str, float | None], None]
"""Called with (stage, None) when a stage of `types.STAGES` begins and with (stage, seconds) when it ends.

A long recording is analyzed in stretches: each of them has its stages, and `seconds` are those of all so far.
"""

Advance = Callable[[float, float], None]
"""Called every few seconds with the seconds of the recording that have been analyzed, and those in all (0: unknown)."""

OnDecoded = Callable[[Recording, float, float], None]
"""Called with each decoded part of a recording, its start in seconds, and the seconds of the whole."""


@dataclass
class Report:
    """Calls the callbacks of `Analyzer.analyze`.

    `done_s` of `total_s` seconds have been analyzed, and the next `current_s` are on their way; `seconds` are those
    that each stage took.
    """

    progress: Progress | None = None
    advance: Advance | None = None
    decoded: OnDecoded | None = None
    done_s: float = 0.0
    current_s: float = 0.0
    total_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Time one stage and report its begin and end."""
        if self.progress:
            self.progress(stage, None)
        begun = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun
        if self.progress:
            self.progress(stage, self.seconds[stage])

    def step(self, begin: float = 0.0, end: float = 0.0, share: float = 0.0) -> None:
        """Report how far the analysis is: with the current part, at that `share` of what leads from `begin` to `end`.

        The callback may end the analysis by an exception.
        """
        if self.advance:
            self.advance(self.done_s + self.current_s * (begin + (end - begin) * share), self.total_s)

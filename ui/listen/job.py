"""An analysis in a thread of its own, whose progress the page shows.

A click that makes the page run again loses no work, and a download that the engine waits for can be shown.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ser_engine.errors import SerError
from ser_engine.types import STAGES

if TYPE_CHECKING:
    from ser_engine import Analysis, Analyzer
    from ser_engine.types import Baseline
    from ui.session import Recording

UNEXPECTED = "Something went wrong with this recording; it was not analyzed."


@dataclass(frozen=True)
class Steps:
    """The progress of an analysis: the seconds of each finished step, and the running step."""

    times: dict[str, float]
    running: str | None


class Abandoned(Exception):
    """Ends an analysis whose result is no longer wanted."""


class Job:
    """One analysis of `recording` by `engine`, relative to the speaker's `baseline`, if any; started on creation.

    `language` is that of all speech, empty to detect it.

    Attributes
    ----------
    steps : the progress; replaced as a whole, so that any thread may read it at any time
    ended : set at the end; then either `analysis` is the result, or `error` a sentence
    """

    def __init__(
        self, engine: Analyzer, recording: Recording, baseline: Baseline | None = None, language: str | None = None
    ) -> None:
        self.recording, self.baseline, self.language = recording, baseline, language
        self.steps = Steps({}, STAGES[0])
        self.ended = threading.Event()
        self.analysis: Analysis | None = None
        self.error: str | None = None
        self.engine = engine
        self._abandoned = threading.Event()
        threading.Thread(target=self._run, name="analysis", daemon=True).start()

    def abandon(self) -> None:
        """End the analysis after the running step."""
        self._abandoned.set()

    def _run(self) -> None:
        try:
            self.analysis = self.engine.analyze(
                self.recording.data,
                name=self.recording.name,
                language=self.language,
                baseline=self.baseline,
                progress=self._take_step,
            )
        except SerError as error:
            self.error = str(error)
        except Abandoned:
            self.error = "The analysis was abandoned."
        except Exception:
            logging.getLogger(__name__).exception("An analysis failed unexpectedly")
            self.error = UNEXPECTED
        finally:
            self.ended.set()

    def _take_step(self, stage: str, seconds: float | None) -> None:
        if self._abandoned.is_set():
            raise Abandoned
        if seconds is None:
            self.steps = Steps(self.steps.times, stage)
        else:
            self.steps = Steps(self.steps.times | {stage: seconds}, None)

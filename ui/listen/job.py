"""An analysis beside the page: the engine works in a thread of its own, and the page looks at how far it is.

So a page can show a download that the engine waits for, and a click that makes the page run anew loses no work.
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
    from ui.session import Recording

UNEXPECTED = "Something went wrong with this recording; it was not analysed."


@dataclass(frozen=True)
class Steps:
    """How far an analysis is: the seconds of each step that has ended, and the step under way."""

    times: dict[str, float]
    running: str | None


class Abandoned(Exception):
    """Ends an analysis that nobody waits for any more."""


class Job:
    """One analysis, begun when this is made.

    Attributes
    ----------
    recording
        What is analysed.
    engine
        Who analyses it.
    steps
        How far it is; replaced as a whole, so that any thread may read it at any time.
    ended
        Set when it is over. Then either `analysis` holds the answer or `error` what went wrong, in one sentence.
    """

    def __init__(self, engine: Analyzer, recording: Recording) -> None:
        self.recording = recording
        self.steps = Steps({}, STAGES[0])
        self.ended = threading.Event()
        self.analysis: Analysis | None = None
        self.error: str | None = None
        self.engine = engine
        self._abandoned = threading.Event()
        threading.Thread(target=self._run, name="analysis", daemon=True).start()

    def abandon(self) -> None:
        """Let it end with the step that it is at."""
        self._abandoned.set()

    def _run(self) -> None:
        try:
            self.analysis = self.engine.analyze(self.recording.data, name=self.recording.name, progress=self._take_step)
        except SerError as error:
            self.error = str(error)
        except Abandoned:
            self.error = "It was given up."  # nobody is there to read it
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

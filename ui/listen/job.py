"""An analysis in a thread of its own, whose progress the page shows.

A click that makes the page run again loses no work, and a download that the engine waits for can be shown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ser_engine.errors import SerError
from ser_engine.fair_queue import FairQueue
from ser_engine.types import STAGES
from ui import access
from ui.listen.overview import Overview

if TYPE_CHECKING:
    from ser_engine import Analysis, Analyzer
    from ser_engine.types import Baseline
    from ui.session import Recording

POLL_S = 0.2
"""How often an analysis that waits for its turn looks whether it is still wanted."""
GONE_S = 5.0
"""How long an analysis goes on after its page was closed: a connection that broke is back sooner."""
BROWSER = "_streamlit_xsrf"
"""The cookie by which Streamlit knows a browser, whose tabs are one visitor."""
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

    `language` is that of all speech, empty to detect it. The analysis is abandoned when `wanted` has been false for
    `GONE_S`. It waits for its turn among those of the other visitors in `queue`, and a long one lets them go first.

    Attributes
    ----------
    steps : the progress; replaced as a whole, so that any thread may read it at any time
    seconds : those of the recording that have been analyzed, and those in all (0: not known yet)
    overview : what the page draws and plays of the recording
    wanted : whether the page is still there; asked every few seconds
    ended : set at the end; then either `analysis` is the result, or `error` a sentence
    """

    def __init__(
        self,
        engine: Analyzer,
        recording: Recording,
        baseline: Baseline | None = None,
        language: str | None = None,
        wanted: Callable[[], bool] = lambda: True,
        queue: FairQueue | None = None,
        visitor: Hashable = "",
    ) -> None:
        self.recording, self.baseline, self.language = recording, baseline, language
        self.overview = Overview(recording.data)
        self.seconds = (0.0, 0.0)
        self.steps = Steps({}, STAGES[0])
        self.ended = threading.Event()
        self.analysis: Analysis | None = None
        self.error: str | None = None
        self.engine = engine
        self._abandoned = threading.Event()
        self.wanted, self._last_wanted = wanted, time.monotonic()
        self._turn = (queue or FairQueue(1)).join(visitor)
        threading.Thread(target=self._run, name="analysis", daemon=True).start()

    def abandon(self) -> None:
        """End the analysis within seconds."""
        self._abandoned.set()

    @property
    def abandoned(self) -> bool:
        """Whether the analysis was ended before its time."""
        return self._abandoned.is_set()

    @property
    def place(self) -> int:
        """The place in the queue, from 1; 0 while it is its turn."""
        return self._turn.place

    def _run(self) -> None:
        try:
            self._wait_for_turn()
            self.analysis = self.engine.analyze(
                self.recording.data,
                name=self.recording.name,
                language=self.language,
                baseline=self.baseline,
                track=self.recording.track,
                progress=self._take_step,
                advance=self._advance,
                decoded=self.overview.add,
            )
        except SerError as error:
            self.error = str(error)
        except Abandoned:
            self.error = "The analysis was abandoned."
        except Exception:
            logging.getLogger(__name__).exception("An analysis failed unexpectedly")
            self.error = UNEXPECTED
        finally:
            self._turn.leave()
            self.ended.set()

    def _advance(self, done_s: float, total_s: float) -> None:
        self.seconds = (done_s, total_s)
        self._turn.pass_on()
        self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        self._check_wanted()
        while not self._turn.wait(POLL_S):
            self._check_wanted()

    def _check_wanted(self) -> None:
        now = time.monotonic()
        if self.wanted():
            self._last_wanted = now
        elif now - self._last_wanted > GONE_S:
            self.abandon()
        if self.abandoned:
            raise Abandoned

    def _take_step(self, stage: str, seconds: float | None) -> None:
        self._advance(*self.seconds)
        if seconds is None:
            self.steps = Steps(self.steps.times, stage)
        else:
            self.steps = Steps(self.steps.times | {stage: seconds}, None)


def page_is_open() -> Callable[[], bool]:
    """Return a function that says, in any thread, whether the browser's tab of this run is still connected."""
    from streamlit.runtime import exists, get_instance
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    context = get_script_run_ctx(suppress_warning=True)
    if context is None or not exists():
        return lambda: True
    runtime = get_instance()
    return lambda: runtime.is_active_session(context.session_id)


def visitor() -> Hashable:
    """Return what identifies the visitor of this run: the account, or else the browser, or else the tab."""
    import streamlit as st
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    if account := access.account():
        return account
    context = get_script_run_ctx(suppress_warning=True)
    return st.context.cookies.get(BROWSER) or (context.session_id if context else "")

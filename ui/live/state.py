"""What one browser tab knows of its live sessions: the one that goes on or was the last, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import streamlit as st

from ui.live.job import LiveJob
from ui.live.view import Course

if TYPE_CHECKING:
    from ser_engine import Analyzer

Phase = Literal["idle", "connecting", "live", "ended"]

PROBLEMS = ("insecure", "denied", "absent", "busy", "elsewhere", "failed")
"""Why a browser could not begin; the component says each in one sentence, which stands in index.js."""

ENDINGS = {
    "stopped": "Stopped.",
    "left": "The connection was closed, so the session ended here: the page was left, or the microphone went away.",
    "lost": "The connection was lost, so the session ended here.",
    "unreachable": "This browser and the server could not connect within ten seconds.",
    "full": "A session lasts an hour at most; this one is complete.",
}
"""What a page says of an ending; of one that failed, the session itself says it."""


@dataclass
class LiveState:
    """The sessions of one tab.

    `number` counts them, and gives each its own connection. `problem` is why the browser could not begin, `course`
    what the timeline is drawn of.
    """

    job: LiveJob | None = None
    number: int = 0
    problem: str | None = None
    course: Course = field(default_factory=Course, repr=False)

    @property
    def phase(self) -> Phase:
        """Where the session is."""
        if self.job is None:
            return "idle"
        if self.job.ending is not None:
            return "ended"
        return "live" if self.job.connected else "connecting"

    @property
    def active(self) -> bool:
        """Whether the microphone is wanted."""
        return self.phase in ("connecting", "live")

    @property
    def unreachable(self) -> bool:
        """Whether the last session never got a connection, so that the recorder has to do."""
        return self.job is not None and self.job.ending == "unreachable"

    @property
    def ending(self) -> str:
        """Why the last session is over, in a sentence; "" while it is not."""
        if self.job is None or self.job.ending is None:
            return ""
        return self.job.error or ENDINGS.get(self.job.ending, "The session ended here.")

    @property
    def microphone(self) -> str:
        """The key of the latest session's connection."""
        return f"live-microphone-{self.number}"

    def start(self, analyzer: Analyzer) -> None:
        """Begin a session; one that goes on is left alone."""
        if not self.active:
            self.replace(LiveJob(analyzer))

    def replace(self, job: LiveJob | None) -> None:
        """Put this session, or none, in the place of the last, whose sound is gone with it."""
        if self.job is not None:
            self.job.forget()
        self.job, self.problem, self.course = job, None, Course()
        self.number += 1

    def stop(self) -> None:
        """End the session, and keep what was heard."""
        if self.job is not None:
            self.job.end("stopped")

    def fail(self, problem: object) -> None:
        """Remember why the browser could not begin."""
        if problem in PROBLEMS:
            self.problem = str(problem)


def current() -> LiveState:
    """Return this browser tab's live state."""
    if "live" not in st.session_state:
        st.session_state["live"] = LiveState()
    return st.session_state["live"]

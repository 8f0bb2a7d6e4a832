"""The live session of one browser tab."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import streamlit as st

from ser_engine import Analyzer
from ser_engine.types import Baseline
from ui.live.job import LiveJob
from ui.live.view import Course

Phase = Literal["idle", "connecting", "live", "ended"]

ENDINGS = {
    "stopped": "Stopped.",
    "played": "The example has ended.",
    "left": "The connection was closed, so the session ended: the page was left, or the microphone was disconnected.",
    "lost": "The connection was lost, so the session ended.",
    "unreachable": "The browser and the server could not connect within ten seconds.",
    "full": "The session ended after an hour, the longest possible.",
}
"""The sentence for each ending but "failed", which has one of its own."""


@dataclass
class LiveState:
    """The sessions of one tab.

    `number` counts the sessions and names their connections. `course` is the data of the timeline.
    """

    job: LiveJob | None = None
    number: int = 0
    course: Course = field(default_factory=Course, repr=False)

    @property
    def phase(self) -> Phase:
        """The phase of the session."""
        if self.job is None:
            return "idle"
        if self.job.ending is not None:
            return "ended"
        return "live" if self.job.connected else "connecting"

    @property
    def active(self) -> bool:
        """Whether the microphone is in use."""
        return self.phase in ("connecting", "live")

    @property
    def unreachable(self) -> bool:
        """Whether the last session never got a connection."""
        return self.job is not None and self.job.ending == "unreachable"

    @property
    def ending(self) -> str:
        """Why the last session ended, in a sentence; "" while it goes on."""
        if self.job is None or self.job.ending is None:
            return ""
        return self.job.error or ENDINGS.get(self.job.ending, "The session ended.")

    @property
    def microphone(self) -> str:
        """The key of the latest session's connection."""
        return f"live-microphone-{self.number}"

    def start(self, analyzer: Analyzer, baseline: Baseline | None = None) -> None:
        """Start a session of a speaker, whose baseline may be known, unless one is active."""
        if not self.active:
            self.replace(LiveJob(analyzer, baseline=baseline))

    def replace(self, job: LiveJob | None) -> None:
        """Replace the last session, and its sound, by this one or by none."""
        if self.job is not None:
            self.job.discard()
        self.job, self.course = job, Course()
        self.number += 1

    def stop(self) -> None:
        """End the session."""
        if self.job is not None:
            self.job.end("stopped")


def current() -> LiveState:
    """Return the live state of this browser tab."""
    if "live" not in st.session_state:
        st.session_state["live"] = LiveState()
    state: LiveState = st.session_state["live"]
    return state

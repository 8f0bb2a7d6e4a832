"""One person's session, in one place: what they gave, what the engine answered, what they changed.

Streamlit runs the page anew at every click. What has to outlast a run is here, and nowhere else; the engine is
called once per recording, however often the page runs.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import streamlit as st

from ser_engine.errors import SerError
from ui.listen.job import UNEXPECTED, Job

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from ser_engine import Analyzer
    from ser_engine.types import Analysis


BREATH_S = 0.15
"""How long a run may take to begin after the click, and Streamlit to tidy up after it."""
PATIENCE_S = 2.0
"""How long a download waits for a run; one that waits for an analysis takes longer, and drops nothing."""
OF_THE_SOUND = {"waveform", "spectrogram"}
"""The charts that stay as they are when the words change."""
NOT_SCORED = "Something went wrong with these words; the answer is the one for the words as they were heard."


@dataclass(frozen=True)
class Recording:
    """A recording as it was given: its encoded bytes, a name to show, and the upload that it came with, if any."""

    data: bytes = field(repr=False)
    name: str
    upload_id: str | None = None

    @property
    def digest(self) -> str:
        """What tells two recordings apart; sixteen hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()[:16]


@dataclass
class Result:
    """An answered recording, with what the page makes of it.

    `analysis` is the engine's answer, by `model` (a choice of the page). `words` is the transcript as the person last
    left it, `offered` as the field for it began; `scored` is the analysis with these words, `problem` why there is
    none. `figures` are the charts by name.
    """

    analysis: Analysis
    recording: Recording
    words: str
    offered: str
    raw_wav: bytes = field(repr=False)
    clean_wav: bytes = field(repr=False)
    model: str = ""
    scored: Analysis | None = field(default=None, repr=False)
    problem: str | None = None
    figures: dict[str, Figure] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """What tells the recording from others."""
        return self.recording.digest

    @property
    def heard(self) -> str | None:
        """The words as they were heard; None where nobody listened for any."""
        return None if self.analysis.transcript is None else self.analysis.transcript.text

    @property
    def edited(self) -> bool:
        """Whether the person changed the words that were heard."""
        return self.heard is not None and self.words != self.heard

    @property
    def current(self) -> Analysis:
        """The analysis as it is shown: with the person's words, once they have been scored."""
        return self.scored or self.analysis

    def take(self, words: str, engine: Analyzer) -> None:
        """Keep the words as the person left them, and score them anew; `engine` is the one that gave the answer."""
        said = self.current.transcript
        if said is None or words == said.text:
            self.words = words
            return
        scored, problem = None, None
        if words != self.heard:
            try:
                scored = engine.rescore(self.analysis, words)
            except SerError as error:
                problem = str(error)
            except Exception:
                logging.getLogger(__name__).exception("Edited words could not be scored")
                problem = NOT_SCORED
        # All at once and at the end: a download may look at any time, and must not mix old scores with new words.
        self.words, self.scored, self.problem = words, scored, problem
        self.figures = {name: figure for name, figure in self.figures.items() if name in OF_THE_SOUND}


@dataclass
class Session:
    """What is known about one browser tab.

    `waiting` is given but not yet answered: it stays until its analysis has ended. `job` is that analysis, which
    outlasts the runs of the page. `result` is the last answer; an error leaves it where it is. `model` is the model
    that the person chose, "" for that of the settings. `framed` is set once app.py has run. `idle` is set
    while the page is not running.
    """

    waiting: Recording | None = None
    job: Job | None = None
    result: Result | None = None
    error: str | None = None
    upload_id: str | None = None
    model: str = ""
    framed: bool = False
    idle: Event = field(default_factory=Event, repr=False)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Surround one run of the page, also one that is cut off."""
        self.framed = True
        self.idle.clear()
        try:
            yield
        finally:
            self.idle.set()

    def settle(self) -> None:
        """Wait, in a thread of a download's, until a run that was asked for with the same click is over.

        The click that leaves a text field brings the field's text along. Streamlit prepares the download beside the
        run that takes the text, and would drop the file as nobody's when that run ends.
        """
        time.sleep(BREATH_S)
        self.idle.wait(PATIENCE_S)
        time.sleep(BREATH_S)

    def notice_upload(self, upload: UploadedFile | None) -> None:
        """Take note of what the upload field holds: something new waits, something removed waits no longer.

        An answer outlives its upload: when a file takes another's place, the field is empty for a moment.
        """
        if upload is None:
            if self.upload_id is not None:
                self.error = None
                if self.waiting is not None and self.waiting.upload_id == self.upload_id:
                    self.waiting = None
            self.upload_id = None
        elif upload.file_id != self.upload_id:
            self.upload_id = upload.file_id
            self.give(Recording(upload.getvalue(), upload.name, upload.file_id))

    def give(self, recording: Recording) -> None:
        """Let a recording wait for its analysis, unless it is the one whose answer is shown."""
        self.error = None
        if self.result is not None and (recording.digest, self.model) == (self.result.digest, self.result.model):
            self.waiting = None
        else:
            self.waiting = recording

    def choose(self, model: str) -> None:
        """Let another model listen, also to the recording whose answer is shown."""
        if model == self.model:
            return
        self.model = model
        if self.waiting is None and self.result is not None:
            self.give(self.result.recording)

    def work(self, engine: Analyzer) -> Job | None:
        """Return the analysis of what waits, begun here if it is not under way; what nobody waits for is abandoned.

        `engine` is the one of the chosen model.
        """
        if self.job is not None and (self.job.recording is not self.waiting or self.job.engine is not engine):
            self.job.abandon()
            self.job = None
        if self.job is None and self.waiting is not None:
            self.job = Job(engine, self.waiting)
        return self.job

    def finish(self, job: Job) -> None:
        """Keep what has come of an analysis that has ended, unless something else waits by now."""
        if job.recording is not self.waiting:
            return
        self.job = None
        if job.analysis is None:
            self.refuse(job.error or UNEXPECTED)
            return
        try:
            self.answer(job.recording, job.analysis)
        except Exception:
            logging.getLogger(__name__).exception("An answer could not be prepared for the page")
            self.refuse(UNEXPECTED)

    def answer(self, recording: Recording, analysis: Analysis) -> None:
        """Keep an answer, with the sound that the page offers to listen to."""
        from ser_engine.audio.decode import encode_wav
        from ser_engine.types import SAMPLE_RATE

        words = offered = analysis.transcript.text if analysis.transcript else ""
        before = self.result
        if before is not None and before.digest == recording.digest and before.heard == words:
            words, offered = before.words, before.offered  # another model's turn: what was corrected stays so
        self.result = Result(
            analysis=analysis,
            recording=recording,
            model=self.model,
            words=words,
            offered=offered,
            raw_wav=encode_wav(analysis.recording.samples, analysis.recording.rate),
            clean_wav=encode_wav(analysis.speech.samples, SAMPLE_RATE),
        )
        self.waiting, self.error = None, None

    def refuse(self, sentence: str) -> None:
        """Keep what went wrong, in words; an earlier answer stays."""
        self.waiting, self.error = None, sentence

    def forget(self) -> None:
        """Forget the answer and its sound."""
        self.result, self.error = None, None


def current() -> Session:
    """Return this browser tab's session."""
    if "session" not in st.session_state:
        st.session_state["session"] = Session()
    return st.session_state["session"]


def enter() -> None:
    """Run app.py first where a page was asked for past it; call this at the head of a page.

    Until `st.navigation` has been called once in a server's life, Streamlit 1.67 takes a folder named pages for its
    older kind of pages, and a link to one of them would open it bare, beside a menu of file names. The call here
    ends that for the server; the next run begins with app.py, which gives the page its frame.
    """
    state = current()
    if not state.framed:
        state.framed = True
        root = Path(__file__).parents[1]
        st.navigation([root / "app.py", *(root / "pages").glob("*.py")], position="hidden")
        st.rerun()

"""The session of one browser tab: its recording, the result, and the person's edits.

Streamlit runs the page again at every click. All state that outlasts a run is here; the engine is called once per
recording, however often the page runs.
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
from ser_engine.speakers.lanes import rename_speakers, rename_turns
from ui.listen.job import UNEXPECTED, Job

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from ser_engine import Analyzer
    from ser_engine.types import Analysis, Baseline, Explanation


BREATH_S = 0.15
"""How long a run may take to begin after the click, and Streamlit to clean up after it."""
PATIENCE_S = 2.0
"""How long a download waits for a run."""
AUDIO_FIGURES = {"waveform", "spectrogram"}
"""Charts that do not depend on the transcript."""
NOT_RESCORED = "Something went wrong with this transcript; the result is that of the original one."


@dataclass(frozen=True)
class Recording:
    """A recording as it was given: its encoded bytes, a name to show, and the id of its upload, if any."""

    data: bytes = field(repr=False)
    name: str
    upload_id: str | None = None

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify the recording."""
        return hashlib.sha256(self.data).hexdigest()[:16]


@dataclass
class Result:
    """An analyzed recording.

    `analysis` is the result of `model` (a choice of the page). `words` is the transcript as last edited, `offered` as
    its field began; `rescored` is the analysis with an edited transcript, `problem` why there is none; `explanation`
    is that of the shown analysis, once the person asked for it. `figures` are the charts by name. Of several speakers,
    number `speaker` (from 0) is shown in full, with `sounds` for its players.
    """

    analysis: Analysis
    recording: Recording
    words: str
    offered: str
    raw_wav: bytes = field(repr=False)
    clean_wav: bytes = field(repr=False)
    model: str = ""
    rescored: Analysis | None = field(default=None, repr=False)
    problem: str | None = None
    explanation: Explanation | None = field(default=None, repr=False)
    figures: dict[str, Figure] = field(default_factory=dict, repr=False)
    speaker: int = 0
    sounds: dict[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def original_words(self) -> str | None:
        """The transcript before edits; None where transcription is off."""
        return None if self.analysis.transcript is None else self.analysis.transcript.text

    @property
    def edited(self) -> bool:
        """Whether the person edited the transcript."""
        return self.original_words is not None and self.words != self.original_words

    @property
    def baseline(self) -> Baseline | None:
        """The calm voice that the analysis is relative to."""
        return self.analysis.speech.baseline

    @property
    def current(self) -> Analysis:
        """The analysis as it is shown: with the edited transcript, once that has been scored."""
        return self.rescored or self.analysis

    @property
    def shown(self) -> Analysis:
        """The analysis that is shown in full: of several speakers, that of the chosen one."""
        return self.of_speaker(self.current)

    def of_speaker(self, analysis: Analysis) -> Analysis:
        """Return the answer of the chosen speaker, or all of it where there is only one."""
        return analysis.speakers[self.speaker].answer if analysis.speakers else analysis

    def select(self, speaker: int) -> None:
        """Show another speaker in full."""
        if speaker != self.speaker:
            self.speaker, self.explanation = speaker, None
            self.figures.clear()
            self.sounds.clear()

    def take_name(self, old: str, new: str) -> None:
        """Rename a speaker everywhere, also in the edited transcript."""
        names = {old: new}
        self.analysis = rename_speakers(self.analysis, names)
        self.rescored = self.rescored and rename_speakers(self.rescored, names)
        self.words, self.offered = rename_turns(self.words, names), rename_turns(self.offered, names)
        self.figures.pop("lanes", None)

    def sound(self, kind: str) -> bytes:
        """Return the "channel" of what is shown in full, or its "speech", as a WAV file."""
        from ser_engine.audio.decode import encode_wav
        from ser_engine.types import SAMPLE_RATE

        if kind not in self.sounds:
            shown = self.of_speaker(self.analysis)
            channel = (shown.recording.samples, shown.recording.rate)
            self.sounds[kind] = encode_wav(*(channel if kind == "channel" else (shown.speech.samples, SAMPLE_RATE)))
        return self.sounds[kind]

    def take(self, words: str, engine: Analyzer) -> None:
        """Take an edited transcript, and score it with the engine of this result."""
        transcript = self.current.transcript
        if transcript is None or words == transcript.text:
            self.words = words
            return
        rescored, problem = None, None
        if words != self.original_words:
            try:
                rescored = engine.rescore(self.analysis, words)
            except SerError as error:
                problem = str(error)
            except Exception:
                logging.getLogger(__name__).exception("An edited transcript could not be scored")
                problem = NOT_RESCORED
        # All at once: a download may read them at any time, and must not mix old scores with new words.
        self.words, self.rescored, self.problem, self.explanation = words, rescored, problem, None
        self.figures = {name: figure for name, figure in self.figures.items() if name in AUDIO_FIGURES}


@dataclass
class Session:
    """The state of one browser tab.

    `waiting` is a recording whose analysis has not ended. `job` is that analysis, which outlasts the runs of the page.
    `result` is the last result, which an error leaves in place. `model` is the model that the person chose, "" for
    that of the settings. `baselines` are those of the speaker, by such a model; `sample` is a calm sample that waits to
    become one, `sample_error` why the last one could not. `framed` is set once app.py has run. `idle` is set while the
    page is not running.
    """

    waiting: Recording | None = None
    job: Job | None = None
    result: Result | None = None
    error: str | None = None
    upload_id: str | None = None
    model: str = ""
    baselines: dict[str, Baseline] = field(default_factory=dict, repr=False)
    framed: bool = False
    sample: bytes | None = field(default=None, repr=False)
    sample_id: str | None = None
    sample_error: str | None = None
    idle: Event = field(default_factory=Event, repr=False)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Surround one run of the page, also one that is interrupted."""
        self.framed = True
        self.idle.clear()
        try:
            yield
        finally:
            self.idle.set()

    def settle(self) -> None:
        """Wait, in the thread of a download, until the run of the same click is over.

        The click that leaves a text field also sends its text. Streamlit prepares the download in parallel with the
        run that takes the text, and would drop the file when that run ends.
        """
        time.sleep(BREATH_S)
        self.idle.wait(PATIENCE_S)
        time.sleep(BREATH_S)

    def notice_upload(self, upload: UploadedFile | None) -> None:
        """Take the value of the upload field: a new file waits for its analysis, a removed one no longer.

        A result outlives its upload: when one file replaces another, the field is empty for a moment; and it is empty
        after a visit to another page, where the person may have calibrated.
        """
        if upload is None:
            if self.upload_id is not None:
                self.error = None
                again = self.result is not None and self.waiting is self.result.recording
                if self.waiting is not None and self.waiting.upload_id == self.upload_id and not again:
                    self.waiting = None
            self.upload_id = None
        elif upload.file_id != self.upload_id:
            self.upload_id = upload.file_id
            self.give(Recording(upload.getvalue(), upload.name, upload.file_id))

    def give(self, recording: Recording) -> None:
        """Let a recording wait for its analysis, unless its result is shown already."""
        self.error = None
        shown = self.result and (self.result.recording.digest, self.result.model, self.result.baseline)
        self.waiting = None if shown == (recording.digest, self.model, self.baseline) else recording

    def choose(self, model: str) -> None:
        """Choose a model, and analyze the recording that is shown with it."""
        if model == self.model:
            return
        self.model = model
        self._analyze_again()

    @property
    def baseline(self) -> Baseline | None:
        """The calm voice of the speaker by the chosen model; None where that was not calibrated."""
        return self.baselines.get(self.model)

    def calibrate(self, baseline: Baseline | None) -> None:
        """Set or remove the baseline for the chosen model, and analyze the recording that is shown accordingly."""
        self.sample, self.sample_error = None, None
        if baseline is None:
            self.baselines.pop(self.model, None)
        else:
            self.baselines[self.model] = baseline
        self._analyze_again()

    def notice_sample(self, upload: UploadedFile | None) -> None:
        """Take the value of the upload field of calm samples: a new file waits, a removed one takes its error along."""
        if upload is None:
            if self.sample_id is not None:
                self.sample, self.sample_error = None, None
            self.sample_id = None
        elif upload.file_id != self.sample_id:
            self.sample_id, self.sample = upload.file_id, upload.getvalue()

    def _analyze_again(self) -> None:
        """Let the recording that is shown wait for its analysis, unless another one waits."""
        if self.waiting is None and self.result is not None:
            self.give(self.result.recording)

    def work(self, engine: Analyzer) -> Job | None:
        """Return the analysis of the waiting recording by `engine`, started if necessary; abandon any other."""
        job = self.job
        if job is not None and not (
            job.recording is self.waiting and job.engine is engine and job.baseline is self.baseline
        ):
            job.abandon()
            self.job = None
        if self.job is None and self.waiting is not None:
            self.job = Job(engine, self.waiting, self.baseline)
        return self.job

    def finish(self, job: Job) -> None:
        """Take the result or the error of an analysis that has ended, unless another recording waits by now."""
        if job.recording is not self.waiting:
            return
        self.job = None
        if job.analysis is None:
            self.refuse(job.error or UNEXPECTED)
            return
        try:
            self.answer(job.recording, job.analysis)
        except Exception:
            logging.getLogger(__name__).exception("A result could not be prepared for the page")
            self.refuse(UNEXPECTED)

    def answer(self, recording: Recording, analysis: Analysis) -> None:
        """Set the result, with the sound of the page's players."""
        from ser_engine.audio.decode import encode_wav
        from ser_engine.types import SAMPLE_RATE

        words = offered = analysis.transcript.text if analysis.transcript else ""
        before, speaker = self.result, 0
        if before is not None and before.recording.digest == recording.digest:
            # By another model: the names stay.
            known = zip(analysis.speakers, before.analysis.speakers, strict=False)
            names = {new.name: old.name for new, old in known if new.channel == old.channel}
            analysis = rename_speakers(analysis, names)
            speaker = min(before.speaker, max(0, len(analysis.speakers) - 1))
            words = offered = analysis.transcript.text if analysis.transcript else ""
        if before is not None and before.recording.digest == recording.digest and before.original_words == words:
            words, offered = before.words, before.offered  # by another model: the edits stay
        self.result = Result(
            analysis=analysis,
            recording=recording,
            model=self.model,
            words=words,
            offered=offered,
            raw_wav=encode_wav(analysis.recording.samples, analysis.recording.rate),
            clean_wav=encode_wav(analysis.speech.samples, SAMPLE_RATE),
            speaker=speaker,
        )
        self.waiting, self.error = None, None

    def refuse(self, sentence: str) -> None:
        """Set the error; an earlier result stays."""
        self.waiting, self.error = None, sentence

    def forget(self) -> None:
        """Discard the result and its sound."""
        self.result, self.error = None, None


def current() -> Session:
    """Return this browser tab's session."""
    if "session" not in st.session_state:
        st.session_state["session"] = Session()
    session: Session = st.session_state["session"]
    return session


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

"""The session of one browser tab: its recording, the result, and the person's edits.

Streamlit runs the page again at every click. All state that outlasts a run is here; the engine is called once per
recording, however often the page runs.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import streamlit as st

from ser_engine.errors import SerError
from ser_engine.speakers.lanes import rename_speakers, rename_turns
from ser_engine.types import SAMPLE_RATE
from ui.engine import queue as shared_queue
from ui.listen.files import Files
from ui.listen.job import UNEXPECTED, Job, page_is_open, visitor
from ui.listen.overview import Overview, encode_player

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
    """A recording as it was given: its encoded bytes, a name to show, and the id of its upload, if any.

    `track` is the audio track that the person chose, from 1; None where the engine chooses.
    """

    data: bytes = field(repr=False)
    name: str
    upload_id: str | None = None
    track: int | None = None

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify the recording and its track."""
        track = b"" if self.track is None else b"%d" % self.track
        return hashlib.sha256(self.data + track if track else self.data).hexdigest()[:16]


Choices = tuple[str, "str | None", "Baseline | None"]
"""Model, language and baseline: what an analysis depends on, besides the recording."""


@dataclass
class Result:
    """An analyzed recording.

    `analysis` is the result of `model` and `language` (choices of the page). `words` is the transcript as last edited,
    `offered` as its field began; `rescored` is the analysis with an edited transcript, `problem` why there is none;
    `explanation` is that of the shown analysis, once the person asked for it. `overview` is what is drawn of the
    recording, `figures` are the charts by name. `sound` is a file that plays the recording, with its type, `speech` one
    that plays the model's input, unless that was too long to be kept. Of several speakers, number `speaker` (from 0) is
    shown in full; `overviews` and `speeches` are those of the speakers that were.
    """

    analysis: Analysis
    recording: Recording
    words: str
    offered: str
    overview: Overview = field(repr=False)
    sound: tuple[bytes, str] = field(repr=False)
    speech: tuple[bytes, str] | None = field(repr=False)
    model: str = ""
    language: str | None = None
    rescored: Analysis | None = field(default=None, repr=False)
    problem: str | None = None
    explanation: Explanation | None = field(default=None, repr=False)
    figures: dict[str, Figure] = field(default_factory=dict, repr=False)
    speaker: int = 0
    overviews: dict[int, Overview] = field(default_factory=dict, repr=False)
    speeches: dict[int, tuple[bytes, str]] = field(default_factory=dict, repr=False)

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
    def choices(self) -> Choices:
        """What the analysis depends on, besides the recording."""
        return self.model, self.language, self.baseline

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

    def take_name(self, old: str, new: str) -> None:
        """Rename a speaker everywhere, also in the edited transcript."""
        names = {old: new}
        self.analysis = rename_speakers(self.analysis, names)
        self.rescored = self.rescored and rename_speakers(self.rescored, names)
        self.words, self.offered = rename_turns(self.words, names), rename_turns(self.offered, names)
        self.figures.pop("lanes", None)

    @property
    def shown_overview(self) -> Overview:
        """What is drawn and played of the recording: of a speaker with a channel, that channel."""
        speaker = self.analysis.speakers[self.speaker] if self.analysis.speakers else None
        if speaker is None or speaker.channel is None or not speaker.answer.has_sound:
            return self.overview
        if self.speaker not in self.overviews:
            self.overviews[self.speaker] = Overview.of(speaker.answer.recording)
        return self.overviews[self.speaker]

    @property
    def shown_speech(self) -> tuple[bytes, str] | None:
        """A file that plays the model's input for what is shown in full, and its type; None where it was not kept."""
        shown = self.of_speaker(self.analysis)
        if not self.analysis.speakers or not shown.has_sound:
            return self.speech
        if self.speaker not in self.speeches:
            self.speeches[self.speaker] = encode_player(shown.speech.samples, SAMPLE_RATE)
        return self.speeches[self.speaker]

    def take(self, words: str, engine: Analyzer) -> None:
        """Take an edited transcript, and score it with the engine of this result."""
        transcript = self.current.transcript
        if transcript is None or words == transcript.text:
            self.words = words
            return
        rescored, problem = None, None
        if words != self.original_words:
            try:
                rescored = engine.rescore(self.analysis, words, self.recording.data)
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

    `files` are several uploads at once, `opened` counts those whose full answer was asked for; `earlier` are uploads
    that the upload field has forgotten, `uploads` numbers these fields, `changed` is set when the person changed one.
    `waiting` is a recording whose analysis has not ended. `job` is that analysis, which outlasts the runs of the page.
    `result` is the last result, which an error leaves in place. `model` is the model that the person chose, "" for
    that of the settings; `language` that of all speech, "" to detect it, None for that of the settings. `baselines` are
    those of the speaker, by such a model; `sample` is a calm sample that waits to become one, `sample_error` why the
    last one could not. `edits` are the edited transcripts of recordings that are not shown, with the original and what
    their field began with, by recording. `framed` is set once app.py has run. `idle` is set while the page is not
    running. `token` and `left_at` are for `ui.reload`: the name of the session in the page's address, and when its tab
    was gone.
    """

    files: Files = field(default_factory=Files, repr=False)
    earlier: list[UploadedFile] = field(default_factory=list, repr=False)
    opened: int = 0
    uploads: int = 0
    changed: bool = False
    waiting: Recording | None = None
    job: Job | None = None
    result: Result | None = None
    error: str | None = None
    upload_id: str | None = None
    model: str = ""
    language: str | None = None
    baselines: dict[str, Baseline] = field(default_factory=dict, repr=False)
    edits: dict[str, tuple[str | None, str, str]] = field(default_factory=dict, repr=False)
    framed: bool = False
    sample: bytes | None = field(default=None, repr=False)
    sample_id: str | None = None
    sample_error: str | None = None
    idle: Event = field(default_factory=Event, repr=False)
    token: str = field(default="", repr=False)
    left_at: float | None = None

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

    def note_change(self) -> None:
        """Note that the person, and not a visit to another page, changed the upload field; its callback."""
        self.changed = True

    def notice_uploads(self, uploads: Sequence[UploadedFile]) -> None:
        """Take the value of the upload field: several files become rows, of which one that was added alone is shown.

        Rows outlive a visit to another page, after which the field is empty.
        """
        rows, changed, self.changed = self.files.rows, self.changed, False
        if rows and not uploads and not changed:
            self.earlier = [row.upload for row in rows.values()]
        uploads = [*self.earlier, *uploads]
        self._drop(rows.keys() - {each.file_id for each in uploads})
        if len(uploads) > 1:
            self._list(uploads)
        else:
            alone = uploads[0] if uploads else None
            if alone is not None and (kept := self.files.analysis(alone.file_id)):
                self.upload_id = alone.file_id
                self.answer(_recording(alone), *kept)
            self.files.notice([])
            self.notice_upload(alone)

    def _list(self, uploads: Sequence[UploadedFile]) -> None:
        """Let several files be rows, also the first one, which had been alone; show a new one, as if it were alone."""
        first = None if self.files.rows else self.upload_id
        known = {first} if first else set(self.files.rows)
        self.files.notice(uploads)
        if first is not None:
            result = self.result
            if result and result.recording.upload_id == first and result.choices == self.choices:
                self.files.take(first, result.analysis, result.overview)
            if self.error is not None:
                self.files.refuse(first, self.error)
        self.upload_id = None
        new = [each for each in uploads if each.file_id not in known]
        if new:
            self.error = None
        if known and len(new) == 1:
            self.give(_recording(new[0]))

    def _drop(self, removed: set[str]) -> None:
        """Discard what belongs to rows that the person removed."""
        if self.result is not None and self.result.recording.upload_id in removed:
            self.forget()
        if self.waiting is not None and self.waiting.upload_id in removed:
            self.waiting, self.error = None, None

    def open(self, key: str) -> None:
        """Show the full answer to one of the files, analyzed again where its analysis was not kept."""
        row, kept = self.files.rows.get(key), self.files.analysis(key)
        if row is None or row.answer is None:
            return
        self.opened += 1
        if kept is None:
            self.give(_recording(row.upload))
        else:
            self.answer(_recording(row.upload), *kept)

    def discard_files(self) -> None:
        """Discard all files, in the upload field, too: it gets another key."""
        self._drop(set(self.files.rows))
        self.uploads, self.earlier = self.uploads + 1, []
        self.files.notice([])

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
            self.give(_recording(upload))

    def give(self, recording: Recording) -> None:
        """Let a recording wait for its analysis, unless its result is shown already."""
        self.error = None
        shown = self.result and (self.result.recording.digest, *self.result.choices)
        self.waiting = None if shown == (recording.digest, *self.choices) else recording

    def choose_track(self, track: int) -> None:
        """Analyze another audio track of the recording that is shown."""
        if self.result is not None and track != self.result.analysis.recording.source.track:
            self.give(replace(self.result.recording, track=track))

    @property
    def shows_one(self) -> bool:
        """Whether the page is about one recording: nothing but a list of files has no steps to show."""
        return not self.files.rows or bool(self.waiting or self.result or self.error)

    @property
    def choices(self) -> Choices:
        """What a result depends on, besides the recording."""
        return self.model, self.language, self.baseline

    def choose(self, model: str) -> None:
        """Choose a model, and analyze the recording that is shown with it."""
        if model == self.model:
            return
        self.model = model
        self._analyze_again()

    def choose_language(self, language: str) -> None:
        """Choose the language of all speech, "" to detect it, and analyze the recording that is shown in it."""
        if language == self.language:
            return
        self.language = language
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
        wanted = page_is_open()
        queue, who = shared_queue(), visitor()
        if job is not None and (
            job.abandoned
            or job.recording is not self.waiting
            or job.engine is not engine
            or job.baseline is not self.baseline
            or job.language != self.language
        ):
            job.abandon()
            self.job = None
        if self.job is None and self.waiting is not None:
            self.job = Job(engine, self.waiting, self.baseline, self.language, wanted, queue, who)
        if self.files.rows:
            baseline, language = self.baseline, self.language
            self.files.work(
                lambda upload: Job(engine, _recording(upload), baseline, language, wanted, queue, who),
                (engine, *self.choices),
                wanted,
                shown=self.waiting.upload_id if self.waiting else None,
            )
        return self.job

    def finish(self, job: Job) -> None:
        """Take the result or the error of an analysis that has ended, unless another recording waits by now."""
        if job.recording is not self.waiting:
            return
        self.job = None
        if job.analysis is None:
            self.refuse(job.error or UNEXPECTED)
            self.files.refuse(job.recording.upload_id or "", job.error or UNEXPECTED)
            return
        try:
            self.answer(job.recording, job.analysis, job.overview)
            self.files.take(job.recording.upload_id or "", job.analysis, job.overview)
        except Exception:
            logging.getLogger(__name__).exception("A result could not be prepared for the page")
            self.refuse(UNEXPECTED)

    def answer(self, recording: Recording, analysis: Analysis, overview: Overview) -> None:
        """Set the result; of its samples, only those of the speech are kept, where the analysis has them."""
        analysis = replace(
            analysis,
            recording=analysis.recording.without_samples(),
            speech=replace(analysis.speech, recording=None),
            speakers=tuple(
                replace(each, answer=replace(each.answer, speech=replace(each.answer.speech, recording=None)))
                for each in analysis.speakers
            ),
        )
        words = offered = analysis.transcript.text if analysis.transcript else ""
        before, speaker = self.result, 0
        if before is not None and before.recording.digest == recording.digest:
            # By another model: the names stay.
            known = zip(analysis.speakers, before.analysis.speakers, strict=False)
            names = {new.name: old.name for new, old in known if new.channel == old.channel}
            analysis = rename_speakers(analysis, names)
            speaker = min(before.speaker, max(0, len(analysis.speakers) - 1))
            words = offered = analysis.transcript.text if analysis.transcript else ""
        if before is not None and before.edited:
            self.edits[before.recording.digest] = before.original_words, before.words, before.offered
        original, *edited = self.edits.pop(recording.digest, (None, "", ""))
        if original == words:  # by another model, or after another file: the edits stay
            words, offered = edited
        self.result = Result(
            analysis=analysis,
            recording=recording,
            model=self.model,
            language=self.language,
            words=words,
            offered=offered,
            overview=overview,
            sound=overview.sound,
            speech=encode_player(analysis.speech.samples, SAMPLE_RATE) if analysis.has_sound else None,
            speaker=speaker,
        )
        self.waiting, self.error = None, None

    def refuse(self, sentence: str) -> None:
        """Set the error; an earlier result stays."""
        self.waiting, self.error = None, sentence

    def forget(self) -> None:
        """Discard the result and its sound."""
        self.result, self.error = None, None


def _recording(upload: UploadedFile) -> Recording:
    """Return an upload as a recording; the bytes are those of the upload, not copied."""
    return Recording(upload.getvalue(), upload.name, upload.file_id)


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

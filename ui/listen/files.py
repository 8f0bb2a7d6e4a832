"""Several recordings at once: a row for each, analyzed one after the other in the background.

A row keeps what it shows and what a table of all rows has. The analyses themselves, with their sound, are kept for the
latest of them alone, as far as they fit; another one that is opened is analyzed again.
"""

from __future__ import annotations

import csv
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ui import wording
from ui.listen.job import UNEXPECTED, Job

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from ser_engine import Analysis
    from ui.listen.overview import Overview

KEPT_BYTES = 64 * 2**20
"""Bytes of sound of the analyses that are kept."""
POLL_S = 0.2
"""How often the background looks whether its file is still wanted, and whether the page is still there."""

Start = Callable[["UploadedFile"], Job]
"""Starts the analysis of a file with the choices of the page."""


@dataclass(frozen=True)
class Answer:
    """What a row shows of its analysis, and the values of its row in the table, by column."""

    headline: str
    seconds: float
    values: dict[str, str] = field(repr=False)


@dataclass
class Row:
    """One file: its upload and, once it was analyzed, its answer or the sentence of its error."""

    upload: UploadedFile = field(repr=False)
    answer: Answer | None = None
    error: str | None = None

    @property
    def waits(self) -> bool:
        """Whether it has not been analyzed."""
        return self.answer is None and self.error is None


class Files:
    """The files of one tab, in the order of their upload.

    Attributes
    ----------
    rows : by the id of the upload, which differs between files of the same name
    running : the id of the file that is being analyzed in the background
    place : that of the running file in the queue of all visitors, from 1; 0 while it is its turn
    shown : the id of one that the page itself analyzes
    """

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.running: str | None = None
        self.place = 0
        self.shown: str | None = None
        self._kept: OrderedDict[str, tuple[Analysis, Overview]] = OrderedDict()
        self._choices: object = None
        self._start: Start | None = None
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None

    def notice(self, uploads: Sequence[UploadedFile]) -> None:
        """Take the files of the upload field: new ones get a row, removed ones lose theirs."""
        with self._lock:
            self.rows = {each.file_id: self.rows.get(each.file_id) or Row(each) for each in uploads}
            self._kept = OrderedDict((key, value) for key, value in self._kept.items() if key in self.rows)
            if not self.rows:
                self._start = None

    def take(self, key: str, analysis: Analysis, overview: Overview) -> None:
        """Take the analysis of a file, and the overview of its sound."""
        with self._lock:
            if (row := self.rows.get(key)) is None:
                return
            row.answer, row.error = Answer(*summarize(analysis)), None
            self._kept[key] = analysis, overview
            self._kept.move_to_end(key)
            sizes = {each: size(*kept) for each, kept in self._kept.items()}
            while len(self._kept) > 1 and sum(sizes[each] for each in self._kept) > KEPT_BYTES:
                self._kept.popitem(last=False)

    def refuse(self, key: str, sentence: str) -> None:
        """Take the error of a file."""
        with self._lock:
            if row := self.rows.get(key):
                row.error = sentence

    def analysis(self, key: str) -> tuple[Analysis, Overview] | None:
        """Return the analysis of a file and the overview of its sound, if they are kept."""
        return self._kept.get(key)

    @property
    def done(self) -> int:
        """The number of files that have been analyzed."""
        return sum(not row.waits for row in list(self.rows.values()))

    @property
    def ended(self) -> bool:
        """Whether every file has been analyzed."""
        return self.done == len(self.rows)

    def work(self, start: Start, choices: object, wanted: Callable[[], bool], shown: str | None = None) -> None:
        """Analyze the waiting files in the background, all of them anew after other `choices` of the page.

        `shown` is a file that the page itself analyzes. `wanted` says whether the page is still there: the background
        ends after the running file if it is not, and begins again with the next call.
        """
        with self._lock:
            self.shown = shown
            if self._start is not None and choices != self._choices:
                self._kept.clear()
                self.rows = {key: Row(row.upload) for key, row in self.rows.items()}
            self._choices, self._start = choices, start
            if self._worker is None and self._next() is not None:
                self._worker = threading.Thread(target=self._run, args=(wanted,), name="files", daemon=True)
                self._worker.start()

    def _run(self, wanted: Callable[[], bool]) -> None:
        while True:
            with self._lock:
                row = self._next() if wanted() else None
                if row is None or self._start is None:
                    self._worker = self.running = None
                    return
                start, key = self._start, row.upload.file_id
                self.running = key
            job = start(row.upload)
            while not job.ended.wait(POLL_S):
                self.place = job.place
                if self.rows.get(key) is not row:
                    job.abandon()
            self.place = 0
            if self.rows.get(key) is not row:
                continue
            if job.analysis is not None:
                self.take(key, job.analysis, job.overview)
            elif not job.abandoned:
                self.refuse(key, job.error or UNEXPECTED)

    def _next(self) -> Row | None:
        return next((row for key, row in self.rows.items() if row.waits and key != self.shown), None)


def size(analysis: Analysis, overview: Overview) -> int:
    """Return the bytes of sound of an analysis, with those of its speakers, and of its overview."""
    answers = (analysis, *(each.answer for each in analysis.speakers))
    sounds = [sound for each in answers for sound in (each.recording.samples, each.speech.samples)]
    sounds += [each.speech.recording for each in answers if each.speech.recording is not None]
    return sum(each.nbytes for each in sounds) + len(overview.sound[0])


def summarize(analysis: Analysis) -> tuple[str, float, dict[str, str]]:
    """Return the headline, the seconds and the values of the table of an analysis."""
    sure = "" if analysis.sure is None else "yes" if analysis.sure else "no"
    transcript = analysis.transcript
    values = {
        "emotion": analysis.scores.top,
        "probability": f"{analysis.scores.ranked()[0][1]:.6f}",
        "sure": sure,
        "duration_s": f"{analysis.quality.duration_s:.3f}",
        "speech_s": f"{analysis.quality.speech_s:.3f}",
        "language": (transcript and transcript.language) or "",
        "transcript": transcript.text if transcript else "",
        "warnings": " ".join(analysis.quality.warnings),
        "model": analysis.model,
        **{label: f"{value:.6f}" for label, value in analysis.scores.to_dict().items()},
    }
    return wording.headline(analysis.scores, analysis.threshold), analysis.quality.duration_s, values


def to_csv(rows: Sequence[Row]) -> str:
    """Return a table with a row for each file, errors too; Excel opens it as UTF-8 by the mark at its beginning."""
    answers = [row.answer.values for row in rows if row.answer]
    columns = ["file", "error", *dict.fromkeys(name for values in answers for name in values)]
    text = io.StringIO()
    text.write("\ufeff")
    table = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    table.writeheader()
    for row in rows:
        values = row.answer.values if row.answer else {}
        table.writerow({"file": row.upload.name, "error": row.error or "", **values})
    return text.getvalue()


def state(row: Row, running: bool) -> str:
    """Return the state of a row as the component names it."""
    return "error" if row.error else "done" if row.answer else "running" if running else "waiting"


def list_rows(files: Files, shown: str | None) -> list[dict[str, Any]]:
    """Return the rows as the component draws them; `shown` is the file whose full answer the page shows."""
    return [
        {
            "key": key,
            "name": row.upload.name,
            "answer": row.error or (row.answer.headline if row.answer else ""),
            "seconds": wording.seconds(row.answer.seconds) if row.answer else "",
            "state": "error"
            if row.error
            else "done"
            if row.answer
            else "running"
            if key in (files.running, files.shown)
            else "waiting",
            "shown": key == shown,
        }
        for key, row in list(files.rows.items())
    ]

"""Analyses of requests: their models, their queue, and their end when the client leaves or the service stops."""

from __future__ import annotations

import asyncio
import io
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from ser_engine.analyzer import Analyzer
from ser_engine.errors import Busy, InvalidSettings, SerError
from ser_engine.fair_queue import FairQueue, Turn
from ser_engine.models.registry import find_model, list_models
from ser_engine.service.metrics import Metrics
from ser_engine.service.problems import Problem
from ser_engine.settings import Settings
from ser_engine.transcription.language import LANGUAGES
from ser_engine.types import Analysis

POLL_S = 0.2
TOGETHER = 4
"""Short recordings that are computed together: more gain little (docs/service.md), and each waits for all."""
SHORT_S, SHORT_BYTES = 30.0, 4 * 2**20
FIRST_GUESS_S = 2.0
"""Seconds that an analysis is expected to take before there has been one."""
Gone = Callable[[], Awaitable[object]]


class Cancelled(Exception):
    """Ends an analysis whose answer nobody waits for."""


class Engines:
    """One `Analyzer` for each model of the models folder; clients cannot name others."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._default = Analyzer(settings)
        self._others: dict[str, Analyzer] = {}
        self._lock = threading.Lock()

    @property
    def default_name(self) -> str:
        """The name of the model of the settings."""
        return find_model(self.settings, fetch=False).name

    def names(self) -> tuple[str, ...]:
        """Return the names of the models, the default first."""
        return tuple(dict.fromkeys((self.default_name, *list_models(self.settings))))

    def find(self, name: str) -> Analyzer:
        """Return the engine of a model, "" for the default; raise InvalidSettings if there is none of this name."""
        names = self.names()
        if name in ("", names[0]):
            return self._default
        if name not in names:
            raise InvalidSettings(f"There is no emotion model “{name[:100]}”; there are {', '.join(names)}.")
        with self._lock:
            if name not in self._others:
                self._others[name] = Analyzer(replace(self.settings, model=name))
            return self._others[name]


@dataclass(frozen=True)
class Options:
    """The options of one analysis: None for those of the settings."""

    transcribe: bool | None = None
    language: str | None = None
    words: bool | None = None
    track: int | None = None
    channels: str | None = None
    channel_names: str | None = None
    speakers: str | None = None

    def check(self, settings: Settings) -> None:
        """Raise InvalidSettings for an invalid option, before the recording is read."""
        replace(settings, **{name: value for name, value in vars(self).items() if value is not None})
        known = LANGUAGES.keys() | {name.lower() for name in LANGUAGES.values()}
        if self.language and self.language.lower() not in known:
            raise InvalidSettings(f"Whisper does not know the language “{self.language[:50]}”; use a code such as en.")


@dataclass(eq=False)
class Job:
    """The analysis of one request; `short` where it may be computed together with others."""

    engine: Analyzer
    source: BinaryIO
    name: str
    options: Options
    short: bool
    begun: bool = False
    joined: float = field(default_factory=time.monotonic)
    answer: Future[Analysis] = field(default_factory=Future)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def goes_with(self, turn: Turn) -> bool:
        """Return whether the job of a turn can be computed together with this one."""
        other = turn.item
        return (
            isinstance(other, Job)
            and other.short
            and not other.begun
            and other.engine is self.engine
            and other.options == self.options
        )

    def end(self, answer: Analysis | BaseException) -> None:
        """Set the answer or the error, unless there is one."""
        with suppress(InvalidStateError):
            if isinstance(answer, BaseException):
                self.answer.set_exception(answer)
            else:
                self.answer.set_result(answer)


class Analyses:
    """The analyses of a service, a few at once, fair between the owners of the keys.

    Short recordings that wait are computed together; a long one lets others go first between its stretches.
    """

    def __init__(self, places: int, longest: int, metrics: Metrics, threads: int) -> None:
        self.queue = FairQueue(places, longest)
        self.stopping = threading.Event()
        """Set when analyses under way are to be ended."""
        self._metrics = metrics
        self._threads = threads
        # A long analysis keeps its thread while others go first.
        self._pool = ThreadPoolExecutor(places + longest, "service-analysis", self._set_threads)
        self._lasted: deque[float] = deque(maxlen=50)
        metrics.watch(lambda: self.queue.waiting, lambda: self.queue.running)

    def check_room(self) -> None:
        """Raise a problem if the queue is full."""
        if self.queue.full:
            raise self._busy()

    def _busy(self) -> Problem:
        each = statistics.median(self._lasted) if self._lasted else FIRST_GUESS_S
        seconds = each * (self.queue.waiting + 1) / self.queue.places
        return Problem.retry("busy", "Too many recordings are waiting", seconds)

    async def run(
        self, engine: Analyzer, source: BinaryIO, name: str, options: Options, owner: str, gone: Gone
    ) -> Analysis:
        """Return the analysis of a recording, once it is its turn; raise Cancelled if the client is gone before.

        `gone()` ends when the client has left.
        """
        job = Job(engine, source, name, options, await asyncio.to_thread(is_short, source))
        try:
            turn = self.queue.join(owner, self._begin, job)
        except Busy:
            raise self._busy() from None
        watch = asyncio.ensure_future(gone())
        watch.add_done_callback(lambda _: self._give_up(turn, job))
        answer = asyncio.wrap_future(job.answer)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            self._give_up(turn, job)
            await asyncio.wait({answer})  # the file is in use until then
            raise
        finally:
            watch.cancel()

    def _give_up(self, turn: Turn, job: Job) -> None:
        """End the analysis of a client that has left."""
        job.cancelled.set()
        if turn.place and not job.begun:
            turn.leave()
            job.end(Cancelled())

    def _begin(self, turn: Turn) -> None:
        job = turn.item
        assert isinstance(job, Job)
        if not job.begun:  # else it goes on in its own thread
            self._pool.submit(self._work, turn, job)

    def _work(self, turn: Turn, job: Job) -> None:
        """Analyze one recording, or several short ones that wait, and leave their turns."""
        turns = [turn]
        try:
            if job.short:
                # No more than this place's share of those that wait: the others would have nothing to do.
                share = self.queue.waiting // self.queue.places
                turns += self.queue.take_along(job.goes_with, min(share, TOGETHER - 1))
            jobs = [each.item for each in turns if isinstance(each.item, Job)]
            for each in jobs:
                each.begun = True
                self._metrics.waited.observe(time.monotonic() - each.joined)
            begun = time.monotonic()
            try:
                if len(jobs) > 1:
                    self._analyze_together(jobs)
                else:
                    job.end(self._analyze(turn, job))
            except BaseException as error:
                for each in jobs:
                    each.end(error)
            seconds = (time.monotonic() - begun) / len(jobs)
            self._lasted.append(seconds)
            for each in jobs:
                self._note(each, seconds)
        finally:
            for each_turn in turns:
                each_turn.leave()

    def _analyze(self, turn: Turn, job: Job) -> Analysis:
        def check(*_: object) -> None:
            turn.pass_on()
            while not (self._ends(job) or turn.wait(POLL_S)):
                pass
            if self._ends(job):
                raise Cancelled

        check()
        analysis = job.engine.analyze(job.source, name=job.name, progress=check, advance=check, **vars(job.options))
        return analysis.without_sound()

    def _analyze_together(self, jobs: list[Job]) -> None:
        wanted = [job for job in jobs if not self._ends(job)]
        for job in jobs:
            if job not in wanted:
                job.end(Cancelled())
        if wanted:
            first = wanted[0]
            names, sources = [job.name for job in wanted], [job.source for job in wanted]
            answers = first.engine.analyze_batch(sources, names=names, **vars(first.options))
            for job, answer in zip(wanted, answers, strict=True):
                job.end(answer if isinstance(answer, SerError) else answer.without_sound())

    def _ends(self, job: Job) -> bool:
        return job.cancelled.is_set() or self.stopping.is_set()

    def _note(self, job: Job, seconds: float) -> None:
        if not job.answer.exception():
            self._metrics.analyzed.observe(seconds)
            self._metrics.audio.labels("analyze").inc(job.answer.result().quality.duration_s)

    def _set_threads(self) -> None:
        if torch := sys.modules.get("torch"):  # which the bundled models do without
            torch.set_num_threads(self._threads)

    async def stop(self) -> None:
        """End what is still under way, and wait until it has ended."""
        self.stopping.set()
        await asyncio.to_thread(self._pool.shutdown, wait=True)


def is_short(source: BinaryIO) -> bool:
    """Return whether a recording is certain to be short, by its size and its header."""
    import soundfile

    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    if not 0 < size <= SHORT_BYTES:
        return False
    try:
        info = soundfile.info(source)
    except (soundfile.SoundFileError, TypeError, ValueError):  # another format, or none
        return False
    finally:
        source.seek(0)
    return bool(info.duration <= SHORT_S)

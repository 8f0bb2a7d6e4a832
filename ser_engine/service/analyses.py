"""Analyses of requests: their models, their queue, and their end when the client leaves or the service stops."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import BinaryIO

from ser_engine.analyzer import Analyzer
from ser_engine.errors import Busy, InvalidSettings
from ser_engine.fair_queue import FairQueue, Turn
from ser_engine.models.registry import find_model, list_models
from ser_engine.service.metrics import Metrics
from ser_engine.service.problems import Problem
from ser_engine.settings import Settings
from ser_engine.transcription.language import LANGUAGES
from ser_engine.types import Analysis

POLL_S = 0.2
FIRST_GUESS_S = 2.0


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


class Analyses:
    """The analyses of a service, a few at once, fair between the owners of the keys.

    A long recording lets others go first between its stretches.
    """

    def __init__(self, places: int, longest: int, metrics: Metrics) -> None:
        self.queue = FairQueue(places, longest)
        self.stopping = threading.Event()
        """Set when analyses under way are to be ended."""
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(places + longest, thread_name_prefix="service-analysis")
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
        self, engine: Analyzer, source: BinaryIO, name: str, options: Options, owner: str, gone: Awaitable[object]
    ) -> Analysis:
        """Return the analysis of a recording, once it is its turn; raise Cancelled if the client is `gone` before.

        `gone` ends when the client has left.
        """
        loop, cancelled = asyncio.get_running_loop(), threading.Event()
        begun = asyncio.Event()
        try:
            turn = self.queue.join(owner, lambda: loop.call_soon_threadsafe(begun.set))
        except Busy:
            raise self._busy() from None
        joined = time.monotonic()
        watch = asyncio.ensure_future(gone)
        watch.add_done_callback(lambda _: cancelled.set())
        waits = asyncio.ensure_future(begun.wait())
        try:
            with turn:
                await asyncio.wait({waits, watch}, return_when=asyncio.FIRST_COMPLETED)
                self._metrics.waited.observe(time.monotonic() - joined)
                if cancelled.is_set():
                    raise Cancelled
                work = loop.run_in_executor(self._pool, self._analyze, engine, source, name, options, turn, cancelled)
                try:
                    return await asyncio.shield(work)
                except asyncio.CancelledError:
                    cancelled.set()
                    await asyncio.wait({work})  # the turn and the file are in use until then
                    raise
        finally:
            waits.cancel()
            watch.cancel()

    def _analyze(
        self,
        engine: Analyzer,
        source: BinaryIO,
        name: str,
        options: Options,
        turn: Turn,
        cancelled: threading.Event,
    ) -> Analysis:
        def check(*_: object) -> None:
            turn.pass_on()
            while not (cancelled.is_set() or self.stopping.is_set() or turn.wait(POLL_S)):
                pass
            if cancelled.is_set() or self.stopping.is_set():
                raise Cancelled

        begun = time.monotonic()
        analysis = engine.analyze(source, name=name, progress=check, advance=check, **vars(options))
        seconds = time.monotonic() - begun
        self._lasted.append(seconds)
        self._metrics.analyzed.observe(seconds)
        self._metrics.audio.labels("analyze").inc(analysis.quality.duration_s)
        return analysis.without_sound()

    async def stop(self) -> None:
        """End what is still under way, and wait until it has ended."""
        self.stopping.set()
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


Gone = Callable[[], Awaitable[object]]

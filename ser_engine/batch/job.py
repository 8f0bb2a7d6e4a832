"""Run a job: list its sources, analyze what has no row yet, and commit the rows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ser_engine.batch.listing import Listing
from ser_engine.batch.output import Output
from ser_engine.batch.plan import Plan
from ser_engine.batch.progress import OnProgress, Progress
from ser_engine.batch.rows import Outcome
from ser_engine.batch.sources import Item
from ser_engine.errors import SerError
from ser_engine.settings import Settings, available_cores

EngineName = Literal["local", "ray"]
AHEAD = 256
"""Recordings among which those of about the same size are analyzed together."""
CHUNK, CHUNK_BYTES = 16, 16 * 2**20
"""Recordings and bytes that a worker takes at a time at most."""
REPORT_S, WRITE_S = 0.5, 2.0
WORKER_LOG = "_workers.log"


def run(
    plan: Plan,
    out: str | os.PathLike[str],
    *,
    engine: EngineName = "local",
    address: str | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    workers: int = 0,
    resume: bool = False,
    retry_errors: bool = False,
    max_errors: int | None = None,
    on_progress: OnProgress | None = None,
    stop: Callable[[], bool] | None = None,
    settings: Settings | None = None,
) -> Progress:
    """Run a job until every recording has a row, and return how it ended.

    Parameters
    ----------
    plan : see `make_plan`
    out : output folder, see `open_output`; it is made if need be
    engine : "local" for the cores of this machine, "ray" for a cluster
    address : of the cluster, "ray://host:10001" or "auto"; None starts one on this machine
    runtime_env : what Ray installs on the nodes for this job, such as {"py_modules": ["ser_engine-….whl"]}
    workers : processes; 0 for one for each core, or for each GPU where the device is "cuda"
    resume : continue what is in `out`, or begin where there is nothing; otherwise `out` must be empty
    retry_errors : with `resume`: analyze recordings again whose row holds an error
    max_errors : stop once more recordings than these had no answer in this run
    on_progress : called with the `Progress` about twice a second
    stop : asked about twice a second; once true, what is under way is finished and committed
    settings : where the models lie; what decides the answers is in the plan. `Settings.from_env()` by default

    Raises
    ------
    InvalidSettings
        Another run is writing to `out`, `out` has results of another plan or, without `resume`, any files.
    SerError
        The job cannot go on: no space is left, there are more than `max_errors`, a source cannot be listed, or worker
        processes do not start. What was committed stays, and the job can be resumed.
    """
    own = plan.apply(settings or Settings.from_env())
    with Output(Path(out), plan, resume, retry_errors) as output:
        job = _Job(output, max_errors, on_progress, stop)
        try:
            with Listing(plan.sources) as listing:
                chunks = cut_chunks(job.remaining(listing), workers)
                outcomes = _engine(engine, address, runtime_env, own, workers, output, chunks, job.stopping)
                with closing(outcomes):
                    job.collect(outcomes)
            output.commit()
        except BaseException as error:
            with suppress(SerError):  # it has no space, either
                output.commit()
            job.fail(str(error) if isinstance(error, SerError) else "The run was ended.")
            raise
        return job.finish()


def _engine(
    name: EngineName,
    address: str | None,
    runtime_env: Mapping[str, Any] | None,
    settings: Settings,
    workers: int,
    output: Output,
    chunks: Iterator[Sequence[Item] | None],
    stop: Callable[[], bool],
) -> Generator[Outcome | None]:
    if name == "ray":
        from ser_engine.batch.ray import analyze

        yield from analyze(output.plan, settings, chunks, stop, address, workers, runtime_env)
        return
    from ser_engine.batch.local import Pool

    with closing(Pool(settings, workers, output.folder / WORKER_LOG)) as pool:
        yield from pool.analyze(chunks, stop)


def cut_chunks(items: Iterable[Item | None], workers: int = 0) -> Iterator[list[Item] | None]:
    """Yield recordings of about the same size, those that a worker takes at a time, the large ones first.

    Yield None wherever `items` does, once those before it have been cut.
    """
    window: list[Item] = []
    for item in items:
        if item is not None:
            window.append(item)
        if window and (item is None or len(window) == AHEAD):
            yield from _cut(window, workers)
            window = []
        elif item is None:
            yield None
    yield from _cut(window, workers)


def _cut(window: list[Item], workers: int) -> Iterator[list[Item]]:
    """Cut a window, so that there are some for each worker."""
    most = max(1, min(CHUNK, len(window) // (2 * (workers or available_cores()))))
    chunk: list[Item] = []
    size = 0
    for item in sorted(window, key=lambda item: item.version.size or 0, reverse=True):
        own = item.version.size or 0
        if chunk and (len(chunk) == most or size + own > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += own
    if chunk:
        yield chunk


class _Job:
    """What is counted and reported while a job runs."""

    def __init__(
        self, output: Output, max_errors: int | None, on_progress: OnProgress | None, stop: Callable[[], bool] | None
    ) -> None:
        self._output, self._max_errors, self._on_progress, self._stop = output, max_errors, on_progress, stop
        self._begun = time.monotonic()
        self._reported = self._written = 0.0
        self._new = self._failed = 0
        self._audio_s = 0.0
        self._listing: Listing | None = None
        self._reason = ""
        output.log(f"Begun: {', '.join(output.plan.sources)}")

    def stopping(self) -> bool:
        """Whether no further recording is to be begun."""
        if not self._reason and self._max_errors is not None and self._failed > self._max_errors:
            self._reason = f"More than {self._max_errors} recordings could not be analyzed (--max-errors)."
        if not self._reason and self._stop is not None and self._stop():
            self._reason = "Stopped."
        return bool(self._reason)

    def remaining(self, listing: Listing) -> Iterator[Item | None]:
        """Yield the recordings that have no row yet, and None where there is no further one yet."""
        self._listing = listing
        for item in listing:
            if item is None or not self._output.has(item):
                yield item

    def collect(self, outcomes: Iterable[Outcome | None]) -> None:
        """Commit what an engine yields, part by part."""
        for outcome in outcomes:
            if outcome is not None:
                self._count(outcome)
            if self._output.due:
                self._output.commit()
            self._report()

    def _count(self, outcome: Outcome) -> None:
        self._output.add(outcome)
        self._audio_s += outcome.audio_s
        if outcome.row is None:
            self._output.skipped += 1
            return
        self._new += 1
        if outcome.failed:
            self._failed += 1
            self._output.log(f"{outcome.file}: {outcome.row['error']}")

    def finish(self) -> Progress:
        """Report the end; raise SerError if there were too many errors."""
        too_many = self._reason not in ("", "Stopped.")
        if too_many:
            self.fail(self._reason)
            raise SerError(self._reason)
        return self._end(replace(self.progress(), state="stopped" if self._reason else "finished", eta_s=None))

    def fail(self, reason: str) -> None:
        """Report why the job ended early."""
        self._end(replace(self.progress(), state="failed", reason=reason, eta_s=None))

    def _end(self, progress: Progress) -> Progress:
        self._output.log(f"{progress.state.capitalize()}: {progress.done} recordings. {progress.reason}".strip())
        self._output.show(progress)
        if self._on_progress:
            self._on_progress(progress)
        return progress

    def progress(self) -> Progress:
        """Return how far the job is."""
        output, listing = self._output, self._listing
        elapsed = time.monotonic() - self._begun
        done, rate = output.earlier + self._new, self._new / elapsed if elapsed else 0.0
        total = None if listing is None or listing.total is None else listing.total - output.skipped
        eta = (total - done) / rate if total is not None and rate else None
        return Progress(
            "running", done, output.failed + self._failed, total, rate, eta, self._audio_s, elapsed, output.earlier,
            output.skipped, output.changed,
        )  # fmt: skip

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported < REPORT_S:
            return
        self._reported = now
        progress = self.progress()
        if now - self._written >= WRITE_S:
            self._written = now
            self._output.show(progress)
        if self._on_progress:
            self._on_progress(progress)

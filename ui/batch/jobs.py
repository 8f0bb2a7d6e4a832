"""Batch jobs of the page: each has a folder and a link, waits for its turn, and goes on when its tab is closed."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ser_engine import Settings
from ser_engine.batch import Progress, make_plan, read_plan, read_progress, run
from ser_engine.batch.output import is_locked
from ser_engine.batch.plan import PLAN
from ser_engine.errors import SerError
from ser_engine.settings import available_cores

ID = re.compile(r"[\w-]{22}", re.ASCII)
UNEXPECTED = "Something went wrong with this batch; what has been analyzed is kept, and it can be continued."

State = Literal["new", "waiting", "running", "finished", "stopped", "failed", "interrupted"]


class Job:
    """One batch: the output `out` and, unless it was only opened, an `id` and a `folder` that hold all that is its own.

    `error` is why the last run ended early. `state` is "interrupted" where the server ended in the middle of it.
    """

    def __init__(self, out: Path, id: str = "") -> None:
        self.out, self.id, self.folder = out, id, out.parent
        self.stop = threading.Event()
        self.active: Literal["", "waiting", "running"] = ""
        self._latest: Progress | None = None
        self._sources: Sequence[str | Path] = ()
        self._settings = Settings()

    @property
    def uploads(self) -> Path:
        """The folder of the files that were dropped."""
        return self.folder / "uploads"

    @property
    def progress(self) -> Progress | None:
        """How far it is; None before its first run."""
        return self._latest or read_progress(self.out)

    @property
    def state(self) -> State:
        """What it is doing."""
        if self.active:
            return self.active
        if (latest := self.progress) is None:
            return "new" if not (self.out / PLAN).is_file() else "interrupted"
        if latest.state == "running":
            return "running" if is_locked(self.out) else "interrupted"
        return latest.state

    def prepare(self, sources: Sequence[str | Path], settings: Settings) -> None:
        """Set what its next run analyzes."""
        self._sources, self._settings = sources, settings

    def run(self, workers: int) -> None:
        """Analyze what has no row yet."""
        try:
            plan = make_plan(self._sources, self._settings)
            self._latest = run(
                plan,
                self.out,
                workers=workers,
                resume=True,
                on_progress=self._take,
                stop=self.stop.is_set,
                settings=self._settings,
            )
        except SerError as error:
            self._fail(str(error))
        except Exception:
            logging.getLogger(__name__).exception("A batch failed unexpectedly")
            self._fail(UNEXPECTED)

    def _take(self, progress: Progress) -> None:
        self._latest = progress

    def _fail(self, sentence: str) -> None:
        self._latest = replace(self._latest or Progress(), state="failed", reason=sentence)


class Jobs:
    """The jobs of a server. One runs at a time; the others wait in the order of their start.

    `root` holds a folder for each job, which is removed `days` after it last changed.
    """

    def __init__(self, root: Path, days: float) -> None:
        self.root, self.days = root, days
        self._jobs: dict[str, Job] = {}
        self._queue: list[Job] = []
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None

    def create(self) -> Job:
        """Return a new job with an id that nobody can guess."""
        self.remove_old()
        id = secrets.token_urlsafe(16)
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / id).mkdir(mode=0o700)
        return self._jobs.setdefault(id, Job(self.root / id / "results", id))

    def find(self, id: str) -> Job | None:
        """Return a job by its id, also one of an earlier server; None where there is none."""
        if not ID.fullmatch(id) or not (self.root / id).is_dir():
            return None
        with self._changed:
            return self._jobs.setdefault(id, Job(self.root / id / "results", id))

    def start(self, job: Job, sources: Sequence[str | Path], settings: Settings) -> None:
        """Let a job run, or wait for its turn."""
        with self._changed:
            if job.active:
                return
            job.prepare(sources, settings)
            job.stop.clear()
            job.active = "waiting"
            self._queue.append(job)
            self._changed.notify_all()
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="batches", daemon=True)
                self._worker.start()

    def resume(self, job: Job, settings: Settings) -> None:
        """Continue a job by the plan in its output; raise InvalidSettings where that cannot be read."""
        plan = read_plan(job.out)
        self.start(job, plan.sources, plan.apply(settings))

    def before(self, job: Job) -> int:
        """Return how many jobs come before a waiting one."""
        with self._changed:
            running = sum(each.active == "running" for each in self._jobs.values())
            return running + (self._queue.index(job) if job in self._queue else 0)

    def cancel(self, job: Job) -> None:
        """Stop a job after the recordings that are under way; one that waits does not begin."""
        job.stop.set()
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)
                job.active = ""

    def remove(self, job: Job) -> None:
        """Discard a job with its results and the files that were dropped; it is cancelled first."""
        self.cancel(job)
        with self._changed:
            self._changed.wait_for(lambda: not job.active)
            self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def remove_old(self) -> None:
        """Discard the jobs of more than `days` ago."""
        oldest = time.time() - self.days * 86400
        with suppress(FileNotFoundError):
            for folder in self.root.iterdir():
                times = [folder.stat().st_mtime, *(path.stat().st_mtime for path in folder.glob("results/_*"))]
                job = self.find(folder.name)
                if job is not None and not job.active and max(times) < oldest:
                    self.remove(job)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                job = self._queue.pop(0)
                job.active = "running"
            job.run(workers=max(1, available_cores() - 1))  # a core is left for the page
            with self._changed:
                job.active = ""
                self._changed.notify_all()

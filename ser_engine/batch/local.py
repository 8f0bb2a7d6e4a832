"""The engine of one machine: a worker process for each core, replaced when it dies."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ser_engine.batch.rows import Outcome, WorkerDied, outcome_of
from ser_engine.batch.sources import Item
from ser_engine.batch.storage import UNKNOWN
from ser_engine.errors import SerError
from ser_engine.settings import Settings, available_cores

WAIT_S = 0.5
VISIBLE = "CUDA_VISIBLE_DEVICES"
DEATHS = 2
"""How often a recording may end the process that analyzes it before that is its error."""
STARTS = 3
"""How many processes in a row may end before they are ready."""
# The package has to be found wherever the process was started; one thread, before any library is loaded.
_PATH = os.pathsep.join(filter(None, (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", ""))))
_ENVIRONMENT = {"PYTHONPATH": _PATH, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0"}


class Worker:
    """A worker process; what it sends is put into `events` as (worker, message), its end as (worker, None).

    `gpu` is the only one that it may use, as CUDA_VISIBLE_DEVICES names it.
    """

    def __init__(
        self, settings: Settings, events: queue.Queue[tuple[Worker, Any]], log: Path | None, gpu: str = ""
    ) -> None:
        self.waiting: dict[str, Item] = {}
        self.hungry = False
        self.gpu = gpu
        with _open_log(log) as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ser_engine.batch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | _ENVIRONMENT | ({VISIBLE: gpu} if gpu else {}),
                start_new_session=True,  # a terminal sends Ctrl-C to a whole group
            )
        self._send(settings)
        threading.Thread(target=self._receive, args=(events,), daemon=True).start()

    def analyze(self, items: Sequence[Item]) -> None:
        """Hand over recordings."""
        self.waiting |= {item.file: item for item in items}
        self.hungry = False
        self._send(list(items))

    def stop(self) -> None:
        """Let the process finish the batch that is under way, and end."""
        self._send(None)

    def close(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.wait()

    def _send(self, message: Any) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # it has died, which its reader reports
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def _receive(self, events: queue.Queue[tuple[Worker, Any]]) -> None:
        assert self.process.stdout is not None
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                events.put((self, pickle.load(self.process.stdout)))
        self.process.wait()
        events.put((self, None))


def find_gpus(settings: Settings) -> list[str]:
    """Return the GPUs of this process, as CUDA_VISIBLE_DEVICES names them, where the settings ask for them by name.

    With "auto", workers compute on the cores: as many processes as cores would not fit into a GPU's memory. Raise
    InvalidSettings if the device is "cuda" and there is none.
    """
    if settings.device != "cuda":
        return []
    import torch

    from ser_engine.models.device import choose_device

    choose_device(settings)
    count = torch.cuda.device_count()
    return os.environ[VISIBLE].split(",")[:count] if os.environ.get(VISIBLE) else [str(n) for n in range(count)]


def _open_log(log: Path | None) -> IO[bytes]:
    """Open what takes the messages of libraries in worker processes."""
    if log is not None:
        with suppress(OSError):
            return log.open("ab")
    return Path(os.devnull).open("wb")


class Pool:
    """Worker processes, as many as are asked for, whatever happens to them; they share the GPUs, if any, evenly.

    By default, there is one for each GPU where the device is "cuda", and one for each core otherwise.
    """

    def __init__(self, settings: Settings, workers: int = 0, log: Path | None = None) -> None:
        device = "cpu" if settings.device == "auto" else settings.device
        self._settings, self._log = replace(settings, threads=1, device=device), log
        self._gpus = find_gpus(settings)
        self._count = workers or len(self._gpus) or available_cores()
        self._events: queue.Queue[tuple[Worker, Any]] = queue.Queue()
        self._workers: list[Worker] = []
        self._deaths: Counter[str] = Counter()
        self._starts = 0
        self._held: Sequence[Item] = ()
        self._exhausted = False

    def close(self) -> None:
        """End all processes at once."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def analyze(
        self, chunks: Iterator[Sequence[Item] | None], stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Outcome | None]:
        """Yield what becomes of each recording, and None about twice a second.

        `chunks` are handed to one process each, and None where there is no further one yet. Once `stop` returns true,
        only what is under way is finished. Raise SerError where no process can analyze anything.
        """
        again: deque[Item] = deque()
        stopped = self._exhausted = False
        while True:
            if not stopped and stop():
                stopped = True
                self._stop()
            if not stopped and (again or self._has_chunk(chunks)):
                self._start()
                for worker in [each for each in self._workers if each.hungry]:
                    if again and not worker.waiting:
                        worker.analyze([again.popleft()])
                    elif not self._suspects(worker) and self._has_chunk(chunks):
                        worker.analyze(self._held)
                        self._held = ()
            busy = bool(self._workers) if stopped else any(worker.waiting for worker in self._workers)
            if not busy and (stopped or (self._exhausted and not again)):
                return
            try:
                worker, message = self._events.get(timeout=WAIT_S)
            except queue.Empty:
                yield None
                continue
            if isinstance(message, Outcome):
                worker.waiting.pop(message.file, None)
                yield message
            elif isinstance(message, SerError):
                raise message
            elif message is not None:
                self._starts = 0
                worker.hungry = True
            elif worker in self._workers:
                lost = self._bury(worker)
                if not stopped:
                    for item in lost:
                        self._deaths[item.file] += 1
                        if self._deaths[item.file] < DEATHS:
                            again.append(item)
                        else:
                            yield outcome_of(item, UNKNOWN, _died(worker))

    def _has_chunk(self, chunks: Iterator[Sequence[Item] | None]) -> bool:
        """Whether there are recordings that no process has yet."""
        if not self._held and not self._exhausted:
            chunk = next(chunks, ())
            self._exhausted = chunk == ()
            self._held = chunk or ()
        return bool(self._held)

    def _start(self) -> None:
        if self._starts == STARTS:
            raise SerError(
                "The system ends worker processes before they are ready, as it does when memory runs out; use fewer "
                "(--workers)."
            )
        while len(self._workers) < self._count:
            used = Counter(worker.gpu for worker in self._workers)
            gpu = min(self._gpus, key=lambda gpu: used[gpu], default="")
            self._workers.append(Worker(self._settings, self._events, self._log, gpu))

    def _stop(self) -> None:
        """Let processes with work finish what is under way, and end the others."""
        for worker in self._workers:
            if worker.waiting:
                worker.stop()
            else:
                worker.process.kill()

    def _suspects(self, worker: Worker) -> bool:
        """Whether a process analyzes what was there when another one died: that is then the only recording it has."""
        return any(file in self._deaths for file in worker.waiting)

    def _bury(self, worker: Worker) -> list[Item]:
        """Forget a process that has ended, and return its recordings."""
        self._workers.remove(worker)
        self._starts += 1
        return list(worker.waiting.values())


def _died(worker: Worker) -> WorkerDied:
    code = worker.process.returncode
    how = f"with code {code}" if code >= 0 else f"by signal {-code}"
    memory = ", as the system does when memory runs out" if code == -9 else ""
    return WorkerDied(f"The process that analyzed it ended {how}{memory}, {DEATHS} times.")

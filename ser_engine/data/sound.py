"""What the clips of a corpus sound like: length, rate, bandwidth, silence, and fingerprints; on every core."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio import decode as audio
from ser_engine.data.manifest import Row
from ser_engine.errors import CorpusError, SerError
from ser_engine.settings import Settings

# Nothing in the clip is louder than this, of full scale: 16-bit samples within ±33. Speech recorded that faintly has
# more of the converter's noise in it than of the voice.
SILENT_DB = -60.0
# Bandwidth is where the long-term spectrum last comes within this of its peak; what a low-pass leaves is far below.
BANDWIDTH_RANGE_DB = 60.0
SPECTRUM = 512
BATCH = 32
AHEAD = 4
"""Batches that wait for each process: enough that none idles, few enough that memory stays flat."""


@dataclass(frozen=True)
class Sound:
    """What one file holds; `problem` is the sentence why it cannot be read, and then the rest is empty.

    `sha256` is of the file's bytes, `content` of the decoded samples: two files that differ in a header only have one
    content. `peak_db` is relative to full scale.
    """

    seconds: float = 0.0
    sample_rate: int = 0
    sha256: str = ""
    content: bytes = b""
    peak_db: float = -np.inf
    bandwidth_hz: int = 0
    missing: bool = False
    problem: str = ""

    @property
    def silent(self) -> bool:
        """Whether nothing can be heard."""
        return not self.problem and self.peak_db < SILENT_DB


def listen(path: Path, settings: Settings) -> Sound:
    """Decode a clip and measure it; a file that is not there or no recording has a `problem`, not an error."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        waveform = audio.load_audio(path, settings)
    except FileNotFoundError:
        return Sound(missing=True, problem="There is no such file.")
    except OSError as error:
        return Sound(problem=f"The file cannot be read: {error.strerror or error}.")
    except SerError as error:
        return Sound(problem=str(error))
    samples, rate = waveform.samples, waveform.rate
    peak = float(np.abs(samples).max(initial=0.0))
    return Sound(
        seconds=round(len(samples) / rate, 4),
        sample_rate=rate,
        sha256=sha256,
        content=hashlib.sha256(rate.to_bytes(4, "little") + samples.tobytes()).digest()[:16],
        peak_db=round(20 * float(np.log10(max(peak, 1e-9))), 1),
        bandwidth_hz=_bandwidth(samples, rate),
    )


def listen_to(rows: Iterable[Row], settings: Settings, workers: int = 0) -> Iterator[tuple[Row, Sound]]:
    """Yield every row with what its clip sounds like, in their order, measured by `workers` processes (0: every core).

    Only a few hundred rows are in memory at a time, however many there are.

    Raises
    ------
    CorpusError
        The system ended one of the processes, as it does where memory runs out.
    """
    workers = workers or len(
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    rows = iter(rows)
    waiting: deque[tuple[list[Row], Future[list[Sound]]]] = deque()
    pool = ProcessPoolExecutor(workers, initializer=_start)
    try:
        while True:
            while len(waiting) < AHEAD * workers and (batch := list(islice(rows, BATCH))):
                paths = [row.utterance.path for row in batch]
                waiting.append((batch, pool.submit(_listen_to_batch, paths, settings)))
            if not waiting:
                return
            batch, future = waiting.popleft()
            yield from zip(batch, future.result(), strict=True)
    except BrokenProcessPool:
        raise CorpusError("A process that listens to clips was ended by the system; try fewer --workers.") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    """Leave Ctrl-C to the process that hands out the work, and end with it, even where it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _listen_to_batch(paths: Sequence[Path], settings: Settings) -> list[Sound]:
    return [listen(path, settings) for path in paths]


def _bandwidth(samples: NDArray[np.float32], rate: int) -> int:
    """Return the highest frequency, Hz, that the long-term spectrum of float32 [n] reaches; 0 for silence."""
    if len(samples) < SPECTRUM:
        return 0
    frames = np.lib.stride_tricks.sliding_window_view(samples, SPECTRUM)[:: SPECTRUM // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(SPECTRUM), axis=1))).mean(axis=0)
    power[:2] = 0  # a constant offset is no sound
    heard = np.flatnonzero(power > power.max() * 10 ** (-BANDWIDTH_RANGE_DB / 10))
    return round(float(heard[-1]) * rate / SPECTRUM) if len(heard) else 0

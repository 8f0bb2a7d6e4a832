"""Live sessions with the bundled model: latency, number of sessions at once, growth of memory.

Audio arrives in real time, in chunks of 20 ms at 48 kHz as with WebRTC.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_engine.analyzer import Analyzer
from ser_engine.live.session import HOP_S, MAX_LAG_S, LiveSession, Update
from ser_engine.settings import Settings
from tests.speech import SENTENCES, VOICES, silence, speech

RATE = 48_000
CHUNK_S = 0.02
# Pause after each sentence of each voice; nothing is scored in it.
PAUSE_S = 2.0
# Length of each measurement, and the share of windows that a session may skip.
LATENCY_S, SESSIONS_S, HOUR_S = 60.0, 30.0, 3600.0
MOST_SKIPPED = 0.01
MOST_SESSIONS = 32
# Memory that is allocated at first (threads of libraries, buffers) does not count as growth.
SETTLED_S = 120.0


def measure(
    latency_s: float = LATENCY_S,
    sessions_s: float = SESSIONS_S,
    hour_s: float = HOUR_S,
    most: int = MOST_SESSIONS,
    analyzer: Analyzer | None = None,
) -> dict[str, Any]:
    """Return `live_latency_p50`, `live_latency_p95` (seconds), `live_sessions` and `live_memory_growth_mb`."""
    analyzer = analyzer or Analyzer(Settings(transcribe=False))
    analyzer.warm_up()
    sound = conversation()
    latencies = latency(analyzer, sound, latency_s)
    return {
        "live_latency_p50": round(float(np.median(latencies)), 3),
        "live_latency_p95": round(float(np.percentile(latencies, 95)), 3),
        "live_sessions": sessions(analyzer, sound, sessions_s, most),
        "live_memory_growth_mb": round(memory_growth_mb(analyzer, sound, hour_s), 1),
    }


def conversation() -> NDArray[np.float32]:
    """Return synthetic speech with pauses, float32 [n] at 48 kHz."""
    parts = [part for text in SENTENCES for voice in VOICES for part in (speech(text, voice), silence(PAUSE_S))]
    return soxr.resample(np.concatenate(parts), 16_000, RATE)


def latency(analyzer: Analyzer, sound: NDArray[np.float32], seconds: float) -> list[float]:
    """Return the seconds from the end of each scored window to its update."""
    latencies: list[float] = []
    session = LiveSession(analyzer)

    def record(update: Update, late_s: float) -> None:
        if update.scores:
            latencies.append(late_s)

    Feeder(session, sound, seconds, record).run()
    return latencies


OnUpdate = Callable[[Update, float], None]


class Feeder(threading.Thread):
    """A simulated microphone: it pushes chunks on time, or as soon as the session is free.

    `on_update`, if given, is called with each update and the seconds since the end of its window.
    """

    def __init__(
        self, session: LiveSession, sound: NDArray[np.float32], seconds: float, on_update: OnUpdate | None = None
    ) -> None:
        super().__init__(name="feeder", daemon=True)
        self.session, self._sound, self._seconds, self._on_update = session, sound, seconds, on_update

    def run(self) -> None:
        """Play the audio in a loop."""
        size = round(CHUNK_S * RATE)
        begun = time.perf_counter()
        for number in range(round(self._seconds / CHUNK_S)):
            spoken_s = (number + 1) * CHUNK_S
            if (early := begun + spoken_s - time.perf_counter()) > 0:
                time.sleep(early)
            first = number * size % (len(self._sound) - size)
            for update in self.session.push(self._sound[first : first + size], RATE, max(0.0, -early)):
                if self._on_update:
                    self._on_update(update, time.perf_counter() - begun - update.end)


def sessions(
    analyzer: Analyzer,
    sound: NDArray[np.float32],
    seconds: float,
    most: int = MOST_SESSIONS,
    max_lag_s: float = MAX_LAG_S,
) -> int:
    """Return how many simultaneous sessions skip at most 1% of their windows, found by bisection.

    Sessions begin at different times; a window that is later than `max_lag_s` is skipped.
    """
    held, failed = 0, most + 1
    while failed - held > 1:
        count = min(2 * held or 1, (held + failed) // 2)
        if _hold(analyzer, sound, seconds, count, max_lag_s):
            held = count
        else:
            failed = count
    return held


def _hold(analyzer: Analyzer, sound: NDArray[np.float32], seconds: float, count: int, max_lag_s: float) -> bool:
    feeders = [
        Feeder(LiveSession(analyzer, max_lag_s=max_lag_s), np.roll(sound, -number * len(sound) // count), seconds)
        for number in range(count)
    ]
    for feeder in feeders:
        feeder.start()
        time.sleep(HOP_S / count)
    for feeder in feeders:
        feeder.join()
    if any(feeder.session.duration_s < seconds - CHUNK_S for feeder in feeders):
        raise RuntimeError("A session ended early; its error is printed above.")
    skipped = sum(feeder.session.skipped for feeder in feeders)
    windows = skipped + sum(len(feeder.session.timeline) for feeder in feeders)
    return skipped <= MOST_SKIPPED * windows


def memory_growth_mb(analyzer: Analyzer, sound: NDArray[np.float32], seconds: float) -> float:
    """Return by how many MB the process grows over a session that is played faster than real time.

    Speech segments are taken as the page takes them; audio is not stored.
    """
    session = LiveSession(analyzer, words=True)
    size = round(CHUNK_S * RATE)
    settled, taken = 0.0, deque[object](maxlen=1)
    for number in range(round(seconds / CHUNK_S)):
        first = number * size % (len(sound) - size)
        session.push(sound[first : first + size], RATE)
        taken.extend(session.take_segments())
        if not settled and session.duration_s >= min(SETTLED_S, seconds / 2):
            settled = _resident_mb()
    return max(0.0, _resident_mb() - settled)


def _resident_mb() -> float:
    """Return the resident memory of this process in MB, after garbage collection."""
    gc.collect()
    if sys.platform != "linux":
        raise OSError("Memory can be measured only on Linux.")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

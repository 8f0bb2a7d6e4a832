"""Play a recording to a live session, as fast as possible or in real time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ser_engine.live.session import LiveSession, Update
from ser_engine.types import Recording

CHUNK_S = 0.1


def play_recording(
    recording: Recording,
    session: LiveSession,
    realtime: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Update]:
    """Push the recording to the session in chunks of a tenth of a second, finish it, and yield its updates.

    In real time each chunk is pushed at the moment of its last sample; if updates take too long, windows are skipped.
    """
    size = round(CHUNK_S * recording.rate)
    begun = clock()
    for first in range(0, len(recording.samples), size):
        chunk = recording.samples[first : first + size]
        behind = None
        if realtime:
            early = begun + (first + len(chunk)) / recording.rate - clock()
            if early > 0:
                sleep(early)
            behind = max(0.0, -early)
        yield from session.push(chunk, recording.rate, behind)
    yield from session.finish()


def format_update(update: Update) -> str:
    """Format an update as one line: window, emotion ("?" where the model is not sure) or state, probability, level."""
    label, probability = str(update.state), ""
    if update.scores:
        label, share = update.scores.ranked()[0]
        label += "?" if update.sure is False else ""
        probability = f"{share:.2f}"
    skipped = f"  {update.skipped} skipped" if update.skipped else ""
    return f"{update.start:7.1f} to {update.end:6.1f} s  {label:20} {probability:4}  {update.level_db:4.0f} dB{skipped}"

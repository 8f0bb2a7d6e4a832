"""A recording played to a live session, as fast as it goes or at the pace at which it was spoken."""

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
    """Yield the updates of a session that hears the recording in chunks of a tenth of a second, and finish it.

    In real time each chunk comes when its last sample would have been spoken; who cannot follow skips windows.
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
    """Return an update as one line of text: its window, what was heard, its probability, the level."""
    heard, probability = str(update.state), ""
    if update.scores:
        heard, found = update.scores.ranked()[0]
        probability = f"{found:.2f}"
    skipped = f"  {update.skipped} skipped" if update.skipped else ""
    return f"{update.start:7.1f} to {update.end:6.1f} s  {heard:20} {probability:4}  {update.level_db:4.0f} dB{skipped}"

"""A worker process: decode recordings ahead, analyze them in batches, return rows.

`python -m ser_engine.batch.worker` reads pickled messages on standard input: the settings, then lists of recordings,
and None to stop after what is under way. It writes READY once the models are loaded, MORE whenever it has decoded a
list, and the outcome of each recording; an error that concerns all of them is the last message. The process ends as
soon as its standard input does, as it does when the one that started it was killed.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ser_engine.audio.sound import Sound, open_sound
from ser_engine.batch.rows import Changed, Outcome, Unexpected, outcome_of
from ser_engine.batch.sources import Item
from ser_engine.batch.storage import UNKNOWN, Version, explain, open_file, read_version
from ser_engine.errors import SerError
from ser_engine.memory import trim_memory
from ser_engine.process import is_other_file
from ser_engine.settings import Settings
from ser_engine.types import Analysis

if TYPE_CHECKING:
    from ser_engine.analyzer import Analyzer

READY, MORE = "ready", "more"
BATCH, BATCH_S = 16, 120.0
"""Recordings and seconds of sound that are analyzed together at most; a longer recording is analyzed by itself."""
TRIES = 3
"""How often a recording is read that changes while it is read."""


@dataclass(frozen=True)
class Decoded:
    """A recording that is ready to be analyzed, or the error in its place, and the version that was read.

    `files` are open while a recording is not in memory.
    """

    item: Item
    version: Version
    sound: Sound | SerError
    files: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def seconds(self) -> float:
        """Length of the recording; 0 for an error."""
        return self.sound.duration_s if isinstance(self.sound, Sound) else 0.0


def decode_item(item: Item, settings: Settings) -> Decoded:
    """Read a recording, again where it changes meanwhile."""
    version = UNKNOWN
    for _ in range(TRIES):
        version = read_version(item.file)
        with ExitStack() as files:
            try:
                file = files.enter_context(open_file(item.file, settings.max_bytes))
                sound: Sound | SerError = files.enter_context(open_sound(file, settings, item.file))
            except SerError as error:
                sound = error
            except Exception as error:
                sound = _unexpected(error)
            if read_version(item.file) == version:
                long = isinstance(sound, Sound) and sound.recording is None
                return Decoded(item, version, sound, files.pop_all() if long else ExitStack())
    return Decoded(item, version, Changed("The file changed each time while it was read."))


def cut_batches(items: Sequence[Item], settings: Settings) -> Iterator[list[Decoded]]:
    """Yield decoded recordings, those that are analyzed together at a time."""
    batch: list[Decoded] = []
    for item in items:
        decoded = decode_item(item, settings)
        if batch and (len(batch) == BATCH or sum(each.seconds for each in batch) + decoded.seconds > BATCH_S):
            yield batch
            batch = []
        batch.append(decoded)
    if batch:
        yield batch


def analyze_batch(batch: Sequence[Decoded], analyzer: Analyzer) -> list[Outcome]:
    """Return what becomes of decoded recordings; one that no error of the engine explains has a row, too.

    Raise SerError where no recording can be analyzed, such as without a model.
    """
    sounds = [each.sound for each in batch if isinstance(each.sound, Sound)]
    try:
        results: list[Analysis | SerError] = analyzer.analyze_batch(sounds) if sounds else []
    except SerError:
        raise
    except Exception:  # of one of them: which one?
        results = [_analyze_alone(sound, analyzer) for sound in sounds]
    remaining = iter(results)
    outcomes = []
    for each in batch:
        result = next(remaining) if isinstance(each.sound, Sound) else each.sound
        each.files.close()
        outcomes.append(_outcome(each, result))
    return outcomes


def _analyze_alone(sound: Sound, analyzer: Analyzer) -> Analysis | SerError:
    try:
        return analyzer.analyze_batch([sound])[0]
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> Unexpected:
    return Unexpected(f"The analysis failed unexpectedly ({type(error).__name__}: {explain(error)}).")


def _outcome(decoded: Decoded, result: Analysis | SerError) -> Outcome:
    item = decoded.item
    if isinstance(result, SerError) and not item.given and is_other_file(item.file, result):
        return Outcome(item.file, None)
    long = isinstance(decoded.sound, Sound) and decoded.sound.recording is None  # and so it was read all the time
    if long and read_version(item.file) != decoded.version:
        result = Changed("The file changed while it was analyzed.")
    return outcome_of(item, decoded.version, result)


def main() -> None:
    """Answer the messages on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    faulthandler.enable()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    writing = threading.Lock()
    chunks: queue.Queue[list[Item]] = queue.Queue()
    ready: queue.Queue[list[Decoded]] = queue.Queue(maxsize=1)
    stopping = threading.Event()

    def send(message: Any) -> None:
        with writing:
            pickle.dump(message, answers)
            answers.flush()

    def receive() -> None:
        try:
            while (chunk := pickle.load(sys.stdin.buffer)) is not None:
                chunks.put(chunk)
            stopping.set()
            ready.put([])  # wakes up what waits for a batch
            sys.stdin.buffer.read()
        finally:
            os._exit(0)

    def decode() -> None:
        while True:
            for batch in cut_batches(chunks.get(), settings):
                ready.put(batch)
            send(MORE)

    settings: Settings = pickle.load(sys.stdin.buffer)
    try:
        from ser_engine.analyzer import Analyzer

        analyzer = Analyzer(settings)
        analyzer.warm_up()
        trim_memory()  # weights are read and converted piece by piece
        threading.Thread(target=receive, daemon=True).start()
        send(READY)
        threading.Thread(target=decode, daemon=True).start()
        while not stopping.is_set():
            for outcome in analyze_batch(ready.get(), analyzer):
                send(outcome)
            trim_memory()
    except SerError as error:
        send(error)


if __name__ == "__main__":
    main()

"""List sources in the background, on disk, so that neither the work nor its memory waits for the end of the list."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from ser_engine.batch.sources import Item, list_sources
from ser_engine.batch.storage import storable
from ser_engine.errors import SerError

TOGETHER = 256
"""Recordings after which those that wait are notified of new ones."""
WAIT_S = 0.5


def digest(file: str) -> bytes:
    """Return what stands for an address in memory, 16 bytes."""
    return hashlib.blake2b(storable(file).encode(), digest_size=16).digest()


class Listing:
    """The recordings of all sources, each once, in the order in which they are found.

    Attributes
    ----------
    total : how many there are; None until all are listed
    repeated : how often a recording was found again
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self.total: int | None = None
        self.repeated = 0
        self._sources, self._found = sources, 0
        self._error: SerError | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._folder = tempfile.TemporaryDirectory(prefix="ser-batch-")
        self._path = Path(self._folder.name) / "listing"
        self._path.touch()
        self._thread = threading.Thread(target=self._list, daemon=True)

    def __enter__(self) -> Listing:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._thread.join()
        self._folder.cleanup()

    def __iter__(self) -> Iterator[Item | None]:
        """Yield each recording, and None about twice a second while there is no further one yet.

        Raise SerError once a source could not be listed.
        """
        read = 0
        with self._path.open("rb") as file:
            while True:
                with self._changed:
                    if read == self._found and self.total is None and self._error is None:
                        self._changed.wait(WAIT_S)
                    found = self._found
                if read == found:
                    if self._error is not None:
                        raise self._error
                    if self.total == found:
                        return
                    yield None
                while read < found:
                    read += 1
                    yield pickle.load(file)

    def _list(self) -> None:
        seen: set[bytes] = set()
        try:
            with self._path.open("wb") as file:
                for item in list_sources(self._sources):
                    if self._closed:
                        return
                    if (key := digest(item.file)) in seen:
                        self.repeated += 1
                        continue
                    seen.add(key)
                    pickle.dump(item, file)
                    if len(seen) % TOGETHER == 0:
                        file.flush()
                        self._announce(len(seen))
            self._announce(len(seen), done=True)
        except SerError as error:
            self._announce(len(seen), error=error)
        except OSError as error:
            self._announce(0, error=SerError(f"The list of recordings cannot be written ({error.strerror})."))

    def _announce(self, found: int, done: bool = False, error: SerError | None = None) -> None:
        with self._changed:
            self._found = max(found, self._found)
            self.total = found if done else None
            self._error = error
            self._changed.notify_all()

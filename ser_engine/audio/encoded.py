"""The bytes of an encoded recording: in memory, in a file, or from a pipe; a file is never read as a whole."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ser_engine.audio.content import refuse_documents
from ser_engine.errors import InvalidAudio, NotAudio, TooLarge
from ser_engine.settings import Settings, variable

BLOCK = 2**20
# Longer paths are shortened in messages.
MAX_NAME = 100


class Encoded(io.RawIOBase):
    """The bytes from `start` to `end` (exclusive) of a file, as a file of its own.

    `file` is not to be read by several threads at a time. Seeks to before the beginning, as libsndfile makes them for
    damaged headers, are ignored. An error of the file system, which no decoder passes on, is in `error` and ends the
    file.
    """

    def __init__(self, file: BinaryIO, start: int = 0, end: int | None = None) -> None:
        self._file, self._start, self._position = file, start, 0
        self._length = (file.seek(0, io.SEEK_END) if end is None else end) - start
        self.error: OSError | None = None

    def __len__(self) -> int:
        return self._length

    def part(self, start: int, end: int | None = None) -> Encoded:
        """Return the bytes between two places as a file of its own."""
        return Encoded(self._file, self._start + start, self._start + (len(self) if end is None else end))

    def head(self, count: int, start: int = 0) -> bytes:
        """Return at most `count` bytes from a place on."""
        self.seek(start)
        return self.read(count) or b""

    def blocks(self) -> Iterator[bytes]:
        """Yield all bytes in order; raise OSError where they cannot be read."""
        for start in range(0, len(self), BLOCK):
            yield self.head(BLOCK, start)
            if self.error:
                raise self.error

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place and return it."""
        origin = (0, self._position, len(self))[whence]
        if 0 <= origin + offset < 2**63:
            self._position = origin + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, and return how many bytes there were."""
        count = max(0, min(len(buffer), len(self) - self._position))
        try:
            self._file.seek(self._start + self._position)
            data = self._file.read(count) if count else b""
        except OSError as error:
            self.error, data = error, b""
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_source(source: bytes | str | Path | BinaryIO, settings: Settings) -> BinaryIO:
    """Return bytes, a file or the result of `read_stream` as an open file.

    Raise InvalidAudio for what is not a file or cannot be read, as NotAudio if it is empty or another kind of file, and
    TooLarge for more than `max_bytes`.
    """
    if isinstance(source, (str, Path)):
        return _open_file(Path(source), settings)
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    _check(file, settings)
    return file


def read_stream(stream: io.BufferedReader | io.BytesIO, settings: Settings) -> BinaryIO:
    """Return all bytes of a stream, such as a pipe, as a temporary file without a name; it vanishes when it is closed.

    Raise TooLarge if there are more than `max_bytes`, InvalidAudio if there is no space for them.
    """
    file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        # One read of the system at a time: a signal between several would wait for the next bytes.
        while data := stream.read1(min(BLOCK, settings.max_bytes + 1 - file.tell())):
            _write(file, data)
            if file.tell() > settings.max_bytes:
                most = f"more than {settings.max_bytes / 2**20:.4g} MB, the most that can be analyzed"
                raise TooLarge(f"The recording has {most} ({variable('max_bytes')}).")
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _write(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        folder = tempfile.gettempdir()
        raise InvalidAudio(
            f"There is no space for the recording in {folder}; TMPDIR names another folder, or give a file instead."
        ) from None


def _open_file(path: Path, settings: Settings) -> BinaryIO:
    """Open a file of an allowed size."""
    shown = name if len(name := str(path)) <= MAX_NAME else f"…{name[1 - MAX_NAME :]}"
    try:
        if path.is_dir():
            raise InvalidAudio(f"“{shown}” is a folder, not a recording.")
        if not path.exists():
            raise InvalidAudio(f"There is no file “{shown}”.")
        if not path.is_file():
            raise InvalidAudio(f"“{shown}” is not a regular file.")
        file = path.open("rb")
        try:
            _check(file, settings)
        except BaseException:
            file.close()
            raise
        return file
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidAudio(f"The file “{shown}” cannot be read ({reason}).") from error


def _check(file: BinaryIO, settings: Settings) -> None:
    """Refuse a file of another kind, without bytes or with too many."""
    file.seek(0)
    refuse_documents(file.read(16))
    size = file.seek(0, os.SEEK_END)
    if size > settings.max_bytes:
        limit = settings.max_bytes / 2**20
        raise TooLarge(
            f"The file has {size / 2**20:.4g} MB; at most {limit:.4g} MB can be analyzed ({variable('max_bytes')})."
        )
    if not size:
        raise NotAudio("The file is empty: it has 0 bytes.")

"""Download files; besides the Hugging Face hub's own library, the only code that opens connections."""

from __future__ import annotations

import errno
import hashlib
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from ser_engine.errors import WeightsUnavailable

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all or 0 if unknown) during a download, at most ten times a second."""

_DOWNLOADING = threading.Lock()  # two sessions that want the same file must not write to one .part at once
_CHUNK = 1 << 20  # bytes read at most at a time
_REPORT_EVERY_S = 0.1


def download(url: str, target: Path, checksum: str, timeout_s: float, progress: Progress | None = None) -> None:
    """Download `url` to `target` by way of `target`.part, from which a later attempt resumes.

    `checksum` is the file's SHA-256; `timeout_s` the seconds without a byte after which the download is given up.
    Raise WeightsUnavailable whose text says which: no connection, an error of the server, a stall, a wrong checksum or
    a full disk.
    """
    part = target.with_name(target.name + ".part")
    with _DOWNLOADING, _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and _sha256(target) == checksum:  # another thread downloaded it meanwhile
            return
        # An earlier attempt may have been ended just before its renaming.
        if not part.is_file() or _sha256(part) != checksum:
            _transfer(url, part, timeout_s, progress or (lambda done, total: None))
            if _sha256(part) != checksum:
                part.unlink()
                raise _failure(
                    url, "the file received is not the published one, as its checksum shows, and was deleted"
                )
        part.replace(target)


def _transfer(url: str, part: Path, timeout_s: float, progress: Progress) -> None:
    """Write to `part`, or append to it where the server can resume."""
    with _network_errors(url, timeout_s):
        response, done = _open(url, part.stat().st_size if part.exists() else 0, timeout_s)
    total = done + response.length if response.length is not None else 0
    reported = 0.0
    with response, part.open("ab" if done else "wb") as file:
        needed, free = total - done, shutil.disk_usage(part.parent).free
        if needed > free:
            raise _failure(url, f"it needs {_mb(needed)} MB more in {part.parent}, where {_mb(free)} MB are free")
        while chunk := _receive(response, url, timeout_s):
            file.write(chunk)
            done += len(chunk)
            if done == total or time.monotonic() - reported >= _REPORT_EVERY_S:
                progress(done, total)
                reported = time.monotonic()
    if done < total:
        raise _failure(url, f"the connection broke off after {_mb(done)} of {_mb(total)} MB; the next try goes on")


def _open(url: str, start: int, timeout_s: float) -> tuple[HTTPResponse, int]:
    """Request the bytes from `start` on; return the response and its actual start."""
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=timeout_s)
    except HTTPError as error:
        if start and error.code == 416:  # the part is as long as the file or longer, and wrong: start over
            return _open(url, 0, timeout_s)
        raise
    return response, start if response.status == 206 else 0


def _receive(response: HTTPResponse, url: str, timeout_s: float) -> bytes:
    with _network_errors(url, timeout_s):
        return response.read1(_CHUNK)


@contextmanager
def _network_errors(url: str, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise _failure(url, _network_reason(error, timeout_s)) from error


def _network_reason(error: OSError | HTTPException, timeout_s: float) -> str:
    if isinstance(error, HTTPError):
        return f"the server answered {error.code} ({error.reason})"
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, socket.gaierror):
        return "the server's name is unknown; is this computer connected to the internet?"
    if isinstance(cause, TimeoutError):
        return f"nothing came for {timeout_s:g} seconds; the next try goes on from here"
    if isinstance(cause, ConnectionRefusedError):
        return "the server refused the connection"
    if isinstance(cause, ssl.SSLError):
        return f"there is no secure connection to the server ({cause.reason})"
    return f"the connection broke off ({cause}); the next try goes on from here"


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or error
        raise WeightsUnavailable(f"{target} could not be written: {reason}.") from error


def _failure(url: str, reason: str) -> WeightsUnavailable:
    parts = urlsplit(url)
    end = "" if reason.endswith("?") else "."
    return WeightsUnavailable(f"{Path(parts.path).name} could not be downloaded from {parts.netloc}: {reason}{end}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f}"

"""Files wherever fsspec finds them: addresses, their versions, and a copy to read from."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from ser_engine.errors import InvalidAudio, InvalidSettings

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

BLOCK = 8 * 2**20
"""Bytes that are asked for at a time; several such requests are made side by side."""
TOGETHER = 4
RETRIES: dict[str, Any] = {"total_max_attempts": 8, "mode": "standard"}
"""Of botocore: waits longer before each further attempt; 8 are about a minute."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "s3": {
        "config_kwargs": {"retries": RETRIES, "connect_timeout": 20, "read_timeout": 60},
        "use_listings_cache": False,
    },
    "gs": {"use_listings_cache": False},
    "az": {"use_listings_cache": False},
}
"""Options of stores by protocol. Credentials come from the environment alone, as each store's own tools have them."""
_SECRET = re.compile(r"^[a-z0-9+.-]+://[^/@]*:[^/@]*@", re.IGNORECASE)


@dataclass(frozen=True)
class Version:
    """A fingerprint of one version of a file; None where its store does not say.

    `size` is in bytes, `modified` in seconds since 1970.
    """

    size: int | None = None
    modified: float | None = None
    etag: str | None = None

    @property
    def key(self) -> tuple[int | None, int | None, str | None] | None:
        """What is compared, times in microseconds as they are stored; None where nothing is known."""
        moment = None if self.modified is None else round(self.modified * 1e6)
        key = (self.size, moment, self.etag)
        return None if key == (None, None, None) else key


UNKNOWN = Version()


def is_remote(address: str) -> bool:
    """Whether an address is one of fsspec's, and not a path."""
    return ("://" in address or "::" in address) and not os.path.isabs(address)  # noqa: PTH117 (text)


def storable(text: str) -> str:
    r"""Return text as a column can hold it: what is not Unicode in a name, such as half a character, as \udce9."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def absolute(source: str) -> str:
    """Return a source as the plan keeps it: paths are absolute, and `file://` is taken away.

    Raise InvalidSettings for an address with a password, which the plan and every row would repeat.
    """
    first, chained, rest = source.partition("::")
    if chained:
        return f"{first}::{absolute(rest)}"
    if source.startswith("file://"):
        source = source.removeprefix("file://")
    if is_remote(source):
        if _SECRET.match(source):
            raise InvalidSettings("Addresses with a password are not taken; set the credentials in the environment.")
        return source
    return os.path.abspath(source)  # noqa: PTH100 (resolve() would follow links)


def find_filesystem(address: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address and the path in it.

    Raise InvalidSettings where a package for it is missing, or nobody knows its kind.
    """
    from fsspec.core import url_to_fs

    kinds = {part.partition("://")[0] for part in address.split("::")}
    options = {kind: deepcopy(dict(OPTIONS[kind])) for kind in kinds & OPTIONS.keys()}  # botocore changes its own
    first = address.partition("://")[0]
    options |= options.pop(first, {})
    try:
        filesystem, path = url_to_fs(address, **options)
    except ImportError as error:
        raise InvalidSettings(f"Addresses such as {first}:// need another package: {error}.") from None
    except ValueError as error:
        raise InvalidSettings(f"“{address}” is no address that can be read ({explain(error)}).") from None
    return filesystem, str(path)


def address_of(filesystem: AbstractFileSystem, name: str, source: str) -> str:
    """Return the address of a file that was found below a source."""
    first, chained, rest = source.partition("::")
    if name.startswith(("http://", "https://")):
        return name
    return f"{first.partition('://')[0]}://{name.lstrip('/')}{chained}{rest}"


def version_of(info: Mapping[str, Any]) -> Version:
    """Return the version of a file from what its file system says of it."""
    moment = next((info[key] for key in ("LastModified", "last_modified", "mtime", "updated") if info.get(key)), None)
    if moment is None and isinstance(info.get("date_time"), tuple):  # of a ZIP archive, in no time zone
        moment = datetime(*info["date_time"]).replace(tzinfo=UTC)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        moment = moment.timestamp()
    etag = next((str(info[key]) for key in ("ETag", "etag", "CRC") if info.get(key) is not None), None)
    size = info.get("size")
    return Version(None if size is None else int(size), None if moment is None else float(moment), etag)


def read_version(address: str) -> Version:
    """Return the version of a file as it is now, unknown where it cannot be asked for."""
    if not is_remote(address):
        try:
            state = os.stat(address)  # noqa: PTH116 (a Path raises an error for a name that is too long)
        except (OSError, ValueError):
            return Version()
        return Version(state.st_size, state.st_mtime)
    try:
        filesystem, path = find_filesystem(address)
        return version_of(filesystem.info(path))
    except Exception:  # each store has errors of its own; reading the file explains what is wrong
        return Version()


@contextmanager
def open_file(address: str, max_bytes: int) -> Iterator[Path | BinaryIO]:
    """Yield the path of a local file, or a temporary copy of another, without a name.

    Raise InvalidAudio where it cannot be read. Of more than `max_bytes`, just more than that is copied.
    """
    if not is_remote(address):
        yield Path(address)
        return
    with tempfile.TemporaryFile() as file:
        try:
            _copy(address, file, max_bytes)
        except InvalidSettings:
            raise
        except FileNotFoundError:
            raise InvalidAudio(f"There is no file “{address}”.") from None
        except Exception as error:  # each store has errors of its own
            raise InvalidAudio(f"The file “{address}” cannot be read ({explain(error)}).") from error
        file.seek(0)
        yield cast("BinaryIO", file)


def _copy(address: str, file: IO[bytes], max_bytes: int) -> None:
    filesystem, path = find_filesystem(address)
    if filesystem.async_impl and not address.startswith("http"):  # some web servers ignore ranges
        size = min(int(filesystem.info(path)["size"]), max_bytes + 1)
        starts = list(range(0, size, BLOCK))
        for first in range(0, len(starts), TOGETHER):
            own = starts[first : first + TOGETHER]
            ends = [min(start + BLOCK, size) for start in own]
            file.writelines(filesystem.cat_ranges([path] * len(own), own, ends, on_error="raise"))
        return
    with filesystem.open(path, "rb", **({"block_size": 0} if address.startswith("http") else {})) as source:
        while file.tell() <= max_bytes and (data := source.read(BLOCK)):
            file.write(data)


def explain(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    reason = getattr(error, "strerror", None) or str(error)
    return (reason.strip().splitlines() or [type(error).__name__])[0]

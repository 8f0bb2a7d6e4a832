"""Keys of the service: random secrets, of which only the SHA-256 is stored, each with limits of its own.

A key has 256 random bits, so that its plain hash cannot be guessed backwards; a password's could.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_engine.errors import InvalidSettings
from ser_engine.io import write_text
from ser_engine.service.config import ServiceSettings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")
PREFIX = "ser_"


@dataclass(frozen=True)
class Key:
    """A key by its name, with the SHA-256 of its secret; `max_bytes` of a recording, None for that of the service."""

    name: str
    sha256: bytes
    per_minute: int
    max_bytes: int | None = None


ANYONE = Key("anyone", b"", 0)
"""Who uses a service without keys: no limit of requests."""


def read_keys(settings: ServiceSettings) -> tuple[Key, ...]:
    """Return the keys of the file and of the environment.

    The file is TOML with a table for each key: its name, `sha256`, and where they differ from those of the service,
    `per_minute` and `max_mb`. Raise InvalidSettings for anything else.
    """
    entries: list[tuple[str, Any]] = []
    if settings.keys_file:
        try:
            entries += tomllib.loads(Path(settings.keys_file).expanduser().read_text(encoding="utf-8")).items()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSettings(f"The file of keys {settings.keys_file} cannot be read ({error}).") from None
        except tomllib.TOMLDecodeError as error:
            raise InvalidSettings(f"The file of keys {settings.keys_file} is no TOML ({error}).") from None
    for entry in settings.keys.split():
        name, _, digest = entry.partition(":")
        entries.append((name, {"sha256": digest}))
    keys = tuple(_parse(name, entry, settings) for name, entry in entries)
    for kind, values in (("name", [key.name for key in keys]), ("SHA-256", [key.sha256 for key in keys])):
        if len(set(values)) < len(values):
            raise InvalidSettings(f"Two keys have the same {kind}.")
    return keys


def _parse(name: str, entry: Any, settings: ServiceSettings) -> Key:
    if not NAME.fullmatch(name):
        raise InvalidSettings(f"The name of a key has letters, digits, - and _, not “{name}”.")
    if not isinstance(entry, dict) or not SHA256.fullmatch(str(entry.get("sha256"))):
        raise InvalidSettings(
            f"The key {name} needs sha256 with 64 hexadecimal digits; see “ser serve --new-key NAME”."
        )
    unknown = entry.keys() - {"sha256", "per_minute", "max_mb"}
    if unknown:
        raise InvalidSettings(f"The key {name} has sha256, per_minute and max_mb, not {', '.join(sorted(unknown))}.")
    limits = {limit: entry[limit] for limit in ("per_minute", "max_mb") if limit in entry}
    for limit, value in limits.items():
        if type(value) not in (int, float) or not value > 0:
            raise InvalidSettings(f"{limit} of the key {name} is a number above 0, not {value}.")
    most = round(limits["max_mb"] * 2**20) if "max_mb" in limits else None
    return Key(name, bytes.fromhex(entry["sha256"]), int(limits.get("per_minute", settings.per_minute)), most)


def find_key(keys: Iterable[Key], secret: str) -> Key | None:
    """Return the key with this secret; the time that it takes depends on neither."""
    digest, found = hash_secret(secret), None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def hash_secret(secret: str) -> bytes:
    """Return the SHA-256 of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def new_key(name: str, file: str = "") -> tuple[str, str]:
    """Return a new secret and the lines of a file of keys for it; with `file`, add them to that.

    Raise InvalidSettings for a name that is taken or no name, and for a file that cannot be written.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    lines = f'[{name}]\nsha256 = "{hash_secret(secret).hex()}"\n'
    if not NAME.fullmatch(name):
        raise InvalidSettings(f"The name of a key has letters, digits, - and _, not “{name}”.")
    if file:
        path = Path(file).expanduser()
        try:
            before = path.read_text(encoding="utf-8") + "\n" if path.exists() else ""
            if name in {key.name for key in read_keys(ServiceSettings(keys_file=file))} if before else ():
                raise InvalidSettings(f"{file} has a key {name} already; choose another name.")
            write_text(path, before + lines)
            path.chmod(0o600)
        except OSError as error:
            raise InvalidSettings(f"The file of keys {file} cannot be written ({error.strerror}).") from None
    return secret, lines


class RateLimit:
    """A bucket of requests for each key, which is full at first and fills at `per_minute`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: Key) -> float:
        """Take a request; return 0, or the seconds until there is one again."""
        if not key.per_minute:
            return 0.0
        with self._lock:
            now = self._clock()
            left, since = self._buckets.get(key.name, (float(key.per_minute), now))
            left = min(float(key.per_minute), left + (now - since) * key.per_minute / 60)
            if left < 1:
                self._buckets[key.name] = left, now
                return (1 - left) * 60 / key.per_minute
            self._buckets[key.name] = left - 1, now
            return 0.0

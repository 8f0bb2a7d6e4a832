"""The service's own settings, in one frozen dataclass; those of the engine are in `ser_engine.settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ser_engine.errors import InvalidSettings
from ser_engine.settings import available_cores, read_environment, variable

PREFIX = "serve_"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_BYTES, MAX_SECONDS = 400 * 2**20, 3600.0
"""Limits of a recording, unless the environment sets others; as on the page."""


@dataclass(frozen=True)
class ServiceSettings:
    """The settings with their defaults; `ServiceSettings.from_env()` reads SER_SERVE_<NAME IN CAPITALS>.

    Attributes
    ----------
    host : address on which the service listens; without keys one of this computer alone
    port : its port; 0 for any that is free, which the log names
    keys_file : TOML file of keys; a table for each
    keys : keys as NAME:SHA256, separated by spaces, with the limits below
    per_minute : requests of a key in a minute, unless the file sets another number
    origins : web sites that may use the service from a browser, such as https://example.org, separated by spaces
    at_once : recordings that are analyzed at once; 0 for one for each core
    queue : recordings that may wait for that
    uploads : recordings that may be on their way in at once
    sessions : live sessions at once
    batches : folder of the archives for /v1/batches, on the server or mounted there; if empty, there are none
    header_s : seconds within which the head of a request has to be complete
    body_s : seconds that the body of a request may take, and more as it arrives
    bytes_per_s : bytes of a body that give it another second
    idle_s : seconds without sound after which a live session is ended
    finish_s : seconds that requests under way have to end when the service is stopped
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys_file: str = ""
    keys: str = ""
    per_minute: int = 600
    origins: str = ""
    at_once: int = 0
    queue: int = 32
    uploads: int = 64
    sessions: int = 8
    batches: str = ""
    header_s: float = 10.0
    body_s: float = 30.0
    bytes_per_s: float = 1024.0
    idle_s: float = 60.0
    finish_s: float = 120.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            least = 0 if item.name in ("at_once", "port", "queue") else 1e-3
            if isinstance(value, (int, float)) and not value >= least:  # refuses NaN, too
                more = "0 or more" if least == 0 else "more than 0"
                raise InvalidSettings(f"{variable(PREFIX + item.name)} must be {more}, not {value}.")
        if self.port > 65_535:
            raise InvalidSettings(f"{variable(PREFIX + 'port')} must be at most 65535, not {self.port}.")
        for origin in self.origins.split():
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise InvalidSettings(
                    f"{variable(PREFIX + 'origins')} (--origins) has web sites such as https://example.org, "
                    f"not “{origin}”."
                )

    @property
    def places(self) -> int:
        """Recordings that are analyzed at once."""
        return self.at_once or available_cores()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> ServiceSettings:
        """Return the defaults, overridden by SER_SERVE_PORT, SER_SERVE_KEYS_FILE and so on.

        Raise InvalidSettings for a value of another type or beyond its bounds; the message names the variable.
        """
        return cls(**read_environment(cls, environ, {}, PREFIX))

    def check_host(self, has_keys: bool) -> None:
        """Raise InvalidSettings for a service that others reach, and that has no keys."""
        if not has_keys and self.host not in LOOPBACK:
            raise InvalidSettings(
                f"Without keys the service listens on this computer alone, not on {self.host}; make a key with "
                "“ser serve --new-key NAME --keys FILE”, and name the file with --keys."
            )

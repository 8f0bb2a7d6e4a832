"""Logs of the service, one JSON object a line, without recordings, transcripts, names of files and keys."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

LOGGER = logging.getLogger("ser_engine.service")


class JsonFormatter(logging.Formatter):
    """Formats a record and its `fields` as JSON; of an exception, its class and where it was raised.

    The text of an exception is left out, since it may repeat what a request held.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            kind, _, trace = record.exc_info
            entry["exception"] = f"{kind.__module__}.{kind.__qualname__}"
            entry["raised"] = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(trace)[-8:]]
        return json.dumps(entry, ensure_ascii=False)


def log(event: str, level: int = logging.INFO, exc_info: bool = False, **fields: Any) -> None:
    """Log an event with its fields; those that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    LOGGER.log(level, event, extra={"fields": given}, exc_info=exc_info)


def set_up_logs(stream: TextIO | None = None) -> None:
    """Send the logs of the service and of uvicorn to a stream, standard error by default, and nothing anywhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for logger, level in ((LOGGER, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False

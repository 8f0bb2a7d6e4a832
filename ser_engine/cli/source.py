"""Recordings as a shell gives them: files, standard input, pipes."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ser_engine.errors import InvalidAudio
from ser_engine.settings import Settings

if TYPE_CHECKING:
    from io import BufferedReader

STANDARD_INPUT = ("-", "/dev/stdin")


def read_source(path: Path, settings: Settings) -> Path | BinaryIO:
    """Return standard input or a pipe such as <(command) as a temporary file, else the path.

    Raise TooLarge for more than `max_bytes`, InvalidAudio for what cannot be read.
    """
    from ser_engine.audio.encoded import read_stream

    try:
        if str(path) in STANDARD_INPUT:
            if sys.stdin is None or sys.stdin.isatty():
                raise InvalidAudio("Standard input is not a recording; pipe one to it: cat FILE | ser analyze -.")
            return read_stream(cast("BufferedReader", sys.stdin.buffer), settings)
        mode = path.stat().st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
            return path
        with path.open("rb") as file:
            return read_stream(file, settings)
    except (OSError, ValueError):
        return path  # decoding it explains what is wrong

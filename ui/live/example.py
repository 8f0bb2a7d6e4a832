"""The example that the Live page plays: three synthetic voices, made by tools/make_example.py."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

PATH = Path(__file__).with_name("example.mp3")


@cache
def as_url() -> str:
    """Return the recording as a data URL, which the browser plays within the click, as Safari demands."""
    return f"data:audio/mpeg;base64,{base64.b64encode(PATH.read_bytes()).decode('ascii')}"

"""A progress bar for long recordings."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

SHOWN_FROM_S = 120.0
"""Shorter recordings are analyzed within a minute."""
FORMAT = "{l_bar}{bar}| {n:.0f} of {total:.0f} min [{elapsed}<{remaining}]"


class MinutesBar:
    """Show on a terminal's standard error how many minutes of a recording have been analyzed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: tqdm[Any] | None = None

    def __call__(self, done_s: float, total_s: float) -> None:
        """Move the bar to `done_s` of `total_s` seconds."""
        if total_s < SHOWN_FROM_S or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = tqdm(desc=self._name, total=total_s / 60, bar_format=FORMAT, leave=False)
        self._bar.n = done_s / 60
        self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

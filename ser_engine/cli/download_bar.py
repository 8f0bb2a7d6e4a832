"""A progress bar for downloads of weights."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


class DownloadBar:
    """Show a bar on standard error while weights are downloaded."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Update the bar to `done` of `total` bytes (0: unknown)."""
        if self._bar is None:
            self._bar = tqdm(desc="weights", total=total or None, unit="B", unit_scale=True, unit_divisor=1024)
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()

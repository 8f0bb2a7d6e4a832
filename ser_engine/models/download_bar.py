"""A progress bar for downloads of weights."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


class DownloadBar:
    """Show a bar on standard error while weights are downloaded; each next download gets a new one."""

    def __init__(self, name: str = "weights") -> None:
        self.name = name
        self._bar: tqdm[Any] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Update the bar to `done` of `total` bytes (0: unknown)."""
        if self._bar is None:
            self._bar = tqdm(
                desc=self.name, total=total or None, unit="B", unit_scale=True, unit_divisor=1024, position=0
            )
        self._bar.total = total or None  # of several files, it is known only after a while
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()
            self._bar = None

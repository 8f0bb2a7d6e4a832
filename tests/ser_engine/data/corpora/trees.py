"""Small generated trees in place of corpora."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def touched(folder: Path, *names: str) -> Path:
    """Make empty files; the readers look at names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def tone(path: Path, seconds: float = 0.5, pitch: float = 220.0, level: float = 0.3, rate: int = 16_000) -> Path:
    """Write a tone in place of a clip; `level` 0 is silence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, np.int16(32767 * level * np.sin(2 * np.pi * pitch * times)), rate)  # alike in every format
    return path

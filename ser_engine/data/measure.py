"""Properties of the clips of a corpus: length, rate, bandwidth, silence and checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import tee
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.decode import load_audio
from ser_engine.data.manifest import Row
from ser_engine.data.pool import map_clips
from ser_engine.errors import SerError
from ser_engine.models.store import sha256
from ser_engine.settings import Settings

# The peak of a silent clip, relative to full scale: 16-bit samples within ±33. Speech recorded more faintly than that
# has more of the converter's noise in it than of the voice.
SILENT_DB = -60.0
# The bandwidth is the highest frequency at which the long-term spectrum is within this of its peak.
BANDWIDTH_RANGE_DB = 60.0
SPECTRUM = 512
BATCH = 32


@dataclass(frozen=True)
class AudioProperties:
    """What was measured of one file; `problem` says in a sentence why it cannot be read, and then the rest is empty.

    `sha256` is of the file's bytes, `content` of the decoded samples, which is the same for two files that differ in
    a header only. `peak_db` is relative to full scale.
    """

    seconds: float = 0.0
    sample_rate: int = 0
    sha256: str = ""
    content: bytes = b""
    peak_db: float = -np.inf
    bandwidth_hz: int = 0
    missing: bool = False
    problem: str = ""

    @property
    def silent(self) -> bool:
        """Whether the clip is silent."""
        return not self.problem and self.peak_db < SILENT_DB


def measure_clip(path: Path, settings: Settings) -> AudioProperties:
    """Decode and measure a clip; a file that is missing or not a recording has a `problem` and raises no error."""
    try:
        digest = sha256(path)
        recording = load_audio(path, settings)
    except FileNotFoundError:
        return AudioProperties(missing=True, problem="There is no such file.")
    except OSError as error:
        return AudioProperties(problem=f"The file cannot be read: {error.strerror or error}.")
    except SerError as error:
        return AudioProperties(problem=str(error))
    samples, rate = recording.samples, recording.rate
    peak = float(np.abs(samples).max(initial=0.0))
    return AudioProperties(
        seconds=round(len(samples) / rate, 4),
        sample_rate=rate,
        sha256=digest,
        content=hashlib.sha256(rate.to_bytes(4, "little") + samples.tobytes()).digest()[:16],
        peak_db=round(20 * float(np.log10(max(peak, 1e-9))), 1),
        bandwidth_hz=_bandwidth(samples, rate),
    )


def measure_rows(
    rows: Iterable[Row], settings: Settings, workers: int = 0, description: str = "", total: int | None = None
) -> Iterator[tuple[Row, AudioProperties]]:
    """Yield every row with the properties of its clip, in the order of the rows, behind a progress bar.

    Only a few hundred rows are in memory at a time, however many there are.
    """
    rows, again = tee(rows)
    paths = (row.utterance.path for row in again)
    measure = partial(measure_clip, settings=settings)
    return zip(rows, map_clips(measure, paths, workers, description, BATCH, total), strict=True)


def _bandwidth(samples: NDArray[np.float32], rate: int) -> int:
    """Return the highest frequency, Hz, that the long-term spectrum of float32 [n] reaches; 0 for silence."""
    if len(samples) < SPECTRUM:
        return 0
    frames = np.lib.stride_tricks.sliding_window_view(samples, SPECTRUM)[:: SPECTRUM // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(SPECTRUM), axis=1))).mean(axis=0)
    power[:2] = 0  # a constant offset is not sound
    audible = np.flatnonzero(power > power.max() * 10 ** (-BANDWIDTH_RANGE_DB / 10))
    return round(float(audible[-1]) * rate / SPECTRUM) if len(audible) else 0

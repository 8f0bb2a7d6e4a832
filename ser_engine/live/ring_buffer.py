"""Audio buffers of a live session: chunks of any kind become one stream at 16 kHz, of which only the latest is held.

On request the whole session is stored as well, as 16-bit samples.
"""

from __future__ import annotations

import io
import threading
import wave
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_engine.audio.limits import MAX_CHANNELS
from ser_engine.audio.repair import MAX_SAMPLE
from ser_engine.errors import InvalidAudio

Samples = NDArray[np.float32]

# The integers that stand for 1.0 in samples of sound cards and browsers.
FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31}
FLOATS = ("float16", "float32", "float64")


def to_mono(samples: NDArray[Any]) -> Samples:
    """Convert a chunk to mono float32 [n], nominally in -1..1.

    Raise InvalidAudio for other types or shapes, and for invalid samples (NaN, infinite, absurdly large).
    Samples are int16, int32 or floating point, [n] or [n, channels]; the mean of the channels is taken.
    """
    chunk = np.asarray(samples)
    kind = str(chunk.dtype)
    if kind not in (*FULL_SCALE, *FLOATS):
        raise InvalidAudio(f"Live audio has int16, int32 or floating point samples, not {kind}.")
    if chunk.ndim not in (1, 2) or (chunk.ndim == 2 and not 1 <= chunk.shape[1] <= MAX_CHANNELS):
        raise InvalidAudio(f"A chunk has the shape [n] or [n, channels], with at most {MAX_CHANNELS} channels.")
    if kind in FLOATS and not (np.abs(chunk) <= MAX_SAMPLE).all():  # also refuses NaN
        raise InvalidAudio("The microphone delivers invalid samples: NaN, infinite or absurdly large.")
    if chunk.ndim == 2:
        chunk = chunk.mean(axis=1, dtype=np.float64)
    return (chunk / FULL_SCALE.get(kind, 1.0)).astype(np.float32)


class Resampler:
    """Resamples mono float32 of any rate to `target` Hz, chunk by chunk (soxr, high quality).

    The result is independent of the chunks, to the bit, and the same as that of `soxr.resample` on the whole. soxr
    holds back some 40 ms until it has what follows. The rate may change with any chunk.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._rate = 0
        self._stream: soxr.ResampleStream | None = None

    def add(self, samples: Samples, rate: int) -> Samples:
        """Add float32 [n] at `rate` Hz and return the samples that are ready."""
        tail = np.zeros(0, np.float32)
        if rate != self._rate:
            tail, self._rate = self.finish(), rate
            if rate != self.target:
                self._stream = soxr.ResampleStream(rate, self.target, 1, dtype="float32", quality="HQ")
        return np.concatenate([tail, self._stream.resample_chunk(samples) if self._stream else samples])

    def finish(self) -> Samples:
        """Return the samples held back, and start over."""
        stream, self._stream, self._rate = self._stream, None, 0
        empty = np.zeros(0, np.float32)
        return stream.resample_chunk(empty, last=True) if stream else empty


class RingBuffer:
    """The latest samples of a stream, float32 at 16 kHz, counted from the stream's beginning.

    One thread may add while another reads.
    """

    def __init__(self, length: int) -> None:
        self.total = 0
        """Samples added so far."""
        self._held = np.zeros(length, np.float32)
        self._lock = threading.Lock()

    def add(self, samples: Samples) -> None:
        """Append samples; beyond `length` the oldest are dropped."""
        latest = samples[-len(self._held) :]
        with self._lock:
            self.total += len(samples)
            self._held[np.arange(self.total - len(latest), self.total) % len(self._held)] = latest

    def between(self, start: int, end: int) -> Samples:
        """Return a copy of samples `start` to `end` of the stream, as far as they are still held."""
        with self._lock:
            first, last = max(0, start, self.total - len(self._held)), min(end, self.total)
            return self._held[np.arange(first, last) % len(self._held)]


class SessionAudio:
    """The audio of a session: 16-bit mono at the rate of its first chunk, at most `seconds` of it.

    An hour at 48 kHz takes 346 MB of memory, and as much again while `wav` encodes it.
    """

    def __init__(self, seconds: float) -> None:
        self.rate = 0
        """Samples per second, 0 before the first chunk."""
        self._seconds, self._pcm = seconds, bytearray()
        self._resampler: Resampler | None = None

    def add(self, samples: Samples, rate: int) -> None:
        """Append float32 [n] at `rate` Hz; samples over the limit are dropped."""
        if self._resampler is None:
            self.rate, self._resampler = rate, Resampler(rate)
        self._store(self._resampler.add(samples, rate))

    def finish(self) -> None:
        """Append the samples that the resampler held back."""
        if self._resampler is not None:
            self._store(self._resampler.finish())

    def wav(self) -> bytes:
        """Encode all of it as a WAV file; an empty one without samples."""
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(self.rate or 16_000)
            out.writeframes(self._pcm)
        return file.getvalue()

    def _store(self, samples: Samples) -> None:
        samples, scale = samples[: round(self._seconds * self.rate) - len(self._pcm) // 2], FULL_SCALE["int16"]
        self._pcm += np.clip(np.round(samples * scale), -scale, scale - 1).astype("<i2").tobytes()

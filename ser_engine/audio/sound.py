"""A recording of any length: a short one is decoded to memory, a long one again for each use, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_engine.audio.decode import (
    BLOCK,
    MAX_APART,
    Block,
    Decoded,
    decode_file,
    mix_channels,
    mix_down,
    source_name,
)
from ser_engine.audio.encoded import Encoded, open_source
from ser_engine.audio.repair import patch_invalid
from ser_engine.errors import InvalidAudio
from ser_engine.settings import Settings
from ser_engine.types import Recording, Span


class Sound:
    """The sound of a recording.

    Attributes
    ----------
    source, rate, duration_s, warnings : as of `Recording`; `warnings` also get those of `pieces`
    recording : the sound in memory; None where it is too long
    weights : float32 [channels]: what `pieces` multiplies channels with before it adds them; None for their mean
    """

    def __init__(self, decoded: Decoded) -> None:
        self.weights: NDArray[np.float32] | None = None
        self.source, self.rate, self.duration_s = decoded.source, decoded.rate, decoded.duration_s
        self.warnings, self.recording = decoded.warnings, decoded.recording
        self._decoded = decoded

    def pieces(self, seconds: float = 30.0) -> Iterator[NDArray[np.float32]]:
        """Yield all samples at `rate`, float32 [n], of `seconds` at a time; invalid ones are replaced, with a warning.

        Raise InvalidAudio if there are too many invalid samples.
        """
        return (rows[0] for rows in self.rows(seconds, apart=False))

    def rows(self, seconds: float = 30.0, *, apart: bool) -> Iterator[NDArray[np.float32]]:
        """Yield pieces as float32 [rows, n], one row as of `pieces` or, `apart`, one of each channel.

        Where the number of channels changes, each row is their mean.
        """
        waiting: list[NDArray[np.float32]] = []
        count, start, size = 0, 0, round(seconds * self.rate)
        for block in self._blocks(apart):
            waiting.append(block)
            count += len(block)
            while count >= size:
                joined = np.concatenate(waiting)
                yield self._patch(joined[:size].T.copy(), start)
                waiting, count, start = [joined[size:]], count - size, start + size
        if count:
            yield self._patch(np.concatenate(waiting).T.copy(), start)

    def beginning(self, seconds: float) -> Recording:
        """Return the first `seconds` with all channels, or less where these would take too much memory."""
        most = MAX_APART / max(1, self.source.channels) / self.rate
        return mix_channels(next(self.rows(min(seconds, most), apart=True)), self.rate, self.source, self.warnings)

    def parts(self, spans: Sequence[Span]) -> Iterator[Recording]:
        """Yield the sound of spans, which are in the order of their starts, with all channels; it is decoded once."""
        edges = [(round(span.start * self.rate), round(span.end * self.rate)) for span in spans]
        found: list[list[NDArray[np.float32]]] = [[] for _ in edges]
        begin, done = 0, 0
        for piece in self.rows(apart=True) if edges else ():
            end = begin + piece.shape[1]
            for number in range(done, len(edges)):
                first, last = edges[number]
                if first < end and last > begin:
                    found[number].append(piece[:, max(0, first - begin) : last - begin].copy())
            begin = end
            while done < len(edges) and edges[done][1] <= end:
                yield mix_channels(np.concatenate(found[done], axis=1), self.rate, self.source, ())
                found[done], done = [], done + 1
            if done == len(edges):
                return
        for pieces in found[done:]:  # that end with the recording, but for rounding
            yield mix_channels(np.concatenate(pieces, axis=1), self.rate, self.source, ())

    def part(self, start_s: float, end_s: float | None, keep_s: float) -> Sound:
        """Return the part between two moments in seconds; one of up to `keep_s` is in memory.

        Raise InvalidAudio if there is no such part.
        """
        length = len(self.recording.samples) if self.recording else round(self.duration_s * self.rate)
        first = round(start_s * self.rate)
        last = length if end_s is None else round(end_s * self.rate)
        if not 0 <= first < min(last, length):
            raise InvalidAudio(f"The recording has no part from {start_s:g} s to {last / self.rate:g} s.")
        last = min(last, length)
        if self.recording is not None:
            apart = self.recording.channels
            channels = None if apart is None else apart[:, first:last]
            own = replace(self.recording, samples=self.recording.samples[first:last], channels=channels)
            return Sound(replace(self._decoded, duration_s=own.duration_s, recording=own))

        def pieces() -> Iterator[NDArray[np.float32]]:
            begin = 0
            for piece in self.rows(apart=True):
                if begin >= last:
                    return
                if (within := piece[:, max(0, first - begin) : max(0, last - begin)]).size:
                    yield within
                begin += piece.shape[1]

        def blocks() -> Iterator[Block]:
            return ((self.rate, piece.T) for piece in pieces())

        seconds = (last - first) / self.rate
        recording = None
        if seconds <= keep_s:
            channels = np.concatenate(list(pieces()), axis=1)
            recording = mix_channels(channels, self.rate, self.source, self.warnings)
        return Sound(Decoded(self.source, self.rate, seconds, self.warnings, recording, blocks))

    def _blocks(self, apart: bool) -> Iterator[NDArray[np.float32]]:
        """Yield float32 [n, rows] at one rate, block by block."""
        latest, converter = self.rate, None
        count = self.source.channels if apart else 1
        for rate, block in self._decoded.decode_again():
            if rate != latest:
                if converter is not None:
                    yield converter.resample_chunk(np.empty((0, count), np.float32), last=True)
                latest = rate
                converter = None if rate == self.rate else soxr.ResampleStream(rate, self.rate, count, quality="HQ")
            if not apart and self.weights is not None and len(self.weights) == block.shape[1]:
                block = (block @ self.weights)[:, None]
            elif block.shape[1] != count:
                block = np.repeat(mix_down(block)[:, None], count, axis=1)
            yield block if converter is None else converter.resample_chunk(np.ascontiguousarray(block))
        if converter is not None:
            yield converter.resample_chunk(np.empty((0, count), np.float32), last=True)

    def _patch(self, rows: NDArray[np.float32], start: int) -> NDArray[np.float32]:
        for samples in rows:
            warning = patch_invalid(samples, self.rate, start / self.rate)
            if warning and warning not in self.warnings:
                self.warnings += (warning,)
        return rows


@contextmanager
def open_sound(
    source: bytes | str | Path | BinaryIO,
    settings: Settings,
    name: str = "",
    step: Callable[[], object] | None = None,
) -> Iterator[Sound]:
    """Open a recording; parameters and errors are as of `load_audio`, `step` as of `decode_file`."""
    with open_source(source, settings) as file:
        yield Sound(decode_file(Encoded(file), settings, source_name(source, name), settings.whole_s, step))


def as_sound(recording: Recording, settings: Settings) -> Sound:
    """Return a recording that is in memory as a sound, whose pieces are its own."""

    def blocks() -> Iterator[Block]:
        rows = recording.samples[None] if recording.channels is None else recording.channels
        for first in range(0, rows.shape[1], BLOCK):
            yield recording.rate, rows[:, first : first + BLOCK].T

    own = recording if recording.duration_s <= settings.whole_s else None
    return Sound(Decoded(recording.source, recording.rate, recording.duration_s, recording.warnings, own, blocks))

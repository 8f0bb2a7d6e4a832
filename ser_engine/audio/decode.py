"""Decode a recording of any common container, within limits that hold before memory is spent on it.

There are two decoders: libsndfile (WAV and similar, FLAC, Ogg), and FFmpeg through PyAV for MP3 and for what libsndfile
cannot open or read to its end (WebM, M4A, MP4 and more, also truncated Ogg and FLAC). The content decides, never the
file name. Files that were joined are decoded one after the other. The sound of a long recording is not kept: it is
decoded once to learn what there is, and again for each use (see `ser_engine.audio.sound`).
"""

from __future__ import annotations

import hashlib
import io
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import soxr
from av.stream import Disposition
from numpy.typing import NDArray

from ser_engine.audio.content import explain_failure, has_streams, is_chunk, is_mpeg, skip_tags, split_joined
from ser_engine.audio.encoded import Encoded, open_source
from ser_engine.audio.limits import Format, check_format, check_seconds
from ser_engine.audio.repair import mark_invalid, patch_invalid
from ser_engine.errors import InvalidAudio, NotAudio, SerError
from ser_engine.settings import Settings, variable
from ser_engine.types import Recording, SourceInfo

# Samples of all channels together that are kept apart, 1 GB of them; where there are more, channels are averaged.
MAX_APART = 2**28
# Frames decoded at a time: about a third of a second, so that neither a false header nor many channels cost memory.
BLOCK = 16_384
# The demuxers that FFmpeg may choose. Left to itself it would also follow playlists to other files and addresses.
DEMUXERS = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,flac,flv,matroska,webm,mov,mp4,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
# A recording whose peak is lower than this is silent.
SILENCE_PEAK = 1e-4
# Less than this that a decoder leaves unread or skips is padding or rounding.
MIN_MISSING_S = 0.1
ROUNDING_S = 1e-6


Block = tuple[int, NDArray[np.float32]]
"""Rate in Hz, and samples float32 [n, channels], NaN where they are invalid."""


def load_audio(source: bytes | str | Path | BinaryIO, settings: Settings, name: str = "") -> Recording:
    """Decode one recording to memory.

    Parameters
    ----------
    source : the bytes of an encoded file, a path, or an open file that can be read anywhere
    settings : `max_bytes` and `max_seconds` apply
    name : of the recording in reports; a path's file name by default

    Returns
    -------
    Recording
        float32 [n], contiguous, the mean of all channels, at the file's own rate, the highest where it changes midway;
        and the channels themselves, unless their number changes midway. Of a truncated file, the part that can be
        decoded. `warnings` name what is missing, which samples were replaced, and which of several tracks it is.

    Raises
    ------
    InvalidAudio
        A missing or empty file, an unknown codec or track, no samples, or many that are not finite. As NotAudio,
        something other than a recording.
    TooLarge
        More than `max_bytes`, `max_seconds` or 32 channels, or a rate outside of 8 to 192 kHz.
    """
    with open_source(source, settings) as file:
        recording = decode_file(Encoded(file), settings, source_name(source, name)).recording
    assert recording is not None  # without a limit, all sound is kept
    return recording


def source_name(source: object, name: str) -> str:
    """Return the name of a recording in reports."""
    return name or (Path(source).name if isinstance(source, (str, Path)) else "")


@dataclass(frozen=True)
class Decoded:
    """What was decoded: properties as of `Recording`, and the sound, unless it is longer than what is kept.

    `decode_again` yields all blocks in their order, of the same number of samples each time.
    """

    source: SourceInfo
    rate: int
    duration_s: float
    warnings: tuple[str, ...]
    recording: Recording | None
    decode_again: Callable[[], Iterator[Block]] = field(repr=False)


def decode_file(
    data: Encoded, settings: Settings, name: str, keep_s: float = math.inf, step: Callable[[], object] | None = None
) -> Decoded:
    """Decode a file, and keep the sound of a recording of up to `keep_s` seconds; errors are as of `load_audio`.

    `step` is called every now and then; an exception that it raises ends the decoding.
    """
    digest = hashlib.sha256()
    try:
        parts = split_joined(skip_tags(data))
        whole, again = _join(parts, _Task(settings, keep_s, step))
        failed = next((part.error for part in parts if part.error), None)
        for block in data.blocks():
            digest.update(block)
    except OSError as error:
        failed = error
    if failed:
        raise InvalidAudio(f"The recording cannot be read to its end ({failed.strerror}).") from failed
    if whole.format_ is None:
        raise explain_failure(data)
    if not whole.seconds:
        raise InvalidAudio("The recording is empty or cut off: it contains 0 samples.")
    info = SourceInfo(name, *whole.format_, len(data), digest.hexdigest(), whole.track, whole.tracks)
    warnings, recording = tuple(whole.warnings()), None
    if whole.kept:
        channels, rate, patched = _join_stretches(whole.stretches)
        recording = mix_channels(channels, rate, info, (*warnings, *patched))
    return Decoded(info, whole.highest, whole.seconds, warnings, recording, again)


def load_samples(samples: NDArray[Any], rate: int | None, settings: Settings, name: str = "") -> Recording:
    """Return samples [n] or [channels, n], floats in -1..1 or signed integers, as a recording.

    A few invalid samples are replaced, with a warning. Raise InvalidAudio or TooLarge for anything else, and beyond
    `max_seconds`, 32 channels or 8 to 192 kHz.
    """
    if rate is None:
        raise InvalidAudio("Samples need a sampling rate.")
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fi":
        raise InvalidAudio("Samples are floats or signed integers of the shape [n] or [channels, n].")
    channels = np.atleast_2d(samples)
    if not channels.size:
        raise InvalidAudio("The recording is empty: it contains 0 samples.")
    format_ = ("SAMPLES", str(samples.dtype).upper(), len(channels), rate)
    check_format(format_, 0.0, 0, settings)
    check_seconds(channels.shape[1] / rate, settings)
    scale = 1.0 if samples.dtype.kind == "f" else -float(np.iinfo(samples.dtype).min)
    scaled = (mark_invalid(channels) / scale).astype(np.float32)
    return mix_channels(scaled, rate, SourceInfo(name, *format_, samples.nbytes), _patch(scaled, rate))


def encode_wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """Encode mono float32 [n] at `rate` Hz as a 16-bit PCM WAV file, scaled down where it would exceed full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    file = io.BytesIO()
    soundfile.write(file, samples / max(1.0, peak), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


_Blocks = Iterator[tuple[Format, NDArray[Any]]]  # with samples [n, channels] as they come from a decoder


@dataclass(frozen=True)
class _Task:
    """What holds for all files of a recording: see `decode_file`."""

    settings: Settings
    keep_s: float
    step: Callable[[], object] | None


@dataclass
class _Decoded:
    """The sound that one decoder makes of a file that begins `start_s` seconds into the recording."""

    task: _Task
    start_s: float = 0.0
    format_: Format | None = None  # at the beginning; None where the decoder does not recognize the file
    # Rate, channels and their interleaved float32 samples. A bytearray grows in place; a list of blocks to join would
    # need twice the memory.
    stretches: list[tuple[int, int, bytearray]] = field(default_factory=list)
    kept: bool = True  # in `stretches`
    rate: int = 1  # of the latest samples
    highest: int = 0  # rate
    count: int = 0  # of samples at the latest rate
    earlier_s: float = 0.0  # before them
    missing_s: float = 0.0  # that the file has, but not the samples
    has_sound: bool = False
    averaged: bool = False  # in parts, since there is too much of all channels
    track: int = 1
    tracks: int = 1
    complete: bool = False
    again: Callable[[], _Blocks] = field(default=lambda: iter(()))

    def add(self, format_: Format, block: NDArray[Any]) -> None:
        """Append samples [n, channels]; raise TooLarge where the recording becomes too long."""
        *_, channels, rate = format_
        self.format_ = self.format_ or format_
        if rate != self.rate:
            self.earlier_s, self.rate, self.count = self.seconds, rate, 0
            self.highest = max(self.highest, rate)
        self.count += len(block)
        block = mark_invalid(block)
        self.has_sound = self.has_sound or bool((np.abs(block) >= SILENCE_PEAK).any())
        if self.start_s + self.seconds > self.task.keep_s:
            self.drop()
        if self.kept:
            self._keep(channels, block)
        check_seconds(self.start_s + self.seconds, self.task.settings)
        if self.task.step:
            self.task.step()

    def _keep(self, channels: int, block: NDArray[Any]) -> None:
        if sum(len(samples) for *_, samples in self.stretches) > MAX_APART * np.float32().itemsize:
            self.averaged, channels = self.averaged or channels > 1, 1
        if not self.stretches or self.stretches[-1][:2] != (self.rate, channels):
            self.stretches.append((self.rate, channels, bytearray()))
        block = block if channels > 1 else mix_down(block)
        self.stretches[-1][2].extend(block.astype(np.float32).tobytes())

    def drop(self) -> None:
        """Stop keeping the sound."""
        self.kept, self.averaged = False, False
        self.stretches.clear()

    @property
    def seconds(self) -> float:
        return self.earlier_s + self.count / self.rate

    def warnings(self) -> Iterator[str]:
        """Yield a sentence on what is missing, and on the choice of the track."""
        if self.missing_s >= MIN_MISSING_S:
            yield f"About {self.missing_s:.1f} s of the recording are damaged and missing from the answer."
        if self.averaged:
            yield "The recording is too long for its channels to be kept apart, so they are averaged."
        if self.tracks > 1:
            choice = f"choose another on the page, or with --track or {variable('track')}"
            yield f"This is audio track {self.track} of {self.tracks}; {choice}."


def _join(files: Sequence[Encoded], task: _Task) -> tuple[_Decoded, Callable[[], Iterator[Block]]]:
    """Decode files one after the other; one that no decoder reads counts as missing, by its size.

    Also return what decodes them again.
    """
    whole, unread = _Decoded(task), 0
    parts = []
    for data in files:
        part = _decode(data, task, whole.earlier_s)
        parts.append(part)
        unread += 0 if part.seconds else len(data)
        if whole.format_ is None:
            whole.format_, whole.track, whole.tracks = part.format_, part.track, part.tracks
        whole.earlier_s += part.seconds
        whole.highest = max(whole.highest, part.highest)
        whole.missing_s += part.missing_s
        if not part.kept:
            whole.drop()
        if whole.kept:
            whole.stretches += part.stretches
            whole.averaged |= part.averaged
        part.stretches = []
    if unread < (size := sum(map(len, files))):
        whole.missing_s += unread * whole.seconds / (size - unread)

    def decode_again() -> Iterator[Block]:
        for part in parts:
            for (*_, rate), block in part.again():
                yield rate, mark_invalid(block).astype(np.float32)

    return whole, decode_again


def _decode(data: Encoded, task: _Task, start_s: float) -> _Decoded:
    """Decode one file with libsndfile or, where that does not read all of it, with FFmpeg."""
    # The MP3 decoder of libsndfile writes to stderr.
    if is_mpeg(data) or has_streams(data) or task.settings.track > 1:
        return _decode_ffmpeg(data, task, start_s)
    first = _attempt(_read_libsndfile, data, task, start_s)
    if first.complete:
        return first
    second = _decode_ffmpeg(data, task, start_s, past_header=first.missing_s > 0)
    if second.seconds > first.seconds + ROUNDING_S:
        return second
    if second.complete and first.format_ and first.format_[0] in ("FLAC", "OGG"):
        first.missing_s = 0.0  # FFmpeg searches all of the file for further frames: the rest is none
    return first


def _decode_ffmpeg(data: Encoded, task: _Task, start_s: float, past_header: bool = False) -> _Decoded:
    """Decode the track that the settings name, else the default one or, where it is silent, the first with sound."""
    ranked = (_attempt(_read_ffmpeg, data, task, start_s, rank, past_header) for rank in itertools.count())
    first = next(ranked)
    if first.tracks == 1 or task.settings.track or first.has_sound:
        return first
    return next((each for each in itertools.islice(ranked, first.tracks - 1) if each.has_sound), first)


def _attempt(read: Callable[..., _Blocks], data: Encoded, task: _Task, start_s: float, *options: Any) -> _Decoded:
    """Return what a decoder reads up to its first error."""
    decoded = _Decoded(task, start_s)
    for format_, block in _read_on(read, decoded, data, *options):
        decoded.add(format_, block)
    decoded.again = lambda: _read_on(read, _Decoded(task, start_s), data, *options)
    return decoded


def _read_on(read: Callable[..., _Blocks], decoded: _Decoded, data: Encoded, *options: Any) -> _Blocks:
    """Yield what a decoder reads up to its first error."""
    data.seek(0)
    try:
        yield from read(decoded, data, *options)
        decoded.complete = decoded.seconds > 0 and not decoded.missing_s
    except SerError:
        raise
    except Exception:  # any error of a decoder means that it cannot read these bytes any further
        pass


def _read_libsndfile(decoded: _Decoded, data: Encoded) -> _Blocks:
    """Read all blocks with libsndfile, and note what it leaves unread."""
    with soundfile.SoundFile(data) as file:
        decoded.format_ = format_ = (file.format, file.subtype, file.channels, file.samplerate)
        check_format(format_, file.frames / max(1, file.samplerate), len(data), decoded.task.settings)
        while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
            yield format_, block
        position = data.tell()
    unread_s = (len(data) - position) * decoded.seconds / max(1, position)
    if unread_s >= MIN_MISSING_S and not is_chunk(data.part(position)):
        decoded.missing_s = unread_s


def _read_ffmpeg(decoded: _Decoded, data: Encoded, rank: int, past_header: bool) -> _Blocks:
    """Read an audio track with FFmpeg, the one at `rank` of those in question; damaged packets are skipped.

    `past_header` also reads what follows the samples that the header of a WAV file counts.
    """
    mpeg = is_mpeg(data)
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": ""}
    if past_header:
        options["ignore_length"] = "1"
    data.seek(0)
    with av.open(data, mode="r", options=options, metadata_errors="replace") as file:
        container = {"matroska": "WEBM", "mov": "MP4"}.get(kind := file.format.name.split(",")[0], kind.upper())
        decoded.track, stream = _choose_track(file.streams.audio, rank, decoded.task.settings.track, container)
        decoded.tracks = len(file.streams.audio)
        codec = stream.codec_context.codec.canonical_name.upper()
        # FFmpeg estimates the length of MP3 and AAC from the first frames, far off where the bit rate varies.
        declared = 0.0 if mpeg else (file.duration or 0) / av.time_base
        format_: Format | None = None
        for packet in file.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                decoded.missing_s += float((packet.duration or 0) * (packet.time_base or 0))
                continue
            for frame in frames:
                if format_ != (format_ := (container, codec, frame.layout.nb_channels, frame.sample_rate)):
                    check_format(format_, declared, len(data), decoded.task.settings)
                    to_float = av.AudioResampler(format="flt")  # interleaved: PyAV reads past eight separate planes
                for part in to_float.resample(frame):
                    yield format_, part.to_ndarray().reshape(-1, frame.layout.nb_channels)


def _choose_track(
    streams: Sequence[av.AudioStream], rank: int, track: int, container: str
) -> tuple[int, av.AudioStream]:
    """Return the number of an audio track, from 1, and the track: `track`, else default tracks first."""
    if not streams:
        raise NotAudio("This file contains no audio.")
    if track > len(streams):
        have = "1 audio track" if len(streams) == 1 else f"{len(streams)} audio tracks"
        raise InvalidAudio(f"The recording has {have}, but track {track} is asked for (--track, {variable('track')}).")
    numbered = [each for each in enumerate(streams, 1) if track in (0, each[0]) and each[1].codec_context is not None]
    if not numbered:
        raise InvalidAudio(f"This {container} recording uses an unsupported codec.")
    numbered.sort(key=lambda each: not each[1].disposition & Disposition.default)
    return numbered[min(rank, len(numbered) - 1)]


def _join_stretches(stretches: Sequence[tuple[int, int, bytearray]]) -> tuple[NDArray[np.float32], int, list[str]]:
    """Return float32 [channels, n] at the highest rate of the stretches, this rate, and warnings of replaced samples.

    Where the number of channels changes, it is one: their mean.
    """
    highest = max((rate for rate, *_ in stretches), default=0)
    counts = {channels for _, channels, _ in stretches}
    pieces: list[NDArray[np.float32]] = []
    warnings: list[str] = []
    start_s = 0.0
    for rate, channels, data in stretches:
        samples = np.frombuffer(data, np.float32).reshape(-1, channels)
        warnings += _patch(samples.T, rate, start_s)
        start_s += len(samples) / rate
        samples = samples if len(counts) == 1 else mix_down(samples)[:, None]
        pieces.append(samples if rate == highest else soxr.resample(samples, rate, highest, quality="HQ"))
    if not pieces:
        return np.empty((1, 0), np.float32), highest, warnings
    return (pieces[0] if len(pieces) == 1 else np.concatenate(pieces)).T, highest, warnings


def _patch(channels: NDArray[np.float32], rate: int, start_s: float = 0.0) -> list[str]:
    """Replace a few invalid samples of each channel [channels, n] in place; return warnings, each only once."""
    return list(dict.fromkeys(filter(None, (patch_invalid(samples, rate, start_s) for samples in channels))))


def mix_channels(channels: NDArray[np.float32], rate: int, info: SourceInfo, warnings: Sequence[str]) -> Recording:
    """Return float32 [channels, n] as a recording."""
    if len(channels) == 1:
        return Recording(np.ascontiguousarray(channels[0]), rate, info, tuple(warnings))
    return Recording(mix_down(channels.T), rate, info, tuple(warnings), channels)


def mix_down(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return the mean of the channels of [n, channels], float32 [n]; it does not copy them, unlike numpy's."""
    return np.asarray(sum(samples.T) / samples.shape[1], np.float32)

"""Decode a recording of any common container, within limits that hold before memory is spent on it.

There are two decoders: libsndfile (WAV and similar, FLAC, Ogg, MP3) and, for what it cannot open or read to its end,
FFmpeg through PyAV (WebM, M4A, MP4 and more, also truncated Ogg and FLAC). The content decides, never the file name.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from ser_engine.errors import InvalidAudio, SerError, TooLarge
from ser_engine.settings import Settings
from ser_engine.types import Recording, SourceInfo

# More channels are a microphone array or a damaged header. Below 8 kHz the formants of speech are lost; above 192 kHz
# no speech is recorded.
MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 8_000, 192_000
# Frames decoded at a time: about a third of a second, so that neither a false header nor eight channels cost memory.
BLOCK = 16_384
# Some programs write 32-bit integers as floats; even larger values are damage, and their squares overflow.
MAX_SAMPLE = 1e10
# A declared length counts only if the file has at least this many bytes per second, which every codec needs; otherwise
# the decoded samples are counted.
MIN_BYTES_PER_SECOND = 250
# The demuxers that FFmpeg may choose. Left to itself it would also follow playlists to other files and addresses.
DEMUXERS = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,flac,flv,matroska,webm,mov,mp4,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
# Common uploads that are no recording, by their first bytes.
DOCUMENTS = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x1f\x8b", "a GZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"{\\rtf", "an RTF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
)
# How recordings begin (offset, bytes), to distinguish damaged ones from other files.
RECORDINGS = (
    (0, (b"RIFF", b"RIFX", b"RF64"), "a WAV"),
    (0, b"fLaC", "a FLAC"),
    (0, b"OggS", "an Ogg"),
    (0, b"ID3", "an MP3"),
    (0, b"\x1aE\xdf\xa3", "a WebM"),
    (4, b"ftyp", "an MP4 or M4A"),
)


def load_audio(source: bytes | str | Path, settings: Settings, name: str = "") -> Recording:
    """Decode one recording to mono.

    Parameters
    ----------
    source : the bytes of an encoded file, or a path
    settings : `max_bytes` and `max_seconds` apply
    name : of the recording in reports; a path's file name by default

    Returns
    -------
    Recording
        float32 [n], contiguous, the mean of all channels, at the file's own rate. Of a truncated file, the part that
        can be decoded.

    Raises
    ------
    InvalidAudio
        A missing or empty file, something other than a recording, an unknown codec, no samples or non-finite ones.
    TooLarge
        More than `max_bytes`, `max_seconds` or 8 channels, or a rate outside of 8 to 192 kHz.
    """
    if isinstance(source, (str, Path)):
        data, name = _read_file(Path(source), settings), name or Path(source).name
    else:
        _check_bytes(len(source), settings)
        data = source
    if not data:
        raise InvalidAudio("The file is empty: it has 0 bytes.")
    for magic, kind in DOCUMENTS:
        if data.startswith(magic):
            raise InvalidAudio(f"This is {kind}, not a recording.")
    format_, samples, complete = _join_blocks(_decode_libsndfile(data, settings))
    if not complete:
        other_format, others, _ = _join_blocks(_decode_ffmpeg(data, settings))
        if len(others) > len(samples):
            format_, samples = other_format, others
    if not format_:
        raise InvalidAudio(_explain_failure(data))
    if not len(samples):
        raise InvalidAudio("The recording is empty or cut off: it contains 0 samples.")
    info = SourceInfo(name, *format_, len(data), hashlib.sha256(data).hexdigest())
    return Recording(samples, info.rate, info)


def load_samples(samples: NDArray[Any], rate: int | None, settings: Settings, name: str = "") -> Recording:
    """Mix samples [n] or [channels, n], floats in -1..1 or signed integers, down to a mono recording.

    Raise InvalidAudio or TooLarge for anything else, and beyond `max_seconds`, 8 channels or 8 to 192 kHz.
    """
    if rate is None:
        raise InvalidAudio("Samples need a sampling rate.")
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fi":
        raise InvalidAudio("Samples are floats or signed integers of the shape [n] or [channels, n].")
    channels = np.atleast_2d(samples)
    if not channels.size:
        raise InvalidAudio("The recording is empty: it contains 0 samples.")
    format_ = ("SAMPLES", str(samples.dtype).upper(), len(channels), rate)
    _check_format(format_, 0.0, 0, settings)
    _check_seconds(channels.shape[1] / rate, settings)
    scale = 1.0 if samples.dtype.kind == "f" else -float(np.iinfo(samples.dtype).min)
    mono = (channels.mean(axis=0, dtype=np.float64) / scale).astype(np.float32)
    if not (np.abs(mono) <= MAX_SAMPLE).all():
        raise InvalidAudio("The recording contains samples that are NaN, infinite or absurdly large.")
    return Recording(mono, rate, SourceInfo(name, *format_, samples.nbytes))


def encode_wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """Encode mono float32 [n] at `rate` Hz as a 16-bit PCM WAV file, scaled down where it would exceed full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    file = io.BytesIO()
    soundfile.write(file, samples / max(1.0, peak), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


Format = tuple[str, str, int, int]  # container, codec, channels, rate
Block = tuple[Format, NDArray[Any]]  # and samples [n, channels], floating point


def _join_blocks(blocks: Iterator[Block]) -> tuple[Format | None, NDArray[np.float32], bool]:
    """Join a decoder's blocks, mixed down to mono, up to an error; return format, samples, whether all decoded."""
    format_: Format | None = None
    mono = bytearray()  # grows in place, where a list of blocks to join would need twice the memory
    complete = False
    try:
        for known, block in blocks:
            format_ = known
            if not (np.abs(block) <= MAX_SAMPLE).all():  # also refuses NaN
                raise InvalidAudio("The recording contains invalid samples: NaN, infinite or absurdly large.")
            mono += block.mean(axis=1, dtype=np.float64).astype(np.float32).tobytes()
        complete = bool(mono)
    except SerError:
        raise
    except Exception:  # any error of a decoder means that it cannot read these bytes any further
        pass
    return format_, np.frombuffer(mono, np.float32), complete


def _decode_libsndfile(data: bytes, settings: Settings) -> Iterator[Block]:
    """Yield blocks decoded by libsndfile; the first is empty and gives the format."""
    with soundfile.SoundFile(_Bytes(data)) as file:
        format_ = (file.format, file.subtype, file.channels, file.samplerate)
        _check_format(format_, file.frames / max(1, file.samplerate), len(data), settings)
        yield format_, np.empty((0, file.channels), np.float32)
        count = 0
        while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
            count += len(block)
            _check_seconds(count / file.samplerate, settings)
            yield format_, block


def _decode_ffmpeg(data: bytes, settings: Settings) -> Iterator[Block]:
    """Yield blocks of the first audio stream decoded by FFmpeg; damaged packets are skipped."""
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": ""}
    with av.open(io.BytesIO(data), mode="r", options=options, metadata_errors="replace") as file:
        if not file.streams.audio:
            raise InvalidAudio("This file contains no audio.")
        stream = file.streams.audio[0]
        container = {"matroska": "WEBM", "mov": "MP4"}.get(kind := file.format.name.split(",")[0], kind.upper())
        if stream.codec_context is None:
            raise InvalidAudio(f"This {container} recording uses an unsupported codec.")
        codec = stream.codec_context.codec.canonical_name.upper()
        declared = (file.duration or 0) / av.time_base
        to_float = av.AudioResampler(format="flt")  # interleaved: PyAV reads past the end of eight separate planes
        first, count = None, 0
        for packet in file.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue
            for frame in frames:
                channels, rate = frame.layout.nb_channels, frame.sample_rate
                format_ = (container, codec, channels, rate)
                first = first or format_
                if format_ != first:
                    raise InvalidAudio("The recording changes its sample rate or its channels midway.")
                count += frame.samples
                _check_format(format_, declared, len(data), settings)
                _check_seconds(count / rate, settings)
                for part in to_float.resample(frame):
                    yield format_, part.to_ndarray().reshape(-1, channels)


class _Bytes(io.BytesIO):
    """A file in memory that ignores seeks to before its beginning, as libsndfile makes them for damaged headers."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _read_file(path: Path, settings: Settings) -> bytes:
    """Read a file of an allowed size."""
    try:
        if path.is_dir():
            raise InvalidAudio(f"“{path}” is a folder, not a recording.")
        if not path.exists():
            raise InvalidAudio(f"There is no file “{path}”.")
        if not path.is_file():
            raise InvalidAudio(f"“{path}” is not a regular file.")
        size = path.stat().st_size
        _check_bytes(size, settings)
        with path.open("rb") as file:
            return file.read(size)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidAudio(f"The file “{path}” cannot be read ({reason}).") from error


def _check_bytes(size: int, settings: Settings) -> None:
    if size > settings.max_bytes:
        limit = settings.max_bytes / 2**20
        raise TooLarge(f"The file has {size / 2**20:.4g} MB; at most {limit:.4g} MB can be analyzed.")


def _check_format(format_: Format, declared_s: float, size: int, settings: Settings) -> None:
    """Refuse by the header alone: channels, rate, and a declared length that is plausible for the file's size."""
    _, _, channels, rate = format_
    if channels > MAX_CHANNELS:
        raise TooLarge(f"The recording has {channels} channels; at most {MAX_CHANNELS} can be analyzed.")
    if not MIN_RATE <= rate <= MAX_RATE:
        allowed = f"{MIN_RATE // 1000} to {MAX_RATE // 1000} kHz"
        raise TooLarge(f"The recording has a sample rate of {rate / 1000:g} kHz; {allowed} can be analyzed.")
    if size >= declared_s * MIN_BYTES_PER_SECOND:
        _check_seconds(declared_s, settings)


def _check_seconds(seconds: float, settings: Settings) -> None:
    if seconds > settings.max_seconds:
        limit = settings.max_seconds
        most = f"{limit / 60:.4g} minutes" if limit >= 120 else f"{limit:.4g} seconds"
        raise TooLarge(f"The recording is longer than {most}, the most that can be analyzed.")


def _explain_failure(data: bytes) -> str:
    """Describe bytes that no decoder recognizes, in a sentence."""
    for offset, magic, kind in RECORDINGS:
        if data.startswith(magic, offset):
            return f"This looks like {kind} recording, but it is cut off or damaged and cannot be decoded."
    if data[:1000].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "This is a web page, not a recording."
    try:
        text = data[:4096].decode("utf-8", errors="strict" if len(data) <= 4096 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if all(letter.isprintable() or letter.isspace() for letter in text):
        return "This is a text document, not a recording."
    return "This is not a recording in a supported format, or it is damaged from the start."

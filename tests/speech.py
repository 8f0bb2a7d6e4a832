"""Sound for the tests: a few spoken sentences, things that are not speech, and any container around them.

The sentences lie in tests/data (made by tests/data/make.py), so that neither corpora nor a speech synthesiser is
needed. Everything is float32 at 16 kHz, unless a rate is given.
"""

from __future__ import annotations

import io
import re
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ser_engine.types import CleanSpeech, Quality, Span

RATE = 16_000
VOICES = ("man", "woman")
# What the clips say → the name of their files.
SENTENCES = {
    "Kids are talking by the door.": "kids",
    "Dogs are sitting by the door.": "dogs",
    "It is eleven o'clock.": "eleven",
    "I wonder what this is about.": "wonder",
}
FOREIGN = {
    "de": "Heute Abend könnte ich es ihm sagen, aber ich habe keine Zeit.",
    "fr": "Je voudrais une tasse de café et un verre d'eau, s'il vous plaît.",
}
"""What the clips in other languages say, by the language."""
CALM = " ".join([*SENTENCES] * 3)
"""Enough speech to calibrate to."""
Samples = NDArray[np.float32]


def speech(text: str = "Dogs are sitting by the door.", voice: str = "man", rate: int = RATE) -> Samples:
    """Return one or several of `SENTENCES`, spoken one after the other with a pause of half a second or more.

    Before the first and after the last word lie at least 0.3 s of nearly digital silence; the voice has -23 dB.
    """
    clips = [_clip(SENTENCES[sentence], voice) for sentence in re.findall(r"\S[^.!?]*[.!?]", text)]
    samples = np.concatenate(clips)
    return samples if rate == RATE else soxr.resample(samples, RATE, rate)


def speech_wav(text: str = "Dogs are sitting by the door.", voice: str = "man", rate: int = RATE) -> bytes:
    """Return `speech` as the bytes of a 16-bit wav file."""
    return encode(speech(text, voice, rate), rate)


def _clip(key: str, voice: str) -> Samples:
    return _read(f"{voice}_{key}")


@lru_cache
def _read(name: str) -> Samples:
    samples, rate = soundfile.read(Path(__file__).parent / "data" / f"{name}.ogg", dtype="float32")
    assert rate == RATE
    return samples


def foreign(language: str) -> Samples:
    """Return the sentence of `FOREIGN` in a language, as `speech` returns others."""
    return _read(f"languages/{language}")


def silence(seconds: float, rate: int = RATE) -> Samples:
    """Return zeros."""
    return np.zeros(round(seconds * rate), np.float32)


def tone(seconds: float, hz: float = 440.0, level: float = 0.3, rate: int = RATE) -> Samples:
    """Return a sine with peaks at `level`."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float, rms: float = 0.1, rate: int = RATE, seed: int = 0) -> Samples:
    """Return white noise."""
    return (rms * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def music(seconds: float, level: float = 0.3, rate: int = RATE) -> Samples:
    """Return plucked chords, two a second, each note with overtones."""
    time = np.arange(round(seconds * rate)) / rate
    chords = ((220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6), (164.8, 207.7, 246.9))
    chord = np.array(chords)[(2 * time).astype(int) % len(chords)]
    sound = sum(np.sin(2 * np.pi * chord[:, i] * k * time) / k for i in range(3) for k in (1, 2, 3))
    sound *= np.exp(-4 * (time % 0.5))
    return (level * sound / np.abs(sound).max()).astype(np.float32)


def clicks(seconds: float, every_s: float = 0.5, level: float = 0.8, rate: int = RATE) -> Samples:
    """Return single samples in silence."""
    samples = silence(seconds, rate)
    samples[:: round(every_s * rate)] = level
    return samples


def add_noise(samples: Samples, snr_db: float, seed: int = 0) -> Samples:
    """Return samples under white noise, `snr_db` below the parts of them that are not silent."""
    level = np.sqrt(np.mean(np.square(samples[np.abs(samples) > 1e-3])))
    return samples + noise(len(samples) / RATE, level * 10 ** (-snr_db / 20), seed=seed)[: len(samples)]


def encode(
    samples: Samples, rate: int = RATE, container: str = "WAV", codec: str | None = None, endian: str | None = None
) -> bytes:
    """Return samples [n] or [n, channels] as an encoded file.

    `container` in capitals is libsndfile's (WAV, WAVEX, FLAC, OGG, MP3; `codec` PCM_24, VORBIS, ...); in small letters
    it is FFmpeg's (webm, mp4, ipod for m4a, matroska, mov; `codec` libopus, aac, pcm_s16le, ...).
    """
    file = io.BytesIO()
    if container.isupper():
        soundfile.write(file, samples, rate, format=container, subtype=codec, endian=endian)
        return file.getvalue()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with av.open(file, "w", format=container) as out:
        layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels]
        stream = out.add_stream(codec or {"webm": "libopus"}.get(container, "aac"), rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.rate, frame.pts = rate, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def taken_for_speech(samples: Samples, spans: tuple[Span, ...] = ()) -> CleanSpeech:
    """Return what a speech detector would hand on that took all of `samples` for speech."""
    seconds = len(samples) / RATE
    quality = Quality(seconds, seconds, RATE, 8000.0, None, 0.0, -23.0, False)
    return CleanSpeech(samples, spans or (Span(0.0, seconds),), quality)

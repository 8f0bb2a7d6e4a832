"""Degradations of recordings, for training and for testing: short crops, telephones, babble, rooms, and all together.

"mix-1", "mix-2" and so on are the domain mix of training: each draws another speaker's pitch, a room, a noise and a
channel at random, so that a clip of any corpus may sound like a recording of any other. In "crowd-1" and so on, the
noise is always other voices.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_engine.errors import InvalidSettings
from ser_engine.types import SAMPLE_RATE, Recording

if TYPE_CHECKING:
    from ser_engine.settings import Settings

Samples = NDArray[np.float32]

CROP_S = 3.0
# A telephone line: ITU-T G.711's rate, bits and mu-law, between the corners of ITU-T G.712.
TELEPHONE_HZ, BAND_HZ, MU = 8000, (300.0, 3400.0), 255
# Babble is several people at once; each of fewer could be followed.
BABBLE_SPEAKERS, BABBLE_SNR_DB = 6, 10.0
# A living room with the microphone about a meter and a half away: the room's sound is louder than the voice itself.
ROOM_S, ROOM_DIRECT_DB = 0.6, -3.0

TITLES = {
    "crop": "Only 3 s of the recording",
    "telephone": "Over the telephone (8 kHz, mu-law)",
    "babble": "With six other voices, 10 dB below",
    "room": "In a room with 0.6 s of reverberation",
}
"""The degradations that are tested, and their titles for people."""
MIX = "mix-"
"""Begins the names of copies by the domain mix."""
CROWD = "crowd-"
"""Begins the names of copies by the domain mix among other voices."""


@dataclass(frozen=True)
class Sources:
    """Recordings that others are mixed with: the voices of babble, noises, and impulse responses of rooms.

    Without noises or rooms, both are synthesized.
    """

    voices: tuple[Path, ...] = ()
    noises: tuple[Path, ...] = ()
    rooms: tuple[Path, ...] = ()

    def key(self, degradation: str) -> str:
        """Return what names a degradation in a cache: babble of other recordings is another degradation."""
        files = self.voices if degradation == "babble" else ()
        if degradation.startswith((MIX, CROWD)):
            files = (*self.voices, *self.noises, *self.rooms)
        if not files:
            return degradation
        names = "\n".join(sorted(path.name for path in files))
        return f"{degradation}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"


def degrade(recording: Recording, degradation: str, sources: Sources, settings: Settings, seed: int) -> Recording:
    """Return a degraded copy of a recording; `seed`, the recording's own, is of all that is random."""
    rng = np.random.default_rng([len(degradation), seed])
    samples, rate = recording.samples, recording.rate
    for name in (MIX, CROWD):
        if degradation.startswith(name):
            number = int(degradation.removeprefix(name))
            rng = np.random.default_rng([number, 1 + len(name), seed])
            return mix_domains(recording, sources, settings, rng, crowd=name == CROWD)
    if degradation == "crop":
        return replace(recording, samples=crop(samples, rate, rng))
    if degradation == "telephone":
        return replace(recording, samples=telephone(samples, rate), rate=TELEPHONE_HZ)
    if degradation == "babble":
        return add_babble(recording, sources.voices, settings, rng)
    if degradation == "room":
        return replace(recording, samples=reverberate(samples, simulate_room(ROOM_S, ROOM_DIRECT_DB, rate, rng)))
    raise InvalidSettings(f"There is no degradation “{degradation}”; there are {', '.join(TITLES)}.")


def crop(samples: Samples, rate: int, rng: np.random.Generator) -> Samples:
    """Return three seconds from anywhere in float32 [n]; all of it if it is no longer."""
    length = round(CROP_S * rate)
    first = int(rng.integers(max(0, len(samples) - length) + 1))
    return samples[first : first + length]


def telephone(samples: Samples, rate: int) -> Samples:
    """Return float32 [n] at `rate` Hz as float32 [m] at 8 kHz, as a telephone line carries it."""
    from librosa import mu_compress, mu_expand
    from scipy.signal import butter, sosfilt

    narrow = soxr.resample(samples, rate, TELEPHONE_HZ, quality="HQ")
    narrow = sosfilt(butter(4, BAND_HZ, "bandpass", fs=TELEPHONE_HZ, output="sos"), narrow)
    coded = mu_compress(np.clip(narrow, -1.0, 1.0), mu=MU, quantize=True)
    return mu_expand(coded, mu=MU, quantize=True).astype(np.float32)


def add_babble(recording: Recording, voices: Sequence[Path], settings: Settings, rng: np.random.Generator) -> Recording:
    """Mix a recording with six other voices at once, 10 dB below the level of its speech."""
    if not voices:
        raise InvalidSettings("Babble is mixed from an external corpus, and none is named.")
    noise = babble(len(recording.samples), recording.rate, voices, BABBLE_SPEAKERS, settings, rng)
    return replace(recording, samples=add_noise(recording.samples, recording.rate, noise, BABBLE_SNR_DB))


def babble(
    length: int, rate: int, voices: Sequence[Path], speakers: int, settings: Settings, rng: np.random.Generator
) -> Samples:
    """Return `length` samples of several voices at once, all at one level."""
    from ser_engine.audio.quality import rms

    mix = np.zeros(length)
    for number in rng.choice(len(voices), speakers, replace=len(voices) < speakers):
        voice = _load(voices[number], rate, settings)
        voice = np.roll(np.resize(voice, length), int(rng.integers(length)))
        mix += voice / max(rms(voice), 1e-9)
    return mix.astype(np.float32)


def add_noise(samples: Samples, rate: int, noise: Samples, snr_db: float) -> Samples:
    """Add float32 [n] of noise to [n] samples, `snr_db` below the level of their speech."""
    from ser_engine.audio.clean import resample
    from ser_engine.audio.quality import rms
    from ser_engine.audio.vad import detect_speech

    segments = detect_speech(resample(samples, rate))
    speech = [samples[round(segment.start * rate) : round(segment.end * rate)] for segment in segments]
    level = rms(np.concatenate(speech)) if speech else 0.0
    return (samples + noise * (level * 10 ** (-snr_db / 20) / max(rms(noise), 1e-9))).astype(np.float32)


def simulate_room(seconds: float, direct_db: float, rate: int, rng: np.random.Generator) -> Samples:
    """Return the impulse response of a room by Polack's model: noise that decays by 60 dB in `seconds`.

    `direct_db` is the energy of the direct sound relative to that of the noise (Polack, 1988, "La transmission de
    l'énergie sonore dans les salles").
    """
    times = np.arange(round(seconds * rate)) / rate
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def reverberate(samples: Samples, room: Samples) -> Samples:
    """Return float32 [n] as it sounds in a room whose impulse response is [m], from the direct sound on."""
    from scipy.signal import fftconvolve

    first = int(np.abs(room).argmax())
    energy = np.sqrt(np.sum(room**2))
    wet = fftconvolve(samples, room / max(energy, 1e-9))[first : first + len(samples)]
    return np.asarray(wet, np.float32)


# The domain mix: how often each step is taken, and the ranges that it draws from.
SPEED_SHARE, SPEEDS = 0.5, (0.88, 1.14)
ROOM_SHARE, RECORDED_SHARE, ROOM_SECONDS, DIRECT_DB = 0.5, 0.5, (0.15, 0.9), (-6.0, 9.0)
NOISE_SHARE, SNR_DB = 0.5, (3.0, 30.0)
CROWD_SNR_DB = (3.0, 18.0)
CHANNEL_SHARE = 0.7


def mix_domains(
    recording: Recording, sources: Sources, settings: Settings, rng: np.random.Generator, crowd: bool = False
) -> Recording:
    """Return a recording at 16 kHz as another speaker's, in another place, by another microphone.

    In a crowd, there are always other voices.
    """
    from ser_engine.audio.clean import resample

    samples = resample(recording.samples, recording.rate)
    if rng.random() < SPEED_SHARE:
        samples = soxr.resample(samples, SAMPLE_RATE * rng.uniform(*SPEEDS), SAMPLE_RATE)
    if rng.random() < ROOM_SHARE:
        samples = reverberate(samples, _draw_room(sources, settings, rng))
    if crowd:
        noise = _draw_voices(len(samples), sources, settings, rng)
        samples = add_noise(samples, SAMPLE_RATE, noise, rng.uniform(*CROWD_SNR_DB))
    elif rng.random() < NOISE_SHARE:
        noise = _draw_noise(len(samples), sources, settings, rng)
        samples = add_noise(samples, SAMPLE_RATE, noise, rng.uniform(*SNR_DB))
    if rng.random() < CHANNEL_SHARE:
        samples = CHANNELS[rng.integers(len(CHANNELS))](samples, rng)
    return replace(recording, samples=np.ascontiguousarray(samples, np.float32), rate=SAMPLE_RATE)


def _draw_room(sources: Sources, settings: Settings, rng: np.random.Generator) -> Samples:
    if sources.rooms and rng.random() < RECORDED_SHARE:
        return _load(sources.rooms[rng.integers(len(sources.rooms))], SAMPLE_RATE, settings)
    return simulate_room(rng.uniform(*ROOM_SECONDS), rng.uniform(*DIRECT_DB), SAMPLE_RATE, rng)


def _draw_noise(length: int, sources: Sources, settings: Settings, rng: np.random.Generator) -> Samples:
    """Return a recorded noise, babble, or noise with a random slope of its spectrum and a hum."""
    kind = rng.random()
    if sources.noises and kind < 1 / 3:
        noise = np.resize(_load(sources.noises[rng.integers(len(sources.noises))], SAMPLE_RATE, settings), length)
        return np.asarray(np.roll(noise, int(rng.integers(length))), np.float32)
    if sources.voices and kind < 2 / 3:
        return _draw_voices(length, sources, settings, rng)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** -rng.uniform(0.0, 1.0)
    noise = np.fft.irfft(spectrum, length).astype(np.float32)
    hum = np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * np.arange(length) / SAMPLE_RATE)
    return np.asarray(noise / noise.std() + rng.uniform(0.0, 1.0) * hum, np.float32)


def _draw_voices(length: int, sources: Sources, settings: Settings, rng: np.random.Generator) -> Samples:
    """Return one to six other voices."""
    if not sources.voices:
        raise InvalidSettings("A crowd is mixed from a corpus of voices, and none is named.")
    return babble(length, SAMPLE_RATE, sources.voices, int(rng.integers(1, 7)), settings, rng)


def _telephone_channel(samples: Samples, rng: np.random.Generator) -> Samples:
    return np.asarray(soxr.resample(telephone(samples, SAMPLE_RATE), TELEPHONE_HZ, SAMPLE_RATE))


def _narrow_channel(samples: Samples, rng: np.random.Generator) -> Samples:
    """Cut the upper part of the spectrum, as a lower sample rate does."""
    rate = rng.uniform(6000, 15000)
    return np.asarray(soxr.resample(soxr.resample(samples, SAMPLE_RATE, rate), rate, SAMPLE_RATE))


def _codec_channel(samples: Samples, rng: np.random.Generator) -> Samples:
    """Code and decode with Opus or MP3 at a low bit rate."""
    import soundfile

    format, subtype = (("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"))[rng.integers(2)]
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.clip(samples, -1, 1), SAMPLE_RATE, subtype, format=format, compression_level=rng.uniform(0.85, 0.97)
    )
    buffer.seek(0)
    coded, rate = soundfile.read(buffer, dtype="float32")
    return np.asarray(coded if rate == SAMPLE_RATE else soxr.resample(coded, rate, SAMPLE_RATE))


def _microphone_channel(samples: Samples, rng: np.random.Generator) -> Samples:
    """Shape the spectrum as another microphone does, and clip some peaks."""
    points = np.linspace(0, 1, 7)
    gains_db = rng.uniform(-8.0, 8.0, len(points)) + rng.uniform(-6.0, 6.0) * points
    spectrum = np.fft.rfft(samples)
    spectrum *= 10 ** (np.interp(np.linspace(0, 1, len(spectrum)) ** 0.5, points, gains_db) / 20)
    shaped = np.fft.irfft(spectrum, len(samples))
    ceiling = np.quantile(np.abs(shaped), rng.uniform(0.99, 1.0))
    return np.asarray(np.clip(shaped, -ceiling, ceiling), np.float32)


CHANNELS: tuple[Callable[[Samples, np.random.Generator], Samples], ...] = (
    _telephone_channel,
    _narrow_channel,
    _codec_channel,
    _microphone_channel,
    _microphone_channel,
)


@lru_cache(maxsize=4096)
def _load(path: Path, rate: int, settings: Settings) -> Samples:
    """Load a recording once, which is mixed into many others."""
    from ser_engine.audio.decode import load_audio

    recording = load_audio(path.read_bytes(), settings)
    samples = recording.samples
    return soxr.resample(samples, recording.rate, rate) if recording.rate != rate else samples

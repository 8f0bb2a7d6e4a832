"""Sounds without speech, generated from seeds: instruments, birds, machines, weather and silence.

Each is float32 [n] at 16 kHz, a few seconds long. What the solo instruments are made of follows Karplus and Strong
(1983, plucked strings) and Fletcher (1964, the stretched partials of a piano).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from ser_engine.audio.clean import resample
from ser_engine.audio.decode import load_audio
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

Samples = NDArray[np.float32]
Values = NDArray[np.float64]
Rng = np.random.Generator

SUNG = ("carnatic", "singing-female", "soprano-E4", "vignesh")
SECONDS, LEVEL = 4.0, 0.1
MAJOR = (0, 2, 4, 5, 7, 9, 11)
HUMS_HZ, PARTIALS, STRETCH = (50.0, 60.0, 100.0, 120.0), 12, 0.0004


def generate(count: int, seed: int = 0) -> Iterator[tuple[str, Samples]]:
    """Yield sounds, one of every kind in turn, with the kind's name; the same ones for the same seed."""
    for row in range(count):
        kind, make = list(KINDS.items())[row % len(KINDS)]
        sound = make(np.random.default_rng((seed, row)))
        level = np.sqrt(np.mean(sound**2))
        yield kind, (sound * min(LEVEL, level) / level if level else sound).astype(np.float32)


def read_instruments(data: Path) -> Iterator[tuple[str, Samples]]:
    """Yield the recorded instruments and weather in `data`/instruments without those in which someone sings."""
    for path in sorted((data / "instruments").glob("*.opus")):
        if path.stem not in SUNG:
            recording = load_audio(path, Settings())
            yield path.stem, resample(recording.samples, recording.rate)


def _piano_note(rng: Rng, hz: float, seconds: float) -> Values:
    """Return one note of a struck string, whose upper partials are sharp and decay first."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    note = np.zeros(len(time))
    for partial in range(1, PARTIALS + 1):
        pitch = hz * partial * np.sqrt(1 + STRETCH * partial**2)
        if pitch < SAMPLE_RATE / 2:
            decay = (1.5 + hz / 400) * (1 + 0.4 * partial)
            note += np.sin(2 * np.pi * (pitch * time + rng.random())) * np.exp(-decay * time) / partial**1.2
    return note * np.minimum(1, time / 0.003)


def _string_note(rng: Rng, hz: float, seconds: float) -> Values:
    """Return one note of a plucked string: a burst of noise in a delay line whose loop is a low-pass filter."""
    period = max(2, round(SAMPLE_RATE / hz - 0.5))
    burst = np.zeros(round(seconds * SAMPLE_RATE))
    burst[:period] = rng.uniform(-1, 1, period)
    loop = np.zeros(period + 2)
    loop[0], loop[period:] = 1.0, -0.497
    return np.asarray(scipy.signal.lfilter([1.0], loop, burst))


def _wind_note(rng: Rng, hz: float, seconds: float) -> Values:
    """Return one note that is blown or bowed: a steady tone with vibrato, breath, and a soft beginning and end."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    depth, rate = rng.uniform(0, 0.012), rng.uniform(4, 7)
    phase = np.cumsum(hz * (1 + depth * np.sin(2 * np.pi * rate * time))) / SAMPLE_RATE
    tone = scipy.signal.sawtooth(2 * np.pi * phase) + rng.uniform(0.01, 0.2) * rng.standard_normal(len(time))
    rise = np.minimum(1, time / rng.uniform(0.02, 0.1)) * np.minimum(1, (seconds - time) / 0.1)
    return _low_pass(tone * rise, hz * rng.uniform(2, 6))


def _bell_note(rng: Rng, hz: float, seconds: float) -> Values:
    """Return one note of a bell or bar, whose partials are not harmonic."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    ratios = (1.0, *np.sort(rng.uniform(1.5, 8, 4)))
    partials = [
        np.sin(2 * np.pi * hz * ratio * time) * np.exp(-rng.uniform(1, 6) * ratio * time) / ratio
        for ratio in ratios
        if hz * ratio < SAMPLE_RATE / 2
    ]
    return np.asarray(np.sum(partials, axis=0))


def _melody(rng: Rng, note: Callable[[Rng, float, float], Values], voices: int = 1) -> Values:
    """Return notes of a major scale in an even rhythm, each of which rings on under the next."""
    beat, base = rng.uniform(0.2, 0.7), 110 * 2 ** rng.uniform(0, 1.5)
    melody = np.zeros(round(SECONDS * SAMPLE_RATE))
    for start in np.arange(0, SECONDS - 0.1, beat):
        for _ in range(voices):
            hz = base * 2 ** ((rng.choice(MAJOR) + 12 * rng.integers(2)) / 12)
            at = round(start * SAMPLE_RATE)
            sound = note(rng, hz, min(1.5, SECONDS - start))[: len(melody) - at]
            melody[at : at + len(sound)] += rng.uniform(0.5, 1) * sound
    return melody


def _birds(rng: Rng) -> Values:
    """Return chirps: short sweeps between 1.8 and 6.5 kHz in rows, over faint noise."""
    chirps = 0.01 * rng.standard_normal(round(SECONDS * SAMPLE_RATE))
    start = 0.2
    while start < SECONDS - 0.5:
        length, low, high = rng.uniform(0.04, 0.2), rng.uniform(1800, 3500), rng.uniform(3000, 6500)
        for _ in range(rng.integers(1, 7)):
            time = np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE
            chirp = scipy.signal.chirp(time, low, length, high) * np.hanning(len(time))
            at = round(start * SAMPLE_RATE)
            chirps[at : at + len(chirp)] += chirp[: len(chirps[at:])]
            start += length * rng.uniform(1.1, 1.8)
        start += rng.uniform(0.1, 0.6)
    return chirps


def _fan(rng: Rng) -> Values:
    """Return low-pass noise that the blades modulate, with the hum of the motor."""
    time = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    air = _low_pass(rng.standard_normal(len(time)), rng.uniform(300, 2500))
    blades = 1 + 0.2 * np.sin(2 * np.pi * rng.uniform(15, 90) * time)
    return air * blades + 0.1 * air.std() * np.sin(2 * np.pi * rng.uniform(90, 240) * time)


def _rain(rng: Rng) -> Values:
    """Return noise above 1 kHz with single drops."""
    count = round(SECONDS * SAMPLE_RATE)
    steady = rng.standard_normal(count)
    hiss = steady - _low_pass(steady, 1000)
    drops = np.zeros(count)
    drops[rng.integers(0, count, rng.integers(50, 600))] = rng.uniform(2, 10)
    ring = np.exp(-np.arange(160) / 25) * np.sin(2 * np.pi * rng.uniform(0.1, 0.3) * np.arange(160))
    return hiss + np.convolve(drops, ring, "same")


def _engine(rng: Rng) -> Values:
    """Return pulses of a motor whose speed changes slowly, through the resonances of its exhaust."""
    count = round(SECONDS * SAMPLE_RATE)
    low, high = np.sort(rng.uniform(25, 140, 2))
    speed = low + (high - low) * (0.5 + 0.5 * np.sin(np.linspace(0, rng.uniform(2, 12), count)))
    pulses = scipy.signal.sawtooth(2 * np.pi * np.cumsum(speed) / SAMPLE_RATE) + 0.3 * rng.standard_normal(count)
    return _low_pass(pulses, rng.uniform(250, 1500))


def _hum(rng: Rng) -> Values:
    """Return mains hum with its harmonics and some noise."""
    time = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    base = rng.choice(HUMS_HZ)
    hum = sum(rng.random() / k * np.sin(2 * np.pi * base * k * time) for k in range(1, 9))
    return np.asarray(hum + 0.02 * rng.standard_normal(len(time)))


def _silence(rng: Rng) -> Values:
    """Return zeros, or the noise of a microphone that is nearly silent."""
    return rng.choice([0.0, 1e-5, 1e-4, 1e-3]) * rng.standard_normal(round(SECONDS * SAMPLE_RATE))


def _low_pass(sound: Values, hz: float) -> Values:
    return np.asarray(scipy.signal.sosfilt(scipy.signal.butter(2, hz, fs=SAMPLE_RATE, output="sos"), sound))


KINDS: dict[str, Callable[[Rng], Values]] = {
    "piano": lambda rng: _melody(rng, _piano_note),
    "piano chords": lambda rng: _melody(rng, _piano_note, 3),
    "plucked strings": lambda rng: _melody(rng, _string_note),
    "strummed strings": lambda rng: _melody(rng, _string_note, 3),
    "winds and bows": lambda rng: _melody(rng, _wind_note),
    "bells": lambda rng: _melody(rng, _bell_note),
    "birds": _birds,
    "fan": _fan,
    "rain": _rain,
    "engine": _engine,
    "hum": _hum,
    "silence": _silence,
}

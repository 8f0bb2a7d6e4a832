"""What is wrong with a recording, in numbers and in words.

Everything is measured on the recording as it came, before any cleaning, with the stretches of speech that the speech
detector found in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from ser_engine.types import Quality, Recording, Span

# Levels are measured in frames that hold at least one period of any voice.
FRAME_S = 0.02
# Levels leave out what lies below: next to nothing of a voice, but mains hum, wind and rumble.
RUMBLE_HZ = 80.0
# Speech fades in and out beyond what the detector marks: so much around it counts as neither speech nor pause.
GUARD_S = 0.05
# Less pause than this is no measurement of the background.
MIN_PAUSE_S = 0.1
# More cannot be heard beside speech; it is also what digital silence in the pauses counts as.
MAX_SNR_DB = 60.0
# The level of a recording of zeros.
SILENCE_DB = -120.0

# The spectrum is taken in frames of this length, at most so many and evenly spread: long recordings cost no more.
SPECTRUM_S, SPECTRUM_FRAMES = 0.032, 2000
# It is judged in bands of this width, so that a single whistling line is no bandwidth.
BAND_HZ = 125.0
# A band counts where speech is within this of its loudest band (fricatives lie some 45 dB under the vowels; the
# filters of codecs and resamplers cut deeper) ...
BAND_RANGE_DB = 50.0
# ... and above the band's own floor, its softest tenth: steady hiss and dither say nothing about the microphone.
FLOOR_SHARE, BAND_OVER_FLOOR_DB = 0.1, 6.0

# From here on a sample is at full scale.
FULL_SCALE = 0.999
# At least so many samples in a row within this share of the maximum are a flat top; a natural peak passes in fewer.
FLAT_RUN, FLAT = 3, 1e-4
# Below this maximum nothing is called clipped: coarse quantisation flattens the peaks of quiet recordings.
MIN_CLIPPED_PEAK = 0.1

# When to warn. Clipping is heard from about one sample in a thousand. At -50 dB a 16-bit file has some 40 dB left for
# speech. At 10 dB the background is as loud as soft consonants. Telephones are sampled at 8 kHz. Speech from 4 to
# 8 kHz, which models listen to, needs a rate of 16 kHz.
CLIPPED_SHARE = 0.001
QUIET_DB = -50.0
NOISY_DB = 10.0
NARROW_HZ = 4000.0
LOW_RATE = 16_000
SHORT_S = 1.0
SILENT_SHARE = 0.25
# Below this ratio noise hides the upper end of the voice, and a narrow band says nothing about the microphone.
BAND_SNR_DB = 20.0


def measure(waveform: Recording, speech: Sequence[Span], noise_reduced: bool) -> Quality:
    """Return the quality report of a recording.

    Parameters
    ----------
    waveform : the recording as it was decoded
    speech : where someone speaks, in order; without any, level and bandwidth are those of the whole recording
    noise_reduced : whether noise reduction was applied before the models listened; it is only reported
    """
    samples, rate = waveform.samples, waveform.rate
    powers = _frame_powers(samples, rate)
    spoken, paused = _frames_of(speech, len(powers))
    level = float(powers[spoken if spoken.any() else slice(None)].mean()) if len(powers) else 0.0
    quality = Quality(
        duration_s=waveform.duration_s,
        speech_s=sum(span.duration_s for span in speech),
        sample_rate=rate,
        bandwidth_hz=_bandwidth(samples, rate, speech),
        snr_db=_snr(powers, spoken, paused),
        clipping=_clipping(samples),
        level_db=max(SILENCE_DB, _decibels(level)),
        noise_reduced=noise_reduced,
    )
    return replace(quality, warnings=_warnings(quality))


def estimate_snr(samples: NDArray[np.float32], rate: int, speech: Sequence[Span]) -> float | None:
    """Return the level of speech over that of the pauses in dB, from -60 to 60.

    Parameters
    ----------
    samples : mono float32 [n] at `rate` Hz
    speech : where someone speaks, in order

    Returns
    -------
    float or None
        None where nobody speaks, or where there is no pause of a tenth of a second to measure the background in.
    """
    powers = _frame_powers(samples, rate)
    return _snr(powers, *_frames_of(speech, len(powers)))


def _snr(powers: NDArray[np.float32], spoken: NDArray[np.bool_], paused: NDArray[np.bool_]) -> float | None:
    if not spoken.any() or np.count_nonzero(paused) * FRAME_S < MIN_PAUSE_S:
        return None
    # The median, because breaths, clicks and the tails of words stray into pauses.
    noise = float(np.median(powers[paused]))
    # What sounds in the pauses sounds behind the words, too.
    signal = max(0.0, float(powers[spoken].mean()) - noise)
    return float(np.clip(_decibels(signal) - _decibels(noise), -MAX_SNR_DB, MAX_SNR_DB))


def _frame_powers(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return the mean square of every `FRAME_S` above `RUMBLE_HZ`."""
    if not len(samples):
        return np.empty(0, np.float32)
    filter_ = scipy.signal.butter(2, RUMBLE_HZ, "high", fs=rate, output="sos").astype(np.float32)
    frames = _in_frames(scipy.signal.sosfilt(filter_, samples), FRAME_S, rate)
    return np.einsum("ij,ij->i", frames, frames) / max(1, frames.shape[1])


def _in_frames(samples: NDArray[np.float32], seconds: float, rate: int) -> NDArray[np.float32]:
    """Return float32 [n] as frames [n // size, size] of that many seconds, without a copy."""
    size = round(seconds * rate)
    return samples[: len(samples) // size * size].reshape(-1, size)


def _frames_of(
    speech: Sequence[Span], count: int, seconds: float = FRAME_S
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which of `count` frames have their middle in speech, and which lie in pauses, well apart from it."""
    spoken, paused = np.zeros(count, bool), np.ones(count, bool)
    for span in speech:
        spoken[_at(span.start / seconds - 0.5) : _at(span.end / seconds - 0.5)] = True
        paused[_at((span.start - GUARD_S) / seconds - 1) : _at((span.end + GUARD_S) / seconds)] = False
    return spoken, paused


def _at(frame: float) -> int:
    """Return the first whole frame that is not before `frame`."""
    return max(0, int(np.ceil(frame)))


def _bandwidth(samples: NDArray[np.float32], rate: int, speech: Sequence[Span]) -> float:
    """Return the frequency (Hz) up to which speech stands out; 0 for silence."""
    frames = _in_frames(samples, SPECTRUM_S, rate)
    spoken, _ = _frames_of(speech, len(frames), SPECTRUM_S)
    chosen = np.flatnonzero(spoken) if spoken.any() else np.arange(len(frames))
    if not len(chosen):
        return 0.0
    voice = _bands(frames, chosen, rate)
    floor = np.quantile(_bands(frames, np.arange(len(frames)), rate), FLOOR_SHARE, axis=0)
    level = voice.mean(axis=0)
    heard = (level > level.max() * 10 ** (-BAND_RANGE_DB / 10)) & (level > floor * 10 ** (BAND_OVER_FLOOR_DB / 10))
    pairs = np.flatnonzero(heard[1:] & heard[:-1])  # two in a row: one band alone is a line
    return min(rate / 2, float(pairs[-1] + 3) * BAND_HZ) if len(pairs) else 0.0  # band i ends at i + 2


def _bands(frames: NDArray[np.float32], chosen: NDArray[np.intp], rate: int) -> NDArray[np.float32]:
    """Return the power of frames [m, size] in bands of `BAND_HZ`, [at most SPECTRUM_FRAMES, bands]."""
    chosen = chosen[:: -(-len(chosen) // SPECTRUM_FRAMES)]
    size = frames.shape[1]
    spectrum = scipy.fft.rfft(frames[chosen] * np.hanning(size).astype(np.float32), axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    edges = np.round(np.arange(BAND_HZ, rate / 2, BAND_HZ) * size / rate).astype(int)  # the lowest holds the offset
    return np.add.reduceat(power, edges, axis=1)


def _clipping(samples: NDArray[np.float32]) -> float:
    """Return the share of samples in flat tops: runs at full scale or at the recording's own extremes."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < MIN_CLIPPED_PEAK:
        return 0.0
    pinned = 0
    for side in (samples, -samples):
        top = float(side.max())
        # A side far below the other was not what clipped; a float file far over full scale has a scale of its own.
        if top >= peak / 2:
            limit = top * (1 - FLAT)
            pinned += _in_runs(np.flatnonzero(side >= (min(limit, FULL_SCALE) if top < 2.0 else limit)))
    return pinned / len(samples)


def _in_runs(indices: NDArray[np.intp]) -> int:
    """Return how many of the ascending indices belong to `FLAT_RUN` or more in a row."""
    ends = np.flatnonzero(np.diff(indices, prepend=-2, append=np.iinfo(np.intp).max) != 1)
    runs = np.diff(ends)
    return int(runs[runs >= FLAT_RUN].sum())


def _decibels(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-30)))


def _warnings(quality: Quality) -> tuple[str, ...]:
    """Return what a listener should know, the most important first."""
    noisy_at = quality.snr_db if quality.snr_db is not None else MAX_SNR_DB
    narrow = 0 < quality.bandwidth_hz <= NARROW_HZ and noisy_at >= BAND_SNR_DB
    khz = f"{quality.bandwidth_hz / 1000:.1f} kHz"
    findings = (
        (
            quality.clipping >= CLIPPED_SHARE,
            "The recording is clipped: its loudest parts are cut off, which distorts the voice; "
            "record again further from the microphone or at a lower input level.",
        ),
        (
            quality.level_db < QUIET_DB,
            "The voice is very quiet; record again closer to the microphone or at a higher input level.",
        ),
        (
            noisy_at < NOISY_DB,
            f"The recording is noisy: speech is only {noisy_at:.0f} dB above the background.",
        ),
        (
            narrow,
            f"The recording sounds like a telephone: nothing above {khz} is left of the voice.",
        ),
        (
            quality.speech_s < SHORT_S,
            f"There is very little speech ({quality.speech_s:.2f} s); a whole sentence says more about a voice.",
        ),
        (
            quality.speech_s < SILENT_SHARE * quality.duration_s,
            f"Most of the recording is silence: {quality.speech_s:.1f} s of {quality.duration_s:.1f} s is speech.",
        ),
        (
            quality.sample_rate < LOW_RATE and not narrow,
            f"The sample rate is low ({quality.sample_rate / 1000:g} kHz): sounds above "
            f"{quality.sample_rate / 2000:g} kHz are missing.",
        ),
        (
            quality.noise_reduced,
            "Noise reduction was applied before the models listened; it can change how a voice sounds.",
        ),
    )
    return tuple(sentence for found, sentence in findings if found)

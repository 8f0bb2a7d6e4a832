"""Measure the level and the quality of a recording, and warn in plain sentences.

Quality is measured on the recording as it was decoded, before any cleaning, given the spans of speech in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.biquad import highpass
from ser_engine.types import SAMPLE_RATE, Quality, Recording, Span

# Speech is brought to this level, so that distance from the microphone is not mistaken for sadness; peaks stay under
# full scale.
LEVEL_DB, PEAK = -23.0, 0.98

# Levels are measured in frames that hold at least one period of any voice.
FRAME_S = 0.02
# Levels exclude everything below: hardly any voice, but mains hum, wind and rumble.
RUMBLE_HZ = 80.0
# Speech fades in and out beyond the detected spans: this much around them counts as neither speech nor pause.
GUARD_S = 0.05
# The background cannot be measured in less pause than this.
MIN_PAUSE_S = 0.1
# Quieter background is inaudible next to speech; pauses of digital silence get this value, too.
MAX_SNR_DB = 60.0
# The level of a recording of zeros.
SILENCE_DB = -120.0

# The spectrum is computed in frames of this length, at most this many and evenly spread: long recordings cost no more.
SPECTRUM_S, SPECTRUM_FRAMES = 0.032, 2000
# It is summed in bands of this width, so that a whistle does not count as bandwidth.
BAND_HZ = 125.0
# A band counts where speech is within this of its loudest band (fricatives lie some 45 dB under the vowels; the
# filters of codecs and resamplers cut deeper) ...
BAND_RANGE_DB = 50.0
# ... and above the band's own floor, its softest tenth, so that steady hiss and dither do not count.
FLOOR_SHARE, BAND_OVER_FLOOR_DB = 0.1, 6.0

# Samples from here on are at full scale.
FULL_SCALE = 0.999
# A flat top has at least this many consecutive samples within this share of the maximum; natural peaks have fewer.
FLAT_RUN, FLAT = 3, 1e-4
# Recordings with a lower peak never count as clipped: coarse quantization flattens the peaks of quiet ones.
MIN_CLIPPED_PEAK = 0.1

# When to warn. Clipping is audible from about one sample in a thousand. At -50 dB a 16-bit file has some 40 dB left for
# speech. At 10 dB the background is as loud as soft consonants. Telephones are sampled at 8 kHz. The models use speech
# up to 8 kHz, which needs a rate of 16 kHz.
CLIPPED_SHARE = 0.001
QUIET_DB = -50.0
NOISY_DB = 10.0
NARROW_HZ = 4000.0
LOW_RATE = 16_000
SHORT_S = 1.0
SILENT_SHARE = 0.25
# Below this ratio noise masks the upper end of the voice, so a narrow band is no sign of a poor microphone.
BAND_SNR_DB = 20.0

MOSTLY_SILENT = "Most of the recording is silence"
"""The beginning of a warning that says nothing about one of several speakers."""
NOISE_REDUCED = "Noise reduction was applied before classification; it can change how a voice sounds."
"""The warning that `clean_speech` adds where it reduced noise."""


def measure_quality(recording: Recording, speech: Sequence[Span]) -> Quality:
    """Measure the quality of a recording.

    Without any `speech`, which is in order, level and bandwidth are those of the whole recording.
    """
    samples, rate = recording.samples, recording.rate
    powers = _frame_powers(samples, rate)
    spoken, paused = _split_frames(speech, len(powers), FRAME_S)
    level = float(powers[spoken if spoken.any() else slice(None)].mean()) if len(powers) else 0.0
    quality = Quality(
        duration_s=recording.duration_s,
        speech_s=sum(span.duration_s for span in speech),
        sample_rate=rate,
        bandwidth_hz=_bandwidth(samples, rate, speech),
        snr_db=_snr(powers, spoken, paused),
        clipping=clipped_share(samples),
        level_db=max(SILENCE_DB, _decibels(level)),
        noise_reduced=False,
    )
    return replace(quality, warnings=(*recording.warnings, *_warnings(quality)))


def rms(samples: NDArray[np.floating]) -> float:
    """Return the root mean square of float [n]; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def normalize_level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale float32 [n] to `LEVEL_DB` (RMS), or less where peaks would exceed `PEAK`."""
    return samples * level_gain(samples)


def level_gain(samples: NDArray[np.float32]) -> np.float32:
    """Return the factor by which `normalize_level` scales float32 [n]."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak:
        return np.float32(1.0)
    return np.float32(min(10 ** (LEVEL_DB / 20) / rms(samples), PEAK / peak))


def find_quietest(samples: NDArray[np.float32]) -> int:
    """Return the middle of the tenth of a second with the least energy in the last third of float32 [n] at 16 kHz."""
    width = SAMPLE_RATE // 10
    first = 2 * len(samples) // 3
    frames = np.lib.stride_tricks.sliding_window_view(samples[first:], width)[:: width // 2]
    return first + int(np.square(frames).sum(axis=1).argmin()) * (width // 2) + width // 2


def merge_qualities(parts: Sequence[Quality], duration_s: float, warnings: Sequence[str] = ()) -> Quality:
    """Return the quality of a recording of `duration_s` from those of its parts with speech.

    Levels are means weighted by speech, the bandwidth is the widest; `warnings` are those of decoding.
    """
    speech = [part.speech_s for part in parts]
    ratios = [(part.snr_db, part.speech_s) for part in parts if part.snr_db is not None]
    quality = Quality(
        duration_s=duration_s,
        speech_s=sum(speech),
        sample_rate=max(part.sample_rate for part in parts),
        bandwidth_hz=max(part.bandwidth_hz for part in parts),
        snr_db=sum(snr_db * own for snr_db, own in ratios) / sum(own for _, own in ratios) if ratios else None,
        clipping=sum(part.clipping * part.duration_s for part in parts) / duration_s,
        level_db=_decibels(float(np.average([10 ** (part.level_db / 10) for part in parts], weights=speech))),
        noise_reduced=any(part.noise_reduced for part in parts),
    )
    reduced = (NOISE_REDUCED,) if quality.noise_reduced else ()
    return replace(quality, warnings=(*warnings, *_warnings(quality), *reduced))


def _snr(powers: NDArray[np.float32], spoken: NDArray[np.bool_], paused: NDArray[np.bool_]) -> float | None:
    """Return the level of speech over that of the pauses in dB, from -60 to 60.

    None without speech, or without a tenth of a second of pause in which to measure the background.
    """
    if not spoken.any() or np.count_nonzero(paused) * FRAME_S < MIN_PAUSE_S:
        return None
    # The median, because breaths, clicks and the tails of words stray into pauses.
    noise = float(np.median(powers[paused]))
    # The background of the pauses is present during speech, too.
    signal = max(0.0, float(powers[spoken].mean()) - noise)
    return float(np.clip(_decibels(signal) - _decibels(noise), -MAX_SNR_DB, MAX_SNR_DB))


def _frame_powers(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return the mean square of every `FRAME_S` above `RUMBLE_HZ`."""
    if not len(samples):
        return np.empty(0, np.float32)
    frames = _cut_frames(highpass(samples, RUMBLE_HZ, rate), FRAME_S, rate)
    return np.asarray(np.einsum("ij,ij->i", frames, frames) / max(1, frames.shape[1]))


def _cut_frames(samples: NDArray[np.float32], seconds: float, rate: int) -> NDArray[np.float32]:
    """Cut float32 [n] into frames [n // size, size] of that many seconds, without a copy."""
    size = round(seconds * rate)
    return samples[: len(samples) // size * size].reshape(-1, size)


def _split_frames(speech: Sequence[Span], count: int, seconds: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the `count` frames whose middle is in speech, and of those in pauses, well apart from it."""
    spoken, paused = np.zeros(count, bool), np.ones(count, bool)
    for span in speech:
        spoken[_ceil(span.start / seconds - 0.5) : _ceil(span.end / seconds - 0.5)] = True
        paused[_ceil((span.start - GUARD_S) / seconds - 1) : _ceil((span.end + GUARD_S) / seconds)] = False
    return spoken, paused


def _ceil(frame: float) -> int:
    return max(0, math.ceil(frame))


def _bandwidth(samples: NDArray[np.float32], rate: int, speech: Sequence[Span]) -> float:
    """Return the frequency (Hz) up to which speech stands out; 0 for silence."""
    frames = _cut_frames(samples, SPECTRUM_S, rate)
    spoken, _ = _split_frames(speech, len(frames), SPECTRUM_S)
    chosen = np.flatnonzero(spoken) if spoken.any() else np.arange(len(frames))
    if not len(chosen):
        return 0.0
    voice = _band_powers(frames, chosen, rate)
    floor = np.quantile(_band_powers(frames, np.arange(len(frames)), rate), FLOOR_SHARE, axis=0)
    level = voice.mean(axis=0)
    audible = (level > level.max() * 10 ** (-BAND_RANGE_DB / 10)) & (level > floor * 10 ** (BAND_OVER_FLOOR_DB / 10))
    pairs = np.flatnonzero(audible[1:] & audible[:-1])  # two in a row: a single band may be a whistle
    return min(rate / 2, float(pairs[-1] + 3) * BAND_HZ) if len(pairs) else 0.0  # band i ends at i + 2


def _band_powers(frames: NDArray[np.float32], chosen: NDArray[np.intp], rate: int) -> NDArray[np.float32]:
    """Return the power of frames [m, size] in bands of `BAND_HZ`, [at most SPECTRUM_FRAMES, bands]."""
    chosen = chosen[:: -(-len(chosen) // SPECTRUM_FRAMES)]
    size = frames.shape[1]
    spectrum = np.fft.rfft(frames[chosen] * np.hanning(size).astype(np.float32), axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    edges = np.round(np.arange(BAND_HZ, rate / 2, BAND_HZ) * size / rate).astype(int)  # without the lowest: the offset
    return np.add.reduceat(power, edges, axis=1)


def clipped_share(samples: NDArray[np.float32]) -> float:
    """Return the share of samples in flat tops: runs at full scale or at the recording's own extremes."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < MIN_CLIPPED_PEAK:
        return 0.0
    pinned = 0
    for side in (samples, -samples):
        top = float(side.max())
        # A side far below the other did not clip; a float file far over full scale has a scale of its own.
        if top >= peak / 2:
            limit = top * (1 - FLAT)
            pinned += _count_in_runs(np.flatnonzero(side >= (min(limit, FULL_SCALE) if top < 2.0 else limit)))
    return pinned / len(samples)


def _count_in_runs(indices: NDArray[np.intp]) -> int:
    """Count the ascending indices that belong to `FLAT_RUN` or more in a row."""
    ends = np.flatnonzero(np.diff(indices, prepend=-2, append=np.iinfo(np.intp).max) != 1)
    runs = np.diff(ends)
    return int(runs[runs >= FLAT_RUN].sum())


def _decibels(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-30)))


def _warnings(quality: Quality) -> tuple[str, ...]:
    """Return the sentences that apply, the most important first."""
    snr_db = quality.snr_db if quality.snr_db is not None else MAX_SNR_DB
    narrow = 0 < quality.bandwidth_hz <= NARROW_HZ and snr_db >= BAND_SNR_DB
    sentences = {
        "The recording is clipped: its loudest parts are cut off, which distorts the voice; "
        "record again further from the microphone or at a lower input level.": quality.clipping >= CLIPPED_SHARE,
        "The voice is very quiet; record again closer to the microphone or at a higher input level.": (
            quality.level_db < QUIET_DB
        ),
        f"The recording is noisy: speech is only {snr_db:.0f} dB above the background.": snr_db < NOISY_DB,
        "The recording sounds like a telephone call: the voice has nothing above "
        f"{quality.bandwidth_hz / 1000:.1f} kHz.": narrow,
        f"There is very little speech ({quality.speech_s:.2f} s); a whole sentence gives a more reliable result.": (
            quality.speech_s < SHORT_S
        ),
        f"{MOSTLY_SILENT}: only {quality.speech_s:.1f} s of {quality.duration_s:.1f} s is speech.": (
            quality.speech_s < SILENT_SHARE * quality.duration_s
        ),
        f"The sample rate is low ({quality.sample_rate / 1000:g} kHz): sounds above "
        f"{quality.sample_rate / 2000:g} kHz are missing.": quality.sample_rate < LOW_RATE and not narrow,
    }
    return tuple(sentence for sentence, applies in sentences.items() if applies)

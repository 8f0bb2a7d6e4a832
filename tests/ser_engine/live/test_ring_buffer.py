"""The audio of a live session: resampled chunk by chunk, held, stored."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import soxr

from ser_engine.live.ring_buffer import Resampler, RingBuffer, SessionAudio, to_mono
from tests.speech import RATE, speech


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_chunks_are_resampled_as_the_whole_would_be_to_the_bit(rate: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 2 * rate).astype(np.float32)
    sizes = np.random.default_rng(1).integers(1, 3000, 1000)
    resampler, parts = Resampler(RATE), []
    for first, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        parts.append(resampler.add(samples[first : first + size], rate))
    resampled = np.concatenate([*parts, resampler.finish()])
    assert np.array_equal(resampled, soxr.resample(samples, rate, RATE))


def test_the_rate_may_change_and_nothing_is_lost() -> None:
    tone = {rate: np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32) for rate in (48_000, 16_000)}
    resampler = Resampler(16_000)
    resampled = [resampler.add(tone[rate], rate) for rate in (48_000, 16_000, 48_000)]
    whole = np.concatenate([*resampled, resampler.finish()])
    assert len(whole) == 48_000
    assert np.abs(whole - np.tile(tone[16_000], 3))[200:-200].max() < 0.05


def test_only_the_latest_is_held_and_counted_from_the_beginning() -> None:
    latest, everything = RingBuffer(100), np.arange(1000, dtype=np.float32)
    sizes = np.random.default_rng(0).integers(1, 60, 40)
    for first, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        latest.add(everything[first : first + size])
        end = latest.total
        assert end == min(1000, first + size)
        assert np.array_equal(latest.between(end - 100, end), everything[max(0, end - 100) : end])
    latest.add(np.arange(5000, dtype=np.float32))
    assert latest.total == 6000 and np.array_equal(latest.between(5950, 6000), np.arange(4950, 5000))
    assert len(latest.between(0, 100)) == 0


def test_channels_are_averaged_and_integers_scaled() -> None:
    pairs = np.array([[16_384, -16_384], [32_767, 32_767], [-32_768, -32_768]], np.int16)
    assert to_mono(pairs).tolist() == pytest.approx([0.0, 1.0, -1.0], abs=1e-4)
    assert to_mono(pairs).dtype == np.float32 and to_mono(np.zeros((5, 1))).shape == (5,)


def test_stored_audio_is_bounded_and_a_wav() -> None:
    audio, samples = SessionAudio(2.0), speech()
    for first in range(0, len(samples), 333):
        audio.add(samples[first : first + 333], RATE)
    audio.finish()
    resampled, rate = soundfile.read(io.BytesIO(audio.wav()), dtype="float32")
    assert rate == RATE and len(resampled) == 2 * RATE
    assert np.abs(resampled - samples[: 2 * RATE]).max() <= 1 / 32768


def test_samples_over_full_scale_are_clipped_and_do_not_wrap_around() -> None:
    audio = SessionAudio(10)
    audio.add(np.array([1.5, -1.5], np.float32), RATE)
    resampled, _ = soundfile.read(io.BytesIO(audio.wav()), dtype="int16")
    assert resampled.tolist() == [32767, -32768]


def test_another_rate_is_stored_at_the_first() -> None:
    audio = SessionAudio(10)
    audio.add(np.zeros(48_000, np.float32), 48_000)
    audio.add(np.full(16_000, 0.5, np.float32), 16_000)
    audio.finish()
    resampled, rate = soundfile.read(io.BytesIO(audio.wav()), dtype="float32")
    assert rate == 48_000 and len(resampled) == 96_000
    assert resampled[72_000] == pytest.approx(0.5, abs=0.01) and resampled[24_000] == 0


def test_chunks_are_stored_in_order() -> None:
    audio, ramp = SessionAudio(200), (np.arange(150 * 100) / 15_000).astype(np.float32)
    for first in range(0, len(ramp), 7001):
        audio.add(ramp[first : first + 7001], 100)
    resampled, _ = soundfile.read(io.BytesIO(audio.wav()), dtype="float32")
    assert np.abs(resampled - ramp).max() <= 1 / 32768

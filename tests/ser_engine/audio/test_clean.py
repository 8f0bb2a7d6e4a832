"""From a recording to speech: the right rate, an even level, no long silences, and noise reduced only where it is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.audio.clean import LOW_SNR_DB, PAD_S, clean_speech, reduce_noise, resample
from ser_engine.audio.decode import load_audio
from ser_engine.audio.quality import LEVEL_DB, PEAK, measure_quality
from ser_engine.audio.vad import detect_speech
from ser_engine.data.corpora import registry
from ser_engine.errors import NoSpeech
from ser_engine.types import CleanSpeech, Recording, SourceInfo, Span
from tests.speech import RATE, VOICES, Samples, add_noise, clicks, music, noise, silence, speech, tone

KIDS, DOGS = "Kids are talking by the door.", "Dogs are sitting by the door."
NO_SPEECH = {
    "zeros": silence(3),
    "almost zeros": noise(3, 1e-5),
    "no samples": silence(0),
    "one sample": np.full(1, 0.5, np.float32),
    "a constant": np.full(3 * RATE, 0.3, np.float32),
    "a low tone": tone(3, 120),
    "a tone": tone(3),
    "a quiet tone": tone(3, 1000, 0.001),
    "a high tone": tone(3, 6000),
    "loud noise": noise(4, 0.3),
    "faint noise": noise(4, 0.002),
    "music": music(5),
    "clicks": clicks(4),
}
# A constant is no sound, but a fault of the recorder.
NOTHING_RECORDED = ("zeros", "almost zeros", "no samples", "one sample", "a constant")


def recorded(samples: Samples, rate: int = RATE) -> Recording:
    samples = np.ascontiguousarray(samples, np.float32)
    return Recording(samples, rate, SourceInfo("voice.wav", "WAV", "FLOAT", 1, rate, 4 * len(samples)))


def cleaned(samples: Samples, rate: int = RATE, **settings: object) -> CleanSpeech:
    return clean_speech(recorded(samples, rate), Settings(**settings))  # type: ignore[arg-type]


def decibels(samples: Samples) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))))


# --- no speech


@pytest.mark.parametrize("kind", NO_SPEECH)
def test_recordings_without_a_voice_are_refused(kind: str) -> None:
    with pytest.raises(NoSpeech) as caught:
        cleaned(NO_SPEECH[kind])
    beginning = "The recording is silent" if kind in NOTHING_RECORDED else "No speech was found"
    assert str(caught.value).startswith(beginning)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_no_rate_makes_a_voice_of_noise_or_music(rate: int) -> None:
    for sound in (noise(3, rate=rate), music(3, rate=rate), tone(3, rate=rate)):
        with pytest.raises(NoSpeech, match="No speech"):
            cleaned(sound, rate)


def test_less_speech_than_is_wanted_is_refused() -> None:
    seconds = cleaned(speech(DOGS)).quality.speech_s
    assert cleaned(speech(DOGS), min_speech_s=seconds - 0.01).quality.speech_s == seconds
    with pytest.raises(NoSpeech) as caught:
        cleaned(speech(DOGS), min_speech_s=seconds + 0.01)
    assert str(caught.value).startswith(
        f"Only {seconds:.2f} s of speech was found; at least {seconds + 0.01:g} s is needed"
    )


def test_a_tenth_of_a_second_is_too_little_by_default() -> None:
    voiced = detect_speech(speech(DOGS))[0].start
    blink = speech(DOGS)[: round((voiced + 0.1) * RATE)]
    with pytest.raises(NoSpeech, match=r"at least 0\.3 s is needed"):
        cleaned(np.concatenate([blink, silence(1)]))


# --- speech, and where it was


@pytest.mark.parametrize("voice", VOICES)
def test_the_speech_is_cut_out_of_the_recording(voice: str) -> None:
    clip = speech(KIDS, voice)
    got = cleaned(np.concatenate([silence(2), clip, silence(5), clip, silence(1)]))
    first, last = got.segments[0], got.segments[-1]
    assert 2.0 < first.start < 2.6 and 2 + len(clip) / RATE - 0.8 < first.end < 2 + len(clip) / RATE
    assert last.start - first.start == pytest.approx(5 + len(clip) / RATE, abs=0.1)
    assert got.duration_s < 2 * len(clip) / RATE
    assert len(got.samples) == sum(round(span.duration_s * RATE) for span in got.segments)


def test_the_samples_are_the_recordings_at_another_level() -> None:
    clip = np.concatenate([silence(1), speech(f"{KIDS} {DOGS}"), silence(2)])
    got = cleaned(clip)
    assert got.recording is not None and len(got.recording) == len(clip)
    gain = got.recording.max() / clip.max()
    original = np.concatenate([clip[round(s.start * RATE) : round(s.end * RATE)] for s in got.segments])
    np.testing.assert_allclose(got.samples, gain * original, atol=1e-4)
    np.testing.assert_allclose(got.recording, gain * clip, atol=1e-4)


def test_segments_are_in_order_apart_and_inside() -> None:
    clip = speech(f"{KIDS} {DOGS} {KIDS}")
    segments = cleaned(clip).segments
    assert len(segments) >= 3
    assert segments[0].start >= 0 and segments[-1].end <= len(clip) / RATE
    for earlier, later in pairwise(segments):
        assert earlier.start < earlier.end < later.start


def test_segments_are_padded_but_not_beyond_the_recording() -> None:
    clip = speech(DOGS)
    (span,) = detect_speech(clip)
    (padded,) = cleaned(clip).segments
    assert (padded.start, padded.end) == pytest.approx((span.start - PAD_S, span.end + PAD_S))
    tight = clip[round(span.start * RATE) + 800 : round(span.end * RATE) - 800]
    (all_of_it,) = cleaned(tight).segments
    assert all_of_it.start == 0.0 and all_of_it.end == pytest.approx(len(tight) / RATE, abs=1e-4)


def test_the_report_counts_speech_without_padding() -> None:
    clip = np.concatenate([speech(DOGS), silence(4)])
    quality = cleaned(clip).quality
    assert quality.duration_s == pytest.approx(len(clip) / RATE)
    assert quality.speech_s == pytest.approx(sum(span.duration_s for span in detect_speech(clip)))


def test_the_recording_itself_is_left_alone() -> None:
    recording = recorded(add_noise(speech(DOGS), 3))
    before = recording.samples.copy()
    clean_speech(recording, Settings(noise_reduction="always"))
    assert np.array_equal(recording.samples, before)


# --- rate and level


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 192_000])
def test_any_rate_becomes_16_khz_at_the_same_moments(rate: int) -> None:
    got, expected = cleaned(speech(DOGS, rate=rate), rate), cleaned(speech(DOGS))
    assert got.quality.sample_rate == rate
    assert len(got.segments) == len(expected.segments) == 1
    assert got.segments[0].start == pytest.approx(expected.segments[0].start, abs=0.07)
    assert got.segments[0].end == pytest.approx(expected.segments[0].end, abs=0.07)
    assert got.samples.dtype == np.float32 and got.samples.flags.c_contiguous
    if rate > RATE:
        assert got.recording is not None and expected.recording is not None
        length = min(len(got.recording), len(expected.recording))
        likeness = np.corrcoef(got.recording[:length], expected.recording[:length])[0, 1]
        assert likeness > 0.99


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_resampling_keeps_pitch_loudness_and_length(rate: int) -> None:
    got = resample(tone(1, 1000, rate=rate), rate)
    assert got.dtype == np.float32 and abs(len(got) - RATE) <= 1
    inside = slice(RATE // 10, -RATE // 10)
    np.testing.assert_allclose(got[inside], tone(1, 1000)[: len(got)][inside], atol=0.005)


def test_resampling_lets_nothing_through_that_the_new_rate_cannot_hold() -> None:
    aliased = resample(tone(1, 10_000, rate=48_000), 48_000)
    assert decibels(aliased[RATE // 10 : -RATE // 10]) < -80


def test_samples_at_16_khz_are_returned_as_they_are() -> None:
    samples = noise(1)
    assert resample(samples, RATE) is samples


@pytest.mark.parametrize("gain", [0.001, 0.03, 1.0, 3.0, 20.0])
def test_the_level_of_the_recording_makes_no_difference(gain: float) -> None:
    got, expected = cleaned(gain * speech(DOGS)), cleaned(speech(DOGS))
    assert got.segments == expected.segments
    np.testing.assert_allclose(got.samples, expected.samples, atol=1e-4)
    assert decibels(got.samples) == pytest.approx(LEVEL_DB, abs=0.05)
    assert got.quality.level_db == pytest.approx(expected.quality.level_db + 20 * np.log10(gain), abs=0.1)


@pytest.mark.parametrize("offset", [-0.3, 0.1])
def test_a_recorders_constant_offset_counts_neither_as_sound_nor_as_loudness(offset: float) -> None:
    got, expected = cleaned(speech(DOGS) + np.float32(offset)), cleaned(speech(DOGS))
    assert got.segments == expected.segments
    np.testing.assert_allclose(got.samples, expected.samples, atol=1e-3)


def test_a_bang_within_speech_stays_under_full_scale() -> None:
    clip = speech(DOGS)
    clip[20_000:20_004] = (1, -1, 1, -1)
    clip[: len(clip)] *= np.where(np.abs(clip) < 1, 0.02, 1).astype(np.float32)  # the voice is far away
    got = cleaned(clip)
    assert np.abs(got.samples).max() == pytest.approx(PEAK, abs=1e-3)
    assert decibels(got.samples) < LEVEL_DB - 1


def test_a_bang_outside_of_speech_does_not_make_the_voice_quiet() -> None:
    bang = silence(2)
    bang[8000:8004] = (1, -1, 1, -1)
    got = cleaned(np.concatenate([bang, 0.05 * speech(DOGS)]))
    assert got.segments[0].start > 2
    assert decibels(got.samples) == pytest.approx(LEVEL_DB, abs=0.05)


# --- noise


@pytest.mark.parametrize(("snr_db", "reduced"), [(None, False), (20, False), (5, True), (2, True)])
def test_noise_is_reduced_only_where_there_is_some(snr_db: float | None, reduced: bool) -> None:
    clip = speech(DOGS) if snr_db is None else add_noise(speech(DOGS), snr_db)
    auto, off = cleaned(clip), cleaned(clip, noise_reduction="off")
    assert auto.quality.noise_reduced is reduced
    assert any("Noise reduction" in warning for warning in auto.quality.warnings) is reduced
    assert np.array_equal(auto.samples, off.samples) is not reduced
    assert off.quality.noise_reduced is False


def test_the_border_is_the_measured_ratio() -> None:
    for snr_db in (6, 8, 10, 12, 14):
        quality = cleaned(add_noise(speech(DOGS), snr_db)).quality
        assert quality.snr_db is not None
        assert quality.noise_reduced is (quality.snr_db < LOW_SNR_DB)


def test_always_means_clean_speech_too() -> None:
    always = cleaned(speech(DOGS), noise_reduction="always")
    assert always.quality.noise_reduced
    assert always.segments == cleaned(speech(DOGS)).segments


def test_reduced_noise_is_less_noise_and_the_same_voice() -> None:
    voice = np.concatenate([silence(0.5), speech(DOGS), silence(0.5)])
    noisy = add_noise(voice, 5)
    spans = detect_speech(voice)
    got = reduce_noise(noisy, spans)
    assert got.shape == noisy.shape and got.dtype == np.float32
    before, after = (measure_quality(recorded(samples), spans).snr_db for samples in (noisy, got))
    assert before is not None and after is not None and after > before + 6
    spoken = slice(round(spans[0].start * RATE), round(spans[-1].end * RATE))
    likeness = [np.corrcoef(samples[spoken], voice[spoken])[0, 1] for samples in (noisy, got)]
    assert likeness[1] > likeness[0] > 0.5


def test_noise_is_estimated_from_pauses() -> None:
    voice = np.concatenate([silence(0.5), speech(DOGS, "woman"), silence(0.5)])
    noisy = add_noise(voice, 5)
    spans = detect_speech(voice)
    spoken = slice(round(spans[0].start * RATE), round(spans[-1].end * RATE))
    taught, untaught = (
        np.corrcoef(reduce_noise(noisy, where)[spoken], voice[spoken])[0, 1]
        for where in (spans, (Span(0.0, len(noisy) / RATE),))
    )
    assert taught > untaught + 0.01


def test_the_report_is_about_the_recording_as_it_came() -> None:
    clip = add_noise(speech(DOGS), 3)
    reduced, raw = cleaned(clip).quality, cleaned(clip, noise_reduction="off").quality
    assert reduced.noise_reduced
    assert (reduced.snr_db, reduced.level_db, reduced.clipping) == (raw.snr_db, raw.level_db, raw.clipping)


def test_noise_is_reduced_without_a_pause_to_learn_it_from() -> None:
    noisy = add_noise(speech(DOGS), 5)
    got = reduce_noise(noisy, (Span(0.0, len(noisy) / RATE),))
    assert got.shape == noisy.shape and got.dtype == np.float32
    assert np.isfinite(got).all() and 0 < decibels(noisy) - decibels(got) < 20


# --- real recordings


@pytest.mark.corpora
@pytest.mark.parametrize("corpus", ["ravdess", "cremad", "tess", "emodb"])
def test_real_clips_hold_speech(corpus: str, ser_data: Path, settings: Settings) -> None:
    utterances = registry.read_corpus(corpus, ser_data)
    for utterance in utterances[:: len(utterances) // 12]:
        got = clean_speech(load_audio(utterance.path, settings), settings)
        assert 0.3 <= got.quality.speech_s <= got.quality.duration_s
        assert decibels(got.samples) <= LEVEL_DB + 0.05 and np.abs(got.samples).max() <= PEAK + 1e-4

"""Voice activity detection: speech is found in recordings of speech and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soxr

from benchmarks.sounds import KINDS as KINDS_WITHOUT_SPEECH
from benchmarks.sounds import generate
from ser_engine.audio.vad import detect_speech
from ser_engine.audio.voice_evidence import measure_persistence
from ser_engine.settings import PROJECT
from tests.speech import RATE, VOICES, clicks, music, noise, silence, speech, tone

KIDS, DOGS = "Kids are talking by the door.", "Dogs are sitting by the door."


@pytest.mark.parametrize("voice", VOICES)
def test_speech_is_found_in_the_clips_and_nowhere_else(voice: str) -> None:
    segments = detect_speech(speech(f"{KIDS} {DOGS}", voice))
    assert sum(span.duration_s for span in segments) > 3.5
    assert 0.2 < segments[0].start < 0.6
    for other in (tone(3), noise(3), music(5), clicks(3), silence(3)):
        assert not detect_speech(other)


@pytest.mark.parametrize("text", [KIDS, DOGS])
def test_a_voice_as_high_as_a_scream_is_found(text: str) -> None:
    high = soxr.resample(speech(text, "woman"), 3.2 * RATE, RATE)
    found = detect_speech(np.concatenate([silence(1.0), high, silence(1.0)]))
    assert sum(span.duration_s for span in found) > 0.5
    assert 0.8 < found[0].start < 1.4


@pytest.mark.parametrize("step", [2, 3, 5, 7])
def test_a_plucked_melody_is_no_speech(step: int) -> None:
    """Notes that decay (Karplus and Strong, 1983), as of a guitar or a harp."""
    notes = []
    for number in range(8):
        period = round(RATE / (110 * 2 ** (number * step % 24 / 12)))
        string = np.random.default_rng(number).uniform(-0.5, 0.5, period)
        rounds = []
        for _ in range(round(0.4 * RATE / period)):
            rounds.append(string)
            string = 0.498 * (string + np.roll(string, 1))
        notes.append(np.concatenate(rounds))
    assert not detect_speech(np.concatenate(notes).astype(np.float32))


def test_threads_find_the_same_speech() -> None:
    clips = [
        np.concatenate([silence(i / 2), speech(text, voice)]) for i, text in enumerate((KIDS, DOGS)) for voice in VOICES
    ]
    alone = [detect_speech(clip) for clip in clips]
    assert len(set(alone)) > 1
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detect_speech, clips * 3)) == alone * 3


def test_finding_speech_leaves_torch_its_threads() -> None:
    code = (
        "import sys, numpy; from ser_engine.audio.vad import detect_speech; assert 'torch' not in sys.modules;"
        "import torch; torch.set_num_threads(2); detect_speech(numpy.zeros(16000, numpy.float32));"
        "print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"


@pytest.mark.parametrize("kind", KINDS_WITHOUT_SPEECH)
def test_instruments_birds_and_machines_are_no_speech(kind: str) -> None:
    for seed in range(3):
        assert not detect_speech(KINDS_WITHOUT_SPEECH[kind](np.random.default_rng(seed)).astype(np.float32))


@pytest.mark.parametrize("voice", VOICES)
def test_the_overtones_of_instruments_stay_where_they_are_and_those_of_a_voice_do_not(voice: str) -> None:
    voiced = measure_persistence(speech(f"{KIDS} {DOGS}", voice)[RATE // 2 : 3 * RATE])
    assert voiced < 0.3
    for kind, samples in generate(len(KINDS_WITHOUT_SPEECH)):
        if kind in ("piano", "plucked strings", "winds and bows", "bells"):
            assert measure_persistence(samples) > voiced + 0.1
    assert abs(measure_persistence(noise(3))) < 0.05
    assert np.isfinite(measure_persistence(noise(0.05))) and np.isfinite(measure_persistence(silence(1)))


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("speed", [2.6, 3.2])
def test_the_spans_cover_a_voice_at_which_the_detector_is_undecided(voice: str, speed: float) -> None:
    high = soxr.resample(speech(f"{KIDS} {DOGS}", voice), speed * RATE, RATE)
    samples = np.concatenate([silence(1.0), high, silence(1.0)])
    inside = np.zeros(len(samples), bool)
    for span in detect_speech(samples):
        inside[max(0, round((span.start - 0.1) * RATE)) : round((span.end + 0.1) * RATE)] = True
    power = np.square(samples)
    assert power[inside].sum() > 0.9 * power.sum()


def test_a_minute_of_music_is_refused() -> None:
    melody = KINDS_WITHOUT_SPEECH["piano"](np.random.default_rng(0)).astype(np.float32)
    assert not detect_speech(np.tile(melody, 15))

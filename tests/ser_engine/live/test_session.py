"""Live sessions: the same sound gives the same updates, each what a recording of that window would give."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import soxr

from ser_engine import Analyzer
from ser_engine.audio.clean import clean_speech
from ser_engine.errors import InvalidAudio, InvalidSettings, TooLarge
from ser_engine.live.session import MAX_SESSION_S, LiveSession, Update, to_csv
from ser_engine.live.transcript import LIVE
from ser_engine.types import Recording
from tests.ser_engine.tiny_listener import LABELS, tiny_analyzer
from tests.speech import RATE, Samples, add_noise, noise, silence, speech

ELEVEN = "It is eleven o'clock."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return tiny_analyzer(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def sound() -> Samples:
    """13.2 seconds: a man (0.3 to 2.6), silence, a woman (7.2 to 8.9), noise from 9.6 on."""
    return np.concatenate([speech(), silence(3.6), speech(ELEVEN, "woman"), noise(3.6, 0.03)])


def cut(samples: Samples, *sizes: int) -> Iterator[Samples]:
    """Yield chunks of these sizes in turn."""
    first = 0
    while first < len(samples):
        for size in sizes:
            yield samples[first : first + size]
            first += size


def played(session: LiveSession, samples: Samples, rate: int, *sizes: int) -> list[Update]:
    updates = [update for chunk in cut(samples, *sizes) for update in session.push(chunk, rate)]
    return updates + session.finish()


def as_dicts(updates: list[Update]) -> list[dict[str, object]]:
    return [update.to_dict() for update in updates]


# Windows


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_the_same_sound_gives_the_same_updates_however_it_was_cut(tiny: Analyzer, sound: Samples, rate: int) -> None:
    samples = soxr.resample(sound[: 7 * RATE], RATE, rate)
    frames = played(LiveSession(tiny, hop_s=1.0), samples, rate, rate // 50)
    whole = played(LiveSession(tiny, hop_s=1.0), samples, rate, len(samples))
    ragged = played(LiveSession(tiny, hop_s=1.0), samples, rate, 1, 7000, 333, 20_011)
    assert len(frames) == 7 and {update.state for update in frames} >= {"speech", "silence"}
    assert as_dicts(frames) == as_dicts(whole) == as_dicts(ragged)


def test_kinds_of_numbers_and_channels_make_no_difference(tiny: Analyzer, sound: Samples) -> None:
    whole = np.clip(np.round(sound[: 4 * RATE] * 32768), -32768, 32767).astype(np.int16)
    plain = (whole / 32768).astype(np.float32)
    stereo = np.stack([whole, whole], axis=1)
    results = [
        as_dicts(played(LiveSession(tiny, hop_s=1.0), samples, RATE, 1600))
        for samples in (plain, plain.astype(np.float64), whole, stereo, whole.astype(np.int32) << 16)
    ]
    assert all(result == results[0] for result in results) and len(results[0]) == 4


def test_a_window_is_scored_like_a_recording(analyzer: Analyzer, sound: Samples) -> None:
    """With the bundled model: cleaned like any recording, scored by the Analyzer's model."""
    session = LiveSession(analyzer, hop_s=1.5)
    updates = [update for update in played(session, sound[: 8 * RATE], RATE, 1000) if update.scores]
    assert len(updates) >= 3
    for update in updates:
        window = sound[round(update.start * RATE) : round(update.end * RATE)]
        speech = clean_speech(Recording(window, RATE, LIVE), analyzer.settings)
        (expected,) = analyzer.model.predict([speech])
        assert update.scores is not None and update.scores.to_dict() == expected.scores.to_dict()
        assert update.speech_s == speech.quality.speech_s


def test_windows_grow_to_their_length_and_then_move(tiny: Analyzer, sound: Samples) -> None:
    updates = played(LiveSession(tiny), sound[: round(4.3 * RATE)], RATE, 800)
    assert [(update.start, update.end) for update in updates] == [
        (0, 1), (0, 1.5), (0, 2), (0, 2.5), (0, 3), (0.5, 3.5), (1, 4), (pytest.approx(1.3), pytest.approx(4.3)),
    ]  # fmt: skip
    two = played(LiveSession(tiny, window_s=2.0, hop_s=2.0), sound[: 4 * RATE], RATE, 800)
    assert [(update.start, update.end) for update in two] == [(0, 2), (2, 4)]


def test_an_update_comes_as_soon_as_its_window_is_complete(tiny: Analyzer, sound: Samples) -> None:
    session = LiveSession(tiny)
    assert session.push(sound[: RATE - 1], RATE) == []
    assert [update.end for update in session.push(sound[RATE - 1 : RATE], RATE)] == [1.0]
    # At other rates the resampler needs a little of what follows: less than a twentieth of a second.
    session, high = LiveSession(tiny), soxr.resample(sound, RATE, 48_000)
    assert [update.end for update in session.push(high[: round(1.05 * 48_000)], 48_000)] == [1.0]


def test_silence_and_noise_are_never_scored(tiny: Analyzer, sound: Samples) -> None:
    updates = played(LiveSession(tiny), sound, RATE, 1600)
    by_end = {update.end: update for update in updates}
    assert by_end[2.0].state == "speech" and by_end[6.0].state == "silence" and by_end[13.0].state == "noise"
    for update in updates:
        assert (update.scores is None) == (update.state != "speech") == (update.speech_s == 0)
    assert by_end[6.0].level_db < -100 and by_end[13.0].level_db == pytest.approx(20 * np.log10(0.03), abs=0.5)


def test_too_little_speech_is_neither_scored_nor_called_noise(tiny: Analyzer) -> None:
    word = speech(ELEVEN)
    brief = np.concatenate([silence(0.8), word[round(0.35 * RATE) : round(0.55 * RATE)], silence(1.0)])
    states = [update.state for update in played(LiveSession(tiny, hop_s=1.0), brief, RATE, 1600)]
    assert "little" in states and "noise" not in states


def test_the_gate_of_islam_depends_on_the_level_alone(tiny: Analyzer, sound: Samples) -> None:
    updates = played(LiveSession(tiny, gate="rms", window_s=2.0, hop_s=2.0), sound[: 12 * RATE], RATE, 1600)
    levels = [float(np.sqrt(np.mean(sound[round(u.start * RATE) : round(u.end * RATE)] ** 2))) for u in updates]
    assert [update.state for update in updates] == ["speech" if level >= 0.01 else "silence" for level in levels]
    assert updates[-1].state == "speech" and updates[-1].end > 11  # loud noise is speech to this gate


def test_a_noisy_voice_is_scored(tiny: Analyzer) -> None:
    updates = played(LiveSession(tiny, hop_s=1.0), add_noise(np.tile(speech(), 2)[: 3 * RATE], 5), RATE, 1600)
    assert updates[-1].state == "speech"


# Behind the sound


class Clock:
    """Seconds that pass by so much each time somebody looks."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


def test_a_late_session_skips_windows_counts_them_and_catches_up(tiny: Analyzer, sound: Samples) -> None:
    session = LiveSession(tiny, clock=Clock(0))
    on_time = session.push(sound[: 2 * RATE], RATE, behind_s=0.0)
    assert [update.end for update in on_time] == [1.0, 1.5, 2.0] and session.skipped == 0
    # Three seconds wait behind this chunk: none of its windows is worth scoring.
    assert session.push(sound[2 * RATE : 4 * RATE], RATE, behind_s=3.0) == [] and session.skipped == 4
    # Still more than a hop behind: it does not stay a second late for ever.
    assert session.push(sound[4 * RATE : 5 * RATE], RATE, behind_s=0.6) == [] and session.skipped == 6
    (update,) = session.push(sound[5 * RATE : round(5.5 * RATE)], RATE, behind_s=0.1)
    assert (update.end, update.skipped) == (5.5, 6)
    assert [update.end for update in session.push(sound[round(5.5 * RATE) : 6 * RATE], RATE, 0.0)] == [6.0]


def test_the_time_that_scoring_takes_counts_too(tiny: Analyzer, sound: Samples) -> None:
    slow = LiveSession(tiny, clock=Clock(0.7))
    ends = [update.end for update in slow.push(sound[: 3 * RATE], RATE, behind_s=0.0)]
    assert slow.skipped >= 2 and len(ends) + slow.skipped == 5


def test_some_windows_are_scored_however_late(tiny: Analyzer) -> None:
    session = LiveSession(tiny)
    updates = [update for _ in range(12) for update in session.push(silence(1.0), RATE, behind_s=60.0)]
    assert [update.end for update in updates] == [6.0, 11.5] and session.skipped == 21


def test_without_a_clock_nothing_is_skipped(tiny: Analyzer, sound: Samples) -> None:
    session = LiveSession(tiny, clock=Clock(100.0))
    assert len(session.push(sound[: 3 * RATE], RATE)) == 5 and session.skipped == 0


# Timeline and audio


def test_the_timeline_grows_and_can_be_saved(tiny: Analyzer, sound: Samples) -> None:
    session = LiveSession(tiny, hop_s=1.0)
    updates = played(session, sound, RATE, 4000)
    assert list(session.timeline) == updates and session.duration_s == pytest.approx(len(sound) / RATE)
    rows = list(csv.DictReader(io.StringIO(to_csv(session.timeline))))
    saved = json.loads(json.dumps(session.to_dict()), parse_constant=pytest.fail)
    assert len(rows) == len(saved["updates"]) == len(updates)
    for row, update, entry in zip(rows, updates, saved["updates"], strict=True):
        assert (float(row["start"]), row["state"]) == (pytest.approx(update.start, abs=1e-3), update.state)
        if update.scores:
            assert [float(row[label]) for label in LABELS] == [entry["scores"][label] for label in LABELS]
            assert row["top"] == entry["top"] == update.scores.top
        else:
            assert row["top"] == row["happy"] == "" and entry["scores"] is None
    assert (saved["window_s"], saved["hop_s"], saved["gate"], saved["skipped"]) == (3.0, 1.0, "speech", 0)


def test_audio_is_stored_only_on_request(tiny: Analyzer, sound: Samples) -> None:
    stereo = np.stack([sound, -0.5 * sound], axis=1)[: 4 * RATE]
    stored, other = LiveSession(tiny, hop_s=3.0, keep_audio=True), LiveSession(tiny, hop_s=3.0)
    for session in (stored, other):
        session.push(soxr.resample(stereo, RATE, 48_000), 48_000)
        session.finish()
    samples, rate = soundfile.read(io.BytesIO(stored.wav()), dtype="float32")
    assert rate == 48_000 and samples.shape == (4 * 48_000,)
    expected = soxr.resample(stereo, RATE, 48_000).mean(axis=1)
    assert np.abs(samples - expected).max() <= 1 / 32768
    with pytest.raises(InvalidSettings, match="keep_audio"):
        other.wav()


def test_memory_does_not_grow_with_the_sound(tiny: Analyzer) -> None:
    session = LiveSession(tiny, words=True, hop_s=3.0)
    held = [array.nbytes for array in (session._audio._held,)]
    for _ in range(20):
        session.push(silence(30), RATE)
    assert [session._audio._held.nbytes] == held and held[0] < 4e6 and len(session.timeline) == 200


def test_the_level_is_that_of_the_last_moment(tiny: Analyzer) -> None:
    session = LiveSession(tiny)
    assert session.level_db == -120
    session.push(np.concatenate([noise(0.5), 0.3 + np.tile([0.1, -0.1], 800)]), RATE)
    assert session.level_db == pytest.approx(-20, abs=0.01)


# Segments of speech


def test_segments_of_speech_end_at_pauses(tiny: Analyzer, sound: Samples) -> None:
    session = LiveSession(tiny, words=True)
    taken = []
    for chunk in cut(sound, 1600):
        session.push(chunk, RATE)
        taken += [(session.duration_s, spoken) for spoken in session.take_segments()]
    session.finish()
    taken += [(session.duration_s, spoken) for spoken in session.take_segments()]
    (first_at, man), (second_at, woman) = taken
    assert first_at < 3.6 and second_at < 10.1 and session.lost_segments == 0
    for spoken in (man, woman):
        assert np.array_equal(spoken.samples, sound[round(spoken.start * RATE) :][: len(spoken.samples)])
    assert man.start < 0.1 and 2.5 < man.end < 3.2 and 6.7 < woman.start < 7.2 and 8.8 < woman.end < 9.5


def test_words_cost_nothing_and_change_no_score(tiny: Analyzer, sound: Samples) -> None:
    plain, words = LiveSession(tiny, hop_s=1.0), LiveSession(tiny, hop_s=1.0, words=True)
    assert as_dicts(played(plain, sound, RATE, 1600)) == as_dicts(played(words, sound, RATE, 1600))
    assert plain.take_segments() == [] and len(words.take_segments()) == 2


# What is refused


@pytest.mark.parametrize(
    "given", [{"window_s": 0.5}, {"window_s": float("nan")}, {"hop_s": 0.0}, {"hop_s": 4.0}, {"gate": "level"}]
)
def test_settings_that_make_no_sense_are_refused(tiny: Analyzer, given: dict[str, object]) -> None:
    with pytest.raises(InvalidSettings):
        LiveSession(tiny, **given)  # type: ignore[arg-type]


def test_invalid_samples_are_refused_and_the_session_continues(tiny: Analyzer) -> None:
    session = LiveSession(tiny)
    for samples, rate in (
        (np.array([0.0, np.nan]), RATE),
        (np.zeros(4, np.uint8), RATE),
        (np.zeros((2, 2, 2)), RATE),
        (np.zeros((4, 33)), RATE),
        (np.zeros(4), 4000),
        (np.zeros(4), 400_000),
    ):
        with pytest.raises(InvalidAudio) as error:
            session.push(samples, rate)
        assert str(error.value).endswith(".") and "\n" not in str(error.value)
    assert session.push(silence(1.0), RATE)[0].state == "silence"


def test_a_session_lasts_an_hour_at_most_and_is_finished_once(tiny: Analyzer) -> None:
    session = LiveSession(tiny, window_s=10, hop_s=10)
    session.push(np.zeros(3000 * 8000, np.float32), 8000)
    with pytest.raises(TooLarge, match="60 minutes"):
        session.push(silence(MAX_SESSION_S - 2999), RATE)
    assert session.duration_s == 3000 and session.push(silence(600), RATE)
    assert session.finish() == [] == session.finish() and len(session.timeline) == 360
    with pytest.raises(InvalidAudio, match="finished"):
        session.push(silence(0.1), RATE)


def test_a_session_without_samples_is_empty(tiny: Analyzer) -> None:
    session = LiveSession(tiny, keep_audio=True)
    assert session.push(np.zeros(0, np.float32), RATE) == [] == session.finish()
    assert session.wav()[:4] == b"RIFF" and to_csv(session.timeline).startswith("start,end,state,top")

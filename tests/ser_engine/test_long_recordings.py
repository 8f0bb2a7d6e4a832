"""A long recording is analyzed in stretches: the same answer, step by step, and nothing of its sound is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Analysis, Analyzer, Settings, process_file, process_files
from ser_engine.cli import minutes_bar
from ser_engine.errors import InvalidAudio, NoSpeech, TooLarge
from ser_engine.merging import merge_stretches
from ser_engine.settings import PROJECT
from ser_engine.speakers.lanes import merge_answers
from ser_engine.speakers.voice_kind import CHILD, SENTENCES
from ser_engine.types import (
    NO_SAMPLES,
    STAGES,
    CleanSpeech,
    Quality,
    Recording,
    Scores,
    SourceInfo,
    Span,
    Speaker,
    TimelineWindow,
    Transcript,
    TranscriptSegment,
    Word,
)
from tests.ser_engine.tiny_listener import tiny_analyzer
from tests.speech import RATE, encode, noise, silence, speech

TEXT = "Dogs are sitting by the door. It is eleven o'clock. Kids are talking by the door. I wonder what this is about."
SOUND = np.concatenate([speech(TEXT), silence(1), speech(TEXT, "woman")])
"""25 seconds."""


@pytest.fixture(scope="module")
def whole(analyzer: Analyzer) -> Analysis:
    return analyzer.analyze(encode(SOUND), name="voices.wav")


@pytest.fixture(scope="module")
def in_stretches(settings: Settings) -> Analyzer:
    """An analyzer to which more than 16 seconds are long."""
    return Analyzer(replace(settings, stretch_s=8.0))


@pytest.fixture(scope="module")
def long(in_stretches: Analyzer) -> Analysis:
    return in_stretches.analyze(encode(SOUND), name="voices.wav")


@pytest.fixture
def tiny(tmp_path: Path) -> Analyzer:
    """A tiny model, to which more than 16 seconds are long."""
    analyzer = tiny_analyzer(tmp_path)
    analyzer.settings = replace(analyzer.settings, stretch_s=8.0)
    return analyzer


def test_the_answer_is_about_that_to_the_whole(whole: Analysis, long: Analysis) -> None:
    assert whole.transcript and long.transcript
    words = [analysis.transcript.text.split() for analysis in (whole, long) if analysis.transcript]
    assert SequenceMatcher(None, *words, autojunk=False).ratio() > 0.85
    assert long.transcript.language == "en" and long.transcript.engine == whole.transcript.engine
    starts = [segment.start for segment in long.transcript.segments]
    assert starts == sorted(starts) and starts[-1] > 16
    assert all(segment.scores is not None for segment in long.transcript.segments)
    np.testing.assert_allclose(long.scores.probabilities, whole.scores.probabilities, atol=0.15)
    assert set(long.modalities) == set(whole.modalities)
    assert long.quality.duration_s == pytest.approx(whole.quality.duration_s, abs=1e-3)
    assert long.quality.speech_s == pytest.approx(whole.quality.speech_s, rel=0.1)
    assert long.quality.warnings == whole.quality.warnings
    assert (long.file, long.model, long.recording.source) == (whole.file, whole.model, whole.recording.source)
    assert len(long.timeline) == pytest.approx(len(whole.timeline), abs=6)
    assert long.timeline[0].start < 1 and long.timeline[-1].end > len(SOUND) / RATE - 1
    assert set(long.seconds) == {*STAGES, "total"} and min(long.seconds.values()) > 0


def test_its_speakers_are_those_of_the_whole(whole: Analysis, long: Analysis) -> None:
    assert [speaker.name for speaker in long.speakers] == [speaker.name for speaker in whole.speakers]
    assert len(long.speakers) == 2
    for own, other in zip(long.speakers, whole.speakers, strict=True):
        assert own.share == pytest.approx(other.share, abs=0.05)
        assert own.answer.speech.segments[0].start == pytest.approx(other.answer.speech.segments[0].start, abs=0.3)
        assert own.answer.speech.segments[-1].end == pytest.approx(other.answer.speech.segments[-1].end, abs=0.3)


def test_a_long_call_has_an_answer_for_each_channel(in_stretches: Analyzer) -> None:
    man, woman = speech(TEXT), speech(TEXT, "woman")
    hush = noise(len(SOUND) / RATE, 0.0005)[: len(SOUND)]
    sides = [hush.copy(), hush[::-1].copy()]
    sides[0][: len(man)] += man
    sides[1][-len(woman) :] += woman
    analysis = in_stretches.analyze(np.stack(sides), RATE)
    assert [(each.name, each.channel) for each in analysis.speakers] == [("Left", 1), ("Right", 2)]
    assert [each.used for each in analysis.channels] == [True, True]
    left, right = (each.answer.speech.segments for each in analysis.speakers)
    assert left[-1].end < len(man) / RATE + 0.5 < right[0].start + 1
    assert not any("no speech of its own" in warning for warning in analysis.quality.warnings)


def test_of_a_long_recording_with_a_dead_channel_the_other_one_is_used(in_stretches: Analyzer) -> None:
    analysis = in_stretches.analyze(np.stack([0 * SOUND, SOUND]), RATE, transcribe=False, speakers="off")
    (warning,) = (note for note in analysis.quality.warnings if "left channel is silent" in note)
    assert warning in analysis.recording.warnings
    alone = in_stretches.analyze(SOUND, RATE, transcribe=False, speakers="off")
    np.testing.assert_allclose(analysis.scores.probabilities, alone.scores.probabilities, atol=1e-5)


def test_nothing_of_its_sound_is_kept_and_what_needs_it_says_so(in_stretches: Analyzer, long: Analysis) -> None:
    assert not long.has_sound and long.speech.recording is None and not len(long.recording.samples)
    assert long.speech.segments[-1].end > 20
    one = long.speakers[0].answer
    for ask in (lambda: in_stretches.rescore(long, "Good morning."), lambda: in_stretches.explain(one)):
        with pytest.raises(TooLarge, match=r"only for recordings of up to 0\.2667 minutes.*\(SER_STRETCH_S\)\.$"):
            ask()


def test_an_edited_sentence_is_scored_from_the_recording(in_stretches: Analyzer, long: Analysis) -> None:
    assert long.transcript
    old, *_ = long.transcript.segments
    lines = long.transcript.text.split("\n")
    assert lines[0].startswith(f"{old.speaker}: {old.text}")
    # A capital letter alone changes nothing: the scores are about those that the stretch had.
    alike, moved = (
        in_stretches.rescore(long, "\n".join([lines[0].replace(old.text, words, 1), *lines[1:]]), encode(SOUND))
        for words in (old.text.replace("door", "Door"), "I hate you, get out of here!")
    )
    assert alike.transcript and moved.transcript
    new = moved.transcript.segments[0]
    assert old.scores and new.scores and new.text.startswith("I hate you") and new.confidence == 1.0
    np.testing.assert_allclose(alike.transcript.segments[0].scores.probabilities, old.scores.probabilities, atol=0.1)
    assert new.scores.to_dict()["angry"] > 1.5 * old.scores.to_dict()["angry"]
    rest = zip(moved.transcript.segments[1:], long.transcript.segments[1:], strict=True)
    assert all((one.text, one.scores) == (other.text, other.scores) for one, other in rest)
    assert moved.speakers[0].answer.transcript and moved.speakers[0].answer.transcript.segments[0].scores is new.scores
    assert moved.scores is long.scores and moved.timeline == long.timeline
    with pytest.raises(InvalidAudio, match="another recording than"):
        in_stretches.rescore(long, "Good morning.", encode(SOUND[::-1]))


def test_the_way_is_reported(tiny: Analyzer) -> None:
    steps: list[tuple[float, float]] = []
    stages: list[tuple[str, float | None]] = []
    parts: list[tuple[Recording, float, float]] = []
    tiny.analyze(
        encode(SOUND),
        progress=lambda *now: stages.append(now),
        advance=lambda *now: steps.append(now),
        decoded=lambda *now: parts.append(now),
    )
    length = len(SOUND) / RATE
    done = [done_s for done_s, _ in steps]
    assert done == sorted(done) and steps[-1] == (pytest.approx(length), pytest.approx(length))
    assert len({round(seconds) for seconds in done}) > 3
    assert {stage for stage, _ in stages} == set(STAGES)
    took = [seconds for stage, seconds in stages if stage == "classify" and seconds is not None]
    assert len(took) == len(parts) > 3 and took == sorted(took)
    assert [start for _, start, _ in parts] == pytest.approx(
        np.cumsum([0, *(part.duration_s for part, *_ in parts[:-1])]).tolist()
    )
    assert {total for *_, total in parts} == {length}
    assert sum(len(part.samples) for part, *_ in parts) == len(SOUND)


class Enough(Exception):
    """Ends an analysis."""


@pytest.mark.parametrize("calls", [1, 5, 20])
def test_a_callback_ends_an_analysis(tiny: Analyzer, calls: int) -> None:
    steps: list[float] = []

    def advance(done_s: float, total_s: float) -> None:
        steps.append(done_s)
        if len(steps) == calls:
            raise Enough

    with pytest.raises(Enough):
        tiny.analyze(encode(SOUND), advance=advance)
    assert len(steps) == calls


def test_silence_within_is_left_out_and_silence_alone_refused(tiny: Analyzer) -> None:
    samples = np.concatenate([speech(), silence(30), speech(voice="woman"), silence(20)])
    analysis = tiny.analyze(encode(samples))
    assert analysis.quality.duration_s == pytest.approx(len(samples) / RATE)
    assert any("silence" in warning for warning in analysis.quality.warnings)
    assert max(window.end for window in analysis.timeline) < len(samples) / RATE - 15
    with pytest.raises(NoSpeech, match="silent"):
        tiny.analyze(encode(silence(30)))
    with pytest.raises(NoSpeech, match="No speech was found"):
        tiny.analyze(encode(noise(30)))


def test_long_and_short_recordings_together(tiny: Analyzer) -> None:
    sources = [encode(SOUND), encode(speech()), b"no recording", SOUND, encode(speech(voice="woman"))]
    answers = tiny.analyze_batch(sources, RATE)
    lengths = [round(each.quality.duration_s, 1) for each in answers if isinstance(each, Analysis)]
    long, short = round(len(SOUND) / RATE, 1), round(len(speech()) / RATE, 1)
    assert lengths[:3] == [long, short, long] and len(lengths) == 4
    assert [isinstance(each, Analysis) and each.has_sound for each in answers] == [False, True, False, False, True]


def test_tables_of_long_files_and_of_their_parts(tiny: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "voices.flac"
    path.write_bytes(encode(SOUND, RATE, "FLAC"))
    alone = tiny.analyze(path)
    table = process_files([path, path, path], [None, 1, 12], [None, 20, 15], analyzer=tiny)
    assert table.index.get_level_values("end").total_seconds().tolist() == pytest.approx([len(SOUND) / RATE, 20, 15])
    np.testing.assert_allclose(table[list(alone.scores.labels)].iloc[0], alone.scores.probabilities, atol=1e-5)
    part = process_file(path, start=12, end=15, analyzer=Analyzer(replace(tiny.settings, stretch_s=300.0)))
    np.testing.assert_allclose(table[list(alone.scores.labels)].iloc[2], part[list(alone.scores.labels)].iloc[0], 1e-4)


# --- merging


def part(happy: float, *sentences: tuple[float, str], language: str = "en", **quality: float) -> Analysis:
    scores = Scores(("happy", "sad"), np.array([happy, 1 - happy], np.float32))
    segments = tuple(
        TranscriptSegment(start, start + 1, text, 0.9, (Word(start, start + 1, text, 0.9),))
        for start, text in sentences
    )
    transcript = Transcript(" ".join(text for _, text in sentences), language, segments, 0.9, "whisper")
    spans = tuple(Span(start, start + 1) for start, _ in sentences)
    measured = Quality(10.0, float(len(spans)), RATE, 7000.0, 30.0, 0.0, -20.0, False)
    measured = replace(measured, **quality)  # type: ignore[arg-type]
    recording = Recording(NO_SAMPLES, RATE, SourceInfo("call.wav", "WAV", "PCM_16", 1, RATE, 0))
    return Analysis(
        "call.wav", "ours", scores, transcript, tuple(TimelineWindow(*vars(span).values(), scores) for span in spans),
        measured, {"total": 1.0}, recording, CleanSpeech(NO_SAMPLES, spans, measured),
    )  # fmt: skip


def test_stretches_become_one_answer() -> None:
    first = part(0.9, (1.0, "Hello."), (3.0, "There."), snr_db=20.0, clipping=0.01)
    second = part(0.3, (2.0, "Ja."), language="de", bandwidth_hz=8000.0, noise_reduced=True)
    whole = merge_stretches([(0.0, first), (10.0, second)], first.recording, 25.0)
    assert whole.scores.to_dict()["happy"] == pytest.approx((2 * 0.9 + 0.3) / 3)
    assert whole.transcript and whole.transcript.text == "Hello. There. Ja." and whole.transcript.language == "en"
    assert [segment.start for segment in whole.transcript.segments] == [1, 3, 12]
    assert whole.transcript.segments[-1].words[0].start == 12
    assert [window.start for window in whole.timeline] == [span.start for span in whole.speech.segments] == [1, 3, 12]
    quality = whole.quality
    assert (quality.duration_s, quality.speech_s, quality.bandwidth_hz) == (25, 3, 8000)
    assert quality.snr_db == pytest.approx(70 / 3) and quality.clipping == pytest.approx(0.1 / 25)
    assert quality.noise_reduced and quality.level_db == pytest.approx(-20)
    assert "clipped" in quality.warnings[0] and "Noise reduction" in quality.warnings[-1]


def test_a_speaker_is_the_same_in_all_stretches() -> None:
    def stretch(overlaps: tuple[Span, ...] = (), **own: Analysis) -> Analysis:
        spans = tuple(span for answer in own.values() for span in answer.speech.segments)
        speech = replace(next(iter(own.values())).speech, segments=spans)
        speakers = [Speaker(name, None, 0.0, answer) for name, answer in own.items()]
        return merge_answers(next(iter(own.values())).recording, speech, speakers, overlaps)

    first = stretch((Span(5.0, 6.0),), A=part(0.9, (1.0, "Hello.")), B=part(0.1, (3.0, "No."), (7.0, "Never.")))
    second = stretch(A=part(0.5, (2.0, "Well.")))
    whole = merge_stretches([(0.0, first), (10.0, second)], first.recording, 20.0)
    assert [speaker.name for speaker in whole.speakers] == ["A", "B"]
    assert [speaker.share for speaker in whole.speakers] == [0.5, 0.5]
    assert [span.start for span in whole.speakers[0].answer.speech.segments] == [1, 12]
    assert whole.speakers[0].answer.scores.to_dict()["happy"] == pytest.approx(0.7)
    assert whole.transcript
    said = [(segment.start, segment.speaker) for segment in whole.transcript.segments]
    assert said == [(1, "A"), (3, "B"), (7, "B"), (12, "A")]
    assert whole.overlaps == (Span(5.0, 6.0),)


def test_a_kind_of_voice_is_named_that_most_of_the_speech_has() -> None:
    child, adult = part(0.9, (1.0, "Hello."), (3.0, "There."), voice_kinds=(CHILD,)), part(0.3, (2.0, "No."))
    for stretches, kinds in (((child, adult), (CHILD,)), ((child, adult, adult), ()), ((adult, adult), ())):
        whole = merge_stretches([(10.0 * row, each) for row, each in enumerate(stretches)], child.recording, 30.0)
        assert whole.quality.voice_kinds == whole.speech.quality.voice_kinds == kinds
        assert (SENTENCES[CHILD] in whole.quality.warnings) == bool(kinds)


def test_the_speaker_is_named_whose_voice_is_of_a_kind() -> None:
    child, adult = part(0.9, (1.0, "Hello."), voice_kinds=(CHILD,)), part(0.3, (2.0, "No."))
    speakers = [Speaker("A", None, 0.0, adult), Speaker("B", None, 0.0, child)]
    both = merge_answers(child.recording, replace(child.speech, quality=adult.quality), speakers)
    whole = merge_stretches([(0.0, both), (10.0, both)], child.recording, 20.0)
    assert whole.quality.voice_kinds == (CHILD,) and f"B: {SENTENCES[CHILD]}" in whole.quality.warnings
    assert [speaker.answer.quality.voice_kinds for speaker in whole.speakers] == [(), (CHILD,)]


# --- the command line


def test_the_terminal_shows_the_minutes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = minutes_bar.MinutesBar("talk.mp3")
    bar(0, 0)
    bar(10, 20)
    assert capsys.readouterr().err == ""
    bar(60, 1800)
    bar(30 * 60, 30 * 60)
    bar.close()
    out, err = capsys.readouterr()
    assert not out and "talk.mp3" in err and "1 of 30 min" in err


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that analyzes standard input, and is in the middle of it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SER_")}
    with subprocess.Popen(
        [sys.executable, "-m", "ser_engine", "analyze", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT,
        env=environ | {"TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdin
        process.stdin.write(encode(noise(60)))  # more than a pipe holds: it returns when most of it has been read
        yield process
        process.kill()


def test_control_c_ends_at_once_and_leaves_nothing(reading: subprocess.Popen[bytes], tmp_path: Path) -> None:
    reading.send_signal(signal.SIGINT)
    assert reading.wait(10) == 130
    assert reading.stdout and reading.stderr
    assert (reading.stdout.read(), reading.stderr.read()) == (b"", b"\nInterrupted.\n")
    assert not list(tmp_path.iterdir())


def test_a_request_to_end_leaves_nothing(reading: subprocess.Popen[bytes], tmp_path: Path) -> None:
    reading.send_signal(signal.SIGTERM)
    assert reading.wait(10) == -signal.SIGTERM
    assert reading.stderr and reading.stderr.read() == b""
    assert not list(tmp_path.iterdir()) and Path(tempfile.gettempdir()) != tmp_path

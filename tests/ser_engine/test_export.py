"""Each file opens in the library or program that was made for it, and has a row, cue or interval for each sentence."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import webvtt

from ser_engine import export
from ser_engine.speakers.lanes import merge_transcripts
from ser_engine.types import (
    Analysis,
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

LABELS = ("calm", "angry")
LENGTH_S = 9.0


def scores(angry: float) -> Scores:
    return Scores(LABELS, np.array([1 - angry, angry], np.float32))


WORDS = (Word(0.4, 0.9, "Ça", 0.9), Word(0.9, 1.6, "va,", 0.9), Word(1.6, 1.6, "“Zoë”?", 0.5))
FIRST = TranscriptSegment(0.4, 1.6, "Ça va, “Zoë”?", 0.9, WORDS, scores(0.75), sure=True, language="fr")
SECOND = TranscriptSegment(3.0, 5.0, 'He said "A --> B", <b>R&D</b>.', 0.8, (), scores(0.25), sure=False)
THIRD = TranscriptSegment(4.5, 9.0002, "Oui.", 0.8)  # overlaps, exceeds the recording by a rounding, has no emotion
TRANSCRIPT = Transcript("irrelevant here", "fr", (FIRST, SECOND, replace(FIRST, text=""), THIRD), 0.9, "whisper")
TIMELINE = (TimelineWindow(0, 3, scores(0.6), sure=False), TimelineWindow(1.5, 4.5, scores(0.1)))


def analysis(transcript: Transcript | None = TRANSCRIPT, timeline: tuple[TimelineWindow, ...] = TIMELINE) -> Analysis:
    quality = Quality(LENGTH_S, 5.0, 16_000, 8000.0, None, 0.0, -20.0, False)
    nothing = np.zeros(16_000, np.float32)
    return Analysis(
        "my call.wav", "m", scores(0.4), transcript, timeline, quality, {"total": 1.0},
        Recording(nothing, 16_000, SourceInfo("my call.wav", "WAV", "PCM_16", 1, 16_000, 0)),
        CleanSpeech(nothing, (Span(0, 1),), quality), threshold=0.7,
    )  # fmt: skip


def call(transcript: bool = True, timeline: tuple[TimelineWindow, ...] = TIMELINE) -> Analysis:
    """Return the analysis of an agent and a customer, of whom the second says the second sentence."""
    whole = analysis()
    speakers = []
    for number, (name, segments) in enumerate({"agent": (FIRST, THIRD), "customer <b>": (SECOND,)}.items(), 1):
        own = replace(TRANSCRIPT, segments=segments) if transcript else None
        speech = replace(whole.speech, segments=(Span(number, number + 1),))
        answer = replace(whole, transcript=own, speech=speech)
        speakers.append(Speaker(name, number, 0.5, answer))
    windows = tuple(replace(window, speaker="agent") for window in timeline)
    return replace(whole, speakers=tuple(speakers), transcript=merge_transcripts(speakers), timeline=windows)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_a_table_has_a_row_for_each_sentence_also_with_a_timeline() -> None:
    first, second, third = rows(export.to_csv(analysis()))
    assert [row["transcript"] for row in (first, second, third)] == [FIRST.text, SECOND.text, THIRD.text]
    assert (first["file"], first["start_s"], first["end_s"]) == ("my call.wav", "0.40", "1.60")
    assert (first["language"], third["language"]) == ("fr", "")
    assert (first["emotion"], float(first["probability"]), first["sure"]) == ("angry", 0.75, "yes")
    assert (second["emotion"], float(second["calm"]), second["sure"]) == ("calm", 0.75, "no")
    assert {third[column] for column in ("emotion", "probability", "sure", *LABELS)} == {""}
    assert list(first) == [*export.COLUMNS, *LABELS]


def test_excel_knows_the_encoding_and_the_lines_of_a_table() -> None:
    data = export.to_csv(analysis()).encode()
    assert data.startswith(b"\xef\xbb\xbf") and data.count(b"\r\n") == 4 == data.count(b"\n")
    assert "Zoë" in data.decode("utf-8-sig")


@pytest.mark.parametrize("edited", [True, False])
def test_a_table_says_whether_a_person_changed_the_words(edited: bool) -> None:
    assert {row["transcript_edited"] for row in rows(export.to_csv(analysis(), edited))} == {"yes" if edited else "no"}


@pytest.mark.parametrize(("write", "read"), [(export.to_srt, "from_srt"), (export.to_vtt, "from_buffer")])
def test_subtitles_have_sentences_with_emotions(write: object, read: str, tmp_path: Path) -> None:
    text = write(analysis())  # type: ignore[operator]
    path = tmp_path / "call.srt"
    path.write_text(text, encoding="utf-8")
    cues = list(webvtt.from_srt(path) if read == "from_srt" else webvtt.from_buffer(io.StringIO(text)))
    assert [cue.start for cue in cues] == ["00:00:00.400", "00:00:03.000", "00:00:04.500"]
    assert [cue.end for cue in cues] == ["00:00:01.600", "00:00:05.000", "00:00:09.000"]
    assert [cue.text.split()[0] for cue in cues] == ["[angry]", "[calm?]", "Oui."]
    assert cues[0].text == f"[angry] {FIRST.text}"


def test_subtitles_of_the_web_hold_no_markup() -> None:
    assert "&lt;b&gt;R&amp;D&lt;/b&gt;" in export.to_vtt(analysis())
    assert export.to_vtt(analysis()).count("-->") == 3 and "<b>R&D</b>" in export.to_srt(analysis())


def tiers(text: str, folder: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Return the intervals of each tier as Praat reads them; skip the test where there is no wheel of it."""
    parselmouth = pytest.importorskip("parselmouth")
    call = parselmouth.praat.call
    path = folder / "call.TextGrid"
    path.write_text(text, encoding="utf-8")
    grid = parselmouth.read(str(path))
    found = {}
    for tier in range(1, int(call(grid, "Get number of tiers")) + 1):
        numbers = range(1, int(call(grid, "Get number of intervals", tier)) + 1)
        found[call(grid, "Get tier name", tier)] = [
            (
                call(grid, "Get start time of interval", tier, number),
                call(grid, "Get end time of interval", tier, number),
                call(grid, "Get label of interval", tier, number),
            )
            for number in numbers
        ]
    return found


def test_praat_reads_sentences_words_and_emotions(tmp_path: Path) -> None:
    found = tiers(export.to_textgrid(analysis()), tmp_path)
    assert list(found) == ["sentences", "words", "emotions", "languages"]
    labeled = {name: [interval for interval in tier if interval[2]] for name, tier in found.items()}
    assert labeled["sentences"] == [(0.4, 1.6, FIRST.text), (3.0, 5.0, SECOND.text), (5.0, 9.0, THIRD.text)]
    assert [(start, text) for start, _, text in labeled["words"]] == [(0.4, "Ça"), (0.9, "va,"), (1.6, "“Zoë”?")]
    assert [text for *_, text in labeled["emotions"]] == ["angry", "calm?"]
    assert labeled["languages"] == [(0.4, 1.6, "fr")]
    for tier in found.values():
        assert tier[0][0] == 0 and tier[-1][1] == LENGTH_S
        assert all(one[1] == other[0] for one, other in pairwise(tier))


@pytest.mark.parametrize("transcript", [None, Transcript("", None, (), 0.0, "whisper")])
def test_without_words_the_windows_or_the_whole_recording_have_their_emotions(
    transcript: Transcript | None, tmp_path: Path
) -> None:
    assert [row["start_s"] for row in rows(export.to_csv(analysis(transcript)))] == ["0.00", "1.50"]
    (whole,) = rows(export.to_csv(analysis(transcript, ())))
    assert (whole["end_s"], whole["emotion"], whole["sure"]) == ("9.00", "calm", "no")
    assert "[angry?]\n" in export.to_srt(analysis(transcript))
    found = tiers(export.to_textgrid(analysis(transcript)), tmp_path)
    assert [interval for interval in found["emotions"] if interval[2]] == [(0.0, 3.0, "angry?"), (3.0, 4.5, "calm")]
    assert [text for *_, text in found["words"]] == [""]


def test_sentences_of_several_speakers_name_them(tmp_path: Path) -> None:
    assert [row["speaker"] for row in rows(export.to_csv(call()))] == ["agent", "customer <b>", "agent"]
    assert {row["speaker"] for row in rows(export.to_csv(analysis()))} == {""}
    path = tmp_path / "call.srt"
    path.write_text(export.to_srt(call()), encoding="utf-8")
    cues = [cue.text for cue in webvtt.from_srt(path)]
    assert cues[0] == f"agent: [angry] {FIRST.text}" and cues[2] == "agent: Oui."
    cues = list(webvtt.from_buffer(io.StringIO(export.to_vtt(call()))))
    assert [cue.voice for cue in cues] == ["agent", "customer &lt;b&gt;", "agent"]
    assert cues[0].text == f"[angry] {FIRST.text}"


def test_praat_has_tiers_for_each_speaker(tmp_path: Path) -> None:
    found = tiers(export.to_textgrid(call()), tmp_path)
    names = [
        f"{name}{kind}" for name in ("agent", "customer <b>") for kind in ("", " words", " emotions", " languages")
    ]
    assert list(found) == names
    # The sentences of one speaker may overlap those of another.
    assert [interval for interval in found["agent"] if interval[2]] == [(0.4, 1.6, FIRST.text), (4.5, 9.0, THIRD.text)]
    assert [text for *_, text in found["customer <b> emotions"] if text] == ["calm?"]


def test_without_words_windows_or_speech_are_those_of_speakers() -> None:
    assert {row["speaker"] for row in rows(export.to_csv(call(transcript=False)))} == {"agent"}
    agent, customer = rows(export.to_csv(call(transcript=False, timeline=())))
    assert (agent["speaker"], agent["start_s"], agent["end_s"]) == ("agent", "1.00", "2.00")
    assert (customer["speaker"], customer["start_s"]) == ("customer <b>", "2.00")

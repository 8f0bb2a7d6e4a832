"""Downloads hold the result, with edits marked as such."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np

from ser_engine.types import (
    Analysis,
    CleanSpeech,
    Quality,
    Recording,
    Scores,
    SourceInfo,
    Span,
    TimelineWindow,
    Transcript,
    TranscriptSegment,
)
from ui.listen import downloads

SCORES = Scores(("calm", "angry"), np.array([0.25, 0.75], np.float32))


def analysis(timeline: tuple[TimelineWindow, ...] = (), transcript: Transcript | None = None) -> Analysis:
    quality = Quality(1.0, 1.0, 16_000, 8000.0, None, 0.0, -20.0, False)
    silence = np.zeros(16_000, np.float32)
    source = SourceInfo("my call.wav", "WAV", "PCM_16", 1, 16_000, 0)
    return Analysis(
        "my call.wav", "m", SCORES, transcript, timeline, quality, {"total": 1.0},
        Recording(silence, 16_000, source), CleanSpeech(silence, (Span(0, 1),), quality),
    )  # fmt: skip


TRANSCRIPT = Transcript("Dogs are sitting.", "en", (), 0.9, "whisper")
SENTENCE = TranscriptSegment(0.1, 0.9, TRANSCRIPT.text, 0.9, (), SCORES, sure=True)
SPOKEN = replace(TRANSCRIPT, segments=(SENTENCE,))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_json_is_what_the_engine_says() -> None:
    answer = analysis(transcript=TRANSCRIPT)
    assert json.loads(downloads.to_json(answer, TRANSCRIPT.text)) == json.loads(json.dumps(answer.to_dict()))


def test_an_edited_transcript_is_marked_and_the_original_kept() -> None:
    transcript = json.loads(downloads.to_json(analysis(transcript=TRANSCRIPT), "Kids — “sitting”."))["transcript"]
    assert transcript["text"] == "Kids — “sitting”." and transcript["edited"] is True
    assert transcript["original"] == TRANSCRIPT.text and transcript["language"] == "en"


def test_without_a_transcript_there_is_none_in_the_json() -> None:
    assert json.loads(downloads.to_json(analysis(), ""))["transcript"] is None


def test_edited_sentences_are_added_to_the_json() -> None:
    before = analysis(transcript=SPOKEN)
    edited = replace(
        before, transcript=replace(SPOKEN, text="Cats sit.", segments=(replace(SENTENCE, text="Cats sit."),))
    )
    transcript = json.loads(downloads.to_json(before, "Cats sit.", edited))["transcript"]
    assert [segment["text"] for segment in transcript["segments"]] == ["Dogs are sitting."]
    assert [segment["text"] for segment in transcript["edited_segments"]] == ["Cats sit."]


def test_csv_has_the_edited_words_also_where_they_could_not_be_scored() -> None:
    (row,) = rows(downloads.to_csv(analysis(transcript=SPOKEN), "Words, with a comma"))
    assert (row["transcript"], row["transcript_edited"]) == ("Words, with a comma", "yes")
    assert (row["emotion"], float(row["probability"])) == ("angry", 0.75)
    (row,) = rows(downloads.to_csv(analysis(transcript=SPOKEN), SPOKEN.text))
    assert (row["transcript"], row["transcript_edited"]) == (SPOKEN.text, "no")


def test_every_download_has_the_latest_words() -> None:
    before = analysis(transcript=SPOKEN)
    edited = replace(
        before, transcript=replace(SPOKEN, text="Cats sit.", segments=(replace(SENTENCE, text="Cats sit."),))
    )
    for suffix, _, make in downloads.FILES.values():
        assert "Cats sit." in make(before, "Cats sit.", edited), suffix
        assert make(analysis(), "", None), suffix


def test_names_recall_the_recording() -> None:
    assert downloads.file_name(analysis(), "csv") == "my call-emotion.csv"

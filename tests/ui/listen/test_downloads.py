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


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_is_what_the_engine_says() -> None:
    answer = analysis(transcript=TRANSCRIPT)
    assert json.loads(downloads.to_json(answer, TRANSCRIPT.text)) == json.loads(json.dumps(answer.to_dict()))


def test_an_edited_transcript_is_marked_and_the_original_kept() -> None:
    transcript = json.loads(downloads.to_json(analysis(transcript=TRANSCRIPT), "Kids — “sitting”."))["transcript"]
    assert transcript["text"] == "Kids — “sitting”." and transcript["edited"] is True
    assert transcript["original"] == TRANSCRIPT.text and transcript["language"] == "en"


def test_without_a_transcript_there_is_none_in_the_json() -> None:
    assert json.loads(downloads.to_json(analysis(), ""))["transcript"] is None


def test_csv_has_a_row_per_emotion() -> None:
    table = rows(downloads.to_csv(analysis(transcript=TRANSCRIPT), "Words, with a comma"))
    assert [(row["emotion"], float(row["probability"])) for row in table] == [("angry", 0.75), ("calm", 0.25)]
    assert table[0]["transcript"] == "Words, with a comma" and table[0]["transcript_edited"] == "yes"


def test_csv_of_a_long_recording_has_a_row_per_window() -> None:
    later = Scores(SCORES.labels, np.array([0.9, 0.1], np.float32))
    windows = (TimelineWindow(0, 3, SCORES, sure=False), TimelineWindow(1.5, 4.5, later, sure=True))
    table = rows(downloads.to_csv(analysis(windows), ""))
    assert [(row["start_s"], row["top"], row["sure"], float(row["calm"])) for row in table] == [
        ("0.00", "angry", "no", 0.25),
        ("1.50", "calm", "yes", 0.9),
    ]
    assert rows(downloads.to_csv(analysis((TimelineWindow(0, 3, SCORES),)), ""))[0]["sure"] == ""


def test_names_recall_the_recording() -> None:
    assert downloads.file_name(analysis(), "csv") == "my call-emotion.csv"


def test_csv_has_the_probabilities_by_modality() -> None:
    voice, text = (Scores(("calm", "angry"), np.array(row, np.float32)) for row in ((0.6, 0.4), (0.125, 0.875)))
    both = replace(analysis(transcript=TRANSCRIPT), modalities={"audio": voice, "text": text, "fused": SCORES})
    angry, calm = rows(downloads.to_csv(both, TRANSCRIPT.text))
    assert list(angry)[1:5] == ["emotion", "probability", "probability_by_audio", "probability_by_text"]
    assert [float(angry[f"probability{by}"]) for by in ("", "_by_audio", "_by_text")] == [0.75, 0.4, 0.875]
    assert (calm["emotion"], float(calm["probability_by_text"])) == ("calm", 0.125)
    assert "probability_by_text" not in rows(downloads.to_csv(replace(both, modalities={"audio": voice}), ""))[0]

"""The analysis as files: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import PurePath

from ser_engine.types import Analysis


def file_name(analysis: Analysis, suffix: str) -> str:
    """Return a name for the download after that of the recording: "call-emotion.json" for "call.wav"."""
    return f"{PurePath(analysis.file).stem or 'recording'}-emotion.{suffix}"


def to_json(analysis: Analysis, words: str, rescored: Analysis | None = None) -> str:
    """Return the analysis as the command line prints it; an edited transcript replaces Whisper's.

    An edited transcript has "edited": true and keeps Whisper's text as "original"; its segments stay Whisper's.
    `rescored` is the analysis with the edited transcript, by a model that uses text: its scores are those of the file.
    """
    answer = (rescored or analysis).to_dict() | {"transcript": analysis.to_dict()["transcript"]}
    if analysis.transcript is not None and words != analysis.transcript.text:
        answer["transcript"] |= {"text": words, "edited": True, "original": analysis.transcript.text}
    return json.dumps(answer, ensure_ascii=False, indent=2)


def to_csv(analysis: Analysis, words: str, rescored: Analysis | None = None) -> str:
    """Return a table with one row per emotion, or one per window where there is a timeline; `rescored` as in `to_json`.

    A model that uses audio and text adds its probabilities by each of them.
    """
    edited = analysis.transcript is not None and words != analysis.transcript.text
    analysis = rescored or analysis
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    if analysis.timeline:
        table.writerow(["file", "start_s", "end_s", "top", "sure", *analysis.scores.labels])
        for window in analysis.timeline:
            values = [f"{value:.6f}" for value in window.scores.probabilities]
            sure = "" if window.sure is None else "yes" if window.sure else "no"
            table.writerow(
                [analysis.file, f"{window.start:.2f}", f"{window.end:.2f}", window.scores.top, sure, *values]
            )
        return text.getvalue()
    modalities = {name: scores.to_dict() for name, scores in analysis.modalities.items() if name != "fused"}
    by = [f"probability_by_{name}" for name in modalities]
    table.writerow(["file", "emotion", "probability", *by, "transcript", "transcript_edited"])
    for label, probability in analysis.scores.ranked():
        values = [f"{value:.6f}" for value in (probability, *(scores[label] for scores in modalities.values()))]
        table.writerow([analysis.file, label, *values, words, "yes" if edited else "no"])
    return text.getvalue()

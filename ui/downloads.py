"""What a person takes home: the answer as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import PurePath

from ser_engine.analysis import Analysis


def file_name(analysis: Analysis, suffix: str) -> str:
    """Return a name for the download that recalls the recording's: "call.wav" becomes "call-emotion.json"."""
    return f"{PurePath(analysis.file).stem or 'recording'}-emotion.{suffix}"


def to_json(analysis: Analysis, words: str) -> str:
    """Return the answer as the command line prints it; words that a person corrected replace Whisper's.

    An edited transcript says "edited": true and keeps what was heard as "heard"; its segments stay Whisper's.
    """
    answer = analysis.to_dict()
    if analysis.transcript is not None and words != analysis.transcript.text:
        answer["transcript"] |= {"text": words, "edited": True, "heard": analysis.transcript.text}
    return json.dumps(answer, ensure_ascii=False, indent=2)


def to_csv(analysis: Analysis, words: str) -> str:
    """Return a table: one row per emotion, or one per window where there is a timeline."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    if analysis.timeline:
        table.writerow(["file", "start_s", "end_s", "top", *analysis.scores.labels])
        for window in analysis.timeline:
            values = [f"{value:.6f}" for value in window.scores.probabilities]
            table.writerow([analysis.file, f"{window.start:.2f}", f"{window.end:.2f}", window.scores.top, *values])
        return text.getvalue()
    edited = analysis.transcript is not None and words != analysis.transcript.text
    table.writerow(["file", "emotion", "probability", "transcript", "transcript_edited"])
    for label, probability in analysis.scores.ranked():
        table.writerow([analysis.file, label, f"{probability:.6f}", words, "yes" if edited else "no"])
    return text.getvalue()

"""What a person takes home: the answer as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import PurePath

from ser_engine.types import Analysis


def file_name(analysis: Analysis, suffix: str) -> str:
    """Return a name for the download that recalls the recording's: "call.wav" becomes "call-emotion.json"."""
    return f"{PurePath(analysis.file).stem or 'recording'}-emotion.{suffix}"


def to_json(analysis: Analysis, words: str, scored: Analysis | None = None) -> str:
    """Return the answer as the command line prints it; words that a person corrected replace Whisper's.

    An edited transcript says "edited": true and keeps what was heard as "heard"; its segments stay Whisper's. `scored`
    is the analysis with the corrected words, for a model that reads them: its scores are the answer's.
    """
    answer = (scored or analysis).to_dict() | {"transcript": analysis.to_dict()["transcript"]}
    if analysis.transcript is not None and words != analysis.transcript.text:
        answer["transcript"] |= {"text": words, "edited": True, "heard": analysis.transcript.text}
    return json.dumps(answer, ensure_ascii=False, indent=2)


def to_csv(analysis: Analysis, words: str, scored: Analysis | None = None) -> str:
    """Return a table: one row per emotion, or one per window where there is a timeline; `scored` as in `to_json`.

    A model that listens and reads adds the probability by the speech alone and, where there are words, by the text.
    """
    edited = analysis.transcript is not None and words != analysis.transcript.text
    analysis = scored or analysis
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    if analysis.timeline:
        table.writerow(["file", "start_s", "end_s", "top", *analysis.scores.labels])
        for window in analysis.timeline:
            values = [f"{value:.6f}" for value in window.scores.probabilities]
            table.writerow([analysis.file, f"{window.start:.2f}", f"{window.end:.2f}", window.scores.top, *values])
        return text.getvalue()
    modalities = {name: scores.to_dict() for name, scores in analysis.modalities.items() if name != "fused"}
    by = [f"probability_by_{name}" for name in modalities]
    table.writerow(["file", "emotion", "probability", *by, "transcript", "transcript_edited"])
    for label, probability in analysis.scores.ranked():
        values = [f"{value:.6f}" for value in (probability, *(scores[label] for scores in modalities.values()))]
        table.writerow([analysis.file, label, *values, words, "yes" if edited else "no"])
    return text.getvalue()

"""The analysis as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import PurePath

from ser_engine import export
from ser_engine.sentences import edit_words
from ser_engine.types import Analysis


def file_name(analysis: Analysis, suffix: str) -> str:
    """Return a name for the download after that of the recording: "call-emotion.json" for "call.wav"."""
    return f"{PurePath(analysis.file).stem or 'recording'}-emotion.{suffix}"


def to_json(analysis: Analysis, words: str, rescored: Analysis | None = None) -> str:
    """Return the analysis as the command line prints it; an edited transcript replaces Whisper's.

    An edited transcript has "edited": true and keeps Whisper's text as "original"; its segments stay Whisper's.
    `rescored` is the analysis with the edited transcript: its scores are those of the file, and its sentences are added
    as "edited_segments".
    """
    answer = (rescored or analysis).to_dict()
    edited, original = answer["transcript"], analysis.to_dict()["transcript"]
    answer["transcript"] = original
    if analysis.transcript is not None and words != analysis.transcript.text:
        original |= {"text": words, "edited": True, "original": analysis.transcript.text}
        if rescored is not None:
            original["edited_segments"] = edited["segments"]
    return json.dumps(answer, ensure_ascii=False, indent=2)


def to_csv(analysis: Analysis, words: str, rescored: Analysis | None = None) -> str:
    """Return a table with a row for each sentence, with the edited words; see `ser_engine.export`."""
    edited = analysis.transcript is not None and words != analysis.transcript.text
    return export.to_csv(_latest(analysis, words, rescored), edited)


def _latest(analysis: Analysis, words: str, rescored: Analysis | None) -> Analysis:
    """Return the analysis with the edited words, also where they could not be scored."""
    if rescored is not None or analysis.transcript is None:
        return rescored or analysis
    return edit_words(analysis, words)


FILES: Mapping[str, tuple[str, str, Callable[[Analysis, str, Analysis | None], str]]] = {
    "JSON": ("json", "application/json", to_json),
    "CSV": ("csv", "text/csv", to_csv),
    "SRT": ("srt", "application/x-subrip", lambda *answer: export.to_srt(_latest(*answer))),
    "WebVTT": ("vtt", "text/vtt", lambda *answer: export.to_vtt(_latest(*answer))),
    "TextGrid": ("TextGrid", "text/plain", lambda *answer: export.to_textgrid(_latest(*answer))),
}
"""Suffix, media type and maker of each download; a maker takes the arguments of `to_json`."""

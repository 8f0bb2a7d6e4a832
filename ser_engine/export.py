"""An analysis as a file for other programs: a table, subtitles, or tiers for Praat.

Each has one entry for each sentence of the transcript, with its speaker where there are several. Without a transcript,
there is one for each window of the timeline, or one for a short recording or each of its speakers.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ser_engine.types import Analysis, Span, TranscriptSegment

COLUMNS = (
    "file", "start_s", "end_s", "speaker", "language", "transcript", "transcript_edited", "emotion", "probability",
    "sure",
)  # fmt: skip
"""Columns of a table, before those of the probabilities; the speaker is empty where there is only one."""
SHORTEST_S = 0.01
"""Length that an interval of a TextGrid has at least, in seconds; Praat allows none of length zero."""


def to_csv(analysis: Analysis, edited: bool = False) -> str:
    """Return a table with a row for each sentence; `edited` says that a person changed the transcript.

    It begins with a byte order mark, without which Excel takes UTF-8 for another encoding. A sentence with too little
    speech has no emotion.
    """
    text = io.StringIO()
    text.write("\ufeff")
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow([*COLUMNS, *analysis.scores.labels])
    for part in sentences(analysis):
        values = [""] * (3 + len(analysis.scores.labels))
        if part.scores is not None:
            sure = "" if part.sure is None else "yes" if part.sure else "no"
            probabilities = [f"{value:.6f}" for value in part.scores.probabilities]
            values = [part.scores.top, max(probabilities), sure, *probabilities]
        times = [f"{part.start:.2f}", f"{part.end:.2f}"]
        said = [part.speaker, part.language or "", part.text, "yes" if edited else "no"]
        table.writerow([analysis.file, *times, *said, *values])
    return text.getvalue()


def to_srt(analysis: Analysis) -> str:
    """Return SubRip subtitles with emotions and, of several, speakers: "agent: [angry] Come here." See `emotion`."""
    from whisper.utils import WriteSRT

    return _subtitles(analysis, WriteSRT, lambda name, text: f"{name}: {text}" if name else text)


def to_vtt(analysis: Analysis) -> str:
    """Return WebVTT subtitles, as `to_srt` has them; speakers are voices: "<v agent>[angry] Come here.</v>"."""
    from whisper.utils import WriteVTT

    def voice(name: str, text: str) -> str:
        text = html.escape(text, quote=False)
        return f"<v {html.escape(name, quote=False)}>{text}</v>" if name else text

    return _subtitles(analysis, WriteVTT, voice)


def to_textgrid(analysis: Analysis) -> str:
    """Return a TextGrid of Praat with the tiers "sentences", "words", "emotions" and "languages".

    "words" is empty unless they have times. Several speakers have tiers of their own: "agent", "agent words", "agent
    emotions" and "agent languages".
    """
    from praatio.utilities.textgrid_io import getTextgridAsStr

    parts, length = sentences(analysis), analysis.quality.duration_s
    tiers: dict[str, list[tuple[Span, str]]] = {}
    for name in [speaker.name for speaker in analysis.speakers] or [""]:
        own = [part for part in parts if part.speaker == name]
        tiers[name or "sentences"] = [(part, part.text) for part in own]
        tiers[f"{name} words".strip()] = [(word, word.text) for part in own for word in part.words]
        tiers[f"{name} emotions".strip()] = [(part, emotion(part)) for part in own]
        tiers[f"{name} languages".strip()] = [(part, part.language or "") for part in own]
    shared = {"class": "IntervalTier", "xmin": 0.0, "xmax": length}
    grid = {
        "xmin": 0.0,
        "xmax": length,
        "tiers": [shared | {"name": name, "entries": _intervals(tier, length)} for name, tier in tiers.items()],
    }
    return str(getTextgridAsStr(grid, "long_textgrid", includeBlankSpaces=True))


FORMATS: Mapping[str, Callable[[Analysis], str]] = {
    "csv": to_csv,
    "srt": to_srt,
    "vtt": to_vtt,
    "textgrid": to_textgrid,
}
SUFFIXES: Mapping[str, str] = {"textgrid": "TextGrid"}
"""Suffixes of files that are not the name of the format."""


def sentences(analysis: Analysis) -> list[TranscriptSegment]:
    """Return the sentences of a recording, or its windows, or all speech of each speaker, where there are no words."""
    segments = analysis.transcript.segments if analysis.transcript else ()
    if spoken := [segment for segment in segments if segment.text]:
        return spoken
    text = analysis.transcript.text if analysis.transcript else ""
    if not analysis.timeline and analysis.speakers:
        answers = [(each.name, each.answer, each.answer.speech.segments) for each in analysis.speakers]
        return [
            TranscriptSegment(turns[0].start, turns[-1].end, "", 1.0, (), answer.scores, answer.sure, speaker=name)
            for name, answer, turns in answers
        ]
    if not analysis.timeline:
        end = analysis.quality.duration_s
        return [TranscriptSegment(0.0, end, text, 1.0, (), analysis.scores, analysis.sure)]
    return [
        TranscriptSegment(window.start, window.end, "", 1.0, (), window.scores, window.sure, speaker=window.speaker)
        for window in analysis.timeline
    ]


def emotion(part: TranscriptSegment) -> str:
    """Return the emotion of a sentence, with a question mark where the model is not sure; empty without one."""
    if part.scores is None:
        return ""
    return part.scores.top + ("?" if part.sure is False else "")


def _subtitles(analysis: Analysis, writer: type[Any], write: Callable[[str, str], str]) -> str:
    """Return subtitles; `write` makes the text of one from its speaker and its words."""
    cues = []
    for part in sentences(analysis):
        mark = f"[{emotion(part)}]" if part.scores else ""
        cues.append({"start": part.start, "end": part.end, "text": write(part.speaker, f"{mark} {part.text}".strip())})
    file = io.StringIO()
    writer("").write_result({"segments": cues}, file)
    return file.getvalue()


def _intervals(tier: Sequence[tuple[Span, str]], length: float) -> list[tuple[float, float, str]]:
    """Return (start, end, text) in order and without overlap, as Praat needs them: a later one begins later."""
    intervals: list[tuple[float, float, str]] = []
    done = 0.0
    for span, text in tier:
        start = max(span.start, done)
        done = min(max(span.end, start + SHORTEST_S), length)
        if start < done:
            intervals.append((start, done, text))
    return intervals

"""Align words with time: the words of a window, and edited words in the segments of those that they replace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from ser_engine.types import Span, Transcript, TranscriptSegment

MANUAL = "written by hand"
"""The engine of transcripts that a person wrote where nothing had been transcribed."""


def select_words(transcript: Transcript, start: float, end: float) -> Transcript:
    """Return the words spoken between two moments (seconds of the original recording).

    Whisper gives times of segments, not of words: a segment's words are assumed to be evenly spread over it, and the
    middle of a word decides.
    """
    selected: list[str] = []
    for segment in transcript.segments:
        words = segment.text.split()
        step = (segment.end - segment.start) / max(1, len(words))
        selected += [word for i, word in enumerate(words) if start <= segment.start + (i + 0.5) * step < end]
    return replace(transcript, text=" ".join(selected), segments=())


def replace_words(transcript: Transcript | None, text: str, speech: Sequence[Span]) -> Transcript:
    """Return the transcript with a person's words, each in the segment of the words that it replaces or follows.

    Without a transcript, or without segments, all words form one segment over the recording's `speech`. Language and
    times remain those of Whisper; the confidence is 1, since a person has corrected the words.
    """
    if transcript is None:
        transcript = Transcript("", None, (), 1.0, MANUAL)
    if text == transcript.text:
        return transcript
    segments = transcript.segments
    if not segments and text.strip():
        segments = (TranscriptSegment(speech[0].start, speech[-1].end, "", 1.0),) if speech else ()
    if not segments:
        return replace(transcript, text=text, confidence=1.0)
    words = text.split()
    texts: list[list[str]] = [[] for _ in segments]
    for word, row in zip(words, _assign_rows([segment.text.split() for segment in segments], words), strict=True):
        texts[row].append(word)
    corrected = tuple(
        replace(segment, text=" ".join(part), confidence=1.0) for segment, part in zip(segments, texts, strict=True)
    )
    return replace(transcript, text=text, segments=corrected, confidence=1.0)


def _assign_rows(old: Sequence[Sequence[str]], new: Sequence[str]) -> list[int]:
    """Return for each new word the row of `old` to which it belongs."""
    rows = [row for row, words in enumerate(old) for _ in words]
    flat = [word for words in old for word in words]
    assigned: list[int] = []
    for _, i1, i2, j1, j2 in SequenceMatcher(None, flat, new, autojunk=False).get_opcodes():
        for j in range(j1, j2):
            # The n-th of the new words replaces the n-th of the old ones; inserted words follow the word before them.
            i = i1 + (j - j1) * (i2 - i1) // (j2 - j1) if i2 > i1 else i1 - 1
            assigned.append(rows[max(0, i)] if rows else 0)
    return assigned

"""Which words were said when: the part of a transcript that belongs to a window, and edited words in their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from ser_engine.types import Span, Transcript, TranscriptSegment

MANUAL = "written by hand"
"""The engine of a transcript that a person wrote where nothing had been transcribed."""


def select_words(transcript: Transcript, start: float, end: float) -> Transcript:
    """Return what was said between two moments (seconds of the original recording).

    Whisper tells when a segment was said, not each word: a segment's words are taken to be spread evenly over it, and
    the middle of a word decides.
    """
    said: list[str] = []
    for segment in transcript.segments:
        words = segment.text.split()
        step = (segment.end - segment.start) / max(1, len(words))
        said += [word for i, word in enumerate(words) if start <= segment.start + (i + 0.5) * step < end]
    return replace(transcript, text=" ".join(said), segments=())


def replace_words(transcript: Transcript | None, text: str, speech: Sequence[Span]) -> Transcript:
    """Return the transcript with a person's words; each goes to the segment of the words that it replaces or follows.

    Where nothing had been heard, all words are one segment over the recording's `speech`. Language and the segments'
    times stay Whisper's; there is no doubt about words that a person has set right, so their confidence is 1.
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
    new = text.split()
    homes = _homes([segment.text.split() for segment in segments], new)
    texts: list[list[str]] = [[] for _ in segments]
    for word, home in zip(new, homes, strict=True):
        texts[home].append(word)
    placed = (
        replace(segment, text=" ".join(words), confidence=1.0) for segment, words in zip(segments, texts, strict=True)
    )
    return replace(transcript, text=text, segments=tuple(placed), confidence=1.0)


def _homes(old: Sequence[Sequence[str]], new: Sequence[str]) -> list[int]:
    """Return for each new word the row of `old` into which it belongs."""
    rows = [row for row, words in enumerate(old) for _ in words]
    flat = [word for words in old for word in words]
    homes: list[int] = []
    for _, i1, i2, j1, j2 in SequenceMatcher(None, flat, new, autojunk=False).get_opcodes():
        for j in range(j1, j2):
            # The n-th of the new words stands where the n-th of the old ones stood; what was put in goes to the left.
            i = i1 + (j - j1) * (i2 - i1) // (j2 - j1) if i2 > i1 else i1 - 1
            homes.append(rows[max(0, i)] if rows else 0)
    return homes

"""Align words with time: the words of a window, and edited words in the segments of those that they replace."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import groupby

from ser_engine.types import Span, Transcript, TranscriptSegment, Word

MANUAL = "written by hand"
"""The engine of transcripts that a person wrote where nothing had been transcribed."""


def select_words(transcript: Transcript, start: float, end: float) -> Transcript:
    """Return the words spoken between two moments (seconds of the original recording), in their segments.

    Whisper gives times of segments, not of words: a segment's words are assumed to be evenly spread over it, and the
    middle of a word decides.
    """
    selected: list[TranscriptSegment] = []
    for segment in transcript.segments:
        words = segment.text.split()
        step = (segment.end - segment.start) / max(1, len(words))
        inside = [word for i, word in enumerate(words) if start <= segment.start + (i + 0.5) * step < end]
        if inside:
            selected.append(replace(segment, text=" ".join(inside), words=()))
    return replace(transcript, text=" ".join(segment.text for segment in selected), segments=tuple(selected))


def replace_words(transcript: Transcript | None, text: str, speech: Sequence[Span]) -> Transcript:
    """Return the transcript with a person's words, each in the segment of the words that it replaces or follows.

    Without a transcript, or without segments, all words form one segment over the recording's `speech`. Language and
    times remain those of Whisper, words that replace one word sharing its time; the confidence is 1, since a person has
    corrected the words.
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
    parts: list[list[tuple[str, int]]] = [[] for _ in segments]
    for word, (row, place) in _assign_places([segment.text.split() for segment in segments], text.split()):
        parts[row].append((word, place))
    corrected = tuple(_correct(segment, part) for segment, part in zip(segments, parts, strict=True))
    return replace(transcript, text=text, segments=corrected, confidence=1.0)


def _correct(segment: TranscriptSegment, part: Sequence[tuple[str, int]]) -> TranscriptSegment:
    """Return the segment with the words of `part`, each of which shares the time of the old word at its place."""
    text = " ".join(word for word, _ in part)
    old, words = segment.words, []
    if text == segment.text:
        return replace(segment, confidence=1.0)
    if not old or [word.text for word in old] != segment.text.split():
        return replace(segment, text=text, confidence=1.0, words=())
    for place, sharing in groupby(part, key=lambda each: each[1]):
        texts = [word for word, _ in sharing]
        step = old[place].duration_s / len(texts)
        starts = [old[place].start + n * step for n in range(len(texts))]
        words += [Word(start, start + step, word, 1.0) for start, word in zip(starts, texts, strict=True)]
    return replace(segment, text=text, confidence=1.0, words=tuple(words))


def fit_to_speech(segment: TranscriptSegment, speech: Sequence[Span]) -> TranscriptSegment:
    """Return the segment with each word within the span of `speech`, in order, that holds most of it.

    Whisper lets the first word after a pause begin with the pause. A word outside of all speech keeps its times.
    """
    words = []
    for word in segment.words:
        first = bisect_right(speech, word.start, key=lambda span: span.end)
        last = bisect_left(speech, word.end, key=lambda span: span.start)
        parts = [Span(max(word.start, span.start), min(word.end, span.end)) for span in speech[first:last]]
        longest = max(parts, key=lambda part: part.duration_s, default=word)
        words.append(replace(word, start=longest.start, end=longest.end))
    return replace(segment, words=tuple(words))


def _assign_places(old: Sequence[Sequence[str]], new: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each new word with the row of `old` and the place in this row to which it belongs."""
    places = [(row, place) for row, words in enumerate(old) for place in range(len(words))]
    flat = [word for words in old for word in words]
    for _, i1, i2, j1, j2 in SequenceMatcher(None, flat, new, autojunk=False).get_opcodes():
        for j in range(j1, j2):
            # The n-th of the new words replaces the n-th of the old ones; inserted words follow the word before them.
            i = i1 + (j - j1) * (i2 - i1) // (j2 - j1) if i2 > i1 else i1 - 1
            yield new[j], places[max(0, i)] if places else (0, 0)

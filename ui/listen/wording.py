"""Sentences of the Listen page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ser_engine import export
from ser_engine.transcription.language import name_languages
from ser_engine.types import (
    Explanation,
    Quality,
    Scores,
    TimelineWindow,
    Transcript,
    TranscriptSegment,
    WeightedSpan,
)
from ui.wording import clock, interval, name, percent, seconds

LONG_S = 120.0
"""Seconds of a recording from which on the page counts the minutes that have been analyzed."""

TYPICAL = (
    "The gray bands are typical of adults: for pitch, Baken and Orlikoff (2000); for the others, the middle 80 percent "
    "of 251 adults reading aloud (LibriSpeech; Panayotov et al., 2015), measured in the same way. Ranges are from the "
    "10th to the 90th percentile. Loudness itself depends on the microphone, so only its variation is shown. The "
    "speaking rate counts voiced peaks of the level, most of which are syllables (de Jong and Wempe, 2009)."
)
"""Sources of the typical ranges of a voice, and what is measured."""


def influence(modalities: Mapping[str, Scores], transcript: str = "") -> str:
    """Return the influence of the transcript on the result, in a sentence."""
    audio, text, fused = (modalities.get(name) for name in ("audio", "text", "fused"))
    if audio is None or fused is None:
        return ""
    if text is None and transcript.strip():
        return "The transcript itself carries no emotion, so only the audio counts."
    if text is None:
        return "There is no transcript, so only the audio counts."
    if audio.top != fused.top:
        share = percent(audio.ranked()[0][1])
        return f"The transcript changed the result: by audio alone it would be {audio.top} ({share})."
    if text.top == fused.top:
        return "Audio and transcript agree."
    return f"By text alone the result would be {text.top}; the audio outweighs it."


def queued(place: int) -> str:
    """Return the place of a recording in the queue of all visitors, in a sentence; empty for none."""
    if not place:
        return ""
    turn = "it is next" if place == 1 else f"it is number {place} in the queue"
    return f"Recordings of other visitors are being analyzed; {turn}."


def sentence_rows(segments: Sequence[TranscriptSegment], languages: bool = False) -> list[dict[str, Any]]:
    """Return the sentences as the component of the transcript draws them: times in seconds, and what is written.

    With `languages`, each says its own.
    """
    return [
        {
            "start": segment.start,
            "end": segment.end,
            "time": clock(segment.start),
            "speaker": segment.speaker,
            "text": segment.text,
            "emotion": export.emotion(segment),
            "sure": segment.sure is not False,
            "note": sentence_note(segment) + (f", {language_note(segment)}" if languages else ""),
        }
        for segment in segments
        if segment.text
    ]


def sentence_note(segment: TranscriptSegment) -> str:
    """Return what is shown at the pointer over a sentence: its most probable emotion."""
    if segment.scores is None:
        return "Too little speech for an emotion"
    share = percent(segment.scores.ranked()[0][1])
    return f"{name(segment.scores.top)} {share}" + (", not sure" if segment.sure is False else "")


def language_note(segment: TranscriptSegment) -> str:
    """Return the language of a sentence, and whether its detection is doubtful."""
    language = name_languages(filter(None, [segment.language])) or "unknown language"
    return language + (" (doubtful)" if segment.language_doubtful else "")


def window_top(window: TimelineWindow) -> str:
    """Return the most probable emotion of a window, and whether the model is not sure."""
    return name(window.scores.top) + (" (not sure)" if window.sure is False else "")


def occlusion(label: str, words: bool) -> str:
    """Return how the moments were weighed, in a sentence; `words` where the model also used the transcript."""
    kept = ", while the words stay the same" if words else ""
    return (
        f"The stronger the color, the more a moment weighed for {label}: the odds of {label} fall the most when it is "
        f"removed{kept} (occlusion; Zeiler and Fergus, 2014)."
    )


def moment(span: WeightedSpan, label: str, duration_s: float) -> str:
    """Return the weight of a moment for the answer to so many seconds, as it is shown at the pointer."""
    return f"{interval(span, duration_s)}: {odds_without(span.weight, label)}"


def odds_without(weight: float, label: str) -> str:
    """Return what a weight says: by what factor the odds of an emotion change without a moment or a word."""
    change = "fall" if weight > 0 else "rise"
    return f"without it, the odds of {label} {change} by a factor of {math.exp(abs(weight)):.1f}"


def word_occlusion(label: str) -> str:
    """Return how the words were weighed, in a sentence."""
    return (
        f"The stronger the color, the more a word weighed for {label} in the transcript alone: the odds of {label} "
        "fall the most when it is left out (Li et al., 2016)."
    )


def heaviest(explanation: Explanation, duration_s: float, most: int = 3) -> str:
    """Return the moments that weighed most of so many seconds, in words."""
    ranked = sorted(explanation.moments, key=lambda span: -span.weight)[:most]
    return f"Moments that weighed most: {'; '.join(moment(span, explanation.label, duration_s) for span in ranked)}"


def measurement(value: float, unit: str) -> str:
    """Return a measurement of the voice with its unit."""
    return f"{value:.0f} {unit}" if value >= 20 else f"{value:.1f} {unit}"


def correction(original: Scores, edited: Scores) -> str:
    """Return the effect of an edited transcript on the result, in a sentence."""
    if original.top != edited.top:
        return f"Edited by you and scored again; with the original transcript, the result was {original.top}."
    return "Edited by you and scored again; the result is the same."


def fetching(what: str, done: int, total: int) -> str:
    """Return the progress of a download, in bytes `done` and in all; `total` is 0 where it is unknown."""
    if not total:
        return f"Downloading {what}: {done / 1e6:.0f} MB so far"
    return f"Downloading {what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"


def fetching_model(model: str) -> str:
    """Return the note for a download of a model from the hub."""
    return f"Downloading {model} from the Hugging Face hub. This is done once; large models take minutes."


def transcript_note(transcript: Transcript) -> str:
    """Return the line under the transcript: its languages and Whisper's confidence."""
    languages = name_languages(transcript.languages) or "unknown"
    doubtful = [segment for segment in transcript.segments if segment.language_doubtful]
    extent = (
        "" if not doubtful else " (doubtful)" if len(doubtful) == len(transcript.segments) else " (doubtful in parts)"
    )
    kind = "Languages" if len(transcript.languages) > 1 else "Language"
    return f"{kind}: {languages}{extent}. Confidence of Whisper: {percent(transcript.confidence)}."


def facts(quality: Quality) -> list[tuple[str, str]]:
    """Return the measurements of a recording's quality as (name, value) pairs."""
    return [
        ("Duration", seconds(quality.duration_s)),
        ("Speech", seconds(quality.speech_s)),
        ("Sample rate", f"{quality.sample_rate / 1000:g} kHz"),
        ("Bandwidth", f"{quality.bandwidth_hz / 1000:.1f} kHz"),
        ("Signal-to-noise ratio", decibels(quality.snr_db)),
        ("Clipped samples", clipping(quality.clipping)),
        ("Speech level", f"{quality.level_db:.0f} dBFS"),
        ("Noise reduction", "applied" if quality.noise_reduced else "not needed"),
    ]


def minutes(progress: tuple[float, float]) -> tuple[int, int] | None:
    """Return the whole minutes of a long recording that have been analyzed, and those in all; None of a short one."""
    done_s, total_s = progress
    return None if total_s < LONG_S else (min(int(done_s / 60), round(total_s / 60)), round(total_s / 60))


def decibels(ratio: float | None) -> str:
    """Return a ratio of speech to noise; None is one that cannot be measured."""
    return "not measurable" if ratio is None else f"{ratio:.0f} dB"


def clipping(share: float) -> str:
    """Return a share of clipped samples, never as a false 0%."""
    return "none" if share == 0 else f"{max(share, 0.0001):.2%}"

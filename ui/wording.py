"""Numbers in words: the sentences that a person reads beside the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ser_engine.analysis import Quality, Scores, Transcript

ADJECTIVES = {"disgust": "disgusted"}
"""Labels that do not fit into "sounds …"; the others are adjectives already."""

CERTAINTY = ((0.85, "Very likely"), (0.6, "Probably"), (0.4, "Perhaps"))
"""From which probability of the top emotion which word leads the headline."""

LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""Whisper's codes of the languages that it hears most; any other is shown as its code."""


def percent(share: float) -> str:
    """Return a share (0 to 1) as people read it: whole per cents, and never a false 0% or 100%."""
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}"


def seconds(value: float) -> str:
    """Return a time in seconds as "0.84 s", "12.3 s" or "2 min 5 s"."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def adjective(label: str) -> str:
    """Return the emotion as one says it of a voice: "angry", "disgusted"."""
    return ADJECTIVES.get(label, label)


def headline(scores: Scores) -> str:
    """Return the answer in two or three words, the more careful the lower its probability: "Probably angry"."""
    label, probability = scores.ranked()[0]
    for least, word in CERTAINTY:
        if probability >= least:
            return f"{word} {adjective(label)}"
    return f"Hard to say, at most {adjective(label)}"


def explanation(scores: Scores) -> str:
    """Return the sentence under the headline: what the top probability is, and what comes next."""
    (top, probability), *others = scores.ranked()
    sentence = f"The model gives {top} a probability of {percent(probability)}"
    if not others:
        return f"{sentence}."
    second, runner_up = others[0]
    close = ", close behind," if probability - runner_up < 0.1 else ""
    return f"{sentence}; next{close} comes {second} with {percent(runner_up)}."


def ranking(scores: Scores) -> str:
    """Return all emotions in one line, the most probable first: the chart for those who cannot see it."""
    return ", ".join(f"{label} {percent(probability)}" for label, probability in scores.ranked())


def fetching(size: str, done: int, total: int) -> str:
    """Return how far a download of Whisper is, in bytes `done` and in all; `total` is 0 where nobody knows it."""
    if not total:
        return f"Fetching Whisper {size}: {done / 1e6:.0f} MB so far"
    return f"Fetching Whisper {size}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"


def heard(transcript: Transcript) -> str:
    """Return the line under the words: in which language they are, and how sure Whisper is of them."""
    language = LANGUAGES.get(transcript.language or "", transcript.language or "an unknown language")
    return f"Heard as {language}; Whisper is {percent(transcript.confidence)} sure of its words."


def facts(quality: Quality) -> list[tuple[str, str]]:
    """Return the recording doctor's measurements as (name, value) pairs."""
    snr = "no pause to measure" if quality.snr_db is None else f"{quality.snr_db:.0f} dB"
    return [
        ("Duration", seconds(quality.duration_s)),
        ("Speech in it", seconds(quality.speech_s)),
        ("Sample rate", f"{quality.sample_rate / 1000:g} kHz"),
        ("Bandwidth", f"{quality.bandwidth_hz / 1000:.1f} kHz"),
        ("Speech over noise", snr),
        ("Clipped samples", percent_fine(quality.clipping)),
        ("Speech level", f"{-quality.level_db:.0f} dB below full"),
        ("Noise reduction", "applied" if quality.noise_reduced else "not needed"),
    ]


def percent_fine(share: float) -> str:
    """Return a share (0 to 1) of which even a thousandth matters."""
    return "none" if share == 0 else f"{max(share, 0.0001):.2%}"


def accuracy(card: Mapping[str, Any] | None) -> str | None:
    """Return the model's measured, speaker-independent accuracy in a sentence; None where none was measured.

    `card` is what `Analyzer.card` returns: its "UA" is in per cent.
    """
    if not card or card.get("UA") is None:
        return None
    sentence = f"On acted recordings of people it had never heard, this model named {card['UA']:.0f} in 100 correctly"
    interval = card.get("UA_ci95")
    if interval:
        sentence += f" (95% interval {interval[0]:.0f} to {interval[1]:.0f})"
    return f"{sentence}, counting every emotion alike."

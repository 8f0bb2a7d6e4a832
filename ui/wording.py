"""Numbers in words: the sentences that a person reads beside the figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ser_engine.data.corpora import registry
from ser_engine.labels import EMOTIONS
from ser_engine.types import Quality, Scores, Transcript

ADJECTIVES = {"disgust": "disgusted"}
"""Labels that do not fit into "sounds …"; the others are adjectives already."""

CERTAINTY = ((0.85, "Very likely"), (0.6, "Probably"), (0.4, "Perhaps"))
"""From which probability of the top emotion which word leads the headline."""

OPINIONS = {"audio": "Voice alone", "text": "Words alone", "fused": "Both together"}
"""What a model that listens and reads thinks, by the names that an analysis has for it, in the order of the page."""

CORPORA = {name: one.title for name, one in registry.CORPORA.items()}
"""Corpora as people know them."""

SPEAKER_INDEPENDENT = "speaker-independent"
"""The protocol whose test speakers are strangers to the model."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

MARKUP = re.compile(r"[\\`*\[\]<&$~|]|(?<!\w)_|_(?!\w)|^(?=[#>+=-])", re.MULTILINE)
"""What Markdown would take for a sign of its own; an underscore within a word, for one, it leaves alone."""

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


def verbatim(text: str) -> str:
    """Return text of any origin so that Streamlit's Markdown shows it as it is."""
    escaped = MARKUP.sub(lambda found: f"\\{found[0]}", text)
    numbered = re.sub(r"^(\d+)([.)])", r"\1\\\2", escaped, flags=re.MULTILINE)
    # Streamlit looks for :icons: and :colours[ after it has taken the backslashes away; an unseen joiner stops it.
    return re.sub(r":(?=[\w/+-]+(?::|\\\[))", ":\u2060", numbered)


def name(label: str) -> str:
    """Return a label as a heading or an axis has it: our emotions begin with a capital, others are as they are."""
    return label.capitalize() if label in EMOTIONS else label


def count(number: int) -> str:
    """Return how many there are, in a word where it is short."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def kind(labels: Sequence[str]) -> str:
    """Return what the labels of a model are called: emotions only where all of them are ours."""
    return "emotion" if set(labels) <= set(EMOTIONS) else "label"


def adjective(label: str) -> str:
    """Return the emotion as one says it of a voice: "angry", "disgusted"."""
    return ADJECTIVES.get(label, label)


def headline(scores: Scores, not_sure_below: float | None = None) -> str:
    """Return the answer in two or three words, the more careful the lower its probability: "Probably angry".

    Under `not_sure_below`, where the model has measured that, the answer is that it is not sure between the first two.
    """
    label, probability = scores.ranked()[0]
    if not_sure_below is not None and probability < not_sure_below and len(scores.labels) > 1:
        return f"Not sure: {adjective(label)} or {adjective(scores.ranked()[1][0])}"
    for least, word in CERTAINTY:
        if probability >= least:
            return f"{word} {adjective(label)}"
    return f"Hard to say, at most {adjective(label)}"


def explanation(scores: Scores, not_sure_below: float | None = None) -> str:
    """Return what stands under the headline: what the top probability is, what comes next, and why it is not sure."""
    (top, probability), *others = scores.ranked()
    sentence = f"The model gives {top} a probability of {percent(probability)}"
    if not others:
        return f"{sentence}."
    second, runner_up = others[0]
    close = ", close behind," if probability - runner_up < 0.1 else ""
    sentence = f"{sentence}; next{close} comes {second} with {percent(runner_up)}."
    if not_sure_below is not None and probability < not_sure_below:
        sentence += f" Under {percent(not_sure_below)} this model would rather say that it is not sure."
    return sentence


def ranking(scores: Scores) -> str:
    """Return all emotions in one line, the most probable first: the chart for those who cannot see it."""
    return ", ".join(f"{label} {percent(probability)}" for label, probability in scores.ranked())


def influence(opinions: Mapping[str, Scores], said: str = "") -> str:
    """Return what the words did to the answer, in a sentence; `said` is the transcript's text."""
    voice, words, both = (opinions.get(name) for name in ("audio", "text", "fused"))
    if voice is None or both is None:
        return ""
    if words is None and said.strip():
        return "No emotion is read in the words themselves, so the voice decides alone."
    if words is None:
        return "There were no words to read, so this is the voice alone."
    if voice.top != both.top:
        share = percent(voice.ranked()[0][1])
        return f"The words changed the answer: by the voice alone it would have been {voice.top} ({share})."
    if words.top == both.top:
        return "Voice and words agree on the answer."
    return f"The words alone would have said {words.top}; the voice's answer stayed."


def correction(heard: Scores, edited: Scores) -> str:
    """Return what a person's own words did to the answer, in a sentence."""
    if heard.top != edited.top:
        return f"Edited by you, and scored anew: with the words as heard it was {heard.top}. The downloads say so."
    return "Edited by you, and scored anew; the downloads say so."


def fetching(size: str, done: int, total: int) -> str:
    """Return how far a download of Whisper is, in bytes `done` and in all; `total` is 0 where nobody knows it."""
    if not total:
        return f"Fetching Whisper {size}: {done / 1e6:.0f} MB so far"
    return f"Fetching Whisper {size}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"


def fetching_model(model: str) -> str:
    """Return that a model of the hub is on its way."""
    return f"Fetching {model} from the Hugging Face hub. This is done once; large models take minutes."


def guessing(labels: Sequence[str]) -> str:
    """Return what chance would reach, the measure of every accuracy."""
    return f"Guessing would name 1 in {len(labels)}." if labels else ""


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


def strangers(card: Mapping[str, Any]) -> bool:
    """Whether the figures of a card are of people whom the model had never heard."""
    return card.get("protocol", SPEAKER_INDEPENDENT) == SPEAKER_INDEPENDENT


def accuracy(card: Mapping[str, Any] | None) -> str | None:
    """Return the model's measured accuracy in a sentence; None where none was measured.

    `card` is what `Analyzer.card` returns: its "UA" is in per cent.
    """
    if not card or card.get("UA") is None:
        return None
    tested = "On acted recordings of people it had never heard"
    if not strangers(card):
        tested = f"In a test by the protocol {card['protocol']}, which may have let it hear the same people before"
    sentence = f"{tested}, this model named {card['UA']:.0f} in 100 correctly"
    interval = card.get("UA_ci95")
    if interval:
        sentence += f" (95% interval {interval[0]:.0f} to {interval[1]:.0f})"
    return f"{sentence}, counting every emotion alike."


def strangers_with(label: str, card: Mapping[str, Any] | None) -> str | None:
    """Return how the model did with a label on voices it had never heard, and people beside it; None if not measured.

    `card` is what `Analyzer.card` returns: its figures are in per cent.
    """
    row = ((card or {}).get("per_label") or {}).get(label)
    if card is None or not row or not strangers(card):
        return None
    sentence = (
        f"Of acted voices it had never heard, it found {row['recall']:.0f} in 100 that were meant to be "
        f"{adjective(label)}, and was right in {row['precision']:.0f} of 100 that it took for it."
    )
    for corpus, heard in (card.get("listeners") or {}).items():
        if label in heard["per_label"]:
            sentence += (
                f" Most people who heard the voices of {CORPORA.get(corpus, corpus)} alone named it in "
                f"{heard['per_label'][label]:.0f} of 100."
            )
    return sentence


def doubt(card: Mapping[str, Any] | None) -> str | None:
    """Return what saying "not sure" is worth, in a sentence; None where that was not measured."""
    found = (card or {}).get("not_sure")
    if not found:
        return None
    return (
        f"It says that it is not sure when no probability reaches {percent(found['below'])}: on those recordings it "
        f"answered {100 * found['coverage']:.0f} of 100 and was right in {100 * found['accuracy']:.0f} of 100 answers, "
        f"against {100 * found['without']:.0f} had it always answered."
    )

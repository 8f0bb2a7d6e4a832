"""Numbers in words: the sentences and names that pages write next to figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ser_engine.caveats import accuracy as accuracy
from ser_engine.caveats import on_unseen_speakers as on_unseen_speakers
from ser_engine.data.corpora import registry
from ser_engine.labels import EMOTIONS
from ser_engine.types import Baseline, Scores, Span

ADJECTIVES = {"disgust": "disgusted"}
"""Labels that are no adjectives yet."""

CERTAINTY = ((0.85, "Very likely"), (0.6, "Probably"), (0.4, "Perhaps"))
"""From which probability of the top emotion which word leads the headline."""

MODALITIES = {"audio": "By audio", "text": "By text", "fused": "Combined"}
"""Titles of an analysis's modalities, in the order of the page."""

CORPORA = {name: corpus.title for name, corpus in registry.CORPORA.items()}
"""Titles of the corpora."""

PAPERS = {
    "sharma": "Sharma (2023)", "jafarzadeh": "Jafarzadeh et al. (2024)", "islam": "Islam et al.",
    "gomes": "Gomes et al.", "tiwari": "Tiwari et al.", "emobox": "EmoBox (2024)",
}  # fmt: skip
"""Citations of the papers, by their keys in docs/papers.bib."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

MINUTE_S = 60.0
"""Length of a recording from which on its moments are minutes and seconds."""

MARKUP = re.compile(r"[\\`*\[\]<&$~|]|(?<!\w)_|_(?!\w)|^(?=[#>+=-])", re.MULTILINE)
"""Characters that Markdown would take for markup; it leaves underscores within a word alone."""


def percent(share: float) -> str:
    """Return a share (0 to 1) in whole percent, and never a false 0% or 100%."""
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


def clock(value: float) -> str:
    """Return a moment of a recording, in seconds, as "0:07", "12:30" or "1:02:03"."""
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def moment(value: float, duration_s: float) -> str:
    """Return a moment of a recording of so many seconds, as "7.5 s" or, in one of a minute or more, "0:07"."""
    return clock(value) if duration_s >= MINUTE_S else f"{value:.1f} s"


def interval(span: Span, duration_s: float) -> str:
    """Return a part of a recording of so many seconds, as "1.2 to 3.4 s" or "0:01 to 0:03"; see `moment`."""
    start = clock(span.start) if duration_s >= MINUTE_S else f"{span.start:.1f}"
    return f"{start} to {moment(span.end, duration_s)}"


def verbatim(text: str) -> str:
    """Return text of any origin, escaped so that Streamlit's Markdown shows it unchanged."""
    escaped = MARKUP.sub(lambda match: f"\\{match[0]}", text)
    numbered = re.sub(r"^(\d+)([.)])", r"\1\\\2", escaped, flags=re.MULTILINE)
    # Streamlit looks for :icons: and :colors[ after it has removed the backslashes; an invisible joiner stops it.
    return re.sub(r":(?=[\w/+-]+(?::|\\\[))", ":\u2060", numbered)


def name(label: str) -> str:
    """Return a label as a heading or an axis has it: capitalized if it is one of our emotions, else unchanged."""
    return label.capitalize() if label in EMOTIONS else label


def count(number: int) -> str:
    """Return a number, in words up to twelve."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def kind(labels: Sequence[str]) -> str:
    """Return "emotion" if all labels are ours, else "label"."""
    return "emotion" if set(labels) <= set(EMOTIONS) else "label"


def headline(scores: Scores, threshold: float | None = None) -> str:
    """Return the result in two or three words, the more careful the lower its probability: "Probably angry".

    Below `threshold`, where the model has such a threshold, the result is "Not sure" between the first two.
    """
    ranked = scores.ranked()
    adjective, *others = (ADJECTIVES.get(label, label) for label, _ in ranked)
    probability = ranked[0][1]
    if scores.reach(threshold) is False and others:
        return f"Not sure: {adjective} or {others[0]}"
    certainty = next((word for least, word in CERTAINTY if probability >= least), "Unclear, possibly")
    return f"{certainty} {adjective}"


def explanation(scores: Scores, threshold: float | None = None) -> str:
    """Return the sentences under the headline: the top probability, the runner-up, and why the model abstains."""
    (top, probability), *others = scores.ranked()
    sentence = f"The probability of {top} is {percent(probability)}"
    if not others:
        return f"{sentence}."
    second, runner_up = others[0]
    closely = "closely " if probability - runner_up < 0.1 else ""
    sentence = f"{sentence}, {closely}followed by {second} with {percent(runner_up)}."
    if threshold is not None and not scores.reach(threshold):
        sentence += f" Below {percent(threshold)}, this model abstains."
    return sentence


def relative_to(baseline: Baseline) -> str:
    """Return the note of an answer that is relative to a calm voice."""
    return f"Relative to your calm voice, from a sample with {baseline.speech_s:.0f} s of speech."


def ranking(scores: Scores) -> str:
    """Return all emotions in one line, the most probable first."""
    return ", ".join(f"{label} {percent(probability)}" for label, probability in scores.ranked())


def guessing(labels: Sequence[str]) -> str:
    """Return the chance level in a sentence."""
    return f"Chance level is 1 in {len(labels)}." if labels else ""


def label_accuracy(label: str, card: Mapping[str, Any] | None) -> str | None:
    """Return how often a label is right on unseen speakers, compared with human raters; None where not measured.

    `card` is the value of `Analyzer.card`; its figures are in percent.
    """
    row = ((card or {}).get("per_label") or {}).get(label)
    if card is None or not row or not on_unseen_speakers(card):
        return None
    sentence = (
        f"For {label}, recall is {row['recall']:.0f}% and precision {row['precision']:.0f}%, measured on unseen "
        "speakers in acted speech."
    )
    for corpus, raters in (card.get("listeners") or {}).items():
        if label in raters["per_label"]:
            sentence += (
                f" By majority vote and from audio alone, human raters reach a recall of "
                f"{raters['per_label'][label]:.0f}% on {CORPORA.get(corpus, corpus)}."
            )
    return sentence


def abstention(card: Mapping[str, Any] | None) -> str | None:
    """Return the coverage and accuracy of a model that may abstain, in a sentence; None where not measured."""
    measured = (card or {}).get("not_sure")
    if not measured:
        return None
    return (
        f"The model abstains (“not sure”) when no probability reaches {percent(measured['below'])}: on the test clips "
        f"it answers {100 * measured['coverage']:.0f}% of the time, with an accuracy of "
        f"{100 * measured['accuracy']:.0f}% instead of {100 * measured['without']:.0f}%."
    )


def false_alarms(card: Mapping[str, Any] | None) -> str | None:
    """Return how often a model takes ordinary talk for an emotion, in a sentence; None where not measured."""
    external = (card or {}).get("external") or {}
    rates = {name: row["alarms_per_minute"] for name, row in external.items() if "alarms_per_minute" in row}
    if not rates:
        return None
    figures = " and ".join(f"{rate:.1f} a minute on {CORPORA.get(name, name)}" for name, rate in rates.items())
    return (
        "A false alarm is a sure answer, neither neutral nor calm, where nobody was asked to express an emotion: "
        f"{figures}, by speakers the model was not trained on."
    )


def unsure_columns(card: Mapping[str, Any] | None) -> str | None:
    """Return what thin columns of a live session mean, and how often sure ones are false alarms."""
    threshold = ((card or {}).get("not_sure") or {}).get("below")
    if threshold is None:
        return None
    sentence = (
        f"Where no probability reaches {percent(threshold)}, the timeline is thin and gray: the model is not sure."
    )
    return " ".join(filter(None, (sentence, false_alarms(card))))

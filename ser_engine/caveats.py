"""What a model's answers can and cannot mean, in the sentences that pages and reports share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OUR_CORPORA = {"ravdess", "cremad", "tess", "emogator", "librispeech", "speechocean"}
"""Training corpora of the bundled models: up to 117 actors, vocal bursts, and ordinary talk."""
ACTORS = "about a hundred actors speaking North American English"
OTHERS = "recordings of a limited number of people, most likely actors"
LIMITS = (
    "They do not show what a person feels. The model was trained on {}; everyday emotions are subtler, and other "
    "speakers, languages and cultures sound different.",
    "They are not a lie detector and not a diagnosis.",
    "They are no basis for decisions about a person, be it in hiring, education, policing, insurance or health care.",
)
LAW = (
    "Tell the people whose voices you analyze.",
    "In the European Union, it is prohibited to infer the emotions of people at work, such as the agents of a call "
    "center, and in education, except for medical or safety reasons (Regulation (EU) 2024/1689, Article 5). Other "
    "uses are of high risk (Annex III), and the people concerned have to be informed (Article 50).",
    "A recording of a person, and an emotion that is attributed to that person, are personal data (GDPR).",
)
SPEAKER_INDEPENDENT = "speaker-independent"
"""The protocol whose test speakers are not in the training data."""


def ours(card: Mapping[str, Any] | None) -> bool:
    """Return whether the model was trained on the bundled models' corpora, and no others."""
    corpora = set((card or {}).get("corpora") or ())
    return bool(corpora) and corpora <= OUR_CORPORA


def limits(card: Mapping[str, Any] | None) -> list[str]:
    """Return the sentences of `LIMITS` for a model; `card` is the value of `Analyzer.card`."""
    return [sentence.format(ACTORS if ours(card) else OTHERS) for sentence in LIMITS]


def on_unseen_speakers(card: Mapping[str, Any]) -> bool:
    """Return whether the figures of a card were measured on unseen speakers."""
    return bool(card.get("protocol", SPEAKER_INDEPENDENT) == SPEAKER_INDEPENDENT)


def accuracy(card: Mapping[str, Any] | None) -> str | None:
    """Return the model's measured accuracy in a sentence; None where none was measured.

    `card` is the value of `Analyzer.card`; its "UA" is in percent.
    """
    if not card or card.get("UA") is None:
        return None
    tested = "Accuracy on unseen speakers"
    if not on_unseen_speakers(card):
        tested = f"Accuracy under the protocol “{card['protocol']}”, which may test on speakers from the training data,"
    interval = card.get("UA_ci95")
    bounds = f" (95% interval {interval[0]:.0f}% to {interval[1]:.0f}%)" if interval else ""
    return f"{tested} is {card['UA']:.0f}%{bounds}, measured as the mean recall of all emotions on acted speech."

"""The emotions, under one name each, and the sets of them that experiments use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ser_engine.data.corpora.base import Utterance

NEUTRAL, CALM, HAPPY, SAD = "neutral", "calm", "happy", "sad"
ANGRY, FEARFUL, DISGUST, SURPRISED = "angry", "fearful", "disgust", "surprised"

# RAVDESS's own order (its codes 01 to 08); every probability vector of the default model follows it.
EMOTIONS: tuple[str, ...] = (NEUTRAL, CALM, HAPPY, SAD, ANGRY, FEARFUL, DISGUST, SURPRISED)

# Other words for them, as researchers and corpora write them.
SYNONYMS: dict[str, str] = {
    "neutrality": NEUTRAL,
    "calmness": CALM,
    "happiness": HAPPY,
    "joy": HAPPY,
    "sadness": SAD,
    "anger": ANGRY,
    "fear": FEARFUL,
    "disgusted": DISGUST,
    "surprise": SURPRISED,
    "pleasant surprise": SURPRISED,
}


def named(word: str) -> str | None:
    """Return our name of an emotion however it is written ("Anger"), None where we have none for it."""
    plain = " ".join(word.lower().replace("_", " ").split())
    return plain if plain in EMOTIONS else SYNONYMS.get(plain)


@dataclass(frozen=True)
class LabelSet:
    """A choice of classes, and which of our emotions goes into which.

    `mapping` says it for our emotions; what it does not name is left out. `natives` says it for a corpus's own labels
    ("iemocap/exc") and goes first. A set without `labels` takes every corpus's own label as it is.
    """

    id: str
    labels: tuple[str, ...]
    mapping: Mapping[str, str]
    about: str
    natives: Mapping[str, str] = field(default_factory=dict)

    def of(self, utterance: Utterance) -> str | None:
        """Return the utterance's class, None where the set leaves it out."""
        if not self.labels:
            return utterance.native or utterance.label
        own = self.natives.get(f"{utterance.corpus}/{utterance.native}")
        return own or self.mapping.get(utterance.label or "")

    def order(self, found: Iterable[str]) -> tuple[str, ...]:
        """Return the classes among `found`, once each, in the set's order (alphabetical where it has none)."""
        kinds = set(found)
        return tuple(label for label in self.labels or sorted(kinds) if label in kinds)


def _same(*labels: str) -> dict[str, str]:
    return {label: label for label in labels}


# Sharma (section 3A) has seven and no neutral; the order is its own.
_SHARMA = (CALM, HAPPY, SAD, ANGRY, FEARFUL, DISGUST, SURPRISED)
# Islam (section 3.3) names seven in this order and reads RAVDESS's calm as neutral (its section 3.1.2).
_ISLAM = (HAPPY, SAD, ANGRY, NEUTRAL, DISGUST, FEARFUL, SURPRISED)
ANGRY_OR_DISGUST, FEARFUL_OR_SURPRISED = "angry or disgust", "fearful or surprised"
# EmoBox and most papers on IEMOCAP use four, where excited counts as happy.
_IEMOCAP_4 = (ANGRY, HAPPY, SAD, NEUTRAL)

LABEL_SETS: dict[str, LabelSet] = {
    chosen.id: chosen
    for chosen in (
        LabelSet("eight", EMOTIONS, _same(*EMOTIONS), "our eight emotions"),
        LabelSet("sharma", _SHARMA, _same(*_SHARMA), "Sharma's seven: without neutral"),
        LabelSet("islam", _ISLAM, _same(*_ISLAM) | {CALM: NEUTRAL}, "Islam's seven: calm counts as neutral"),
        LabelSet(
            "islam-groups",
            (ANGRY_OR_DISGUST, FEARFUL_OR_SURPRISED, HAPPY, SAD),
            {
                ANGRY: ANGRY_OR_DISGUST,
                DISGUST: ANGRY_OR_DISGUST,
                FEARFUL: FEARFUL_OR_SURPRISED,
                SURPRISED: FEARFUL_OR_SURPRISED,
                HAPPY: HAPPY,
                SAD: SAD,
            },
            "Islam's four groups (section 3.5): similar emotions merged, neutral and calm left out",
        ),
        LabelSet(
            "iemocap-4",
            _IEMOCAP_4,
            _same(*_IEMOCAP_4),
            "the four that IEMOCAP is mostly measured on: excited counts as happy",
            {"iemocap/exc": HAPPY},
        ),
        LabelSet("native", (), {}, "every corpus's own labels, as it writes them"),
    )
}

"""The names of the emotions, the label sets of experiments, and groups of emotions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ser_engine.errors import InvalidSettings
from ser_engine.types import Scores

if TYPE_CHECKING:
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


def find_emotion(word: str) -> str | None:
    """Return the name of an emotion however it is written ("Anger"); None for other words."""
    plain = " ".join(word.lower().replace("_", " ").split())
    return plain if plain in EMOTIONS else SYNONYMS.get(plain)


@dataclass(frozen=True)
class LabelSet:
    """The classes of an experiment, and the emotions that belong to each.

    `mapping` maps emotions to classes; others are left out. `natives` maps a corpus's own labels ("iemocap/exc") and
    takes precedence. A set without `labels` keeps every corpus's own labels.
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

    def order(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return the set's classes among `labels`, once each, in its order (alphabetical where it has none)."""
        present = set(labels)
        return tuple(label for label in self.labels or sorted(present) if label in present)


def _same(*labels: str) -> dict[str, str]:
    return {label: label for label in labels}


# Sharma (section 3A) has seven and no neutral; the order is its own.
_SHARMA = (CALM, HAPPY, SAD, ANGRY, FEARFUL, DISGUST, SURPRISED)
# Islam (section 3.3) names seven in this order and reads RAVDESS's calm as neutral (its section 3.1.2).
_ISLAM = (HAPPY, SAD, ANGRY, NEUTRAL, DISGUST, FEARFUL, SURPRISED)
ANGRY_OR_DISGUST, FEARFUL_OR_SURPRISED = "angry or disgust", "fearful or surprised"
# Jafarzadeh (section 4.1) leaves ShEMO's fear out "due to their small number"; the order is that of its table 6.
_SHEMO_5 = (ANGRY, HAPPY, SAD, SURPRISED, NEUTRAL)
# EmoBox and most papers on IEMOCAP use four, where excited counts as happy.
_IEMOCAP_4 = (ANGRY, HAPPY, SAD, NEUTRAL)
# Those that every corpus of ASED, CREMA-D, EMO-DB, EMOVO, RAVDESS and TESS has.
_SHARED = (NEUTRAL, HAPPY, SAD, ANGRY, FEARFUL)

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
        LabelSet("shemo-5", _SHEMO_5, _same(*_SHEMO_5), "Jafarzadeh's five of ShEMO: without fear"),
        LabelSet("shared-5", _SHARED, _same(*_SHARED), "the five that the corpora of four languages share"),
        LabelSet("native", (), {}, "every corpus's own labels, as it writes them"),
    )
}

GROUPS = "islam-groups"
"""Anger or disgust, fear or surprise, happiness, sadness (Islam, section 3.5, after Jack et al., 2014)."""


def find_group(label: str) -> str | None:
    """Return the group of a model's label; None where it is in none (neutral and calm)."""
    return LABEL_SETS[GROUPS].mapping.get(find_emotion(label) or "")


def group_scores(scores: Scores) -> Scores:
    """Return the probabilities of the groups, given that it is one of them: float32, summing to one.

    A group's probability is the sum of its emotions', divided by the sum of all groups'. Islam (section 3.5) leaves
    neutral out and decides among four groups, however probable neutral is: see `ungrouped_probability`. Groups for
    which the model has no label are missing. Raise InvalidSettings if it has no label of any group.
    """
    groups = [find_group(label) for label in scores.labels]
    labels = LABEL_SETS[GROUPS].order(group for group in groups if group)
    if not labels:
        raise InvalidSettings(f"The model's labels ({', '.join(scores.labels)}) belong to none of the groups.")
    sums = np.zeros(len(labels), np.float64)
    for group, probability in zip(groups, scores.probabilities, strict=True):
        if group:
            sums[labels.index(group)] += probability
    total = sums.sum()
    # Equally likely where nothing at all is left for the groups.
    return Scores(labels, (sums / total if total else np.full(len(labels), 1 / len(labels))).astype(np.float32))


def ungrouped_probability(scores: Scores) -> float:
    """Return the probability, 0 to 1, of the labels that are in no group."""
    pairs = zip(scores.labels, scores.probabilities, strict=True)
    return float(sum(probability for label, probability in pairs if not find_group(label)))

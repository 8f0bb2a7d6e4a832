"""Labels of public models, mapped to our emotions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ser_engine.labels import ANGRY, CALM, DISGUST, EMOTIONS, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED, find_emotion

# In addition to `labels.SYNONYMS`: spellings of IEMOCAP, CREMA-D, TESS and models trained on them.
ABBREVIATIONS: dict[str, str] = {
    "neu": NEUTRAL,
    "cal": CALM,
    "hap": HAPPY,
    "joyful": HAPPY,
    "sadly": SAD,
    "ang": ANGRY,
    "fea": FEARFUL,
    "fearfulness": FEARFUL,
    "dis": DISGUST,
    "disg": DISGUST,
    "sur": SURPRISED,
    "ps": SURPRISED,
    "pleasantly surprised": SURPRISED,
    "pleasant surprised": SURPRISED,
}

# Some models have a class for each gender ("female_angry").
GENDERS = frozenset({"female", "male", "woman", "man"})

_SUPERB = (NEUTRAL, HAPPY, ANGRY, SAD)
WELL_KNOWN: dict[str, tuple[str, ...]] = {
    # SUPERB's emotion task (Yang et al., Interspeech 2021) is IEMOCAP with four classes, in this order.
    "superb/hubert-base-superb-er": _SUPERB,
    "superb/hubert-large-superb-er": _SUPERB,
    "superb/wav2vec2-base-superb-er": _SUPERB,
    "superb/wav2vec2-large-superb-er": _SUPERB,
    # RAVDESS's eight in alphabetical order. Transformers lacks the head of this one, so it is refused.
    "ehcalabres/wav2vec2-lg-xlsr-en-speech-emotion-recognition": (
        ANGRY, CALM, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED,
    ),
}  # fmt: skip
"""Classes of public models, for revisions that only number them (LABEL_0, LABEL_1, ...)."""

NUMBERED = re.compile(r"(label[_ ]?)?\d+", re.IGNORECASE)


def emotion(label: str) -> str | None:
    """Return the name of an emotion as public models write it ("ANG", "02_happiness", "female fearful"); else None."""
    words = [word for word in re.findall(r"[^\W\d_]+", label.lower()) if word not in GENDERS]
    plain = " ".join(words)
    return find_emotion(plain) or ABBREVIATIONS.get(plain)


def names(id: str, id2label: Mapping[int, str], count: int) -> tuple[str, ...]:
    """Return the names of a model's classes: its own labels, or those in `WELL_KNOWN` where they are numbers.

    Labels that are none of our emotions keep their own names.
    """
    own = [" ".join(str(id2label.get(i, "")).split()) or f"label {i}" for i in range(count)]
    known = WELL_KNOWN.get(id, ())
    if len(known) == count and all(NUMBERED.fullmatch(label) for label in own):
        return known
    return tuple(emotion(label) or label for label in own)


def merged(classes: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the labels [k] of the scores, and the matrix float32 [classes, k] that sums a model's classes to them.

    Our emotions come first, in their usual order, then all others in the model's order. Each row has one 1.
    """
    unique = dict.fromkeys(classes)
    labels = (*(label for label in EMOTIONS if label in unique), *(label for label in unique if label not in EMOTIONS))
    sums = np.zeros((len(classes), len(labels)), np.float32)
    sums[np.arange(len(classes)), [labels.index(label) for label in classes]] = 1
    return labels, sums

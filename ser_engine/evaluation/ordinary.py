"""False alarms on ordinary talk: recordings in which nobody was asked to express an emotion.

A false alarm is a window whose answer is sure, and neither neutral nor calm. Not every one is false: readers of novels
act now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.corpora.base import ORDINARY, Utterance
from ser_engine.evaluation.metrics import percent
from ser_engine.labels import CALM, NEUTRAL
from ser_engine.types import WINDOW_S

QUIET = (NEUTRAL, CALM)
TARGET = 0.05
"""Share of the windows that may be false alarms at the threshold of "not sure"."""


def run_id(model: str) -> str:
    """Return the id of the run that measures a model on ordinary talk."""
    return f"evaluated/{model}-ordinary/as-is"


def is_ordinary(utterances: Sequence[Utterance]) -> NDArray[np.bool_]:
    """Return for each utterance whether it is ordinary talk, bool [n]."""
    return np.array([utterance.native == ORDINARY for utterance in utterances], bool)


def measure_ordinary(probabilities: NDArray[np.float32], labels: Sequence[str], threshold: float) -> dict[str, Any]:
    """Return the figures on windows of ordinary talk.

    `probabilities` is float32 [n, labels] of n windows of `WINDOW_S`. In percent of the windows: `alarms`, the answers
    that are sure and neither neutral nor calm; `quiet`, all others; `strongest`, by label. `alarms_per_minute` is of
    talk.
    """
    top = probabilities.argmax(axis=1)
    alarms = find_alarms(probabilities, labels) >= threshold
    return {
        "windows": len(top),
        "alarms": percent(alarms),
        "quiet": percent(~alarms),
        "alarms_per_minute": round(float(alarms.mean() * 60 / WINDOW_S), 2),
        "strongest": {label: percent(top == number) for number, label in enumerate(labels)},
    }


def find_alarms(probabilities: NDArray[np.float32], labels: Sequence[str]) -> NDArray[np.float32]:
    """Return the probability of each answer, -1 where it is neutral or calm: float32 [n]."""
    top = probabilities.argmax(axis=1)
    quiet = np.array([label in QUIET for label in labels])
    return np.where(quiet[top], -1.0, probabilities.max(axis=1)).astype(np.float32)


def quiet_threshold(probabilities: NDArray[np.float32], labels: Sequence[str], share: float = TARGET) -> float:
    """Return a threshold at which at most a share of windows of ordinary talk are false alarms."""
    alarms = np.sort(find_alarms(probabilities, labels))[::-1]
    return max(0.0, float(np.nextafter(alarms[int(share * len(alarms))], np.float32(2))))

"""Labels of public models, as they write them and as they are called here."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.labels import EMOTIONS
from ser_engine.models import hub_labels


@pytest.mark.parametrize(
    ("label", "ours"),
    [
        *zip(("neu", "CAL", "hap", "sad", "Ang", "fea", "DIS", "sur"), EMOTIONS, strict=True),
        *zip(
            ("Neutral", "calmness", "joy", "sadness", "anger", "fear", "disgusted", "surprise"), EMOTIONS, strict=True
        ),
        ("happiness", "happy"),
        ("Fearful", "fearful"),
        ("02_happy", "happy"),
        ("female_fearful", "fearful"),
        ("angry (male)", "angry"),
        ("pleasant_surprise", "surprised"),
        ("not angry", None),
        ("bored", None),
        ("LABEL_1", None),
        ("平静", None),
        ("", None),
    ],
)
def test_an_emotion_is_known_however_it_is_written(label: str, ours: str | None) -> None:
    assert hub_labels.emotion(label) == ours


def test_several_classes_of_one_emotion_are_added_up_and_others_keep_their_names() -> None:
    classes = hub_labels.names("x/y", {0: "bored", 1: "female_sad", 2: "hap", 3: "male_sad", 4: " "}, 5)
    assert classes == ("bored", "sad", "happy", "sad", "label 4")
    labels, sums = hub_labels.merged(classes)
    assert labels == ("happy", "sad", "bored", "label 4")
    assert np.array([0.1, 0.2, 0.3, 0.35, 0.05], np.float32) @ sums == pytest.approx([0.3, 0.55, 0.1, 0.05])


def test_classes_that_are_only_numbered_are_looked_up() -> None:
    numbered = {i: f"LABEL_{i}" for i in range(4)}
    known = hub_labels.names("superb/hubert-large-superb-er", numbered, 4)
    assert known == ("neutral", "happy", "angry", "sad")
    own = dict(enumerate(("sad", "ang", "hap", "neu")))  # its own words go before ours for it
    assert hub_labels.names("superb/hubert-large-superb-er", own, 4) == ("sad", "angry", "happy", "neutral")
    assert hub_labels.names("someone/else", numbered, 4) == tuple(numbered.values())
    assert hub_labels.names("superb/hubert-large-superb-er", numbered, 3) == tuple(numbered.values())[:3]
    for id, labels in hub_labels.WELL_KNOWN.items():
        assert set(labels) <= set(EMOTIONS) and len(set(labels)) == len(labels), id

"""Paper-3's four groups of emotions."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.errors import InvalidSettings
from ser_engine.groups import group_of, grouped, left_out
from ser_engine.labels import EMOTIONS
from ser_engine.types import Scores


def scores(**given: float) -> Scores:
    return Scores(tuple(given), np.array(list(given.values()), np.float32))


def test_the_groups_are_the_papers() -> None:
    assert {label: group_of(label) for label in EMOTIONS} == {
        "neutral": None,
        "calm": None,
        "happy": "happy",
        "sad": "sad",
        "angry": "angry or disgust",
        "disgust": "angry or disgust",
        "fearful": "fearful or surprised",
        "surprised": "fearful or surprised",
    }


def test_probabilities_are_added_and_neutral_is_left_out() -> None:
    found = scores(neutral=0.3, calm=0.1, happy=0.12, sad=0.06, angry=0.12, fearful=0.06, disgust=0.12, surprised=0.12)
    four = grouped(found)
    assert four.labels == ("angry or disgust", "fearful or surprised", "happy", "sad")
    assert four.probabilities.tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert four.probabilities.dtype == np.float32 and left_out(found) == pytest.approx(0.4)


def test_a_group_can_win_that_holds_no_winner() -> None:
    found = scores(happy=0.4, angry=0.3, disgust=0.3)
    assert found.top == "happy" and grouped(found).top == "angry or disgust"


def test_models_may_use_other_words_and_lack_groups() -> None:
    found = grouped(scores(Anger=0.2, joy=0.2, bored=0.6))
    assert found.to_dict() == {"angry or disgust": pytest.approx(0.5), "happy": pytest.approx(0.5)}


def test_where_neutral_has_all_the_groups_are_equally_likely() -> None:
    assert grouped(scores(neutral=1.0, happy=0.0, sad=0.0)).probabilities.tolist() == [0.5, 0.5]


def test_a_model_without_any_of_them_is_told() -> None:
    with pytest.raises(InvalidSettings, match="dog, neutral"):
        grouped(scores(dog=0.5, neutral=0.5))

"""Names of emotions, label sets and groups."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ser_engine.data.corpora import aesdd, banglaser, cremad, emodb, iemocap, ravdess, savee, shemo, subesco, tess
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.corpora.registry import CORPORA
from ser_engine.errors import InvalidSettings
from ser_engine.labels import EMOTIONS, LABEL_SETS, find_emotion, find_group, group_scores, ungrouped_probability
from ser_engine.types import Scores


def test_there_are_eight_in_the_order_of_ravdess() -> None:
    assert EMOTIONS == ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


@pytest.mark.parametrize(
    ("reader", "missing"),
    [
        (ravdess, set()),
        (cremad, {"calm", "surprised"}),
        (tess, {"calm"}),
        (emodb, {"calm", "surprised"}),
        (savee, {"calm"}),
        (iemocap, {"calm"}),
        (aesdd, {"neutral", "calm", "surprised"}),
        (shemo, {"calm", "disgust"}),
        (subesco, {"calm"}),
        (banglaser, {"calm", "fearful", "disgust"}),
    ],
)
def test_every_corpus_uses_our_names_and_lacks_what_it_lacks(reader: ModuleType, missing: set[str]) -> None:
    labels = {label for label in reader.CORPUS.labels.values() if label is not None}
    assert labels == set(EMOTIONS) - missing


def said(label: str | None, native: str | None = None, corpus: str = "ravdess") -> Utterance:
    return Utterance(corpus, Path("a.wav"), label, "s", native=native)


def test_paper_1_has_seven_and_leaves_neutral_out() -> None:
    paper_1 = LABEL_SETS["sharma"]
    assert paper_1.labels == ("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    assert paper_1.of(said("neutral")) is None
    assert [paper_1.of(said(label)) for label in paper_1.labels] == list(paper_1.labels)


def test_paper_1_s_13390_clips_are_what_its_label_set_leaves_of_its_five_corpora() -> None:
    """Figure 1 of the paper; it holds only without IEMOCAP's excited clips, which the text does not mention."""
    paper_1 = LABEL_SETS["sharma"]
    clips = 0
    for corpus in (CORPORA[id] for id in ("ravdess", "cremad", "savee", "tess", "iemocap")):
        for native, count in corpus.expected_labels.items():
            clips += count * (paper_1.of(said(corpus.labels[native], native, corpus.id)) is not None)
    assert clips == 13_390


def test_paper_3_counts_calm_as_neutral_and_has_four_groups() -> None:
    assert len(LABEL_SETS["islam"].labels) == 7
    assert LABEL_SETS["islam"].of(said("calm")) == "neutral"
    groups = LABEL_SETS["islam-groups"]
    assert [groups.of(said(label)) for label in EMOTIONS] == [
        None, None, "happy", "sad", "angry or disgust", "fearful or surprised", "angry or disgust",
        "fearful or surprised",
    ]  # fmt: skip
    assert set(groups.labels) == {groups.of(said(label)) for label in EMOTIONS} - {None}


def test_paper_2_leaves_shemo_s_fear_out() -> None:
    labels = [LABEL_SETS["shemo-5"].of(said(label, native, "shemo")) for native, label in shemo.CORPUS.labels.items()]
    assert labels == ["angry", None, "happy", "neutral", "sad", "surprised"]


def test_excited_is_happy_in_iemocap_s_four_only() -> None:
    excited = said(None, "exc", "iemocap")
    assert LABEL_SETS["iemocap-4"].of(excited) == "happy"
    assert LABEL_SETS["iemocap-4"].of(said(None, "exc", "another")) is None
    assert LABEL_SETS["eight"].of(excited) is None
    assert LABEL_SETS["native"].of(excited) == "exc"


def test_labels_are_ordered_as_the_set_has_them() -> None:
    assert LABEL_SETS["sharma"].order(["sad", "happy", "sad", "neutral"]) == ("happy", "sad")
    assert LABEL_SETS["native"].order(["W", "A", "W"]) == ("A", "W")


@pytest.mark.parametrize(
    ("word", "ours"),
    [("Anger", "angry"), ("angry", "angry"), (" Pleasant_Surprise ", "surprised"), ("JOY", "happy"), ("bored", None)],
)
def test_other_words_for_emotions_are_known(word: str, ours: str | None) -> None:
    assert find_emotion(word) == ours


# --- Groups


def scores(**given: float) -> Scores:
    return Scores(tuple(given), np.array(list(given.values()), np.float32))


def test_the_groups_are_the_papers() -> None:
    assert {label: find_group(label) for label in EMOTIONS} == {
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
    four = group_scores(found)
    assert four.labels == ("angry or disgust", "fearful or surprised", "happy", "sad")
    assert four.probabilities.tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert four.probabilities.dtype == np.float32 and ungrouped_probability(found) == pytest.approx(0.4)


def test_a_group_can_win_that_holds_no_winner() -> None:
    found = scores(happy=0.4, angry=0.3, disgust=0.3)
    assert found.top == "happy" and group_scores(found).top == "angry or disgust"


def test_models_may_use_other_words_and_lack_groups() -> None:
    found = group_scores(scores(Anger=0.2, joy=0.2, bored=0.6))
    assert found.to_dict() == {"angry or disgust": pytest.approx(0.5), "happy": pytest.approx(0.5)}


def test_where_neutral_has_all_the_groups_are_equally_likely() -> None:
    assert group_scores(scores(neutral=1.0, happy=0.0, sad=0.0)).probabilities.tolist() == [0.5, 0.5]


def test_a_model_without_any_of_them_is_told() -> None:
    with pytest.raises(InvalidSettings, match="dog, neutral"):
        group_scores(scores(dog=0.5, neutral=0.5))

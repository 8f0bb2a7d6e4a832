"""Sentences agree with their figures."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ser_engine.types import Scores, Span
from ui import wording


def scores(*pairs: tuple[str, float]) -> Scores:
    labels, values = zip(*pairs, strict=True)
    return Scores(labels, np.array(values, np.float32))


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0%"), (0.001, "<1%"), (0.01, "1%"), (0.642, "64%"), (0.999, ">99%"), (1.0, "100%")]
)
def test_per_cents_are_whole_and_never_falsely_none_or_all(share: float, text: str) -> None:
    assert wording.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12 s"), (12.34, "12.3 s"), (125.2, "2 min 5 s"), (1800, "30 min 0 s")]
)
def test_seconds(value: float, text: str) -> None:
    assert wording.seconds(value) == text


def test_moments_of_long_recordings_are_minutes_and_seconds() -> None:
    assert (wording.moment(7.25, 59), wording.moment(7.25, 60)) == ("7.2 s", "0:07")
    assert wording.moment(3723, 7200) == "1:02:03"
    assert (
        wording.interval(Span(1, 2.5), 10) == "1.0 to 2.5 s" and wording.interval(Span(1, 62.5), 90) == "0:01 to 1:02"
    )


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.9, "Very likely angry"),
        (0.7, "Probably angry"),
        (0.45, "Perhaps angry"),
        (0.35, "Unclear, possibly angry"),
    ],
)
def test_the_headline_is_no_bolder_than_the_probability(probability: float, text: str) -> None:
    rest = 1 - probability
    assert wording.headline(scores(("sad", rest / 2), ("angry", probability), ("calm", rest / 2))) == text


def test_under_its_threshold_it_is_not_sure_between_the_first_two() -> None:
    found = scores(("sad", 0.3), ("disgust", 0.45), ("calm", 0.25))
    assert wording.headline(found, 0.5) == "Not sure: disgusted or sad"
    assert wording.explanation(found, 0.5).endswith("Below 50%, this model abstains.")
    assert wording.headline(found, 0.4) == wording.headline(found) == "Perhaps disgusted"
    assert wording.explanation(found, 0.4) == wording.explanation(found)


CARD = {
    "protocol": "speaker-independent",
    "per_label": {"angry": {"recall": 84.27, "precision": 78.9}, "calm": {"recall": 75.0, "precision": 73.0}},
    "listeners": {"cremad": {"agreement": 41.6, "clips": 7442, "per_label": {"angry": 60.4}}},
    "not_sure": {"below": 0.52, "coverage": 0.8, "accuracy": 0.845, "without": 0.76},
}


def test_the_accuracy_of_a_label_is_that_on_unseen_speakers_and_of_human_raters() -> None:
    angry = wording.label_accuracy("angry", CARD) or ""
    assert all(figure in angry for figure in ("84%", "79%", "60%", "unseen speakers", "CREMA-D"))
    calm = wording.label_accuracy("calm", CARD)
    assert calm is not None and "CREMA-D" not in calm
    for card in (None, {}, {**CARD, "protocol": "paper"}, {**CARD, "per_label": {}}):
        assert wording.label_accuracy("angry", card) is None


def test_abstention_has_its_threshold_coverage_and_accuracies() -> None:
    sentence = wording.abstention(CARD) or ""
    assert re.findall(r"\d+%", sentence) == ["52%", "80%", "84%", "76%"]
    assert wording.abstention({}) is None and wording.abstention(None) is None


def test_false_alarms_are_rates_on_ordinary_talk() -> None:
    card = {**CARD, "external": {"emodb": {"UA": 70.0}, "librispeech": {"alarms": 3.0, "alarms_per_minute": 0.62}}}
    sentence = wording.false_alarms(card) or ""
    assert "0.6 a minute on LibriSpeech," in sentence and "EMO-DB" not in sentence
    assert wording.false_alarms(CARD) is None and wording.false_alarms(None) is None
    gray = wording.unsure_columns(card) or ""
    assert "52%" in gray and gray.endswith(sentence)
    assert wording.unsure_columns({}) is None


def test_a_disgusted_voice_is_not_called_disgust() -> None:
    assert wording.headline(scores(("disgust", 0.9), ("calm", 0.1))) == "Very likely disgusted"


def test_the_explanation_names_the_runner_up_and_says_when_it_is_close() -> None:
    clear = wording.explanation(scores(("sad", 0.1), ("angry", 0.7), ("calm", 0.2)))
    assert clear == "The probability of angry is 70%, followed by calm with 20%."
    assert "closely" in wording.explanation(scores(("sad", 0.45), ("angry", 0.5), ("calm", 0.05)))


def test_the_ranking_holds_every_emotion_in_order() -> None:
    assert wording.ranking(scores(("sad", 0.1), ("angry", 0.7), ("calm", 0.2))) == "angry 70%, calm 20%, sad 10%"


def test_accuracy_is_quoted_only_when_it_was_measured() -> None:
    assert wording.accuracy(None) is None and wording.accuracy({"id": "a"}) is None
    sentence = wording.accuracy({"id": "a", "UA": 75.6, "UA_ci95": [73.9, 77.1]})
    assert sentence and "76%" in sentence and "74% to 77%" in sentence


def test_a_label_of_somebody_else_is_named_as_it_is() -> None:
    assert [wording.name(label) for label in ("happy", "LABEL_3", "excited", "02_Fear")] == [
        "Happy", "LABEL_3", "excited", "02_Fear",
    ]  # fmt: skip
    assert wording.headline(scores(("LABEL_3", 0.9), ("calm", 0.1))) == "Very likely LABEL_3"
    assert wording.kind(("calm", "angry")) == "emotion" and wording.kind(("calm", "LABEL_3")) == "label"
    assert wording.count(8) == "eight" and wording.count(527) == "527"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Very likely angry, 41% (3.5 s).", "Very likely angry, 41% (3.5 s)."),
        ("LABEL_3 at hf:OWNER/NAME", "LABEL_3 at hf:OWNER/NAME"),
        ("*a* _b_ `c` [d](e) <i> $x$ ~f~ & |", r"\*a\* \_b\_ \`c\` \[d\](e) \<i> \$x\$ \~f\~ \& \|"),
        ("# big", r"\# big"),
        ("1. first", r"1\. first"),
        (":red[no] :smile:", ":\u2060red\\[no\\] :\u2060smile:"),
    ],
)
def test_text_of_others_is_no_markup(text: str, shown: str) -> None:
    assert wording.verbatim(text) == shown


def test_a_figure_of_another_protocol_is_no_accuracy_on_unseen_speakers() -> None:
    figures = {"id": "a", "UA": 75.6, "protocol": "random"}
    other = wording.accuracy(figures) or ""
    assert "unseen" not in other and "random" in other
    assert "unseen speakers" in (wording.accuracy(figures | {"protocol": "speaker-independent"}) or "")
    assert wording.guessing(("a", "b", "c")) == "Chance level is 1 in 3."

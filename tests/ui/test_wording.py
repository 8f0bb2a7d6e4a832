"""The sentences beside the figures are true to the figures."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.types import Quality, Scores, Transcript
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


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.9, "Very likely angry"),
        (0.7, "Probably angry"),
        (0.45, "Perhaps angry"),
        (0.35, "Hard to say, at most angry"),
    ],
)
def test_the_headline_is_no_bolder_than_the_probability(probability: float, text: str) -> None:
    rest = 1 - probability
    assert wording.headline(scores(("sad", rest / 2), ("angry", probability), ("calm", rest / 2))) == text


def test_under_its_threshold_it_is_not_sure_between_the_first_two() -> None:
    found = scores(("sad", 0.3), ("disgust", 0.45), ("calm", 0.25))
    assert wording.headline(found, 0.5) == "Not sure: disgusted or sad"
    assert wording.explanation(found, 0.5).endswith("Under 50% this model would rather say that it is not sure.")
    assert wording.headline(found, 0.4) == wording.headline(found) == "Perhaps disgusted"
    assert wording.explanation(found, 0.4) == wording.explanation(found)


CARD = {
    "protocol": "speaker-independent",
    "per_label": {"angry": {"recall": 84.27, "precision": 78.9}, "calm": {"recall": 75.0, "precision": 73.0}},
    "listeners": {"cremad": {"agreement": 41.6, "clips": 7442, "per_label": {"angry": 60.4}}},
    "not_sure": {"below": 0.52, "coverage": 0.8, "accuracy": 0.845, "without": 0.76},
}


def test_how_it_did_with_strangers_stands_beside_what_people_did() -> None:
    assert wording.strangers_with("angry", CARD) == (
        "Of acted voices it had never heard, it found 84 in 100 that were meant to be angry, and was right in 79 "
        "of 100 that it took for it. Most people who heard the voices of CREMA-D alone named it in 60 of 100."
    )
    calm = wording.strangers_with("calm", CARD)
    assert calm is not None and "CREMA-D" not in calm
    for card in (None, {}, {**CARD, "protocol": "paper"}, {**CARD, "per_label": {}}):
        assert wording.strangers_with("angry", card) is None


def test_what_it_is_worth_to_be_unsure_is_told() -> None:
    told = wording.doubt(CARD)
    assert told is not None and "reaches 52%" in told
    assert "answered 80 of 100 and was right in 84 of 100 answers, against 76" in told
    assert wording.doubt({}) is None and wording.doubt(None) is None


def test_a_disgusted_voice_is_not_called_disgust() -> None:
    assert wording.headline(scores(("disgust", 0.9), ("calm", 0.1))) == "Very likely disgusted"


def test_the_explanation_names_the_runner_up_and_says_when_it_is_close() -> None:
    clear = wording.explanation(scores(("sad", 0.1), ("angry", 0.7), ("calm", 0.2)))
    assert clear == "The model gives angry a probability of 70%; next comes calm with 20%."
    assert "close behind" in wording.explanation(scores(("sad", 0.45), ("angry", 0.5), ("calm", 0.05)))


def test_the_ranking_holds_every_emotion_in_order() -> None:
    assert wording.ranking(scores(("sad", 0.1), ("angry", 0.7), ("calm", 0.2))) == "angry 70%, calm 20%, sad 10%"


def test_the_language_is_named_or_its_code_is_given() -> None:
    assert "English" in wording.heard(Transcript("Hi.", "en", (), 0.93, ""))
    assert "93% sure" in wording.heard(Transcript("Hi.", "en", (), 0.93, ""))
    assert " sw;" in wording.heard(Transcript("Jambo.", "sw", (), 0.5, ""))


def test_the_doctor_says_when_there_was_nothing_to_measure() -> None:
    facts = dict(wording.facts(Quality(3.0, 2.1, 44_100, 7_450.0, None, 0.0, -23.7, False)))
    assert facts["Sample rate"] == "44.1 kHz" and facts["Speech in it"] == "2.10 s"
    assert facts["Speech over noise"] == "no pause to measure" and facts["Clipped samples"] == "none"
    clipped = dict(wording.facts(Quality(3.0, 2.1, 16_000, 7_450.0, 12.4, 0.00001, -23.7, True)))
    assert clipped["Clipped samples"] == "0.01%" and clipped["Noise reduction"] == "applied"


def test_accuracy_is_quoted_only_when_it_was_measured() -> None:
    assert wording.accuracy(None) is None and wording.accuracy({"id": "a"}) is None
    sentence = wording.accuracy({"id": "a", "UA": 75.6, "UA_ci95": [73.9, 77.1]})
    assert sentence and "76 in 100" in sentence and "74 to 77" in sentence


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


def opinions(speech: str, text: str | None, both: str) -> dict[str, Scores]:
    def of(top: str) -> Scores:
        return scores(*((label, 0.7 if label == top else 0.15) for label in ("angry", "sad", "happy")))

    said = {"audio": of(speech)} | ({"text": of(text)} if text else {})
    return said | {"fused": of(both)}


def test_what_the_words_did_is_told() -> None:
    changed = wording.influence(opinions("sad", "angry", "angry"))
    assert changed == "The words changed the answer: by the voice alone it would have been sad (70%)."
    assert "agree" in wording.influence(opinions("sad", "sad", "sad"))
    assert "would have said happy" in wording.influence(opinions("sad", "happy", "sad"))
    assert "no words" in wording.influence(opinions("sad", None, "sad"))
    assert "no words" in wording.influence(opinions("sad", None, "sad"), " ")
    abstained = wording.influence(opinions("sad", None, "sad"), "Kids are talking by the door.")
    assert abstained == "No emotion is read in the words themselves, so the voice decides alone."
    sad, angry = opinions("sad", None, "angry").values()
    assert "it was sad" in wording.correction(sad, angry) and "it was" not in wording.correction(sad, sad)


def test_a_figure_of_a_friendly_protocol_is_no_promise() -> None:
    figures = {"id": "a", "UA": 75.6, "protocol": "random"}
    assert "never heard" not in (wording.accuracy(figures) or "") and "random" in (wording.accuracy(figures) or "")
    assert "never heard" in (wording.accuracy(figures | {"protocol": "speaker-independent"}) or "")
    assert wording.guessing(("a", "b", "c")) == "Guessing would name 1 in 3."

"""Weights of words by the bundled text model."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_engine import Settings
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.models.word_weights import MOST_WORDS, top_emotion, word_weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> TextEmotion:
    settings = Settings()
    return TextEmotion.load(Path(settings.models_dir) / "goemotions-minilm", settings)


def weights(model: TextEmotion, text: str, label: str) -> dict[str, float]:
    return {text[word.start : word.end]: word.weight for word in word_weights(model, text, label)}


@pytest.mark.parametrize(
    ("text", "word", "label"),
    [
        ("I am so happy today", "happy", "happy"),
        ("That's terrifying!", "terrifying", "fearful"),
        ("He died, and I cry.", "cry", "sad"),
    ],
)
def test_the_emotional_word_weighs_most(model: TextEmotion, text: str, word: str, label: str) -> None:
    assert top_emotion(model, *model.predict([text])) == label
    found = weights(model, text, label)
    assert max(found, key=found.__getitem__) == word and found[word] > 0.5


def test_a_weight_is_the_log_odds_lost_without_the_word(model: TextEmotion) -> None:
    with_it, without = model.logits(["I am so happy today", "I am so  today"])[:, model.labels.index("happy")]
    assert weights(model, "I am so happy today", "happy")["happy"] == pytest.approx(with_it - without, abs=1e-4)


def test_of_another_label_the_same_word_weighs_less(model: TextEmotion) -> None:
    assert weights(model, "I am so happy today", "sad")["happy"] < 0.5


def test_texts_with_no_or_one_word(model: TextEmotion) -> None:
    assert word_weights(model, "", "happy") == word_weights(model, " \n…", "happy") == ()
    (word,) = word_weights(model, "Wonderful!", "happy")
    assert (word.start, word.end) == (0, 9) and word.weight > 0


def test_a_long_text_is_weighed_by_sentences(model: TextEmotion) -> None:
    text = "We walked along the road for hours and nothing happened at all. " * 20 + "I am so happy today."
    found = word_weights(model, text, "happy")
    assert [text[word.start : word.end] for word in found][-2:] == ["happy", "today"]
    assert max(found, key=lambda word: word.weight) == found[-2]


def test_of_a_very_long_text_the_most_emotional_sentences_are_weighed(model: TextEmotion) -> None:
    text = "We walked along the road for hours. " * 100 + "I am so happy today. " + "We went on for a while. " * 50
    found = word_weights(model, text, "happy")
    assert len(found) <= MOST_WORDS and list(found) == sorted(found, key=lambda word: word.start)
    assert "happy" in [text[word.start : word.end] for word in found]

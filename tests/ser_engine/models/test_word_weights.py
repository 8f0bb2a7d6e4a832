"""Weights of words by the bundled text model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.models.word_weights import word_weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> TextEmotion:
    settings = Settings()
    return TextEmotion.load(Path(settings.models_dir) / "goemotions-minilm", settings)


def weights(model: TextEmotion, text: str, **given: str) -> dict[str, float]:
    return {text[start:end]: weight for start, end, weight in word_weights(model, text, **given)}


@pytest.mark.parametrize(
    ("text", "word"),
    [("I am so happy today", "happy"), ("That's terrifying!", "terrifying"), ("He died, and I cry.", "cry")],
)
def test_the_emotional_word_weighs_most(model: TextEmotion, text: str, word: str) -> None:
    found = weights(model, text)
    assert max(found, key=found.__getitem__) == word and found[word] > 0.5


def test_a_weight_is_the_log_odds_lost_without_the_word(model: TextEmotion) -> None:
    with_it, without = model.logits(["I am so happy today", "I am so  today"])[:, model.labels.index("happy")]
    assert weights(model, "I am so happy today")["happy"] == pytest.approx(with_it - without, abs=1e-4)


def test_of_another_label_the_same_word_weighs_less(model: TextEmotion) -> None:
    assert weights(model, "I am so happy today", label="sad")["happy"] < 0.5


def test_texts_with_no_or_one_word(model: TextEmotion) -> None:
    assert word_weights(model, "") == word_weights(model, " \n…") == []
    ((start, end, weight),) = word_weights(model, "Wonderful!")
    assert (start, end) == (0, 9) and np.isfinite(weight) and weight > 0


def test_languages_that_it_lacks_have_none(model: TextEmotion) -> None:
    assert word_weights(model, "Ich bin so happy", "de") == []
    assert word_weights(model, "I am so happy", "en") == word_weights(model, "I am so happy")


def test_a_long_text_is_weighed_by_sentences(model: TextEmotion) -> None:
    text = "We walked along the road for hours and nothing happened at all. " * 20 + "I am so happy today."
    found = word_weights(model, text, label="happy")
    assert [text[word.start : word.end] for word in found][-2:] == ["happy", "today"]
    assert max(found, key=lambda word: word.weight) == found[-2]

"""Decisions and thresholds on several corpora at once."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.data.corpora.sentences import LABELS, Sentences
from ser_engine.evaluation.text_metrics import best_thresholds, macro_f1
from ser_engine.evaluation.text_thresholds import choose_thresholds, corpora_f1, decide, mean_macro_f1, neutral_only

HALF = np.full(len(LABELS), 0.5, np.float32)


def drawn(corpus: str, count: int, shift: float, seed: int) -> tuple[Sentences, np.ndarray]:
    """Return sentences of one label each, and probabilities that are `shift` too high for every label."""
    rng = np.random.default_rng(seed)
    labels = np.eye(len(LABELS), dtype=bool)[rng.integers(len(LABELS), size=count)]
    noise = rng.random((count, len(LABELS)))
    probabilities = np.clip(0.3 * labels + 0.4 * noise + shift, 0.01, 0.99).astype(np.float32)
    return Sentences(("text",) * count, labels, (corpus,) * count), probabilities


def test_a_corpus_with_one_label_for_each_sentence_gets_one() -> None:
    sentences = Sentences(("a", "b"), np.eye(2, 7, dtype=bool), ("xed", "dailydialog"))
    probabilities = np.array([[0.6, 0.9, *[0.1] * 5]] * 2, np.float32)
    assert decide(sentences, probabilities, HALF)[:, :2].tolist() == [[True, True], [False, True]]
    assert decide(Sentences(("a",), sentences.labels[:1]), probabilities[:1], HALF).sum() == 2


def test_thresholds_are_a_compromise_that_no_size_decides() -> None:
    (large, high), (small, low) = drawn("goemotions", 4000, 0.3, 0), drawn("xed", 400, 0.0, 1)
    both = Sentences(
        large.texts + small.texts, np.concatenate([large.labels, small.labels]), large.corpora + small.corpora
    )
    probabilities = np.concatenate([high, low])

    def figure(thresholds: np.ndarray) -> float:
        return mean_macro_f1(both, decide(both, probabilities, thresholds * np.ones(len(LABELS), np.float32)))

    chosen = choose_thresholds(both, probabilities)
    assert figure(chosen) > figure(best_thresholds(both.labels, probabilities))
    assert all(figure(chosen) >= figure(np.float32(value)) for value in np.linspace(0.05, 0.95, 19))


def test_one_label_for_each_sentence_takes_all_thresholds_into_account() -> None:
    rng = np.random.default_rng(3)
    labels = np.eye(7, dtype=bool)[rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1], size=600)]
    probabilities = np.clip(rng.random((600, 7)) * 0.6 + 0.3 * labels, 0.01, 0.99).astype(np.float32)
    probabilities[:, 2] *= 0.1
    sentences = Sentences(("a",) * 600, labels, ("dailydialog",) * 300 + ("goemotions",) * 300)
    chosen, alone = choose_thresholds(sentences, probabilities), best_thresholds(labels, probabilities)
    figures = [mean_macro_f1(sentences, decide(sentences, probabilities, values)) for values in (chosen, alone)]
    assert figures[0] > figures[1]


def test_a_handful_of_examples_decides_nothing() -> None:
    (large, high), (small, low) = drawn("goemotions", 2000, 0.2, 0), drawn("xed", 20, 0.0, 1)
    both = Sentences(
        large.texts + small.texts, np.concatenate([large.labels, small.labels]), large.corpora + small.corpora
    )
    chosen = choose_thresholds(both, np.concatenate([high, low]))
    np.testing.assert_allclose(chosen, best_thresholds(large.labels, high), atol=0.05)


def test_labels_that_do_not_occur_do_not_count() -> None:
    true = np.array([[1, 0, 0], [0, 1, 0]], bool)
    predicted = np.array([[1, 0, 1], [0, 1, 0]], bool)
    assert macro_f1(true, predicted) == 100


def test_corpora_count_alike() -> None:
    labels = np.eye(3, 7, dtype=bool)[[0, 0, 1]]
    sentences = Sentences(("a", "b", "c"), labels, ("xed", "xed", "isear"))
    predicted = np.eye(3, 7, dtype=bool)[[0, 0, 2]]
    assert corpora_f1(sentences, predicted) == {"xed": 100, "isear": 0}
    assert mean_macro_f1(sentences, predicted) == pytest.approx(50)


def test_neutral_alone() -> None:
    assert neutral_only(np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)).tolist() == [True, False, False]

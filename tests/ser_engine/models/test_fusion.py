"""The properties of fusion that its module lists, on random predictions and on grids."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ser_engine.labels import EMOTIONS
from ser_engine.models.fusion import CONFIDENT, MAX_SHARE, WEIGHT, fuse, is_informative, text_odds, text_scores
from ser_engine.types import Scores, TextPrediction

TEXT_LABELS = tuple(label for label in EMOTIONS if label != "calm")
NAMED = TEXT_LABELS[1:]

shares = st.floats(0, 1, width=32)
weights = st.floats(0.01, 3)


@pytest.fixture(autouse=True, scope="module")
def every_number() -> Iterator[None]:
    """Hypothesis draws the tiniest numbers as well; the engine, with a model, has the processor take them for zero."""
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(True)


def words_with(**margins: float) -> TextPrediction:
    values = np.array([margins.get(label, 0.0) for label in TEXT_LABELS], np.float32)
    return TextPrediction(TEXT_LABELS, np.full(len(TEXT_LABELS), 0.3, np.float32), values)


def voice(*values: float, labels: tuple[str, ...] = EMOTIONS) -> Scores:
    found = np.array(values, np.float64)
    return Scores(labels, (found / found.sum()).astype(np.float32))


def entropy(scores: Scores) -> float:
    p = scores.probabilities.astype(np.float64)
    p = p[p > 0] / p.sum()
    return float(-(p * np.log(p)).sum())


@st.composite
def voices(draw: st.DrawFn, least: int = 2) -> Scores:
    """Draw scores of some of our labels in any order, some of them perhaps zero."""
    labels = draw(st.permutations(EMOTIONS))[: draw(st.integers(least, len(EMOTIONS)))]
    values = draw(st.lists(shares, min_size=len(labels), max_size=len(labels)).filter(lambda found: sum(found) > 1e-6))
    return voice(*values, labels=tuple(labels))


@st.composite
def predictions(draw: st.DrawFn) -> TextPrediction:
    return words_with(**{label: draw(shares) for label in NAMED})


VOICE = voice(0.1, 0.2, 0.05, 0.05, 0.3, 0.1, 0.15, 0.05)


# --- What changes nothing


@given(voices(), shares, weights)
def test_words_that_abstain_change_nothing(audio: Scores, confidence: float, weight: float) -> None:
    assert fuse(audio, words_with(), confidence, weight) is audio
    assert fuse(audio, None, confidence, weight) is audio
    assert not is_informative(words_with(), audio.labels) and not is_informative(None, audio.labels)


@given(voices(), predictions())
def test_words_nobody_is_sure_of_change_nothing(audio: Scores, words: TextPrediction) -> None:
    for confidence in (0.0, -0.5, math.nan):
        assert fuse(audio, words, confidence) is audio
    assert fuse(audio, words, 1.0, weight=0.0) is audio


def test_an_emotion_that_the_voices_model_does_not_know_changes_nothing() -> None:
    audio = voice(0.5, 0.3, 0.2, labels=("neutral", "happy", "LABEL_3"))
    assert fuse(audio, words_with(surprised=0.9), 1.0) is audio and not is_informative(
        words_with(surprised=0.9), audio.labels
    )
    assert fuse(audio, words_with(surprised=0.9, happy=0.5), 1.0).to_dict()["happy"] > 0.3


def test_a_voice_without_doubt_stays_as_it_is() -> None:
    audio = voice(0, 0, 0, 0, 1, 0, 0, 0)
    np.testing.assert_array_equal(fuse(audio, words_with(happy=1.0), 1.0).probabilities, audio.probabilities)


# --- What always holds


@given(voices(), predictions(), st.floats(-1, 2), weights)
def test_it_is_a_distribution_whatever_comes(
    audio: Scores, words: TextPrediction, confidence: float, weight: float
) -> None:
    both = fuse(audio, words, confidence, weight)
    assert both.labels == audio.labels and both.probabilities.dtype == np.float32
    assert np.isfinite(both.probabilities).all() and (both.probabilities >= 0).all()
    assert math.isclose(both.probabilities.sum(), 1, abs_tol=1e-5)
    assert (both.probabilities[audio.probabilities == 0] == 0).all()


@given(predictions())
def test_the_words_alone_are_a_distribution_that_rules_nothing_out(words: TextPrediction) -> None:
    alone = text_scores(words, EMOTIONS)
    assert math.isclose(alone.probabilities.sum(), 1, abs_tol=1e-5) and (alone.probabilities > 0).all()
    assert alone.to_dict()["calm"] == alone.to_dict()["neutral"] == alone.probabilities.min()
    expected = (1 - MAX_SHARE * words.emotional) / 8
    assert math.isclose(alone.to_dict()["calm"], expected, rel_tol=1e-4, abs_tol=1e-7)


@given(voices(), predictions(), shares, st.randoms())
def test_the_order_of_labels_does_not_matter(audio: Scores, words: TextPrediction, confidence: float, random) -> None:
    order = list(range(len(audio.labels)))
    random.shuffle(order)
    turned = Scores(tuple(audio.labels[i] for i in order), audio.probabilities[order])
    back = list(range(len(TEXT_LABELS)))
    random.shuffle(back)
    said = TextPrediction(tuple(TEXT_LABELS[i] for i in back), words.probabilities[back], words.margins[back])
    one, other = fuse(audio, words, confidence).to_dict(), fuse(turned, said, confidence).to_dict()
    assert one == pytest.approx(other, abs=1e-6)


@given(voices(), predictions(), shares)
def test_labels_that_the_words_do_not_name_keep_their_ratios(
    audio: Scores, words: TextPrediction, confidence: float
) -> None:
    both = fuse(audio, words, confidence)
    named = words.shares()
    rows = [i for i, label in enumerate(audio.labels) if label not in named and audio.probabilities[i] > 1e-6]
    before, after = audio.probabilities[rows].astype(float), both.probabilities[rows].astype(float)
    if rows:
        np.testing.assert_allclose(after / after.sum(), before / before.sum(), rtol=1e-4)


def test_it_is_the_softmax_that_the_docstring_states() -> None:
    words, confidence = words_with(angry=0.6, disgust=0.2), 0.7
    q = np.full(8, (1 - MAX_SHARE * 0.6) / 8)
    q[EMOTIONS.index("angry")] += MAX_SHARE * 0.6 * 0.75
    q[EMOTIONS.index("disgust")] += MAX_SHARE * 0.6 * 0.25
    assert math.isclose(q.sum(), 1)
    logits = np.log(VOICE.probabilities) + WEIGHT * confidence * np.log(q * 8)
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(fuse(VOICE, words, confidence).probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(text_odds(words, EMOTIONS) / 8, q, rtol=1e-6)


def test_surer_words_more_emotional_ones_and_a_greater_weight_move_more() -> None:
    def happy(emotional: float = 0.5, confidence: float = 0.5, weight: float = WEIGHT) -> float:
        return fuse(VOICE, words_with(happy=emotional), confidence, weight).to_dict()["happy"]

    steps = np.linspace(0, 1, 21)
    for moved in (
        [happy(emotional=s) for s in steps], [happy(confidence=s) for s in steps], [happy(weight=s) for s in steps]
    ):  # fmt: skip
        assert (np.diff(moved) > 0).all() and moved[0] == VOICE.to_dict()["happy"]
    assert np.abs(np.diff([happy(emotional=s) for s in np.linspace(0, 1, 2001)])).max() < 0.01  # without a jump


# --- Agreement


@given(voices(), st.floats(0.01, 1), st.floats(0.01, 1), weights)
def test_agreement_sharpens(audio: Scores, emotional: float, confidence: float, weight: float) -> None:
    if audio.top not in NAMED:
        return
    both = fuse(audio, words_with(**{audio.top: emotional}), confidence, weight)
    assert both.top == audio.top
    before, after = audio.to_dict()[audio.top], both.to_dict()[audio.top]
    assert entropy(both) <= entropy(audio) + 1e-6
    if before < 0.99 and weight * confidence * emotional > 1e-2:
        assert after > before and entropy(both) < entropy(audio)


@given(voices(), predictions(), shares, weights)
def test_the_top_of_both_never_falls(audio: Scores, words: TextPrediction, confidence: float, weight: float) -> None:
    known = {label: share for label, share in words.shares().items() if label in audio.labels}
    if not known or max(known.values()) > known.get(audio.top, 0.0):
        return
    both = fuse(audio, words, confidence, weight).to_dict()[audio.top]
    assert both >= audio.to_dict()[audio.top] - 1e-6


@given(st.lists(shares, min_size=6, max_size=6), st.lists(shares, min_size=6, max_size=6), shares, weights)
def test_words_that_order_the_emotions_as_the_voice_does_sharpen(
    heard: list[float], said: list[float], confidence: float, weight: float
) -> None:
    if sum(heard) < 1e-3:
        return
    audio = voice(*sorted(heard), labels=NAMED)
    both = fuse(audio, words_with(**dict(zip(NAMED, sorted(said), strict=True))), confidence, weight)
    assert entropy(both) <= entropy(audio) + 1e-5


# --- Conflict


def sure_voices(first: float, labels: int) -> list[np.ndarray]:
    """Return predictions whose first label has `first`, the others any twentieths of the rest."""
    others = [parts for parts in product(range(0, 21, 4), repeat=labels - 1) if sum(parts) == 20]
    return [np.array([first, *((1 - first) * part / 20 for part in parts)]) for parts in others]


@pytest.mark.parametrize("labels", [2, 3, 5, 8])
def test_conflict_widens_the_opinion_of_a_voice_that_is_sure_and_never_turns_it(labels: int) -> None:
    heard = ("angry", "happy", *(label for label in EMOTIONS if label not in ("angry", "happy")))[:labels]
    for first, emotional, confidence in product((CONFIDENT, 0.93, 0.99), (0.1, 0.6, 1.0), (0.3, 1.0)):
        for values in sure_voices(first, labels):
            audio = Scores(heard, values.astype(np.float32))
            both = fuse(audio, words_with(happy=emotional), confidence)
            assert both.top == "angry"
            if values[1] > 0:
                assert both.to_dict()["happy"] > audio.to_dict()["happy"]
                assert entropy(both) > entropy(audio)


def test_the_weight_is_about_the_greatest_that_conflict_allows() -> None:
    """The worst voice at the bound: the words' emotion second, and a little spread over the other six."""
    worst = np.array([CONFIDENT, 0.145, *[(0.15 - 0.145) / 6] * 6])
    labels = ("angry", "happy", *(label for label in EMOTIONS if label not in ("angry", "happy")))
    audio = Scores(labels, worst.astype(np.float32))
    at = [entropy(fuse(audio, words_with(happy=1.0), 1.0, weight)) for weight in (WEIGHT - 0.001, WEIGHT)]
    assert at[0] < at[1]  # still rising
    assert entropy(fuse(audio, words_with(happy=1.0), 1.0, 0.36)) < entropy(
        fuse(audio, words_with(happy=1.0), 1.0, 0.345)
    )


@given(voices(), st.sampled_from(NAMED), st.floats(0.05, 1), weights)
def test_conflict_widens_exactly_as_far_as_is_stated(
    audio: Scores, named: str, emotional: float, weight: float
) -> None:
    before = audio.to_dict()
    if named not in before or named == audio.top or not 1e-4 < before[named] < 0.99:
        return
    both = fuse(audio, words_with(**{named: emotional}), 1.0, weight)
    after = both.to_dict()[named]
    assert after >= before[named]
    rest = np.array([p for label, p in before.items() if label != named and p > 0], np.float64)
    rest /= rest.sum()
    bound = math.exp(float((rest * np.log(rest)).sum()))  # exp(-H)
    if after < 0.9999 and after / (1 - after) <= bound and after > before[named] + 1e-4:
        assert entropy(both) > entropy(audio)

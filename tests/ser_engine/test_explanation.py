"""An explanation finds the moments that an answer rests on, and covers all speech in few pieces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ser_engine import Analysis, Analyzer
from ser_engine.classification import classify
from ser_engine.explanation import MAX_PIECES, cut_pieces, log_odds, remove
from ser_engine.types import CleanSpeech, Scores, Span
from tests.speech import RATE, encode, noise, silence, speech, taken_for_speech

TWO = (Span(0.5, 1.5), Span(4.0, 6.0))


def divided(spans: tuple[Span, ...] = TWO) -> CleanSpeech:
    """Return speech of several segments, whose samples count upward."""
    length = sum(round(span.duration_s * RATE) for span in spans)
    return taken_for_speech(np.arange(length, dtype=np.float32), spans)


@pytest.mark.parametrize(("seconds", "count"), [(0.3, 2), (1.2, 2), (3.0, 6), (12.0, 24), (600.0, MAX_PIECES)])
def test_pieces_cover_all_speech_and_are_few(seconds: float, count: int) -> None:
    pieces = cut_pieces(taken_for_speech(silence(seconds)))
    assert len(pieces) == count
    assert pieces[0][0] == 0 and pieces[-1][1] == round(seconds * RATE)
    assert [last for _, last in pieces[:-1]] == [first for first, _ in pieces[1:]]
    lengths = [last - first for first, last in pieces]
    assert len(set(lengths[:-1])) == 1 and lengths[-1] - lengths[0] < count


def test_samples_are_found_in_the_recording() -> None:
    speech = divided()
    assert speech.spans_between(0, 3 * RATE) == TWO
    assert speech.spans_between(RATE // 2, RATE * 2) == (Span(1.0, 1.5), Span(4.0, 5.0))
    assert speech.spans_between(RATE, 2 * RATE) == (Span(4.0, 5.0),)


@pytest.mark.parametrize("piece", [(0, RATE), (RATE // 2, 2 * RATE), (100, 333), (2 * RATE, 3 * RATE)])
def test_a_removed_piece_leaves_samples_and_segments_that_agree(piece: tuple[int, int]) -> None:
    whole = divided()
    rest = remove(whole, *piece)
    assert list(rest.samples) == [*range(piece[0]), *range(piece[1], 3 * RATE)]
    assert list(rest.between(0, 7)) == list(rest.samples)
    removed = whole.spans_between(*piece)
    assert sum(span.duration_s for span in (*rest.segments, *removed)) == pytest.approx(3.0)


def test_log_odds_are_exact_and_finite() -> None:
    assert log_odds(Scores(("a", "b", "c"), np.array([0.8, 0.1, 0.1], np.float32)), "a") == pytest.approx(np.log(4))
    assert np.isfinite(log_odds(Scores(("a", "b"), np.array([1, 0], np.float32)), "a"))


@pytest.fixture(scope="module")
def long(analyzer: Analyzer) -> Analysis:
    """Return the analysis of two sentences with four seconds of silence between them."""
    samples = np.concatenate([speech(), silence(4), speech("It is eleven o'clock.", "woman")])
    return analyzer.analyze(encode(samples), transcribe=False)


def test_moments_are_the_speech_of_the_recording(analyzer: Analyzer, long: Analysis) -> None:
    moments = analyzer.explain(long).moments
    assert sum(moment.duration_s for moment in moments) == pytest.approx(long.speech.duration_s)
    for moment in moments:
        assert any(span.start <= moment.start < moment.end <= span.end + 1e-9 for span in long.speech.segments)
    assert len({round(moment.weight, 6) for moment in moments}) > 2


def test_a_weight_is_what_the_engine_answers_without_the_moment(analyzer: Analyzer, long: Analysis) -> None:
    explanation, pieces = analyzer.explain(long), cut_pieces(long.speech)
    without = remove(long.speech, *pieces[2])
    ((prediction, *_),) = classify(analyzer.model, analyzer.settings, [without], [None])
    label = explanation.label
    (span, *_) = long.speech.spans_between(*pieces[2])
    (found,) = [moment for moment in explanation.moments if moment.start == span.start]
    expected = log_odds(long.scores, label) - log_odds(prediction.scores, label)
    assert label == long.scores.top and found.weight == pytest.approx(expected, abs=1e-4)


def test_the_part_that_sounds_like_the_answer_weighs_more(analyzer: Analyzer) -> None:
    """Each sentence alone is answered differently; of both joined, that of the joint answer weighs more."""
    first, second = (speech("Dogs are sitting by the door.", voice) for voice in ("man", "woman"))
    alone = [analyzer.analyze(encode(one), transcribe=False).scores.to_dict() for one in (first, second)]
    both = analyzer.analyze(encode(np.concatenate([first, second])[: round(5.9 * RATE)]), transcribe=False)
    explanation, border = analyzer.explain(both), len(first) / RATE
    halves = [
        np.mean([moment.weight for moment in explanation.moments if (moment.start >= border) == late])
        for late in (False, True)
    ]
    label = explanation.label
    assert abs(alone[0][label] - alone[1][label]) > 0.1
    assert (halves[0] > halves[1]) == (alone[0][label] > alone[1][label])


def test_edited_words_change_the_weights_of_a_model_that_uses_them(analyzer: Analyzer, long: Analysis) -> None:
    rescored = analyzer.rescore(long, text := "I am so happy to see you, this is wonderful!")
    explanation = analyzer.explain(rescored)
    assert explanation.label == rescored.scores.top
    heaviest = max(explanation.words, key=lambda word: word.weight)
    assert text[heaviest.start : heaviest.end] in ("happy", "wonderful")
    assert heaviest.to_dict() in explanation.to_dict()["words"] and explanation.words_label


@pytest.mark.parametrize("words", ["Dogs are sitting by the door.", "", "..."])
def test_words_that_change_nothing_have_no_weights(analyzer: Analyzer, long: Analysis, words: str) -> None:
    explanation = analyzer.explain(analyzer.rescore(long, words))
    assert explanation.words == () and explanation.words_label == ""


def test_noise_taken_for_speech_has_weights_and_no_voice(analyzer: Analyzer, long: Analysis) -> None:
    mistaken = taken_for_speech(noise(1.0))
    explanation = analyzer.explain(replace(long, speech=mistaken, timeline=(), transcript=None))
    assert np.isfinite([moment.weight for moment in explanation.moments]).all()
    assert explanation.to_dict()["voice"] == dict.fromkeys(explanation.to_dict()["voice"])


def test_the_answer_falls_further_without_the_heaviest_moments_than_without_random_ones(analyzer: Analyzer) -> None:
    rng = np.random.default_rng(0)
    falls = []
    for voice, other in (("man", "woman"), ("woman", "man")):
        samples = np.concatenate([speech("It is eleven o'clock.", voice), speech(voice=other)])[: round(5.9 * RATE)]
        analysis = analyzer.analyze(encode(samples), transcribe=False)
        pieces, moments = cut_pieces(analysis.speech), analyzer.explain(analysis).moments
        weight = {span.start: span.weight for span in moments}
        weights = [weight[analysis.speech.spans_between(*piece)[0].start] for piece in pieces]
        count = round(0.3 * len(pieces))
        choices = [np.argsort(weights)[-count:], *(rng.choice(len(pieces), count, replace=False) for _ in range(5))]
        left = []
        for rows in choices:
            rest = analysis.speech
            for row in sorted(rows, reverse=True):
                rest = remove(rest, *pieces[row])
            left.append(rest)
        label = analysis.scores.top
        heaviest, *random = (each.scores.to_dict()[label] for each in analyzer.model.predict(left))
        falls.append(np.mean(random) - heaviest)
    assert min(falls) > 0

"""Who speaks when: turns of known voices, the number of voices, pieces of a long recording, and the answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ser_engine.analyzer import Analyzer
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_samples
from ser_engine.settings import Settings
from ser_engine.speakers.clustering import cluster, normalize
from ser_engine.speakers.diarization import Embeddings, cut_parts, embed, find_turns
from ser_engine.speakers.spans import intersect
from ser_engine.speakers.turns import separate
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Span
from tests.speech import SENTENCES, Samples, speech

SETTINGS = Settings(transcribe=False)
TEXT = " ".join(SENTENCES)


def conversation() -> tuple[Samples, list[tuple[float, float, str]]]:
    """Return two voices in turns, and when each speaks."""
    pieces: list[Samples] = []
    turns = []
    for voice, text in [("man", TEXT), ("woman", TEXT), ("man", TEXT), ("woman", TEXT)]:
        start = sum(map(len, pieces)) / SAMPLE_RATE
        pieces.append(speech(text, voice))
        turns.append((start, sum(map(len, pieces)) / SAMPLE_RATE, voice))
    return np.concatenate(pieces), turns


def clean(samples: Samples, settings: Settings = SETTINGS) -> CleanSpeech:
    return clean_speech(load_samples(samples, SAMPLE_RATE, settings), settings)


def embeddings(speech: CleanSpeech) -> Embeddings:
    assert speech.recording is not None
    return embed(speech.recording, speech.segments, SETTINGS)


@pytest.mark.parametrize("given", [None, 2])
def test_two_voices_have_their_turns(given: int | None) -> None:
    samples, expected = conversation()
    turns = find_turns(embeddings(clean(samples)), given)
    for start, end, voice in expected:
        own = {turn.speaker for turn in turns if turn.start < end - 0.5 and turn.end > start + 0.5}
        assert own == {("man", "woman").index(voice)}
    assert all(before.end <= after.start for before, after in pairwise(turns))


def test_one_voice_is_one_speaker_however_long() -> None:
    for voice in ("man", "woman"):
        spoken = clean(speech(" ".join([TEXT] * 5), voice))
        assert {turn.speaker for turn in find_turns(embeddings(spoken))} == {0}
        assert separate(spoken, SETTINGS) == ((), ())


def test_a_recording_in_pieces_gives_the_same_turns() -> None:
    speech = clean(conversation()[0])
    whole = embeddings(speech)
    assert speech.recording is not None
    half = len(speech.segments) // 2
    cut = (speech.segments[half - 1].end + speech.segments[half].start) / 2
    first = embed(speech.recording[: round(cut * SAMPLE_RATE)], speech.segments[:half], SETTINGS)
    later = [Span(span.start - cut, span.end - cut) for span in speech.segments[half:]]
    second = embed(speech.recording[round(cut * SAMPLE_RATE) :], later, SETTINGS, offset=cut)
    joined = Embeddings.join([first, second])
    assert len(joined.parts) == len(whole.parts)
    for one, other in zip(find_turns(joined), find_turns(whole), strict=True):
        assert one.speaker == other.speaker
        assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=0.01)


def test_short_recordings_are_of_one_speaker_unless_the_number_is_given() -> None:
    spoken = clean(np.concatenate([speech(), speech(voice="woman")]))
    assert spoken.quality.duration_s < 10
    assert separate(spoken, SETTINGS) == ((), ())
    assert [lane.name for lane in separate(spoken, replace(SETTINGS, speakers="2"))[0]] == ["Speaker 1", "Speaker 2"]


def test_each_speaker_gets_an_answer_of_the_own_speech_alone() -> None:
    samples, expected = conversation()
    analysis = Analyzer(SETTINGS).analyze(samples, SAMPLE_RATE)
    first, second = analysis.speakers
    assert (first.name, second.name) == ("Speaker 1", "Speaker 2")
    assert first.share + second.share == pytest.approx(1)
    for speaker, voice in ((first, "man"), (second, "woman")):
        assert speaker.channel is None
        foreign = [span for span in expected if span[2] != voice]
        for span in speaker.answer.speech.segments:
            assert not any(span.start < end - 0.3 and span.end > start + 0.3 for start, end, _ in foreign)
        assert speaker.answer.quality.speech_s == pytest.approx(speaker.answer.speech.duration_s, abs=0.01)
    assert {window.speaker for window in analysis.timeline} == {"Speaker 1", "Speaker 2"}
    assert [each["name"] for each in analysis.to_dict()["speakers"]] == ["Speaker 1", "Speaker 2"]
    alone = Analyzer(replace(SETTINGS, speakers="off")).analyze(samples, SAMPLE_RATE)
    assert alone.speakers == ()


def test_clusters_are_counted_or_given() -> None:
    rng = np.random.default_rng(0)
    centers = normalize(rng.standard_normal((3, 100)))
    voices = np.repeat([0, 1, 2], 20)
    vectors = normalize(centers[voices] + 0.05 * rng.standard_normal((60, 100)))
    seconds = np.full(60, 2.5)
    for given in (None, 3):
        labels = cluster(vectors, seconds, given)
        assert len(set(labels)) == 3
        assert all(len(set(labels[voices == voice])) == 1 for voice in range(3))
    assert len(set(cluster(vectors, seconds, 2))) == 2
    assert len(set(cluster(vectors, seconds, 1))) == 1
    # A moment that sounds like nobody else is no voice.
    lone = normalize(rng.standard_normal((1, 100)))
    assert len(set(cluster(np.concatenate([vectors, lone]), np.append(seconds, 1.2)))) == 3


@pytest.mark.parametrize("length", [0.1, 1.6, 1.61, 2.0, 5.03])
def test_parts_cover_a_segment(length: float) -> None:
    parts = cut_parts(Span(3.0, 3.0 + length))
    assert parts[0].start == 3.0 and parts[-1].end == pytest.approx(3.0 + length, abs=0.11)
    assert all(part.duration_s <= 1.6 + 1e-9 for part in parts)


def test_intersection_of_spans() -> None:
    spans, others = [Span(0, 2), Span(3, 5)], [Span(1, 4), Span(4.5, 9)]
    assert intersect(spans, others) == (Span(1, 2), Span(3, 4), Span(4.5, 5))

"""Words are transcribed with their times and never hallucinated."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from whisper.model import Whisper

from ser_engine import Settings
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio
from ser_engine.data.corpora import registry
from ser_engine.models.whisper import shared_whisper
from ser_engine.transcription.recognizer import TorchWhisper, shorten_window
from ser_engine.transcription.transcriber import (
    WINDOW,
    Transcriber,
    is_credible,
    join_parts,
)
from ser_engine.transcription.windows import split_speech
from ser_engine.types import CleanSpeech, Span
from tests.speech import RATE, Samples, encode, music, noise, silence, speech, taken_for_speech, tone

KIDS, DOGS, WONDER = "Kids are talking by the door.", "Dogs are sitting by the door.", "I wonder what this is about."
TIMESTAMPS = 50_364
"""The first of multilingual Whisper's tokens that stand for a moment."""


@pytest.fixture(scope="module")
def whisper(settings: Settings) -> Whisper:
    return shared_whisper(settings)


@pytest.fixture(scope="module")
def transcriber(whisper: Whisper) -> Transcriber:
    return Transcriber(whisper, "whisper-base")


def cleaned(samples: Samples) -> CleanSpeech:
    return clean_speech(load_audio(encode(samples), Settings()))


def plain(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ").strip()


@pytest.mark.parametrize("voice", ["man", "woman"])
@pytest.mark.parametrize("sentence", [KIDS, WONDER])
def test_sentences_are_transcribed(transcriber: Transcriber, sentence: str, voice: str) -> None:
    transcript = transcriber.transcribe(cleaned(speech(sentence, voice)))
    assert plain(transcript.text) == plain(sentence)
    assert transcript.language == "en" and transcript.engine == "whisper-base"
    assert 0.3 < transcript.confidence <= 1.0


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(silence(3), id="silence"),
        pytest.param(tone(3), id="tone"),
        pytest.param(noise(3), id="noise"),
        pytest.param(noise(10, 0.02), id="faint noise", marks=pytest.mark.slow),
        pytest.param(music(10), id="music", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_hallucinated_even_if_sound_was_taken_for_speech(transcriber: Transcriber, samples: Samples) -> None:
    transcript = transcriber.transcribe(taken_for_speech(samples))
    assert (transcript.text, transcript.segments, transcript.language) == ("", (), None)
    assert transcript.confidence == 0.0


def test_times_are_those_of_the_original_recording(transcriber: Transcriber) -> None:
    first, second = speech(KIDS), speech(WONDER, "woman")
    recording = np.concatenate([silence(2), first, silence(6), second])
    transcript = transcriber.transcribe(cleaned(recording))
    begins = 2 + len(first) / RATE + 6
    assert plain(transcript.segments[0].text).startswith("kids")
    assert 1.8 <= transcript.segments[0].start <= 2.8
    assert begins - 0.4 <= transcript.segments[-1].start <= begins + 0.8
    assert all(segment.start < segment.end <= len(recording) / RATE for segment in transcript.segments)
    assert all(0 < segment.confidence <= 1 for segment in transcript.segments)


def test_words_of_a_later_window_have_their_own_times(transcriber: Transcriber) -> None:
    many, last = speech(" ".join([KIDS, DOGS, WONDER, DOGS, KIDS, WONDER])), speech(WONDER, "woman")
    spoken = cleaned(np.concatenate([many, silence(20), last, silence(3)]))
    assert spoken.duration_s > WINDOW * 0.02  # more than one window
    *_, before, wonder = transcriber.transcribe(spoken).segments
    begins, ends = len(many) / RATE + 20, (len(many) + len(last)) / RATE + 20
    assert plain(wonder.text) == plain(WONDER)
    assert begins - 0.3 <= wonder.start <= begins + 0.8 and ends - 1.0 <= wonder.end <= ends + 0.3
    assert before.end <= len(many) / RATE + 0.3  # not in the silence, nor behind it


def test_consonants_cut_off_by_voice_activity_detection_are_transcribed(transcriber: Transcriber) -> None:
    clip = cleaned(speech(KIDS))
    (span,) = clip.segments
    late = Span(span.start + 0.3, span.end)
    assert clip.recording is not None
    cut = replace(clip, samples=clip.recording[round(late.start * RATE) : round(late.end * RATE)], segments=(late,))
    assert plain(transcriber.transcribe(cut).text) == plain(KIDS)
    assert plain(transcriber.transcribe(replace(cut, recording=None)).text) != plain(KIDS)  # it had been cut off


def test_long_speech_is_transcribed_to_its_end(transcriber: Transcriber) -> None:
    sentences = [KIDS, DOGS, WONDER, DOGS, KIDS, WONDER, KIDS, DOGS]
    transcript = transcriber.transcribe(cleaned(speech(" ".join(sentences))))
    assert [plain(transcript.text).count(word) for word in ("kids", "dogs", "wonder")] == [3, 3, 2]
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)


def test_words_have_times_in_the_original_recording_where_they_are_asked_for(transcriber: Transcriber) -> None:
    parts = [speech(DOGS), silence(2), speech(WONDER)]
    begins = (len(parts[0]) + len(parts[1])) / RATE
    spoken = cleaned(np.concatenate(parts))
    plainly, timed = transcriber.transcribe(spoken), transcriber.transcribe(spoken, words=True)
    assert timed.text == plainly.text and not any(segment.words for segment in plainly.segments)
    for segment in timed.segments:
        assert [word.text for word in segment.words] == segment.text.split()
        times = [moment for word in segment.words for moment in (word.start, word.end)]
        assert times == sorted(times) and all(0 < word.confidence <= 1 for word in segment.words)
    words = [word for segment in timed.segments for word in segment.words]
    firsts = [next(word.start for word in words if plain(word.text) == text) for text in ("dogs", "i")]
    onsets = [onset(parts[0]), begins + onset(parts[2])]
    assert firsts == pytest.approx(onsets, abs=0.15)


def onset(samples: Samples) -> float:
    """Return when a sentence begins, in seconds."""
    return float(np.argmax(np.abs(samples) > 0.05 * np.abs(samples).max())) / RATE


@pytest.mark.parametrize(("spaced", "words"), [(True, ["It", "o'clock."]), (False, ["It", "o", "'clock."])])
def test_parts_of_a_word_are_joined_where_words_have_spaces(spaced: bool, words: list[str]) -> None:
    timed = [(" It", 0.0, 0.2, 0.9), (" o", 0.2, 0.4, 0.8), ("'clock.", 0.4, 0.7, 0.9)]
    parts = [dict(zip(("word", "start", "end", "probability"), part, strict=True)) for part in timed]
    joined = join_parts(parts, spaced)
    assert [word.text for word in joined] == words and joined[-1].end == 0.7
    assert not spaced or (joined[1].start, joined[1].confidence) == (0.2, 0.8)


def test_the_rest_of_a_window_is_transcribed_in_another(
    transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = taken_for_speech(np.concatenate([speech(DOGS), silence(1), speech(KIDS)]))
    decode, windows = transcriber._decode_states, []

    def leave_early(together: list[Any], states: Any, language: str) -> list[Any]:
        windows.append(len(together[0].samples))
        (result,) = decode(together, states, language)
        if len(windows) > 1:
            return [result]
        first_sentence = next(i for i, pair in enumerate(pairwise(result.tokens)) if min(pair) >= TIMESTAMPS)
        return [replace(result, tokens=result.tokens[: first_sentence + 2])]

    monkeypatch.setattr(transcriber, "_decode_states", leave_early)
    transcript = transcriber.transcribe(both)
    assert plain(transcript.text) == plain(f"{DOGS} {KIDS}")
    assert len(windows) == 2 and windows[1] < windows[0]
    dogs, kids = transcript.segments
    assert dogs.end <= kids.start < kids.end


def test_recordings_are_transcribed_together_as_alone(transcriber: Transcriber) -> None:
    long = speech(" ".join([KIDS, DOGS, WONDER, DOGS]))
    spoken = [
        cleaned(speech(KIDS, "man")),
        taken_for_speech(noise(2.0)),
        cleaned(speech(WONDER, "woman")),
        cleaned(long),
    ]
    together = transcriber.transcribe_all(spoken, batch=3)
    alone = [transcriber.transcribe(speech) for speech in spoken]
    assert [(t.text, t.language, t.segments) for t in together] == [(t.text, t.language, t.segments) for t in alone]
    assert together[1].text == "" and plain(together[3].text).count("dogs") == 2


def test_a_language_can_be_set(whisper: Whisper) -> None:
    transcript = Transcriber(whisper, "whisper-base", "de").transcribe(cleaned(speech(DOGS)))
    assert transcript.language == "de"


def test_an_empty_transcript_has_no_language_even_if_one_was_set(whisper: Whisper) -> None:
    transcript = Transcriber(whisper, "whisper-base", "de").transcribe(taken_for_speech(silence(2)))
    assert (transcript.text, transcript.language) == ("", None)


@pytest.mark.corpora
def test_german_is_recognised(transcriber: Transcriber, ser_data: Path, settings: Settings) -> None:
    utterance = next(u for u in registry.read_corpus("emodb", ser_data) if u.name.startswith("03a02N"))
    transcript = transcriber.transcribe(clean_speech(load_audio(utterance.path, settings), settings))
    assert transcript.language == "de"
    assert "abgeben" in plain(transcript.text)  # Das will sie am Mittwoch abgeben.


@pytest.mark.slow
def test_several_threads_transcribe_like_one(transcriber: Transcriber) -> None:
    clips = [cleaned(speech(sentence, voice)) for sentence in (KIDS, WONDER) for voice in ("man", "woman")]
    alone = [transcriber.transcribe(clip).text for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        assert [transcript.text for transcript in pool.map(transcriber.transcribe, clips)] == alone


def test_the_window_is_the_shortest_without_hallucinations(whisper: Whisper) -> None:
    short = shorten_window(whisper, WINDOW)
    assert WINDOW == 768 and short.encoder.positional_embedding.shape[0] == WINDOW
    assert whisper.encoder.positional_embedding.shape[0] == 1500  # the shared model itself is as it was
    assert short.decoder.token_embedding.weight is whisper.decoder.token_embedding.weight


@pytest.mark.parametrize("seconds", [0.4, 2.0, 20.0])
def test_the_encoder_is_never_given_a_shorter_window(whisper: Whisper, seconds: float) -> None:
    transcriber = Transcriber(whisper, "whisper-base")
    shapes: list[tuple[int, ...]] = []
    assert isinstance(transcriber._model, TorchWhisper)
    hook = transcriber._model.model.encoder.register_forward_hook(lambda *passed: shapes.append(tuple(passed[2].shape)))
    transcriber.transcribe(taken_for_speech(np.tile(speech(DOGS), 8)[: round(seconds * RATE)]))
    hook.remove()
    assert shapes == [(1 if seconds < 15 else 2, WINDOW, 512)]


def result(**measures: Any) -> Any:
    """Return a decoding result as Whisper gives it for four clearly spoken words, but for `measures`."""
    clear = {"text": "Dogs are sitting there.", "avg_logprob": -0.2, "no_speech_prob": 0.05, "compression_ratio": 0.9}
    return SimpleNamespace(**(clear | measures))


def test_clear_words_are_credible_and_doubtful_ones_are_not() -> None:
    assert is_credible(result(), 2.0)
    assert not is_credible(result(text="  "), 2.0)
    assert not is_credible(result(avg_logprob=-1.1), 2.0)
    assert is_credible(result(avg_logprob=-0.7), 2.0) and not is_credible(
        result(avg_logprob=-0.7, no_speech_prob=0.8), 2.0
    )


def test_a_person_may_repeat_words_but_not_faster_than_people_speak() -> None:
    looping = "no no no no no no no no no no no no no no no no no no no no no no no no no no"
    assert is_credible(result(text=looping, compression_ratio=6.0), 8.0)
    assert not is_credible(result(text=looping, compression_ratio=6.0), 2.0)
    assert not is_credible(result(text=looping, compression_ratio=6.0, no_speech_prob=0.5), 8.0)


def test_pieces_are_split_at_pauses_and_complete() -> None:
    spans = (Span(0.0, 4.0), Span(10.0, 15.0), Span(20.0, 24.0))
    samples = np.arange(13 * RATE, dtype=np.float32)
    pieces = list(split_speech(taken_for_speech(samples, spans), 10 * RATE))
    assert [start for start, _ in pieces] == [0, 9 * RATE]
    assert np.array_equal(np.concatenate([piece for _, piece in pieces]), samples)


def test_speech_without_a_pause_is_cut_where_it_is_quietest() -> None:
    samples = noise(20)
    samples[9 * RATE : round(9.3 * RATE)] = 0
    pieces = list(split_speech(taken_for_speech(samples), 10 * RATE))
    assert 9 * RATE <= pieces[1][0] <= round(9.3 * RATE)
    assert all(len(piece) <= 10 * RATE for _, piece in pieces) and sum(len(piece) for _, piece in pieces) == 20 * RATE

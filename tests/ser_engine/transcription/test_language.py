"""Each stretch of speech has its own language; a doubtful one is that of the recording."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from whisper.tokenizer import LANGUAGES as WHISPERS

from ser_engine import Settings
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio
from ser_engine.data.corpora import registry
from ser_engine.errors import InvalidSettings
from ser_engine.models.whisper import shared_whisper
from ser_engine.transcription.language import (
    CERTAIN,
    LANGUAGES,
    choose_language,
    join_stretches,
    main_language,
    name_languages,
)
from ser_engine.transcription.recognizer import TorchWhisper
from ser_engine.transcription.transcriber import WINDOW, Transcriber
from ser_engine.types import CleanSpeech, Transcript, TranscriptSegment
from tests.speech import RATE, Samples, encode, foreign, silence, speech

THREE = "Kids are talking by the door. Dogs are sitting by the door. I wonder what this is about."


@pytest.fixture(scope="module")
def transcriber(settings: Settings) -> Transcriber:
    return Transcriber(shared_whisper(settings), "whisper-base")


def cleaned(*parts: Samples) -> CleanSpeech:
    return clean_speech(load_audio(encode(np.concatenate(parts)), Settings()))


def log_probs(*shares: tuple[float, float]) -> NDArray[np.float32]:
    return np.log(np.array(shares, np.float32))


def test_the_names_are_whispers() -> None:
    assert list(LANGUAGES) == list(WHISPERS)
    assert [name.lower() for name in LANGUAGES.values()] == list(WHISPERS.values())


@pytest.mark.parametrize(
    ("shares", "seconds", "runs"),
    [
        pytest.param([(0.99, 0.01), (0.01, 0.99)], [3.0, 3.0], [(0, 1), (1, 2)], id="a clear change"),
        pytest.param([(0.99, 0.01), (0.4, 0.6)], [3.0, 3.0], [(0, 2)], id="a change that is not clear"),
        pytest.param([(0.99, 0.01), (0.1, 0.9), (0.99, 0.01)], [3.0, 0.5, 3.0], [(0, 3)], id="a short interjection"),
        pytest.param(
            [(0.99, 0.01), (0.01, 0.99), (0.99, 0.01)], [3.0, 3.0, 3.0], [(0, 1), (1, 2), (2, 3)], id="an interpreter"
        ),
        pytest.param([(0.2, 0.8)], [1.0], [(0, 1)], id="one stretch"),
    ],
)
def test_stretches_are_joined_unless_the_language_clearly_changes(
    shares: list[tuple[float, float]], seconds: list[float], runs: list[tuple[int, int]]
) -> None:
    joined = join_stretches(log_probs(*shares), seconds)
    assert [(first, last) for first, last, _ in joined] == runs
    assert all(np.exp(own).sum() == pytest.approx(1.0, abs=1e-5) for *_, own in joined)
    assert all(first[1] == second[0] for first, second in pairwise(joined))


def test_most_of_the_clear_speech_decides_the_main_language() -> None:
    english, german = (
        TranscriptSegment(0, 4, "Hi.", 0.9, language="en"),
        TranscriptSegment(4, 9, "Ja.", 0.9, language="de"),
    )
    assert main_language([english, german]) == "de"
    assert main_language([english, replace(german, language_doubtful=True)]) == "en"
    assert main_language([replace(german, language_doubtful=True)]) == "de"
    assert main_language([replace(german, language=None)]) is main_language([]) is None


def test_languages_are_named_in_a_sentence() -> None:
    assert name_languages(["de"]) == "German"
    assert name_languages(["it", "de", "am"]) == "Amharic, German and Italian"
    assert name_languages([]) == ""


def test_a_language_may_be_chosen_in_capitals_but_not_invented(transcriber: Transcriber) -> None:
    chosen = choose_language(transcriber._model, "DE")
    assert chosen is not None and chosen.language == "de" and chosen.chosen and not chosen.doubtful
    assert choose_language(transcriber._model, "") is choose_language(transcriber._model, None) is None
    with pytest.raises(InvalidSettings, match="klingon"):
        choose_language(transcriber._model, "klingon")


def test_german_after_english_is_transcribed_as_german(transcriber: Transcriber) -> None:
    english = speech(f"{THREE} Kids are talking by the door.")
    transcript = transcriber.transcribe(cleaned(english, silence(1), foreign("de")))
    assert (transcript.language, transcript.languages) == ("en", ("en", "de"))
    for segment in transcript.segments:
        assert segment.language == ("en" if segment.start < len(english) / RATE else "de")
        assert not segment.language_doubtful
    german = " ".join(segment.text for segment in transcript.segments if segment.language == "de")
    assert "Abend" in german and "Zeit" in german


def test_a_doubtful_language_is_that_of_the_recording_and_marked(transcriber: Transcriber) -> None:
    short = foreign("fr")[: round(1.1 * RATE)]
    alone = transcriber.transcribe(cleaned(short, silence(1)))
    known, encodings = count_encodings(transcriber, cleaned(short, silence(1)), main="en")
    assert encodings == 1
    assert all(segment.language_doubtful for segment in (*alone.segments, *known.segments))
    assert known.segments and {segment.language for segment in known.segments} == {"en"}


def test_a_chosen_language_is_that_of_all_speech_and_not_doubtful(transcriber: Transcriber) -> None:
    spoken = cleaned(speech(THREE), silence(1), foreign("de"))
    transcript = transcriber.transcribe(spoken, language="de")
    assert transcript.languages == ("de",) and not any(each.language_doubtful for each in transcript.segments)
    german = Transcriber(shared_whisper(Settings()), "whisper-base", "de")
    assert german.transcribe(spoken).segments == transcript.segments
    assert german.transcribe(spoken, language="").languages != ("de",)  # empty to detect it


def count_encodings(transcriber: Transcriber, spoken: CleanSpeech, main: str | None = None) -> tuple[Transcript, int]:
    """Return the transcript, and how many windows and stretches of speech were encoded for it."""
    assert isinstance(transcriber._model, TorchWhisper)
    batches: list[int] = []
    encoder = transcriber._model.model.encoder
    hook = encoder.conv1.register_forward_hook(lambda *passed: batches.append(len(passed[2])))
    transcript = transcriber.transcribe(spoken, main=main)
    hook.remove()
    return transcript, sum(batches)


def test_speech_in_one_language_is_encoded_once(transcriber: Transcriber) -> None:
    assert count_encodings(transcriber, cleaned(speech("Dogs are sitting by the door.")))[1] == 1


def test_stretches_that_agree_with_a_doubtful_window_are_not_encoded(transcriber: Transcriber) -> None:
    spoken = cleaned(speech(THREE))
    window = np.pad(spoken.samples, (0, WINDOW * 320 - len(spoken.samples)))
    assert transcriber._model.detect(transcriber._model.encode([window])).max() < np.log(CERTAIN)
    transcript, encodings = count_encodings(transcriber, spoken)
    assert len(spoken.segments) > 1 and transcript.languages == ("en",) and encodings == 1


def test_stretches_that_differ_within_a_window_are_encoded_by_themselves(transcriber: Transcriber) -> None:
    english = speech("Kids are talking by the door.")
    spoken = cleaned(english, silence(0.8), foreign("fr"))
    transcript, encodings = count_encodings(transcriber, spoken)
    assert set(transcript.languages) == {"en", "fr"}
    assert encodings == 1 + 2 + 2  # the window, its stretches, and both as windows of their own


@pytest.mark.corpora
def test_languages_that_alternate_at_pauses_are_told_apart(
    transcriber: Transcriber, ser_data: Path, settings: Settings
) -> None:
    clips = {
        "en": next(u for u in registry.read_corpus("ravdess", ser_data) if u.name.startswith("03-01-01-01-01-01-01")),
        "de": next(u for u in registry.read_corpus("emodb", ser_data) if u.name.startswith("03a02N")),
    }
    parts: list[Samples] = []
    spans: list[tuple[float, float, str]] = []
    for language in ("en", "de", "en", "de"):
        samples = clean_speech(load_audio(clips[language].path, settings), settings).samples
        start = sum(map(len, parts)) / RATE
        spans.append((start, start + len(samples) / RATE, language))
        parts += [samples, silence(0.8)]
    transcript = transcriber.transcribe(cleaned(*parts))
    for start, end, language in spans:
        middle = [s for s in transcript.segments if s.start < (start + end) / 2 < s.end]
        assert [segment.language for segment in middle] == [language]

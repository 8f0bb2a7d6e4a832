"""Words on their way to the model, modalities on their way back, and other words for a recording already heard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Analysis, Analyzer, Settings
from ser_engine.sentences import SENTENCE_S, widen
from ser_engine.transcription.alignment import select_words
from ser_engine.types import Scores
from tests.speech import speech_wav
from tests.tiny_models import write_models

pytestmark = pytest.mark.usefixtures("one_thread")

DOGS, OTHERS = "Dogs are sitting by the door.", "kids are talking it is eleven"
LONG = "Kids are talking by the door. I wonder what this is about. Dogs are sitting by the door."


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    """Return an analyzer with a tiny model that listens and reads."""
    folder = write_models(tmp_path_factory.mktemp("tiny") / "models")
    return Analyzer(replace(Settings(), models_dir=folder, model="tiny-words"))


@pytest.fixture(scope="module")
def short(reader: Analyzer) -> Analysis:
    return reader.analyze(speech_wav(DOGS), name="dogs.wav")


@pytest.fixture(scope="module")
def long(reader: Analyzer) -> Analysis:
    return reader.analyze(speech_wav(LONG), name="long.wav")


def same(one: Scores, other: Scores) -> bool:
    return one.labels == other.labels and np.allclose(one.probabilities, other.probabilities, atol=1e-5)


def deaf(reader: Analyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any further encoding of speech fail."""

    def encode(*_: object, **__: object) -> None:
        raise AssertionError("the speech was encoded again")

    model = reader.model
    monkeypatch.setattr(model.network.speech, "forward", encode)  # type: ignore[attr-defined]


def test_the_model_reads_what_was_heard(reader: Analyzer, short: Analysis) -> None:
    assert short.transcript is not None and short.transcript.text == DOGS
    (expected,) = reader.model.predict([short.speech], [short.transcript])
    (unread,) = reader.model.predict([short.speech])
    assert same(short.scores, expected.scores) and not same(short.scores, unread.scores)


def test_there_are_three_modalities_of_which_the_last_is_the_answer(reader: Analyzer, short: Analysis) -> None:
    assert list(short.modalities) == ["audio", "text", "fused"]
    assert same(short.modalities["fused"], short.scores)
    assert same(short.modalities["audio"], reader.model.predict([short.speech])[0].scores)
    assert not same(short.modalities["text"], short.modalities["audio"])
    answer = json.loads(json.dumps(short.to_dict(), allow_nan=False))
    assert (
        list(answer["modalities"]) == ["audio", "text", "fused"] and answer["modalities"]["fused"] == answer["scores"]
    )


def test_without_words_there_are_no_scores_by_them(reader: Analyzer) -> None:
    silent = reader.analyze(speech_wav(DOGS), transcribe=False)
    assert set(silent.modalities) == {"audio", "fused"}
    assert same(silent.modalities["fused"], silent.modalities["audio"])


def test_each_window_is_scored_with_the_words_said_in_it(reader: Analyzer, long: Analysis) -> None:
    assert long.transcript is not None and len(long.timeline) > 2
    for window in long.timeline:
        part = replace(long.speech, samples=long.speech.between(window.start, window.end))
        said = select_words(long.transcript, window.start, window.end)
        assert said.text and said.text != long.transcript.text
        (expected,) = reader.model.predict([part], [said])
        assert same(window.scores, expected.scores)


def test_each_sentence_is_scored_with_its_own_speech_and_words(reader: Analyzer, long: Analysis) -> None:
    assert long.transcript is not None and len(long.transcript.segments) > 1
    for sentence in long.transcript.segments:
        span = widen(sentence, SENTENCE_S, long.quality.duration_s)
        part = replace(long.speech, samples=long.speech.between(span.start, span.end))
        said = replace(long.transcript, text=sentence.text, confidence=sentence.confidence)
        (expected,) = reader.model.predict([part], [said])
        assert sentence.scores is not None and same(sentence.scores, expected.scores)
        assert sentence.sure is sentence.scores.reach(long.threshold)


def test_the_only_sentence_of_a_short_recording_has_its_answer(short: Analysis) -> None:
    assert short.transcript is not None
    (sentence,) = short.transcript.segments
    assert sentence.scores is short.scores and sentence.sure is short.sure


def test_edited_words_score_their_own_sentence_again(
    reader: Analyzer, long: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert long.transcript is not None
    deaf(reader, monkeypatch)
    changed = reader.rescore(long, long.transcript.text.replace("Kids", "door")).transcript
    assert changed is not None
    pairs = zip(long.transcript.segments, changed.segments, strict=True)
    first, *others = [bool(one.scores and other.scores and same(one.scores, other.scores)) for one, other in pairs]
    assert not first and all(others)


def test_the_modalities_of_a_long_recording_are_means_over_its_windows(reader: Analyzer, long: Analysis) -> None:
    assert same(long.modalities["fused"], long.scores)
    parts = [replace(long.speech, samples=long.speech.between(w.start, w.end)) for w in long.timeline]
    heard = [prediction.scores.probabilities for prediction in reader.model.predict(parts)]
    mean = np.average(heard, axis=0, weights=[part.duration_s for part in parts])
    np.testing.assert_allclose(long.modalities["audio"].probabilities, mean, atol=1e-5)


@pytest.mark.parametrize("recording", ["short", "long"])
def test_other_words_change_the_answer_and_nobody_listens_again(
    recording: str, reader: Analyzer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: Analysis = request.getfixturevalue(recording)
    deaf(reader, monkeypatch)
    after = reader.rescore(before, OTHERS)
    assert after.transcript is not None and after.transcript.text == OTHERS
    assert not same(after.scores, before.scores) and not same(after.modalities["text"], before.modalities["text"])
    assert same(after.modalities["audio"], before.modalities["audio"])
    assert same(after.modalities["fused"], after.scores)
    assert (after.file, after.quality, after.seconds, after.speech) == (
        before.file, before.quality, before.seconds, before.speech,
    )  # fmt: skip


@pytest.mark.parametrize("recording", ["short", "long"])
def test_the_words_as_they_were_bring_back_the_answer(
    recording: str, reader: Analyzer, request: pytest.FixtureRequest
) -> None:
    before: Analysis = request.getfixturevalue(recording)
    assert before.transcript is not None
    back = reader.rescore(before, before.transcript.text)
    assert same(back.scores, before.scores) and back.transcript == before.transcript


def test_a_word_put_in_changes_its_own_windows_only(reader: Analyzer, long: Analysis) -> None:
    assert long.transcript is not None
    changed = reader.rescore(long, long.transcript.text.replace("Kids", "door"))
    alike = [same(one.scores, other.scores) for one, other in zip(long.timeline, changed.timeline, strict=True)]
    assert not alike[0] and all(alike[3:])


def test_no_words_at_all_leave_the_voice(reader: Analyzer, short: Analysis) -> None:
    mute = reader.rescore(short, "")
    assert "text" not in mute.modalities and same(mute.scores, short.modalities["audio"])


def test_a_model_that_reads_nothing_answers_as_ever() -> None:
    analyzer = Analyzer(replace(Settings(), model="whisper-base-heads"))
    analysis = analyzer.analyze(speech_wav(DOGS), name="dogs.wav")
    (expected,) = analyzer.model.predict([analysis.speech])
    np.testing.assert_array_equal(analysis.scores.probabilities, expected.scores.probabilities)
    assert not analysis.modalities and "modalities" not in analysis.to_dict()
    other = analyzer.rescore(analysis, OTHERS)
    assert other.scores is analysis.scores and other.transcript is not None and other.transcript.text == OTHERS


def test_the_command_line_prints_the_modalities(
    reader: Analyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ser_engine.cli.main import main

    monkeypatch.setenv("SER_MODELS_DIR", str(reader.settings.models_dir))
    path = tmp_path / "dogs.wav"
    path.write_bytes(speech_wav(DOGS))
    assert main(["analyze", "--json", "--model", "tiny-words", str(path)]) == 0
    assert set(json.loads(capsys.readouterr().out)["modalities"]) == {"audio", "text", "fused"}

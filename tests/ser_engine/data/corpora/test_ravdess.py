"""RAVDESS: what its file names say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.ravdess import CORPUS


@pytest.mark.parametrize(
    ("name", "label", "speaker", "gender", "sentence", "intensity"),
    [
        ("03-01-01-01-01-01-01", "neutral", "01", "male", "Kids are talking by the door.", "normal"),
        ("03-01-02-02-02-02-24", "calm", "24", "female", "Dogs are sitting by the door.", "strong"),
        ("03-01-03-01-02-01-10", "happy", "10", "female", "Dogs are sitting by the door.", "normal"),
        ("03-01-04-02-01-02-23", "sad", "23", "male", "Kids are talking by the door.", "strong"),
        ("03-01-05-02-01-01-12", "angry", "12", "female", "Kids are talking by the door.", "strong"),
        ("03-01-06-01-01-01-07", "fearful", "07", "male", "Kids are talking by the door.", "normal"),
        ("03-01-07-01-01-01-08", "disgust", "08", "female", "Kids are talking by the door.", "normal"),
        ("03-01-08-01-02-01-09", "surprised", "09", "male", "Dogs are sitting by the door.", "normal"),
    ],
)
def test_a_name_says_all(name: str, label: str, speaker: str, gender: str, sentence: str, intensity: str) -> None:
    utterance = CORPUS.read_name(Path(f"Actor_{speaker}/{name}.wav"))
    assert utterance is not None
    assert (utterance.corpus, utterance.name) == ("ravdess", name)
    assert (utterance.label, utterance.speaker, utterance.gender) == (label, f"ravdess/{speaker}", gender)
    assert (utterance.sentence, utterance.intensity) == (sentence, intensity)


@pytest.mark.parametrize(
    "name",
    [
        "01-01-05-02-01-01-12",  # picture and sound
        "02-01-05-02-01-01-12",  # picture alone
        "03-02-05-02-01-01-12",  # song
        "03-01-05-02-01-01",
        "03-01-05-02-01-01-12-01",
        "3-1-5-2-1-1-12",
        "._03-01-05-02-01-01-12",
        "notes",
    ],
)
def test_what_is_no_spoken_clip_is_left_out(name: str) -> None:
    assert CORPUS.read_name(Path(f"{name}.wav")) is None


@pytest.mark.parametrize("name", ["03-01-09-01-01-01-01", "03-01-01-01-03-01-01", "03-01-01-01-01-01-25"])
def test_codes_that_do_not_exist_are_not_guessed(name: str) -> None:
    with pytest.raises(KeyError):
        CORPUS.read_name(Path(f"{name}.wav"))


@pytest.mark.corpora
def test_the_folder_holds_all_that_was_published(ser_data: Path) -> None:
    utterances = registry.read_corpus("ravdess", ser_data)
    assert len(utterances) == CORPUS.expected_clips == 1440
    assert set(Counter(utterance.speaker for utterance in utterances).values()) == {60}
    assert len({utterance.speaker for utterance in utterances}) == CORPUS.expected_speakers == 24
    labels = Counter(utterance.label for utterance in utterances)
    assert labels.pop("neutral") == 96  # it has no strong intensity
    assert len(labels) == 7 and set(labels.values()) == {192}

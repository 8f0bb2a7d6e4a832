"""EMO-DB: what its file names say, in German."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.emodb import CORPUS


@pytest.mark.parametrize(
    ("name", "label", "gender", "sentence"),
    [
        ("03a01Wa", "angry", "male", "Der Lappen liegt auf dem Eisschrank."),
        ("08a02Ea", "disgust", "female", "Das will sie am Mittwoch abgeben."),
        ("09a07Ab", "fearful", "female", "In sieben Stunden wird es soweit sein."),
        ("10a01Fd", "happy", "male", "Der Lappen liegt auf dem Eisschrank."),
        ("11a02Nc", "neutral", "male", "Das will sie am Mittwoch abgeben."),
        ("16a02Tb", "sad", "female", "Das will sie am Mittwoch abgeben."),
    ],
)
def test_a_name_says_all(name: str, label: str, gender: str, sentence: str) -> None:
    utterance = CORPUS.read_name(Path(f"wav/{name}.wav"))
    assert utterance is not None
    assert (utterance.corpus, utterance.name, utterance.speaker) == ("emodb", name, f"emodb/{name[:2]}")
    assert (utterance.label, utterance.gender, utterance.sentence) == (label, gender, sentence)


def test_boredom_is_none_of_our_emotions() -> None:
    utterance = CORPUS.read_name(Path("wav/03a01Lb.wav"))
    assert utterance is not None and utterance.label is None


@pytest.mark.parametrize("name", ["erkennung", "03a01W", "3a01Wa", "03c01Wa", "03a01Wab", ""])
def test_what_is_no_clip_is_left_out(name: str) -> None:
    assert CORPUS.read_name(Path(f"{name}.wav")) is None


@pytest.mark.parametrize("name", ["03a01Xa", "03a03Wa"])
def test_codes_that_do_not_exist_are_not_guessed(name: str) -> None:
    with pytest.raises(KeyError):
        CORPUS.read_name(Path(f"{name}.wav"))


@pytest.mark.corpora
def test_the_folder_holds_all_that_was_published(ser_data: Path) -> None:
    utterances = registry.read_corpus("emo-db", ser_data)
    assert len(utterances) == CORPUS.expected_clips == 535
    genders = {utterance.speaker: utterance.gender for utterance in utterances}
    assert len(genders) == CORPUS.expected_speakers == 10
    assert Counter(genders.values()) == {"male": 5, "female": 5}
    assert Counter(utterance.label for utterance in utterances) == {
        "angry": 127, None: 81, "neutral": 79, "happy": 71, "fearful": 69, "sad": 62, "disgust": 46,
    }  # fmt: skip

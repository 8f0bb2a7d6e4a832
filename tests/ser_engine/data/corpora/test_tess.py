"""TESS: what its file names say, among them one that is misspelled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.tess import CORPUS


@pytest.mark.parametrize(
    ("name", "label", "speaker", "sentence"),
    [
        ("YAF_dog_ps", "surprised", "YAF", "Say the word dog."),
        ("OAF_back_fear", "fearful", "OAF", "Say the word back."),
        ("OA_bite_neutral", "neutral", "OAF", "Say the word bite."),
        ("YAF_youth_disgust", "disgust", "YAF", "Say the word youth."),
        ("OAF_Pass_Sad", "sad", "OAF", "Say the word pass."),
        ("YAF_raise_angry", "angry", "YAF", "Say the word raise."),
        ("OAF_raise_happy", "happy", "OAF", "Say the word raise."),
    ],
)
def test_a_name_says_all(name: str, label: str, speaker: str, sentence: str) -> None:
    utterance = CORPUS.read_name(Path(f"{speaker}_folder/{name}.wav"))
    assert utterance is not None
    assert (utterance.corpus, utterance.name, utterance.gender) == ("tess", name, "female")
    assert (utterance.label, utterance.speaker) == (label, f"tess/{speaker}")
    assert (utterance.sentence, utterance.intensity) == (sentence, None)


@pytest.mark.parametrize("name", ["MAF_dog_ps", "YAF_dog", "dog_ps", "YAF_dog_ps_2", ""])
def test_what_is_no_clip_is_left_out(name: str) -> None:
    assert CORPUS.read_name(Path(f"{name}.wav")) is None


def test_codes_that_do_not_exist_are_not_guessed() -> None:
    with pytest.raises(KeyError):
        CORPUS.read_name(Path("YAF_dog_bored.wav"))


@pytest.mark.corpora
def test_the_folder_holds_all_that_was_published(ser_data: Path) -> None:
    utterances = registry.read_corpus("tess", ser_data)
    assert len(utterances) == CORPUS.expected_clips == 2800
    kinds = Counter((utterance.speaker, utterance.label) for utterance in utterances)
    assert len(kinds) == 2 * 7 and set(kinds.values()) == {200}
    assert len({utterance.sentence for utterance in utterances}) == 200

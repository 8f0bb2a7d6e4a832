"""CREMA-D: what its file names say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.cremad import CORPUS, SENTENCES, WOMEN


@pytest.mark.parametrize(
    ("name", "label", "gender", "sentence", "intensity"),
    [
        ("1083_IWW_NEU_XX", "neutral", "male", "I wonder what this is about.", None),
        ("1010_IEO_HAP_LO", "happy", "female", "It's eleven o'clock.", "low"),
        ("1001_IEO_SAD_MD", "sad", "male", "It's eleven o'clock.", "medium"),
        ("1091_IEO_ANG_HI", "angry", "female", "It's eleven o'clock.", "high"),
        ("1040_ITH_SAD_X", "sad", "male", "I think I have a doctor's appointment.", None),
        ("1002_TSI_FEA_XX", "fearful", "female", "The surface is slick.", None),
        ("1076_mti_dis_xx", "disgust", "female", "Maybe tomorrow it will be cold.", None),
    ],
)
def test_a_name_says_all(name: str, label: str, gender: str, sentence: str, intensity: str | None) -> None:
    utterance = CORPUS.read_name(Path(f"AudioWAV/{name}.wav"))
    assert utterance is not None
    assert (utterance.corpus, utterance.name, utterance.speaker) == ("cremad", name, f"cremad/{name[:4]}")
    assert (utterance.label, utterance.gender) == (label, gender)
    assert (utterance.sentence, utterance.intensity) == (sentence, intensity)


@pytest.mark.parametrize("name", ["summaryTable", "1083_IWW_NEU", "83_IWW_NEU_XX", "1083_IWW_NEU_XXX", ""])
def test_what_is_no_clip_is_left_out(name: str) -> None:
    assert CORPUS.read_name(Path(f"{name}.wav")) is None


@pytest.mark.parametrize("name", ["1083_IWW_CAL_XX", "1083_XYZ_NEU_XX", "1083_IWW_NEU_QQ"])
def test_codes_that_do_not_exist_are_not_guessed(name: str) -> None:
    with pytest.raises(KeyError):
        CORPUS.read_name(Path(f"{name}.wav"))


def test_the_facts_are_the_published_ones() -> None:
    assert len(SENTENCES) == 12
    assert len(WOMEN) == 43
    assert all(1001 <= int(actor) <= 1091 for actor in WOMEN)


def test_what_listeners_heard_is_read_where_their_table_lies(tmp_path: Path) -> None:
    for name in ("1001_IEO_ANG_HI", "1001_IEO_SAD_LO", "1001_IEO_HAP_LO"):
        (tmp_path / f"{name}.wav").touch()
    assert [one.perceived_labels for one in CORPUS.utterances(tmp_path)] == [()] * 3
    (tmp_path / "processedResults").mkdir()
    table = '"","FileName","VoiceVote"\n"1","1001_IEO_ANG_HI","A:D"\n"2","1001_IEO_SAD_LO","N"\n"3","x",""\n'
    (tmp_path / "processedResults" / "summaryTable.csv").write_text(table)
    heard = {one.name: one.perceived_labels for one in CORPUS.utterances(tmp_path)}
    assert heard == {"1001_IEO_ANG_HI": ("angry", "disgust"), "1001_IEO_SAD_LO": ("neutral",), "1001_IEO_HAP_LO": ()}


@pytest.mark.corpora
def test_the_folder_holds_all_that_was_published(ser_data: Path) -> None:
    utterances = registry.read_corpus("crema-d", ser_data)
    assert len(utterances) == CORPUS.expected_clips == 7442
    assert len({utterance.speaker for utterance in utterances}) == CORPUS.expected_speakers == 91
    genders = {utterance.speaker: utterance.gender for utterance in utterances}
    assert Counter(genders.values()) == {"male": 48, "female": 43}
    labels = Counter(utterance.label for utterance in utterances)
    assert labels.pop("neutral") == 1087
    assert len(labels) == 5 and set(labels.values()) == {1271}

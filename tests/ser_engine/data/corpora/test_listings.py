"""Every reader reads every real file name of its corpus, and says what the listing says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance

Listing = Callable[[str], list[tuple[str, str]]]

# EmoBox's words, which differ from corpus to corpus, against ours; "boredem" is its spelling.
OURS = {
    "a": "angry", "ang": "angry", "anger": "angry", "angry": "angry",
    "d": "disgust", "dis": "disgust", "disgust": "disgust",
    "f": "fearful", "fea": "fearful", "fear": "fearful", "fearful": "fearful",
    "h": "happy", "hap": "happy", "happy": "happy",
    "n": "neutral", "neu": "neutral", "neutral": "neutral",
    "s": "sad", "sa": "sad", "sad": "sad",
    "su": "surprised", "ps": "surprised", "surprise": "surprised", "surprised": "surprised",
    "calm": "calm", "boredem": None,
}  # fmt: skip
LISTED = {
    "ravdess": 1440, "cremad": 7442, "savee": 480, "tess": 2800, "emodb": 535, "aesdd": 604, "shemo": 2838,
    "subesco": 7000,
}  # fmt: skip


def read_all(corpus: str, rows: list[tuple[str, str]]) -> list[tuple[Utterance, str]]:
    found = [(registry.CORPORA[corpus].read_name(Path(file)), label) for file, label in rows]
    assert [row for row, (utterance, _) in zip(rows, found, strict=True) if utterance is None] == []
    return [(utterance, label) for utterance, label in found if utterance is not None]


@pytest.mark.parametrize(("corpus", "clips"), LISTED.items())
def test_every_listed_name_is_read_as_it_is_labelled(corpus: str, clips: int, listing: Listing) -> None:
    rows = listing(corpus)
    assert len(rows) == clips
    wrong = [u.path for u, label in read_all(corpus, rows) if u.label != OURS[label.lower()]]
    assert wrong == []


@pytest.mark.parametrize("corpus", LISTED)
def test_the_listing_holds_what_was_published(corpus: str, listing: Listing) -> None:
    """All speakers and labels; of ShEMO 162 clips are missing in it, of no other corpus one."""
    facts = registry.CORPORA[corpus]
    utterances = [utterance for utterance, _ in read_all(corpus, listing(corpus))]
    assert len({utterance.speaker for utterance in utterances}) == facts.expected_speakers
    natives = Counter(utterance.native for utterance in utterances)
    assert set(natives) == set(facts.labels) == set(facts.expected_labels)
    if corpus == "shemo":
        assert all(natives[native] <= count for native, count in facts.expected_labels.items())
        assert facts.expected_clips - len(utterances) == 162
    else:
        assert natives == facts.expected_labels


@pytest.mark.parametrize("corpus", LISTED)
@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_names_in_another_case_say_the_same(corpus: str, change: Callable[[str], str], listing: Listing) -> None:
    for utterance, _ in read_all(corpus, listing(corpus)):
        path = utterance.path.with_name(change(utterance.path.name))
        other = registry.CORPORA[corpus].read_name(path)
        assert other is not None
        assert (other.label, other.speaker, other.sentence) == (utterance.label, utterance.speaker, utterance.sentence)


@pytest.mark.parametrize("corpus", ["shemo", "subesco", "emodb", "savee"])
def test_gender_is_known(corpus: str, listing: Listing) -> None:
    genders = {utterance.speaker: utterance.gender for utterance, _ in read_all(corpus, listing(corpus))}
    known = {"shemo": (31, 56), "subesco": (10, 10), "emodb": (5, 5), "savee": (0, 4)}[corpus]
    assert (Counter(genders.values())["female"], Counter(genders.values())["male"]) == known


def test_shemo_s_folders_agree_with_its_names(listing: Listing) -> None:
    for utterance, _ in read_all("shemo", listing("shemo")):
        assert utterance.path.parent.name == utterance.gender


def test_subesco_has_every_sentence_of_every_speaker_as_often(listing: Listing) -> None:
    found = read_all("subesco", listing("subesco"))
    kinds = Counter((utterance.speaker, utterance.sentence, utterance.label) for utterance, _ in found)
    assert len(kinds) == 20 * 10 * 7 and set(kinds.values()) == {5}


def test_iemocap_reads_every_listed_turn_from_its_text_files(listing: Listing, tmp_path: Path) -> None:
    """The listing has four of the labels; they are written as IEMOCAP writes them and read back."""
    rows = listing("iemocap")
    assert len(rows) == 5531
    for file, label in rows:
        clip = tmp_path / file
        clip.parent.mkdir(parents=True, exist_ok=True)
        clip.touch()
        evaluation = tmp_path / file.split("/")[0] / "dialog" / "EmoEvaluation" / f"{clip.parent.name}.txt"
        evaluation.parent.mkdir(parents=True, exist_ok=True)
        with evaluation.open("a") as text:
            text.write(f"[6.2901 - 8.2357]\t{clip.stem}\t{label}\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n")
    natives = {Path(file).stem: label for file, label in rows}
    found = registry.read_corpus("iemocap", tmp_path.rename(tmp_path.with_name("IEMOCAP_full_release")).parent)
    assert {utterance.name: utterance.native for utterance in found} == natives
    assert {utterance.label for utterance in found if utterance.native == "exc"} == {None}
    assert all(utterance.label == OURS[str(utterance.native)] for utterance in found if utterance.native != "exc")
    genders = {utterance.speaker: utterance.gender for utterance in found}
    assert len(genders) == 10 and Counter(genders.values()) == {"female": 5, "male": 5}

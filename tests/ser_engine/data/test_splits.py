"""Folds: no speaker is in both training and test, and what other protocols share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.splits import (
    AUTHORS_SPLIT,
    GROUPED_FOLDS,
    PROTOCOLS,
    Fold,
    assign_speaker_folds,
    describe_split,
    make_folds,
    repeat_for_copies,
    shared_values,
    speakers_apart,
)
from ser_engine.errors import CorpusError


def spoken(corpus: str, speakers: int, clips: int = 3) -> list[Utterance]:
    """Return so many clips of each speaker, the speakers in turn."""
    names = [f"{corpus}/{number:02}" for _ in range(clips) for number in range(1, speakers + 1)]
    return [Utterance(corpus, Path(f"{i}.wav"), "neutral", name) for i, name in enumerate(names)]


def folds_of(utterances: list[Utterance], seed: int = 0) -> dict[str, set[int]]:
    """Return the folds in which each speaker is tested."""
    folds: dict[str, set[int]] = {}
    for utterance, fold in zip(utterances, assign_speaker_folds(utterances, seed), strict=True):
        folds.setdefault(utterance.speaker, set()).add(int(fold))
    return folds


def test_ravdess_is_tested_in_the_six_published_folds_of_whole_actors() -> None:
    folds = folds_of(spoken("ravdess", 24))
    assert Counter(fold for (fold,) in folds.values()) == dict.fromkeys(range(1, 7), 4)
    # As published (EmoBox, Interspeech 2024): four actors of the first and of the last fold.
    assert [folds[f"ravdess/{actor}"] for actor in ("01", "11", "20", "21")] == [{1}] * 4
    assert [folds[f"ravdess/{actor}"] for actor in ("06", "13", "17", "22")] == [{6}] * 4


@pytest.mark.parametrize(("speakers", "expected"), [(91, 5), (10, 5), (5, 5), (4, 4), (2, 2)])
def test_other_corpora_are_cut_between_speakers(speakers: int, expected: int) -> None:
    folds = folds_of(spoken("cremad", speakers))
    assert all(len(fold) == 1 for fold in folds.values())
    counts = Counter(fold for (fold,) in folds.values())
    assert sorted(counts) == list(range(1, expected + 1))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert GROUPED_FOLDS == 5


def test_corpora_do_not_disturb_each_other() -> None:
    cremad, tess, ravdess = spoken("cremad", 12), spoken("tess", 2), spoken("ravdess", 24)
    together = [utterance for three in zip(cremad, ravdess, strict=False) for utterance in three] + tess
    folds = folds_of(together)
    alone = folds_of(cremad) | folds_of(tess) | folds_of(ravdess)
    assert folds == {speaker: alone[speaker] for speaker in folds}


def test_the_seed_decides() -> None:
    utterances = spoken("cremad", 40)
    first, again, other = (assign_speaker_folds(utterances, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_speaker_cannot_be_split() -> None:
    with pytest.raises(CorpusError, match=r"^tess has only one speaker; .* needs two\.$"):
        assign_speaker_folds(spoken("tess", 1))


def test_nothing_has_no_folds() -> None:
    assert assign_speaker_folds([]).shape == (0,)


@pytest.mark.corpora
def test_the_real_corpora_are_tested_whole_and_speaker_independently(ser_data: Path) -> None:
    utterances = [
        utterance for name in ("ravdess", "cremad", "tess") for utterance in registry.read_corpus(name, ser_data)
    ]
    folds = assign_speaker_folds(utterances)
    tested = {fold: {u.speaker for u, f in zip(utterances, folds, strict=True) if f == fold} for fold in range(1, 7)}
    assert sum(map(len, tested.values())) == len(set.union(*tested.values())) == 24 + 91 + 2
    assert set(folds.tolist()) == set(tested)


# Protocols


LABELS = ("sad", "angry", "happy")


def said(corpus: str = "mine", speakers: int = 6, sentences: int = 5, takes: int = 2) -> list[Utterance]:
    """Return every sentence of every speaker in every emotion, so many times."""
    return [
        Utterance(corpus, Path(f"{corpus}-{s}-{t}-{label}-{i}.wav"), label, f"{corpus}/{s}", sentence=f"sentence {t}")
        for s in range(speakers)
        for t in range(sentences)
        for label in LABELS
        for i in range(takes)
    ]


def labels_of(utterances: list[Utterance]) -> list[str]:
    return [str(utterance.label) for utterance in utterances]


def made(protocol: str, utterances: list[Utterance], seed: int = 0, **options: Any) -> list[Fold]:
    trained = {"train_corpora": ("mine",)} if protocol == "cross-corpus" else {}
    return make_folds(protocol, utterances, labels_of(utterances), seed, **options, **trained)


def given(protocol: str, folder: Path) -> list[Utterance]:
    """Return two corpora as the protocol wants them, with listings in the folder."""
    utterances = said() + said("other")
    for corpus in ("mine", "other"):
        names = [utterance.name for utterance in utterances if utterance.corpus == corpus]
        listing(folder, corpus, {name: i % 4 for i, name in enumerate(names)})
    return repeat_for_copies(utterances, 2) if PROTOCOLS[protocol].leaky else utterances


def listing(folder: Path, corpus: str, folds: dict[str, int]) -> None:
    rows = [f"some/where/{name}.flac,?,1.0,{fold}" for name, fold in folds.items()]
    (folder / f"{corpus}.csv").write_text("\n".join(["file,label,seconds,test_fold", *rows]))


LEFT_OUT = ("leave-one-speaker-out", "leave-one-corpus-out", "cross-corpus")
EVERY = pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != AUTHORS_SPLIT])


def test_the_protocols_are_the_agreed_ones() -> None:
    assert list(PROTOCOLS) == [
        *("paper", "70-10-20", "stratified-k-fold", "speaker-independent", "leave-one-speaker-out"),
        *("sentence-independent", "leave-one-corpus-out", "cross-corpus", "emobox", "augmented-before-split"),
        AUTHORS_SPLIT,
    ]
    assert [id for id, protocol in PROTOCOLS.items() if protocol.leaky] == ["augmented-before-split"]


@EVERY
def test_no_row_is_on_two_sides_and_the_seed_decides_alone(protocol: str, tmp_path: Path) -> None:
    utterances = given(protocol, tmp_path)
    folds, again = (made(protocol, utterances, 3, listings=tmp_path) for _ in range(2))
    for fold, same in zip(folds, again, strict=True):
        sides = [set(side.tolist()) for side in (fold.train, fold.validation, fold.test)]
        assert sides[0] and sides[2] and sum(map(len, sides)) == len(set.union(*sides)) <= len(utterances)
        assert all(np.array_equal(getattr(fold, side), getattr(same, side)) for side in ("train", "validation", "test"))
    tested = np.concatenate([fold.test for fold in folds])
    assert len(tested) == len(set(tested.tolist()))
    assert len({fold.name for fold in folds}) == len(folds)


@EVERY
def test_what_a_protocol_promises_is_so_and_what_it_shares_is_in_its_name(protocol: str, tmp_path: Path) -> None:
    utterances = given(protocol, tmp_path)
    folds = made(protocol, utterances, listings=tmp_path)
    name = describe_split(protocol, utterances, folds)
    assert name.startswith(PROTOCOLS[protocol].title)
    voices = any({utterances[i].speaker for i in f.test} & {utterances[i].speaker for i in f.seen} for f in folds)
    assert speakers_apart(utterances, folds) is (not voices)
    assert (protocol in ("speaker-independent", *LEFT_OUT)) is (not voices)
    shares = name.partition("; shares ")[2]
    assert ("speakers" in shares and "no speakers" not in shares) is voices
    assert ("copies" in shares) is PROTOCOLS[protocol].leaky
    if protocol in ("sentence-independent", "leave-one-corpus-out", "cross-corpus"):
        assert "sentences" not in shares or "no sentences" in shares


def test_names_say_what_is_measured_not_what_is_meant() -> None:
    utterances = said(takes=1)
    folds = made("paper", utterances)
    assert describe_split("paper", utterances, folds) == "random 80:20; shares speakers and sentences"
    others = [replace(u, speaker=f"mine/{i}") for i, u in enumerate(utterances)]
    assert describe_split("paper", others, folds) == "random 80:20; shares sentences"
    silent = [replace(u, sentence=None) for u in others]
    assert describe_split("paper", silent, folds) == "random 80:20; shares no speakers; sentences unknown"


def test_a_speaker_of_the_validation_part_counts_as_known() -> None:
    fold = Fold("1", np.array([0]), np.array([1]), np.array([2]))
    assert shared_values(["a", "b", "b"], [fold]) == {"1": ["b"]}
    assert shared_values(["a", "b", None], [fold]) == shared_values(["a", None, None], [fold]) == {}


@pytest.mark.parametrize(("protocol", "shares"), [("paper", (64, 16, 20)), ("70-10-20", (70, 10, 20))])
def test_random_shares_are_those_of_the_protocol_for_each_emotion(protocol: str, shares: tuple[int, ...]) -> None:
    utterances = said(speakers=10, sentences=10, takes=1) + said("other", takes=2)[::3]
    (fold,) = made(protocol, utterances)
    for part, share in zip((fold.train, fold.validation, fold.test), shares, strict=True):
        counted, whole = Counter(utterances[i].label for i in part), Counter(u.label for u in utterances)
        assert all(counted[label] == pytest.approx(whole[label] * share / 100, abs=1.5) for label in whole)
    other = made(protocol, utterances, seed=1)[0]
    assert not np.array_equal(fold.test, other.test)


def test_stratified_folds_have_each_emotion_in_proportion() -> None:
    utterances = said()
    folds = made("stratified-k-fold", utterances, folds=4)
    assert [fold.name for fold in folds] == ["1", "2", "3", "4"]
    for fold in folds:
        assert set(Counter(utterances[i].label for i in fold.test).values()) == {15}


def test_speaker_independent_folds_are_those_of_the_function() -> None:
    utterances = said() + spoken("ravdess", 24)
    numbers = assign_speaker_folds(utterances, 7)
    for fold in made("speaker-independent", utterances, 7):
        assert np.array_equal(fold.test, np.flatnonzero(numbers == int(fold.name)))
        assert np.array_equal(fold.train, np.flatnonzero(numbers != int(fold.name)))


def test_one_is_left_out_at_a_time() -> None:
    utterances = said() + said("other")
    by_speaker = made("leave-one-speaker-out", utterances)
    assert [fold.name for fold in by_speaker] == sorted({u.speaker for u in utterances})
    for fold in by_speaker:
        assert {utterances[i].speaker for i in fold.test} == {fold.name} and len(fold.train) == 330
    by_corpus = made("leave-one-corpus-out", utterances)
    assert [fold.name for fold in by_corpus] == ["mine", "other"]
    assert {utterances[i].corpus for i in by_corpus[1].train} == {"mine"}


def test_sentences_are_kept_whole_within_their_corpus() -> None:
    utterances = said(sentences=7) + said("other", sentences=2)
    folds = made("sentence-independent", utterances)
    assert len(folds) == 5
    for fold in folds:
        for corpus in ("mine", "other"):
            sides = [
                {utterances[i].sentence for i in side if utterances[i].corpus == corpus}
                for side in (fold.train, fold.test)
            ]
            assert not sides[0] & sides[1]
    improvised = [replace(u, sentence=None) if i % 5 == 0 else u for i, u in enumerate(said())]
    assert sum(len(fold.test) for fold in made("sentence-independent", improvised)) == len(improvised)


def test_copies_of_most_tested_clips_are_trained_on() -> None:
    utterances = said()
    rows = repeat_for_copies(utterances, 3)
    assert len(rows) == 4 * len(utterances) and all(
        rows[4 * i + c] is u for i, u in enumerate(utterances) for c in range(4)
    )
    for fold in made("augmented-before-split", rows):
        assert len(set((fold.test // 4).tolist()) & set((fold.train // 4).tolist())) > 0.9 * len(
            set((fold.test // 4).tolist())
        )


# EmoBox


def test_published_folds_are_found_by_name_whatever_the_copy_is_called(tmp_path: Path) -> None:
    listing(tmp_path, "aesdd", {"a13 (6)": 1, "a14 (6)": 0, "a15 (6)": 2})
    listing(tmp_path, "savee", {"DC_sa03": 1, "KL_sa03": 0})
    utterances = [
        Utterance("aesdd", Path("x/A13_(6).OGG"), "angry", "aesdd/6"),
        Utterance("aesdd", Path("a14(6).wav"), "angry", "aesdd/6"),
        Utterance("savee", Path("KL/sa03.wav"), "sad", "savee/KL"),
        Utterance("savee", Path("DC/sa03.wav"), "sad", "savee/DC"),
        Utterance("aesdd", Path("a15 (6).wav"), "angry", "aesdd/6"),
        Utterance("savee", Path("JK/sa99.wav"), "sad", "savee/JK"),  # not listed: left out
    ]
    one, two = made("emobox", utterances, listings=tmp_path)
    assert (one.test.tolist(), one.train.tolist()) == ([0, 3], [1, 2, 4])
    assert (two.test.tolist(), two.train.tolist()) == ([4], [0, 1, 2, 3])


def test_ravdess_needs_no_listing_and_the_others_say_which_folder(tmp_path: Path) -> None:
    folds = made("emobox", spoken("ravdess", 24), listings=tmp_path)
    assert [len(fold.test) for fold in folds] == [12] * 6
    with pytest.raises(CorpusError, match=r"mine\.csv in the folder that SER_EMOBOX names"):
        made("emobox", said(), listings=tmp_path)
    listing(tmp_path, "mine", {utterance.name: 1 + i % 2 for i, utterance in enumerate(said())})
    assert len(made("emobox", said(), listings=tmp_path)) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,fold\n", "has no column file and no test_fold"),
        ("file,test_fold\na.wav,one\n", "test_fold must be a number in every row"),
        ("file,test_fold\na.wav,1\n", "lists none of the clips of mine"),
    ],
)
def test_a_listing_that_is_none_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(CorpusError, match=told):
        made("emobox", said(), listings=tmp_path)


# What cannot be split


@pytest.mark.parametrize(
    ("protocol", "utterances", "told"),
    [
        ("speaker-independent", said(speakers=1), "mine has only one speaker"),
        ("leave-one-speaker-out", said(speakers=1), "only one speaker"),
        ("sentence-independent", said(sentences=1), "mine has only one sentence"),
        ("sentence-independent", spoken("cremad", 3), "sentences of cremad are not known"),
        ("leave-one-corpus-out", said(), r"only one corpus \(mine\)"),
        (
            "stratified-k-fold",
            said(speakers=1, sentences=1)[:4],
            "There are 2 of “angry”, but 5 folds need one each",
        ),
        ("paper", said(speakers=1, sentences=1), "2 of “angry”, but training, validation and test need 3"),
        ("70-10-20", said(speakers=1, sentences=2), "too few to have 3 emotions in every part"),
        ("augmented-before-split", said(), "none of the clips has one"),
        ("speaker-independent", spoken("ravdess", 1), "leaves nothing to train on in fold 1"),
        ("speaker-independent", spoken("ravdess", 30), "no “25”|no “30”"),
        ("paper", [], "no clips for paper to split"),
    ],
)
def test_what_cannot_be_split_is_one_sentence(protocol: str, utterances: list[Utterance], told: str) -> None:
    with pytest.raises(CorpusError, match=told) as caught:
        made(protocol, utterances)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_across_corpora_trains_on_the_named_ones_and_tests_all_others() -> None:
    utterances = spoken("ravdess", 4) + spoken("emodb", 3) + spoken("emovo", 2)
    labels = [utterance.label or "" for utterance in utterances]
    (fold,) = make_folds("cross-corpus", utterances, labels, train_corpora=("emodb", "emovo"))
    assert {utterances[row].corpus for row in fold.train} == {"emodb", "emovo"} and not len(fold.validation)
    assert [utterances[row].corpus for row in fold.test] == ["ravdess"] * 12
    assert describe_split("cross-corpus", utterances, [fold]).startswith(
        "other corpora than those of training; shares no"
    )
    for trained, reason in ((("ravdess", "emodb", "emovo"), "nothing to test"), (("tess",), "nothing to train on")):
        with pytest.raises(CorpusError, match=reason):
            make_folds("cross-corpus", utterances, labels, train_corpora=trained)

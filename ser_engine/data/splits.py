"""Splits into training and test by the protocols of the field, leaky ones included, and what the two share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.data import emobox
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.corpora.registry import CORPORA
from ser_engine.errors import CorpusError

Rows = NDArray[np.int_]
NONE: Rows = np.array([], int)

GROUPED_FOLDS = 5
HELD_OUT = 0.2
"""Share of the speakers of an auxiliary corpus that no experiment trains on."""
CROSS_CORPUS = "cross-corpus"
"""Protocol whose training corpora are named; all others are tested."""
AUTHORS_SPLIT = "authors-split"
"""Protocol of corpora of sentences, which bring their own parts (`corpora.sentences`); `make_folds` has no
clips for it."""
# A random split has clips of each emotion in training, validation and test.
MIN_PER_LABEL = 3


@dataclass(frozen=True)
class Protocol:
    """A way to split clips into training and test; what a split shares is measured (`describe_split`).

    A `leaky` protocol demonstrates a mistake, and is never a default.
    """

    id: str
    title: str
    leaky: bool = False


@dataclass(frozen=True)
class Fold:
    """The rows, int, that one model is trained, validated and tested on.

    Rows are those of the list that was split: the utterances, or the result of `repeat_for_copies`. Only "paper" and
    "70-10-20" have a validation part. Rows in none of the three are left out.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows

    @property
    def seen(self) -> Rows:
        """The rows of training and validation, on both of which the model depends."""
        return np.concatenate([self.train, self.validation])


PROTOCOLS: dict[str, Protocol] = {
    protocol.id: protocol
    for protocol in (
        # A random fifth of the clips is the test set, as in Sharma (2023), and a random fifth of the rest the
        # validation set. In this and the next two, all parts have the same proportions of emotions.
        Protocol("paper", "random 80:20"),
        Protocol("70-10-20", "random 70:10:20"),
        Protocol("stratified-k-fold", "random folds"),
        # Each corpus is divided into groups of whole speakers, RAVDESS into the six that EmoBox published. Only such a
        # figure holds for speakers who are new to the model.
        Protocol("speaker-independent", "folds of whole speakers"),
        Protocol("leave-one-speaker-out", "one fold per speaker"),
        # Each corpus is divided into groups of whole sentences; the same speakers are in training and test.
        Protocol("sentence-independent", "folds of whole sentences"),
        # An emotion that no other corpus has cannot be recognized then.
        Protocol("leave-one-corpus-out", "one fold per corpus"),
        # One model, trained on some corpora (such as those of one language) and tested on all clips of the others.
        Protocol(CROSS_CORPUS, "other corpora than those of training"),
        # EmoBox (Interspeech 2024) separates speakers in some corpora (RAVDESS), but not in others (CREMA-D, EMO-DB,
        # TESS).
        Protocol("emobox", "EmoBox's published folds"),
        # A mistake, shown as a warning: copies are split at random as if they were separate recordings, so that most
        # tested clips have one in training. The figure mostly measures how well those copies were memorized.
        Protocol("augmented-before-split", "random folds of clips and their copies", leaky=True),
        # The parts in which a corpus of written sentences was published. Nobody knows who wrote what.
        Protocol(AUTHORS_SPLIT, "the authors' training, dev and test parts"),
    )
}


def make_folds(
    protocol: str,
    utterances: Sequence[Utterance],
    labels: Sequence[str],
    seed: int = 0,
    folds: int = GROUPED_FOLDS,
    listings: Path | None = None,
    train_corpora: Collection[str] = (),
) -> list[Fold]:
    """Return the folds of a protocol; the same seed gives the same folds.

    Raise CorpusError if these utterances cannot be split by the protocol.

    Parameters
    ----------
    protocol : a key of `PROTOCOLS`
    utterances, labels : n clips and their classes; for "augmented-before-split" with copies (`repeat_for_copies`)
    folds : their number, if the protocol does not fix it; corpora with fewer speakers or sentences have fewer
    listings : folder of EmoBox's listings, which only "emobox" reads
    train_corpora : those that "cross-corpus" trains on
    """
    if protocol == AUTHORS_SPLIT:
        raise CorpusError(f"{protocol} is for corpora of written sentences, and cannot split recordings.")
    if not utterances:
        raise CorpusError(f"There are no clips for {protocol} to split.")
    makers: Mapping[str, Callable[[], list[Fold]]] = {
        "paper": lambda: _random(labels, seed, test=0.2, validation=0.2),
        "70-10-20": lambda: _random(labels, seed, test=0.2, validation=0.1 / 0.8),
        "stratified-k-fold": lambda: _stratified(labels, seed, folds),
        "speaker-independent": lambda: folds_by_number(assign_speaker_folds(utterances, seed, folds)),
        "leave-one-speaker-out": lambda: _one_out([utterance.speaker for utterance in utterances], "speaker"),
        "sentence-independent": lambda: folds_by_number(assign_sentence_folds(utterances, seed, folds)),
        "leave-one-corpus-out": lambda: _one_out([utterance.corpus for utterance in utterances], "corpus"),
        CROSS_CORPUS: lambda: [_across_corpora(utterances, train_corpora)],
        "emobox": lambda: folds_by_number(_published(utterances, listings)),
        "augmented-before-split": lambda: _stratified_copies(utterances, labels, seed, folds),
    }
    result = makers[protocol]()
    for fold in result:
        if not len(fold.test):
            raise CorpusError(f"{protocol} leaves nothing to test in fold {fold.name}: it trains on every clip.")
        if not len(fold.train):
            raise CorpusError(f"{protocol} leaves nothing to train on in fold {fold.name}: it tests every clip.")
    return result


def repeat_for_copies(utterances: Sequence[Utterance], copies: int) -> list[Utterance]:
    """Return every utterance followed by `copies` of itself: row r is copy r % (copies + 1), where 0 is the original.

    Only "augmented-before-split" splits such a list; rows with the same path are copies of the same clip.
    """
    return [utterance for utterance in utterances for _ in range(copies + 1)]


def assign_speaker_folds(utterances: Sequence[Utterance], seed: int = 0, folds: int = GROUPED_FOLDS) -> Rows:
    """Return the fold, int [n] from 1, in which each utterance is tested; no speaker is in two folds."""
    return _grouped(utterances, [utterance.speaker for utterance in utterances], seed, folds, "speaker")


def assign_sentence_folds(utterances: Sequence[Utterance], seed: int = 0, folds: int = GROUPED_FOLDS) -> Rows:
    """Return the fold, int [n] from 1, in which each utterance is tested; no sentence of a corpus is in two folds."""
    # A clip without known words, in a corpus with known ones, counts as a sentence of its own (improvised speech).
    keys = [sentence_of(utterance) or f"{utterance.corpus}/clip {row}" for row, utterance in enumerate(utterances)]
    unknown = {utterance.corpus for utterance in utterances} - {u.corpus for u in utterances if sentence_of(u)}
    if unknown:
        raise CorpusError(f"The sentences of {min(unknown)} are not known, so it cannot be split by sentence.")
    return _grouped(utterances, keys, seed, folds, "sentence")


def assign_auxiliary(utterances: Sequence[Utterance], folds: int) -> Rows:
    """Return the fold, int [n] from 0, that predicts each utterance of auxiliary corpora; -1 for those held out of all.

    A fifth of the speakers of each corpus is held out. Who that is depends on the speakers' names alone, whatever the
    seed, so that no experiment ever trains on them.
    """
    result = np.full(len(utterances), -1)
    corpora = np.array([utterance.corpus for utterance in utterances])
    for corpus in np.unique(corpora):
        rows = np.flatnonzero(corpora == corpus).tolist()
        ordered = sorted(
            {utterances[row].speaker for row in rows}, key=lambda speaker: hashlib.sha256(speaker.encode()).digest()
        )
        trained = ordered[round(len(ordered) * HELD_OUT) :]
        parts = {speaker: number % folds for number, speaker in enumerate(trained)}
        result[rows] = [parts.get(utterances[row].speaker, -1) for row in rows]
    return result


def held_out(utterances: Sequence[Utterance]) -> NDArray[np.bool_]:
    """Return which utterances of auxiliary corpora no experiment trains on, bool [n]; see `assign_auxiliary`."""
    return np.asarray(assign_auxiliary(utterances, 1) < 0)


def sentence_of(utterance: Utterance) -> str | None:
    """Return a key that clips of a corpus with the same words share ("emodb/der lappen …"); None if not known."""
    text = utterance.sentence or utterance.transcript
    return f"{utterance.corpus}/{' '.join(text.casefold().split())}" if text else None


def shared_values(values: Sequence[Hashable | None], folds: Sequence[Fold]) -> dict[str, list[Hashable]]:
    """Return by fold the values that are in both test and training or validation; folds without any are left out.

    `values` has one for each row; None is never shared.
    """
    codes: dict[Hashable, int] = {value: code for code, value in enumerate(dict.fromkeys(values))}
    known, rows = list(codes), np.array([codes[value] for value in values], int)
    result = {}
    for fold in folds:
        sides = [np.bincount(rows[side], minlength=len(known)) > 0 for side in (fold.seen, fold.test)]
        common = [known[code] for code in np.flatnonzero(sides[0] & sides[1])]
        if ordered := sorted((value for value in common if value is not None), key=str):
            result[fold.name] = ordered
    return result


def speakers_apart(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> bool:
    """Whether no fold tests a speaker it was trained on, as measured."""
    return not shared_values([utterance.speaker for utterance in utterances], folds)


def describe_split(protocol: str, utterances: Sequence[Utterance], folds: Sequence[Fold]) -> str:
    """Return the protocol's title with what training and test share, as measured: "random 80:20; shares speakers"."""
    sentences = [sentence_of(utterance) for utterance in utterances]
    sides: dict[str, Sequence[Hashable | None]] = {
        "speakers": [utterance.speaker for utterance in utterances],
        "sentences": sentences,
        "copies of the same clips": [(utterance.corpus, utterance.path) for utterance in utterances],
    }
    common = [name for name, values in sides.items() if shared_values(values, folds)]
    measured = ("speakers",) if None in sentences else ("speakers", "sentences")
    apart = [name for name in measured if name not in common]
    notes = [f"shares {_and(common)}" if common else f"shares no {' and no '.join(apart)}"]
    if None in sentences:
        notes.append("some sentences unknown" if any(sentences) else "sentences unknown")
    return "; ".join([PROTOCOLS[protocol].title, *notes])


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _grouped(utterances: Sequence[Utterance], keys: Sequence[str], seed: int, folds: int, noun: str) -> Rows:
    """Return the fold of each utterance; the groups of every corpus are distributed separately."""
    from sklearn.model_selection import GroupKFold

    result = np.zeros(len(utterances), int)
    for corpus in sorted({utterance.corpus for utterance in utterances}):
        rows = np.array([i for i, utterance in enumerate(utterances) if utterance.corpus == corpus])
        groups = [keys[i] for i in rows]
        if noun == "speaker" and _speaker_folds(corpus):
            result[rows] = [_published_fold(group) for group in groups]
            continue
        count = min(folds, len(set(groups)))
        if count < 2:
            raise CorpusError(f"{corpus} has only one {noun}; a {noun}-independent split needs two.")
        splitter = GroupKFold(count, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(rows, groups=groups), start=1):
            result[rows[test]] = fold
    return result


def _speaker_folds(corpus: str) -> Mapping[str, int]:
    """Return the published fold of each speaker of a corpus; empty if there are none."""
    return CORPORA[corpus].published_folds if corpus in CORPORA else {}


def _published_fold(speaker: str) -> int:
    corpus, _, name = speaker.rpartition("/")
    if name not in (folds := _speaker_folds(corpus)):
        raise CorpusError(f"{CORPORA[corpus].title} has the speakers {min(folds)} to {max(folds)}, but no “{name}”.")
    return folds[name]


def _published(utterances: Sequence[Utterance], listings: Path | None) -> Rows:
    """Return the fold, int [n], in which EmoBox tests each utterance; 0: never tested, -1: not in its listing."""
    result = np.full(len(utterances), -1)
    for corpus in sorted({utterance.corpus for utterance in utterances}):
        rows = [i for i, utterance in enumerate(utterances) if utterance.corpus == corpus]
        if listings and (path := listings / f"{corpus}.csv").is_file():
            result[rows] = emobox.read_folds([utterances[i] for i in rows], path)
        elif _speaker_folds(corpus):
            result[rows] = [_published_fold(utterances[i].speaker) for i in rows]
        else:
            raise CorpusError(
                f"EmoBox's folds for {corpus} are read from {corpus}.csv in the folder that SER_EMOBOX names, but "
                f"there is none in {listings}."
            )
    return result


def folds_by_number(numbers: Rows) -> list[Fold]:
    """Return a fold for each number from 1: its own rows are its test, all others but those at -1 its training."""
    return [
        Fold(str(number), np.flatnonzero((numbers != number) & (numbers >= 0)), NONE, np.flatnonzero(numbers == number))
        for number in np.unique(numbers[numbers > 0])
    ]


def _one_out(values: Sequence[str], noun: str) -> list[Fold]:
    """Return a fold for each value, named after it: its rows are the test."""
    names, numbers = np.unique(values, return_inverse=True)
    if len(names) < 2:
        raise CorpusError(f"There is only one {noun} ({names[0]}); leaving one out needs two.")
    folds = folds_by_number(numbers + 1)
    return [replace(fold, name=str(name)) for name, fold in zip(names, folds, strict=True)]


def _across_corpora(utterances: Sequence[Utterance], train_corpora: Collection[str]) -> Fold:
    """Return the fold that trains on the clips of some corpora and tests those of all others."""
    trained = np.array([utterance.corpus in train_corpora for utterance in utterances])
    return Fold("others", np.flatnonzero(trained), NONE, np.flatnonzero(~trained))


def _stratified(labels: Sequence[str], seed: int, folds: int) -> list[Fold]:
    from sklearn.model_selection import StratifiedKFold

    _require(labels, folds, f"{folds} folds need one each")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [
        Fold(str(number), train, NONE, test)
        for number, (train, test) in enumerate(splitter.split(np.zeros(len(labels)), labels), start=1)
    ]


def _random(labels: Sequence[str], seed: int, test: float, validation: float) -> list[Fold]:
    """Return one fold: a share `test` of all rows, and a share `validation` of the rest."""
    from sklearn.model_selection import train_test_split

    _require(labels, MIN_PER_LABEL, f"training, validation and test need {MIN_PER_LABEL}")
    classes = np.asarray(labels)
    try:
        rest, tested = train_test_split(np.arange(len(classes)), test_size=test, random_state=seed, stratify=classes)
        train, tuned = train_test_split(rest, test_size=validation, random_state=seed, stratify=classes[rest])
    except ValueError:  # such as a part with fewer places than there are emotions
        kinds = len(np.unique(classes))
        raise CorpusError(f"{len(classes)} clips are too few to have {kinds} emotions in every part.") from None
    return [Fold("random", np.sort(train), np.sort(tuned), np.sort(tested))]


def _stratified_copies(utterances: Sequence[Utterance], labels: Sequence[str], seed: int, folds: int) -> list[Fold]:
    if len({(utterance.corpus, utterance.path) for utterance in utterances}) == len(utterances):
        raise CorpusError("augmented-before-split needs augmented copies, but none of the clips has one.")
    return _stratified(labels, seed, folds)


def _require(labels: Sequence[str], minimum: int, reason: str) -> None:
    label, count = min(Counter(labels).items(), key=lambda item: (item[1], item[0]))
    if count < minimum:
        raise CorpusError(f"There {'is' if count == 1 else 'are'} {count} of “{label}”, but {reason}.")

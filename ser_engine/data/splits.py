"""Which utterances are trained on and which are tested: the protocols, honest or not, and what their sides share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, StratifiedKFold, train_test_split

from ser_engine.data import emobox
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError
from ser_engine.settings import Settings

Rows = NDArray[np.int_]

# EmoBox (Ma et al., Interspeech 2024) tests RAVDESS in six folds of four whole actors.
EMOBOX_RAVDESS = {
    1: frozenset({"01", "11", "20", "21"}),
    2: frozenset({"04", "10", "12", "14"}),
    3: frozenset({"08", "09", "19", "23"}),
    4: frozenset({"03", "05", "07", "24"}),
    5: frozenset({"02", "15", "16", "18"}),
    6: frozenset({"06", "13", "17", "22"}),
}
GROUPED_FOLDS = 5
# A random split by emotion has to find each of them a place in training, validation and test.
LEAST_PER_LABEL = 3


@dataclass(frozen=True)
class Protocol:
    """A way to choose what is tested.

    `speaker_independent` and `sentence_independent` say what the protocol guarantees; what a split has in fact apart
    is measured (`shared`, `named`). A `leaky` protocol shows what goes wrong, and is never a default.
    """

    id: str
    title: str
    description: str
    speaker_independent: bool = False
    sentence_independent: bool = False
    leaky: bool = False


@dataclass(frozen=True)
class Fold:
    """One model's share: rows, int, of what it is trained on, what it may be tuned on, and what it is tested on.

    Rows count in the list that was split: the utterances, or what `expand` made of them. Only "paper" and "70:10:20"
    have a validation part. Rows in none of the three are left out.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows

    @property
    def seen(self) -> Rows:
        """Everything that has a say in the model, which is trained on one part and tuned on another."""
        return np.concatenate([self.train, self.validation])


PROTOCOLS: dict[str, Protocol] = {
    protocol.id: protocol
    for protocol in (
        Protocol(
            "paper",
            "random 80:20",
            "A random fifth of the clips is tested, as in paper 1, and a random fifth of the rest is for validation; "
            "each emotion has its share in every part. The same voices are trained on and tested.",
        ),
        Protocol(
            "70:10:20",
            "random",
            "Random shares of 70, 10 and 20% for training, validation and test, each emotion in proportion. The same "
            "voices are trained on and tested.",
        ),
        Protocol(
            "stratified-k-fold",
            "random folds",
            "Every clip is tested once, in random folds with each emotion in proportion. The same voices are trained "
            "on and tested.",
        ),
        Protocol(
            "speaker-independent",
            "folds of whole speakers",
            "Nobody is tested by a model that has heard them: each corpus is cut into groups of whole speakers, "
            "RAVDESS into the six that EmoBox published. Only this tells what a stranger can expect.",
            speaker_independent=True,
        ),
        Protocol(
            "leave-one-speaker-out",
            "one fold a speaker",
            "Each speaker is tested by a model that was trained on all the others.",
            speaker_independent=True,
        ),
        Protocol(
            "sentence-independent",
            "folds of whole sentences",
            "Each corpus is cut into groups of whole sentences, so that no words are tested that were trained on in "
            "that corpus. The same voices are trained on and tested.",
            sentence_independent=True,
        ),
        Protocol(
            "leave-one-corpus-out",
            "one fold a corpus",
            "Each corpus is tested by a model that was trained on the others; an emotion that no other corpus has "
            "cannot be recognised then.",
            speaker_independent=True,
            sentence_independent=True,
        ),
        Protocol(
            "emobox",
            "EmoBox's published folds",
            "The folds that EmoBox (Interspeech 2024) published. They keep speakers apart in some corpora (RAVDESS) "
            "and in others not (CREMA-D, EMO-DB, TESS).",
        ),
        Protocol(
            "augmented-before-split",
            "random folds of clips and their copies",
            "A trap, kept to be looked at: every clip is copied by augmentation first, and the copies are split at "
            "random like recordings of their own, so that most tested clips have a twin in training. The figure is "
            "mostly memory of those twins and says nothing about new recordings.",
            leaky=True,
        ),
    )
}


def make(
    protocol: str,
    utterances: Sequence[Utterance],
    labels: Sequence[str],
    seed: int = 0,
    folds: int = GROUPED_FOLDS,
    listings: Path | None = None,
) -> list[Fold]:
    """Return the folds of a protocol, the same ones for the same seed.

    Parameters
    ----------
    protocol : a key of `PROTOCOLS`
    utterances, labels : n clips and their classes; for "augmented-before-split" already with copies (`expand`)
    folds : how many, where the protocol leaves it open; corpora with fewer speakers or sentences have fewer
    listings : folder of EmoBox's listings, which only "emobox" reads (default: SER_EMOBOX)

    Raises
    ------
    CorpusError
        There is no such protocol, or these utterances cannot be split by it.
    """
    if protocol not in PROTOCOLS:
        raise CorpusError(f"There is no protocol “{protocol}”; there are {', '.join(PROTOCOLS)}.")
    if len(utterances) != len(labels):
        raise ValueError(f"{len(utterances)} utterances and {len(labels)} labels")
    if not utterances:
        raise CorpusError(f"There is no clip that {protocol} could split.")
    if folds < 2:
        raise CorpusError(f"{protocol} needs two folds or more, not {folds}.")
    listings = listings if listings or protocol != "emobox" else Settings.from_env().emobox
    makers: Mapping[str, Callable[[], list[Fold]]] = {
        "paper": lambda: _random(labels, seed, test=0.2, validation=0.2),
        "70:10:20": lambda: _random(labels, seed, test=0.2, validation=0.1 / 0.8),
        "stratified-k-fold": lambda: _stratified(labels, seed, folds),
        "speaker-independent": lambda: numbered(speaker_independent(utterances, seed, folds)),
        "leave-one-speaker-out": lambda: _one_out([utterance.speaker for utterance in utterances], "speaker"),
        "sentence-independent": lambda: numbered(sentence_independent(utterances, seed, folds)),
        "leave-one-corpus-out": lambda: _one_out([utterance.corpus for utterance in utterances], "corpus"),
        "emobox": lambda: numbered(_published(utterances, listings)),
        "augmented-before-split": lambda: _leaking(utterances, labels, seed, folds),
    }
    made = makers[protocol]()
    for fold in made:
        if not len(fold.train):
            raise CorpusError(f"{protocol} leaves nothing to train on in fold {fold.name}: it tests every clip.")
    return made


def expand(utterances: Sequence[Utterance], copies: int) -> list[Utterance]:
    """Return every utterance followed by `copies` of itself: row r is copy r % (copies + 1), where 0 is the original.

    Only "augmented-before-split" splits such a list; that two rows are the same clip is seen by their path.
    """
    return [utterance for utterance in utterances for _ in range(copies + 1)]


def speaker_independent(utterances: Sequence[Utterance], seed: int = 0, folds: int = GROUPED_FOLDS) -> Rows:
    """Return the fold, int [n] from 1, in which each utterance is tested; no speaker is in two folds.

    RAVDESS follows EmoBox's published folds; every other corpus is cut into five groups of whole speakers, or as
    many groups as it has speakers when those are fewer.
    """
    keys = [utterance.speaker for utterance in utterances]
    return _grouped(utterances, keys, seed, folds, "speaker", {"ravdess": _actor_fold})


def sentence_independent(utterances: Sequence[Utterance], seed: int = 0, folds: int = GROUPED_FOLDS) -> Rows:
    """Return the fold, int [n] from 1, in which each utterance is tested; no sentence of a corpus is in two folds.

    A clip whose words are not known, in a corpus where others' are, counts as said once (improvised speech).
    """
    keys = [sentence_of(utterance) or f"{utterance.corpus}/clip {row}" for row, utterance in enumerate(utterances)]
    silent = {utterance.corpus for utterance in utterances} - {u.corpus for u in utterances if sentence_of(u)}
    if silent:
        raise CorpusError(f"Which clips of {min(silent)} share a sentence is not known, so sentences cannot be split.")
    return _grouped(utterances, keys, seed, folds, "sentence", {})


def sentence_of(utterance: Utterance) -> str | None:
    """Return what clips of a corpus share that say the same words ("emodb/der lappen …"), None where not known."""
    text = utterance.sentence or utterance.transcript
    return f"{utterance.corpus}/{' '.join(text.casefold().split())}" if text else None


def shared(values: Sequence[Hashable | None], folds: Sequence[Fold]) -> dict[str, list[Hashable]]:
    """Return by fold which values are both tested and seen in training or validation; folds without any are left out.

    Parameters
    ----------
    values : n, of each row; None is never shared
    """
    codes: dict[Hashable, int] = {value: code for code, value in enumerate(dict.fromkeys(values))}
    known, rows = list(codes), np.array([codes[value] for value in values], int)
    found = {}
    for fold in folds:
        sides = [np.bincount(rows[side], minlength=len(known)) > 0 for side in (fold.seen, fold.test)]
        common = [known[code] for code in np.flatnonzero(sides[0] & sides[1])]
        if ordered := sorted((value for value in common if value is not None), key=str):
            found[fold.name] = ordered
    return found


def speakers_apart(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> bool:
    """Whether no fold tests a speaker it was trained on, as measured."""
    return not shared([utterance.speaker for utterance in utterances], folds)


def named(protocol: str, utterances: Sequence[Utterance], folds: Sequence[Fold]) -> str:
    """Return the protocol's name with what its sides share, as measured: "paper (random 80:20; shares speakers)"."""
    sentences = [sentence_of(utterance) for utterance in utterances]
    sides: dict[str, Sequence[Hashable | None]] = {
        "speakers": [utterance.speaker for utterance in utterances],
        "sentences": sentences,
        "copies of the same clips": [(utterance.corpus, utterance.path) for utterance in utterances],
    }
    common = [name for name, values in sides.items() if shared(values, folds)]
    apart = [name for name in ("speakers", "sentences") if name not in common]
    if None in sentences and "sentences" in apart:
        apart.remove("sentences")  # nobody can tell
    told = [f"shares {_and(common)}"] if common else [f"shares no {' and no '.join(apart)}"] if apart else []
    if None in sentences:
        told.append("some sentences unknown" if any(sentences) else "sentences unknown")
    return f"{protocol} ({'; '.join([PROTOCOLS[protocol].title, *told])})"


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _grouped(
    utterances: Sequence[Utterance],
    keys: Sequence[str],
    seed: int,
    folds: int,
    noun: str,
    published: Mapping[str, Callable[[str], int]],
) -> Rows:
    """Return the fold of each utterance, the groups of every corpus dealt out on their own."""
    result = np.zeros(len(utterances), int)
    for corpus in sorted({utterance.corpus for utterance in utterances}):
        rows = np.array([i for i, utterance in enumerate(utterances) if utterance.corpus == corpus])
        groups = [keys[i] for i in rows]
        if corpus in published:
            result[rows] = [published[corpus](group) for group in groups]
            continue
        count = min(folds, len(set(groups)))
        if count < 2:
            raise CorpusError(f"{corpus} has one {noun} only; a {noun}-independent split needs two.")
        splitter = GroupKFold(count, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(rows, groups=groups), start=1):
            result[rows[test]] = fold
    return result


def _actor_fold(speaker: str) -> int:
    actor = speaker.rpartition("/")[2]
    found = next((fold for fold, actors in EMOBOX_RAVDESS.items() if actor in actors), None)
    if found is None:
        raise CorpusError(f"RAVDESS has the actors 01 to 24, and none is called “{actor}”.")
    return found


def _published(utterances: Sequence[Utterance], listings: Path | None) -> Rows:
    """Return the fold, int [n], in which EmoBox tests each utterance; 0: never tested, -1: not in its listing."""
    result = np.full(len(utterances), -1)
    for corpus in sorted({utterance.corpus for utterance in utterances}):
        rows = [i for i, utterance in enumerate(utterances) if utterance.corpus == corpus]
        path = emobox.listing(corpus, listings)
        if path is None and corpus == "ravdess":
            result[rows] = [_actor_fold(utterances[i].speaker) for i in rows]
        elif path is None:
            raise CorpusError(
                f"EmoBox's folds for {corpus} are read from {corpus}.csv in the folder that SER_EMOBOX names, but "
                f"there is none in {listings}."
            )
        else:
            result[rows] = emobox.folds([utterances[i] for i in rows], path)
    return result


def numbered(numbers: Rows) -> list[Fold]:
    """Return a fold for each number from 1: it tests its own rows and is trained on the others (but those at -1)."""
    none = np.array([], int)
    return [
        Fold(str(number), np.flatnonzero((numbers != number) & (numbers >= 0)), none, np.flatnonzero(numbers == number))
        for number in np.unique(numbers[numbers > 0])
    ]


def _one_out(values: Sequence[str], noun: str) -> list[Fold]:
    """Return a fold for each value, which tests its rows and is named after it."""
    names, numbers = np.unique(np.asarray(values), return_inverse=True)
    if len(names) < 2:
        raise CorpusError(f"There is one {noun} only ({names[0]}); to leave one out takes two.")
    folds = numbered(numbers + 1)
    return [Fold(str(name), fold.train, fold.validation, fold.test) for name, fold in zip(names, folds, strict=True)]


def _stratified(labels: Sequence[str], seed: int, folds: int) -> list[Fold]:
    _enough(labels, folds, f"{folds} folds need one for each")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    none = np.array([], int)
    return [
        Fold(str(number), train, none, test)
        for number, (train, test) in enumerate(splitter.split(np.zeros(len(labels)), labels), start=1)
    ]


def _random(labels: Sequence[str], seed: int, test: float, validation: float) -> list[Fold]:
    """Return one fold: a share `test` of all rows, and a share `validation` of what that leaves."""
    _enough(labels, LEAST_PER_LABEL, f"training, validation and test need {LEAST_PER_LABEL}")
    classes = np.asarray(labels)
    try:
        rest, tested = train_test_split(np.arange(len(classes)), test_size=test, random_state=seed, stratify=classes)
        train, tuned = train_test_split(rest, test_size=validation, random_state=seed, stratify=classes[rest])
    except ValueError:  # as when a part has fewer places than there are emotions
        kinds = len(np.unique(classes))
        raise CorpusError(f"{len(classes)} clips are too few to have {kinds} emotions in every part.") from None
    return [Fold("random", np.sort(train), np.sort(tuned), np.sort(tested))]


def _leaking(utterances: Sequence[Utterance], labels: Sequence[str], seed: int, folds: int) -> list[Fold]:
    if len({(utterance.corpus, utterance.path) for utterance in utterances}) == len(utterances):
        raise CorpusError("augmented-before-split shows what copies do, but none of the clips has a copy.")
    return _stratified(labels, seed, folds)


def _enough(labels: Sequence[str], least: int, why: str) -> None:
    label, count = min(Counter(labels).items(), key=lambda item: (item[1], item[0]))
    if count < least:
        raise CorpusError(f"There {'is' if count == 1 else 'are'} {count} of “{label}”, but {why}.")

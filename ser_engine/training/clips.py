"""The clips of an experiment, and which of them are trained on in each fold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit

from ser_engine.data.balance import balance_to_count, balance_to_harmonic_mean
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.splits import Fold
from ser_engine.errors import CorpusError
from ser_engine.labels import LABEL_SETS
from ser_engine.training.config import ExperimentConfig

Rows = NDArray[np.int_]
HELD_OUT = 0.1
"""The share of the training clips that decides when to stop, where the protocol has no validation part."""


@dataclass(frozen=True)
class Clips:
    """The clips of an experiment.

    Attributes
    ----------
    utterances : n clips
    labels : str [n], of the configuration's label set
    order : the classes, in the order of the model's outputs
    missing : corpora of the configuration that are not in the data folder
    dropped : number of clips that could not be used
    """

    utterances: list[Utterance]
    labels: NDArray[np.str_]
    order: tuple[str, ...]
    missing: tuple[str, ...] = ()
    dropped: int = 0

    @property
    def paths(self) -> list[Path]:
        """The recordings."""
        return [utterance.path for utterance in self.utterances]

    @property
    def targets(self) -> Rows:
        """The classes as int [n], indices into `order`."""
        return np.array([self.order.index(label) for label in self.labels], int)

    def select(self, rows: Sequence[int]) -> Clips:
        """Return some of the clips, with the classes that occur; the others count as dropped.

        Raise CorpusError if there are none.
        """
        if not rows:
            corpora = ", ".join(sorted({utterance.corpus for utterance in self.utterances}))
            raise CorpusError(f"No clip of {corpora or 'these corpora'} could be used.")
        labels = self.labels[list(rows)]
        order = tuple(label for label in self.order if label in set(labels.tolist()))
        dropped = self.dropped + len(self.utterances) - len(rows)
        return Clips([self.utterances[row] for row in rows], labels, order, self.missing, dropped)

    def digest(self) -> str:
        """Return a SHA-256, in hexadecimal, of the clips' names, speakers and labels."""
        digest = hashlib.sha256()
        for utterance, label in zip(self.utterances, self.labels, strict=True):
            digest.update(f"{utterance.corpus}/{utterance.name} {utterance.speaker} {label}\n".encode())
        return digest.hexdigest()


def first_clips(clips: Clips, folds: Sequence[Fold], count: int) -> tuple[Clips, list[Fold]]:
    """Return the first clips and the folds of these alone."""
    parts = [replace(fold, train=fold.train[fold.train < count], test=fold.test[fold.test < count]) for fold in folds]
    return replace(clips, utterances=clips.utterances[:count], labels=clips.labels[:count]), parts


def load_clips(config: ExperimentConfig, data: Path, corpora: Sequence[str] = ()) -> Clips:
    """Return every clip of the configuration's corpora, or of `corpora`, that has one of its labels."""
    label_set = LABEL_SETS[config.label_set]
    utterances: list[Utterance] = []
    missing: list[str] = []
    for name in corpora or (*config.corpora, *config.optional_corpora):
        try:
            labeled = [
                utterance for utterance in registry.read_corpus(name, data) if label_set.of(utterance) is not None
            ]
        except CorpusError:
            if name not in config.optional_corpora or registry.is_available(name, data):
                raise
            missing.append(name)
            continue
        utterances += _draw(labeled, [str(label_set.of(utterance)) for utterance in labeled], config)
    labels = np.array([str(label_set.of(utterance)) for utterance in utterances])
    return Clips(utterances, labels, label_set.order(labels.tolist()), tuple(missing))


def _draw(utterances: list[Utterance], labels: list[str], config: ExperimentConfig) -> list[Utterance]:
    """Return at most `config.clips` clips, as even over the labels as can be, drawn with the seed."""
    if not config.clips or len(utterances) <= config.clips:
        return utterances
    shuffled = np.random.default_rng(config.seed).permutation(len(utterances))
    drawn = pd.DataFrame({"label": labels}).iloc[shuffled]
    ranked = drawn.assign(turn=drawn.groupby("label").cumcount()).sort_values(["turn", "label"])
    return [utterances[row] for row in sorted(ranked.index[: config.clips])]


def training_rows(
    config: ExperimentConfig, labels: NDArray[np.str_], train: Rows, copies: int, fold: int
) -> tuple[Rows, Rows]:
    """Return the training clips, int [m], and which of their augmented copies, int [m], balanced as configured.

    `labels` is str [n], of all clips; each has so many copies, the recording itself first, which is preferred.
    """
    rng = np.random.default_rng([config.seed, fold])
    rows, copy = np.tile(train, copies), np.repeat(np.arange(copies), len(train))
    if config.balance == "count":
        chosen = balance_to_count(labels[rows], config.balance_to, rng, prefer=copy)
    elif config.balance == "harmonic-mean":
        chosen = balance_to_harmonic_mean(labels[rows], rng)
    else:
        chosen = np.arange(len(rows))
    return rows[chosen], copy[chosen]


def validation_rows(
    config: ExperimentConfig, labels: NDArray[np.str_], held_out: Rows, copies: int, fold: int
) -> tuple[Rows, Rows]:
    """Return the validation clips, int [m], and which of their augmented copies, int [m], balanced as configured.

    Sharma (table 2) has 400 clips of each class; here all copies are of validation clips, so none is trained on.
    """
    if not config.validation_to:
        return held_out, np.zeros(len(held_out), int)
    rows, copy = np.tile(held_out, copies), np.repeat(np.arange(copies), len(held_out))
    rng = np.random.default_rng([config.seed, fold])
    chosen = balance_to_count(labels[rows], config.validation_to, rng, prefer=copy)
    return rows[chosen], copy[chosen]


def hold_out(config: ExperimentConfig, clips: Clips, train: Rows, fold: int) -> tuple[Rows, Rows]:
    """Return the training clips without a tenth of the speakers, and those speakers' clips for early stopping.

    Of one or two speakers, a tenth of the clips is held out.
    """
    speakers = [clips.utterances[row].speaker for row in train]
    groups = speakers if len(set(speakers)) > 2 else np.arange(len(train))
    seed = int(np.random.SeedSequence([config.seed, fold]).generate_state(1)[0])
    kept, held = next(GroupShuffleSplit(1, test_size=HELD_OUT, random_state=seed).split(train, groups=groups))
    return train[kept], train[held]

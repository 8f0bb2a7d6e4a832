"""Which utterances are tested by a model that never heard their speakers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from ser_engine.corpora.base import Utterance
from ser_engine.errors import CorpusError

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


def speaker_independent(utterances: Sequence[Utterance], seed: int = 0) -> NDArray[np.int_]:
    """Return the fold, int [n] from 1, in which each utterance is tested; no speaker is in two folds.

    RAVDESS follows EmoBox's published folds; every other corpus is cut into five groups of whole speakers, or as
    many groups as it has speakers when those are fewer.
    """
    folds = np.zeros(len(utterances), int)
    for corpus in sorted({utterance.corpus for utterance in utterances}):
        rows = np.array([i for i, utterance in enumerate(utterances) if utterance.corpus == corpus])
        speakers = [utterances[i].speaker for i in rows]
        if corpus == "ravdess":
            folds[rows] = [_emobox_fold(speaker) for speaker in speakers]
            continue
        count = min(GROUPED_FOLDS, len(set(speakers)))
        if count < 2:
            raise CorpusError(f"{corpus} has one speaker only; a speaker-independent split needs two.")
        splitter = GroupKFold(count, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(rows, groups=speakers), start=1):
            folds[rows[test]] = fold
    return folds


def _emobox_fold(speaker: str) -> int:
    actor = speaker.rpartition("/")[2]
    return next(fold for fold, actors in EMOBOX_RAVDESS.items() if actor in actors)

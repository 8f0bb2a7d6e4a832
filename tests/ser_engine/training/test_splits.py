"""Folds: nobody is tested by a model that has heard them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ser_engine.corpora import registry
from ser_engine.corpora.base import Utterance
from ser_engine.errors import CorpusError
from ser_engine.training.splits import EMOBOX_RAVDESS, GROUPED_FOLDS, speaker_independent


def spoken(corpus: str, speakers: int, clips: int = 3) -> list[Utterance]:
    """Return so many clips of each speaker, the speakers in turn."""
    names = [f"{corpus}/{number:02}" for _ in range(clips) for number in range(1, speakers + 1)]
    return [Utterance(corpus, Path(f"{i}.wav"), "neutral", name) for i, name in enumerate(names)]


def folds_of(utterances: list[Utterance], seed: int = 0) -> dict[str, set[int]]:
    """Return the folds in which each speaker is tested."""
    folds: dict[str, set[int]] = {}
    for utterance, fold in zip(utterances, speaker_independent(utterances, seed), strict=True):
        folds.setdefault(utterance.speaker, set()).add(int(fold))
    return folds


def test_ravdess_is_tested_in_the_six_published_folds_of_whole_actors() -> None:
    folds = folds_of(spoken("ravdess", 24))
    assert {actor: fold for actor, (fold,) in folds.items()} == {
        f"ravdess/{actor}": fold for fold, actors in EMOBOX_RAVDESS.items() for actor in actors
    }
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
    first, again, other = (speaker_independent(utterances, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_speaker_cannot_be_split() -> None:
    with pytest.raises(CorpusError, match=r"^tess has one speaker only; .* needs two\.$"):
        speaker_independent(spoken("tess", 1))


def test_nothing_has_no_folds() -> None:
    assert speaker_independent([]).shape == (0,)


@pytest.mark.corpora
def test_the_real_corpora_are_tested_whole_and_by_strangers(ser_data: Path) -> None:
    utterances = [utterance for name in ("ravdess", "cremad", "tess") for utterance in registry.read(name, ser_data)]
    folds = speaker_independent(utterances)
    tested = {fold: {u.speaker for u, f in zip(utterances, folds, strict=True) if f == fold} for fold in range(1, 7)}
    assert sum(map(len, tested.values())) == len(set.union(*tested.values())) == 24 + 91 + 2
    assert set(folds.tolist()) == set(tested)

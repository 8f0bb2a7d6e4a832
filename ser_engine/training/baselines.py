"""Speakers' baselines, drawn from their other clips: speech that precedes the clip in question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.corpora.base import Utterance
from ser_engine.evaluation.ordinary import QUIET, is_ordinary
from ser_engine.features.encoder import Encoding
from ser_engine.models.whisper_heads import shrink
from ser_engine.training.clips import Rows

LENGTHS_S = (5, 15, 30, 120)
"""Lengths of the baselines that are tested, in seconds of speech."""
CALM = 0.8
"""Share of a baseline's clips that are neutral or calm, as most talk is."""
FRAMES_PER_S = 25

Shift = NDArray[np.floating[Any]]
"""By how much a clip's states are to be less, [states, width]."""


class Baselines:
    """The baselines of the speakers of n clips.

    Parameters
    ----------
    utterances : n clips
    encodings : theirs
    population : the average speaker's mean of every state, float32 [states, width]
    """

    def __init__(self, utterances: Sequence[Utterance], encodings: Sequence[Encoding], population: Shift) -> None:
        self.means = np.stack([one.statistics[:, 0] for one in encodings])
        self.seconds = np.array([len(one.frames) / FRAMES_PER_S for one in encodings])
        self.population = population
        calm = np.array([utterance.label in QUIET for utterance in utterances]) | is_ordinary(utterances)
        _, self.speakers = np.unique([f"{u.corpus} {u.speaker}" for u in utterances], return_inverse=True)
        self._calm, self._other = (self._by_speaker(chosen) for chosen in (calm, ~calm))

    def draw(self, row: int, seconds: float, rng: np.random.Generator) -> Rows:
        """Return clips of a clip's speaker, without itself, of about so many seconds; fewer where there are few."""
        speaker = self.speakers[row]
        calm, other = (rows[rows != row] for rows in (self._calm[speaker], self._other[speaker]))
        count = max(1, round(seconds / float(self.seconds[row])))
        quiet = min(len(calm), max(1, count - int(rng.binomial(count, 1 - CALM))))
        loud = min(len(other), count - quiet, round(quiet * (1 - CALM) / CALM))
        return np.concatenate([rng.choice(calm, quiet, replace=False), rng.choice(other, loud, replace=False)])

    def shift(self, rows: Rows) -> Shift:
        """Return by how much the states of a speaker's other clips are to be less after hearing the clips `rows`."""
        seconds = self.seconds[rows]
        if not seconds.sum():
            return np.zeros_like(self.population)
        mean = np.tensordot(seconds / seconds.sum(), self.means[rows].astype(np.float32), axes=1)
        return np.asarray(shrink(seconds.sum()) * (mean - self.population), np.float32)

    def _by_speaker(self, chosen: NDArray[np.bool_]) -> list[Rows]:
        return [np.flatnonzero(chosen & (self.speakers == one)) for one in range(self.speakers.max() + 1)]


class TrainingBaselines:
    """Baselines for the draws of training, in the copy that a draw takes; a share of the draws gets one.

    Parameters
    ----------
    utterances : n clips
    copies : their encodings as they are, then of each augmented copy of them
    population : see `Baselines`
    share : of the draws that get a baseline
    rng : of what is drawn
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        copies: Sequence[Sequence[Encoding]],
        population: Shift,
        share: float,
        rng: np.random.Generator,
    ) -> None:
        self.copies = [Baselines(utterances, encodings, population) for encodings in copies]
        self.share, self.rng = share, rng

    def shifts(self, rows: Rows, copy: Rows) -> Shift:
        """Return float32 [batch, states, width] for the draws of a batch: 0 for those without a baseline."""
        shifts = np.zeros((len(rows), *self.copies[0].population.shape), np.float32)
        shortest, longest = LENGTHS_S[0], LENGTHS_S[-1]
        for number in np.flatnonzero(self.rng.random(len(rows)) < self.share):
            known, row = self.copies[copy[number]], rows[number]
            seconds = np.exp(self.rng.uniform(np.log(shortest), np.log(longest)))
            shifts[number] = known.shift(known.draw(row, seconds, self.rng))
        return shifts

"""Systems that build on a finished run, and test the ordinary talk that it tested."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ser_engine.data.splits import Fold
from ser_engine.evaluation.ordinary import is_ordinary
from ser_engine.evaluation.predictions import Predictions, read_predictions
from ser_engine.training.clips import Clips, first_clips
from ser_engine.training.state import RunState
from ser_engine.training.system import Config, Features, Fitted, System, Task


class TalkSystem(System[Config, Features, Fitted]):
    """A system whose last clips are the ordinary talk of a finished run, which decides on the threshold of "not sure".

    It is not trained on that talk.
    """

    @property
    @abstractmethod
    def finished_run(self) -> str:
        """The run, "<source>/<system>"."""

    @cached_property
    def talk(self) -> Predictions:
        """The run's predictions of ordinary talk."""
        predictions = read_predictions(self.settings.results / self.finished_run / self.config.protocol)
        return predictions.select(is_ordinary(predictions.utterances))

    def clips(self) -> Clips:
        """Return the clips, then the talk."""
        own, talk = super().clips(), self.talk
        labels = np.concatenate([own.labels, np.array(talk.labels)[talk.targets]])
        return replace(own, utterances=[*own.utterances, *talk.utterances], labels=labels)

    def without_talk(self, clips: Clips) -> Clips:
        """Return the clips but the talk."""
        measured, _ = first_clips(clips, (), self._count(clips))
        return measured

    def split(self, clips: Clips) -> list[Fold]:
        """Return the folds; each tests the ordinary talk that it tests in the finished run."""
        tested = {fold: self._count(clips) + np.flatnonzero(self.talk.folds == fold) for fold in set(self.talk.folds)}
        nothing = np.zeros(0, int)
        return [
            replace(fold, test=np.concatenate([fold.test, tested.get(fold.name, nothing)]))
            for fold in super().split(self.without_talk(clips))
        ]

    def final_task(self, clips: Clips, folds: Sequence[Fold], state: RunState) -> Task:
        """Return what a saved model is fitted on: all clips but the talk."""
        return super().final_task(self.without_talk(clips), folds, state)

    def describe_data(self, clips: Clips, folds: Sequence[Fold]) -> dict[str, Any]:
        """Return the entries on the clips alone, without the talk."""
        return super().describe_data(*first_clips(clips, folds, self._count(clips)))

    def _count(self, clips: Clips) -> int:
        return len(clips.utterances) - len(self.talk.utterances)

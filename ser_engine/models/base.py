"""The contract of every system, classical, convolutional or transformer: `Model`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ser_engine.settings import Settings
from ser_engine.types import Baseline, CleanSpeech, Prediction, Transcript, WeightedWord


class Model(ABC):
    """A trained system that scores emotions; safe to call from several threads.

    Attributes
    ----------
    id : name of the model
    labels : emotions in the order of the scores
    uses_audio, uses_text : whether the samples, and whether the words, influence the scores
    card : entries of config.json beyond those that `load` needs (corpora, measured figures)
    """

    uses_audio: bool = True
    uses_text: bool = False

    def __init__(self, id: str, labels: tuple[str, ...], card: Mapping[str, Any] | None = None) -> None:
        self.id, self.labels = id, labels
        self.card: dict[str, Any] = dict(card or {})

    @property
    def threshold(self) -> float | None:
        """Top probability below which an answer counts as "not sure", as measured; None where it was not."""
        try:
            return float(self.card["measured"]["not_sure"]["below"])
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def device(self) -> str:
        """Where the model computes, as torch names it."""
        return "cpu"

    @property
    def can_calibrate(self) -> bool:
        """Whether `calibrate` returns a baseline, and `predict` considers it."""
        return False

    @abstractmethod
    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording; the same alone and in any batch.

        Parameters
        ----------
        batch : speech of n recordings; a model that can calibrate considers the speaker's baseline, where it is known
        transcripts : their words, None for those without; None stands for n times None
        """

    def calibrate(self, speech: CleanSpeech) -> Baseline | None:
        """Return the baseline of a speaker from calm speech; None for a model that cannot consider one."""
        return None

    def accepts(self, baseline: Baseline) -> bool:
        """Return whether a baseline is one of this model."""
        return baseline.model == self.id

    def weigh_words(self, transcript: Transcript, label: str) -> tuple[str, tuple[WeightedWord, ...]]:
        """Return the emotion that words are weighed for, `label` if the text can say it, and the weight of each word.

        They are empty where the words changed nothing, and for a model that cannot weigh words.
        """
        return "", ()

    def clear_cache(self) -> None:  # noqa: B027
        """Drop all intermediate results of earlier recordings, as a measurement of time needs it."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write config.json and the weights into `folder`."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, settings: Settings) -> Self:
        """Read what `save` wrote.

        Raise WeightsUnavailable if a file is missing, differs from its checksum or does not fit the others.
        """

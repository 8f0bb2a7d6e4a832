"""What the runner asks of a system: prepare its features, fit, predict, export."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_engine.data import splits
from ser_engine.data.audit import audit_folds
from ser_engine.data.splits import Fold
from ser_engine.evaluation.evaluate import measure_predictions
from ser_engine.evaluation.predictions import Outputs, Predictions, align_predictions
from ser_engine.evaluation.record import RunRecord
from ser_engine.models.base import Model
from ser_engine.models.store import TENSORS
from ser_engine.settings import Settings
from ser_engine.training.clips import Clips, Rows, load_clips
from ser_engine.training.config import ExperimentConfig
from ser_engine.training.state import RunState
from ser_engine.training.work import Work

PIPELINE = "1"
"""Raise it whenever training changes in its code, so that no state of an earlier version is resumed."""

Config = TypeVar("Config", bound=ExperimentConfig)
Features = TypeVar("Features")
Fitted = TypeVar("Fitted")


@dataclass(frozen=True)
class Workspace:
    """Where an experiment finds what it needs: the run's id, the settings with all folders, and the configurations."""

    id: str
    settings: Settings
    configs: Path


class Exported(Protocol):
    """A trained model; usually a `models.base.Model`."""

    card: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write config.json and the weights into `folder`."""


@dataclass(frozen=True)
class Prepared(Generic[Features]):
    """The clips that a system can use, their features, and an identity that changes with the features."""

    clips: Clips
    features: Features
    identity: str


@dataclass(frozen=True)
class Task:
    """What a system is fitted on: training rows, validation rows (may be empty), the fold's name and number."""

    train: Rows
    validation: Rows
    name: str
    number: int
    state: RunState

    @classmethod
    def of(cls, fold: Fold, number: int, state: RunState) -> Task:
        """Return the task of a fold."""
        return cls(fold.train, fold.validation, fold.name, number, state)


class System(ABC, Generic[Config, Features, Fitted]):
    """A kind of system; a module of `ser_engine.training.systems` defines one and names it `SYSTEM`."""

    config_class: ClassVar[type[ExperimentConfig]]
    calibrated: ClassVar[bool] = False
    """Whether the log-probabilities are calibrated already."""

    def __init__(self, config: Config, workspace: Workspace) -> None:
        self.config, self.workspace, self.settings = config, workspace, workspace.settings
        self.weights: dict[str, dict[str, str]] = {}
        """Commit and checksum of initial weights that are not in the repository, by name, once they are loaded."""

    @property
    @abstractmethod
    def inputs(self) -> str:
        """What the system's input is, in words."""

    @abstractmethod
    def prepare(self, clips: Clips) -> Prepared[Features]:
        """Compute the features of clips; clips that cannot be used are dropped."""

    @abstractmethod
    def fit(self, prepared: Prepared[Features], task: Task) -> Fitted:
        """Fit on the task's training rows; `task.state` holds what an earlier attempt has finished."""

    @abstractmethod
    def predict(self, fitted: Fitted, prepared: Prepared[Features], rows: Rows) -> Outputs:
        """Return log-probabilities float32 [rows, classes] by name: `MAIN`, and degraded clips or components."""

    def export(self, fitted: Fitted, prepared: Prepared[Features], temperature: float) -> Exported:
        """Return what was fitted as a model, still without its card; only systems that can be saved have it."""
        raise NotImplementedError

    def size(self, fitted: Fitted) -> int:
        """Return the size in bytes of a fitted model's tensors, as they are stored; 0 if it becomes a model later."""
        if not isinstance(fitted, Model):
            return 0
        with TemporaryDirectory() as folder:
            fitted.save(Path(folder))
            return (Path(folder) / TENSORS).stat().st_size

    @classmethod
    def work(cls, config: Any, clips: Clips, folds: Sequence[Fold], settings: Settings) -> Work | None:
        """Return the work of an experiment, counted without weights; None where only a run can tell."""
        return None

    def clips(self) -> Clips:
        """Return the clips of the experiment."""
        return load_clips(self.config, self.settings.data)

    def split(self, clips: Clips) -> list[Fold]:
        """Return the folds of the configuration's protocol."""
        config, labels = self.config, clips.labels.tolist()
        listings = self.settings.emobox
        return splits.make_folds(
            config.protocol, clips.utterances, labels, config.seed, config.folds, listings, config.train_corpora
        )

    def read_run(self, run: str, clips: Clips) -> Predictions:
        """Return the predictions of a finished run, "<source>/<system>", for these clips in the same folds."""
        folder = self.settings.results / run / self.config.protocol
        return align_predictions(folder, clips.utterances, {fold.name: fold.test for fold in self.split(clips)})

    def embed(self, fitted: Fitted, prepared: Prepared[Features], rows: Rows) -> dict[str, NDArray[np.float32]]:
        """Return embeddings float32 [rows, width] of the "encoder" and the "model" for the corpus probe, or nothing."""
        return {}

    def final_task(self, clips: Clips, folds: Sequence[Fold], state: RunState) -> Task:
        """Return what a saved model is fitted on: all clips."""
        everything = np.arange(len(clips.utterances))
        return Task(everything, everything[:0], "all", len(folds), state)

    def measure(self, predictions: Predictions) -> dict[str, Any]:
        """Return the entries of the record that follow from the predictions, and a system's own `details`."""
        return measure_predictions(predictions)

    def describe_data(self, clips: Clips, folds: Sequence[Fold]) -> dict[str, Any]:
        """Return the entries of the record that follow from the clips and their split, whatever is predicted."""
        return {
            "split": splits.describe_split(self.config.protocol, clips.utterances, folds),
            "speaker_independent": splits.speakers_apart(clips.utterances, folds),
            "corpora": tuple(sorted({utterance.corpus for utterance in clips.utterances})),
            "missing_corpora": clips.missing,
            "audit": audit_folds(clips.utterances, folds).to_dict(),
            "clips": len(clips.utterances),
            "dropped": clips.dropped,
        }

    def prepare_external(self, clips: Clips) -> Prepared[Features]:
        """Compute the features of clips that are only tested, by a system that was fitted on all others."""
        return self.prepare(clips)

    def training_files(self, prepared: Prepared[Features]) -> list[Path]:
        """Return the recordings that a model fitted on all clips was trained on."""
        return prepared.clips.paths

    def card(self, record: RunRecord) -> dict[str, Any]:
        """Return the entries of config.json that describe how a saved model was made."""
        return {"corpora": list(record.corpora), "run": record.id}

    def write_card(self, folder: Path, record: RunRecord) -> None:
        """Write the model card next to a saved model."""


def digest(*parts: str, arrays: Iterable[ArrayLike] = ()) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of texts and arrays."""
    result = hashlib.sha256("\n".join(parts).encode())
    for array in arrays:
        result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()[:12]

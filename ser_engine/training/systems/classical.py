"""Classical systems: an estimator on acoustic features (Sharma, table 6; Gomes, tables II and III; Tiwari, table 2)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from sklearn.pipeline import Pipeline

from ser_engine.data import splits
from ser_engine.data.acoustic import acoustic_features
from ser_engine.data.augment import RECIPES
from ser_engine.data.preprocess import PREPROCESSINGS
from ser_engine.data.splits import Fold
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.predictions import MAIN, Outputs
from ser_engine.features import ACOUSTIC
from ser_engine.models.classical import Classical, fit_estimator, make_estimator, predict_proba
from ser_engine.settings import Settings
from ser_engine.training.clips import Clips, Rows, training_rows
from ser_engine.training.config import STRICT, ExperimentConfig, one_of
from ser_engine.training.system import Prepared, System, Task, Workspace, digest
from ser_engine.training.work import BYTES, PROGRAM, Work, clip_seconds, preparation_seconds
from ser_engine.types import SAMPLE_RATE

FITTED = (300, 900)
"""Vectors of the two fits that are timed for a dry run."""
SMALLEST = 1e-9
"""Smallest probability whose logarithm is taken."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassicalConfig(ExperimentConfig):
    """An experiment with a classical system.

    Attributes
    ----------
    estimator, parameters : key of `models.classical.ESTIMATORS`, and its parameters
    features : name in `features.ACOUSTIC`
    preprocessing : one of `preprocess.PREPROCESSINGS`
    augmentation : key of `augment.RECIPES`: each training clip gets one copy for each augmentation; copies are never
        tested, except under the leaky protocol
    """

    estimator: str
    features: Annotated[str, one_of(*ACOUSTIC)]
    preprocessing: Annotated[str, one_of(*PREPROCESSINGS)] = "none"
    augmentation: Annotated[str, one_of("", *RECIPES)] = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class ClassicalSystem(System[ClassicalConfig, NDArray[np.float32], Pipeline]):
    """A scikit-learn pipeline; its features are float32 [n, copies, k], the recording itself first."""

    config_class = ClassicalConfig

    def __init__(self, config: ClassicalConfig, workspace: Workspace) -> None:
        super().__init__(config, workspace)
        make_estimator(config.estimator, config.seed, config.parameters)

    @property
    def inputs(self) -> str:
        """The features, and the augmentation if there is one."""
        return describe_inputs(self.config.features, self.config.augmentation)

    @classmethod
    def work(cls, config: ClassicalConfig, clips: Clips, folds: Sequence[Fold], settings: Settings) -> Work:
        """Time features on one clip, and fits to some vectors of noise: time grows with a power of their number."""
        copies = 1 + len(RECIPES[config.augmentation] if config.augmentation else ())

        def extract(samples: NDArray[np.float32]) -> NDArray[np.float32]:
            return ACOUSTIC[config.features](samples, SAMPLE_RATE)

        count, seconds = len(clips.utterances), clip_seconds(clips.paths)
        preparing = preparation_seconds(count, seconds, settings, config.preprocessing, config.augmentation, extract)
        examples = [
            len(training_rows(config, clips.labels, fold.train, copies, number)[0]) for number, fold in enumerate(folds)
        ]
        width = len(extract(np.zeros(SAMPLE_RATE, np.float32)))
        fitting = sum(_fit_seconds(config, width, clips.labels, number) for number in examples)
        memory = PROGRAM / 2 + 3 * BYTES * count * copies * width
        return Work(round(float(np.mean(examples))), seconds=preparing + fitting, memory=memory)

    def prepare(self, clips: Clips) -> Prepared[NDArray[np.float32]]:
        """Compute the features of every clip; under the leaky protocol each copy becomes a clip of its own."""
        config = self.config
        table = acoustic_features(
            clips.paths, self.settings, config.features, config.preprocessing, config.augmentation, seed=config.seed
        )
        rows = [row for row, copies in enumerate(table) if copies is not None]
        clips = clips.select(rows)
        features = np.stack([np.stack(copies) for copies in table if copies is not None])
        if splits.PROTOCOLS[config.protocol].leaky:
            count, copies, width = features.shape
            utterances = splits.repeat_for_copies(clips.utterances, copies - 1)
            clips = replace(clips, utterances=utterances, labels=np.repeat(clips.labels, copies))
            features = features.reshape(count * copies, 1, width)
        return Prepared(clips, features, digest(arrays=[features]))

    def fit(self, prepared: Prepared[NDArray[np.float32]], task: Task) -> Pipeline:
        """Fit the pipeline; a recording is preferred to its augmented copies."""
        config, features, labels = self.config, prepared.features, prepared.clips.labels
        rows, copies = training_rows(config, labels, task.train, features.shape[1], task.number)
        pipeline = make_estimator(config.estimator, config.seed, config.parameters)
        try:
            fit_estimator(pipeline, features[rows, copies], labels[rows], rows)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise InvalidSettings(f"{config.estimator} cannot be fitted on these clips: {error}") from None
        history = task.state.history(task.number, task.name)
        for epoch, loss in enumerate(getattr(pipeline[-1], "loss_curve_", ()), start=1):  # of the MLP
            history({"epoch": epoch, "loss": loss})
        return pipeline

    def predict(self, fitted: Pipeline, prepared: Prepared[NDArray[np.float32]], rows: Rows) -> Outputs:
        """Return the log-probabilities of the recordings themselves."""
        predicted = predict_proba(fitted, prepared.features[rows, 0], prepared.clips.order)
        return {MAIN: log(predicted)}

    def size(self, fitted: Pipeline) -> int:
        """Return the size in bytes of the stored pipeline."""
        import skops.io

        return len(skops.io.dumps(fitted))

    def export(self, fitted: Pipeline, prepared: Prepared[NDArray[np.float32]], temperature: float) -> Classical:
        """Return the pipeline as a model."""
        return Classical(self.config.id, prepared.clips.order, self.config.features, fitted)


def _fit_seconds(config: ClassicalConfig, width: int, labels: NDArray[np.str_], count: int) -> float:
    """Return the seconds of a fit to so many vectors, from those of two fits to fewer."""
    rng = np.random.default_rng(config.seed)
    times = []
    for fewer in FITTED:
        chosen = np.resize(rng.permutation(labels), fewer)
        pipeline = make_estimator(config.estimator, config.seed, config.parameters)
        begun = time.perf_counter()
        try:
            fit_estimator(pipeline, rng.normal(size=(fewer, width)).astype(np.float32), chosen, np.arange(fewer))
        except (ValueError, np.linalg.LinAlgError):  # such as a label of which too few were drawn
            return 0.0
        times.append(time.perf_counter() - begun)
    power = float(np.clip(np.log(times[1] / times[0]) / np.log(FITTED[1] / FITTED[0]), 0, 3))
    return float(times[1] * (count / FITTED[1]) ** power)


def describe_inputs(features: str, augmentation: str) -> str:
    """Return a system's features and augmentation in words."""
    return features + (f", {augmentation} augmentation" if augmentation else "")


def log(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log-probabilities."""
    return np.log(np.maximum(probabilities, SMALLEST)).astype(np.float32)


SYSTEM = ClassicalSystem

"""Classical systems: an estimator on acoustic features (Sharma, table 6; Gomes, tables II and III; Tiwari, table 2)."""

from __future__ import annotations

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
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.predictions import MAIN, Outputs
from ser_engine.features import ACOUSTIC
from ser_engine.models.classical import Classical, fit_estimator, make_estimator, predict_proba
from ser_engine.training.clips import Clips, Rows, training_rows
from ser_engine.training.config import STRICT, ExperimentConfig, one_of
from ser_engine.training.system import Prepared, System, Task, Workspace, digest

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


def describe_inputs(features: str, augmentation: str) -> str:
    """Return a system's features and augmentation in words."""
    return features + (f", {augmentation} augmentation" if augmentation else "")


def log(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log-probabilities."""
    return np.log(np.maximum(probabilities, SMALLEST)).astype(np.float32)


SYSTEM = ClassicalSystem

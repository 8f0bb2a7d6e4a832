"""One experiment with a classical system, from its TOML to results/<run>/; stopped, it goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ser_engine.data import splits
from ser_engine.data.acoustic import PIPELINE, acoustic_features
from ser_engine.data.augment import RECIPES
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.features import ACOUSTIC
from ser_engine.models.classical import Classical, make_estimator, probabilities
from ser_engine.settings import Settings
from ser_engine.training import experiment
from ser_engine.training.config import ClassicalConfig
from ser_engine.training.experiment import Clips, Rows, fed_with, read_clips

VERSION = "3"
"""To be raised whenever a system or what is kept of a fold changes in its code, so that nothing stale is read."""


@dataclass(frozen=True)
class Experiment:
    """What is trained on: n clips, and their features in every copy.

    `features` is float32 [n, copies, k]; copy 0 is the recording itself, each further one an augmentation of it.
    """

    config: ClassicalConfig
    clips: Clips
    features: NDArray[np.float32]

    @property
    def leaks(self) -> bool:
        """Whether the copies are made before the split, so that twins of a clip land on both of its sides."""
        return splits.PROTOCOLS[self.config.protocol].leaky

    @property
    def fingerprint(self) -> str:
        """What tells this experiment from every other, whatever changed."""
        digest = hashlib.sha256(f"{PIPELINE} {VERSION} {self.config} {self.clips.digest()}".encode())
        digest.update(self.features.tobytes())
        return digest.hexdigest()[:12]

    def expanded(self) -> Experiment:
        """Return the same with every copy as a clip of its own, in the order of `splits.expand`: clip by clip."""
        count, copies, width = self.features.shape
        utterances = splits.repeat_for_copies(self.clips.utterances, copies - 1)
        clips = replace(self.clips, utterances=utterances, labels=np.repeat(self.clips.labels, copies))
        return Experiment(self.config, clips, self.features.reshape(count * copies, 1, width))

    def training_rows(self, train: Rows, fold: int) -> tuple[Rows, Rows]:
        """Return which clips are trained on, int [m], and in which of their copies, int [m].

        A recording itself is preferred to a copy of it.
        """
        return experiment.training_rows(self.config, self.clips.labels, train, self.features.shape[1], fold)

    def fit(self, train: Rows, fold: int) -> Pipeline:
        """Return the system trained on some clips."""
        pipeline = make_estimator(self.config.estimator, self.config.seed, self.config.parameters)
        rows, copy = self.training_rows(train, fold)
        try:
            return pipeline.fit(self.features[rows, copy], self.clips.labels[rows])
        except (ValueError, np.linalg.LinAlgError) as error:
            raise InvalidSettings(f"{self.config.estimator} cannot learn from these clips: {error}") from None

    def test(self, fold: splits.Fold, number: int, state: Path) -> NDArray[np.float32]:
        """Return probabilities [m, labels] for the fold's test clips, by a system trained on its training clips."""
        pipeline = self.fit(fold.train, number)
        if losses := getattr(pipeline[-1], "loss_curve_", None):  # of the systems here, only the MLP has epochs
            lines = [{"fold": fold.name, "epoch": i, "loss": round(loss, 5)} for i, loss in enumerate(losses, start=1)]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (state / f"history-{number:04}.jsonl").write_text(text, encoding="utf-8")
        if number == 0:
            import skops.io

            (state / "size").write_text(str(len(skops.io.dumps(pipeline))))
        return probabilities(pipeline, self.features[fold.test, 0], self.clips.order(self.config))


def run_classical(path: Path, config: ClassicalConfig, data: Path, settings: Settings, results: Path) -> dict[str, Any]:
    """Train and measure what the TOML at `path` describes, on the corpora in `data`.

    Writes results/<name of the TOML>/{run.json, folds.json} and history.jsonl where the system learns in epochs.
    Returns run.json.

    Raises
    ------
    CorpusError
        A corpus is not in `data`, or is none that the protocol can split.
    InvalidSettings
        The configuration makes no sense.
    """
    check(config, path)
    prepared = prepare(config, data, settings)
    if prepared.leaks:
        prepared = prepared.expanded()
    clips, name = prepared.clips, path.stem
    found = experiment.cross_validate(name, config, clips, prepared.fingerprint, prepared.test, settings)
    features = fed_with(config.features, config.augmentation)
    entry = experiment.write_run(name, config, features, clips, *found, results)
    if config.save:
        pipeline = prepared.fit(np.arange(len(clips.labels)), len(found[0]))
        card = {"corpora": entry["corpora"], "run": entry["id"]}
        model = Classical(config.id, clips.order(config), config.features, pipeline, card)
        model.save(settings.models_dir / config.id)
    return entry


def check(config: ClassicalConfig, path: Path) -> None:
    """Refuse in one sentence what names something that is not there."""
    augmentations = ("", *RECIPES)
    experiment.check(
        config, path, features=(config.features, ACOUSTIC), augmentation=(config.augmentation, augmentations)
    )
    make_estimator(config.estimator, config.seed, config.parameters)


def prepare(config: ClassicalConfig, data: Path, settings: Settings) -> Experiment:
    """Read the corpora and compute, or read, the features of every clip that has one of the labels."""
    clips = read_clips(config, data)
    table = acoustic_features(
        [utterance.path for utterance in clips.utterances],
        settings,
        config.features,
        config.preprocessing,
        augmentation=config.augmentation,
        seed=config.seed,
    )
    kept = [i for i, copies in enumerate(table) if copies is not None]
    if not kept:
        raise CorpusError(f"No clip of {', '.join(config.corpora)} could be used.")
    features = np.stack([np.stack(copies) for copies in table if copies is not None])
    return Experiment(config, clips.only(kept), features)

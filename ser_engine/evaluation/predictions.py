"""The predictions of a run for each tested clip, saved next to its record, whose figures follow from them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import InvalidSettings
from ser_engine.io import write_arrays

FILE = "predictions.npz"
MAIN = "main"
"""The system's own log-probabilities among the outputs."""
DEGRADED, COMPONENT, BASELINE = "degraded.", "component.", "baseline."
"""Prefixes of the outputs for degraded clips, for a system's components by themselves ("component.audio"), and for
clips whose speaker's baseline of so many seconds is known; NaN for the clips that it is of."""
UNTESTED = -np.inf
"""The log-probabilities of a clip that was not tested degraded."""
NO_SPEECH = -1
"""The predicted class of a clip without speech."""

Outputs = dict[str, NDArray[np.float32]]
"""Log-probabilities float32 [n, labels] by name; a row is NaN if no speech was detected in the clip."""


@dataclass(frozen=True)
class Predictions:
    """What the models of a run predict for n tested clips.

    Attributes
    ----------
    utterances : n clips; of those read from a file the paths are bare names
    labels : the classes in the order of the outputs
    targets : int [n], true classes
    folds : str [n], names of the folds in which the clips are tested
    outputs : `MAIN` and others
    calibrated : whether `MAIN` is calibrated already, so that no temperature is fitted
    """

    utterances: list[Utterance]
    labels: tuple[str, ...]
    targets: NDArray[np.int_]
    folds: NDArray[np.str_]
    outputs: Outputs
    calibrated: bool = False

    @property
    def main(self) -> NDArray[np.float32]:
        """The system's own log-probabilities, float32 [n, labels]."""
        return self.outputs[MAIN]

    @property
    def speakers(self) -> NDArray[np.str_]:
        """The speakers, str [n]."""
        return np.array([utterance.speaker for utterance in self.utterances])

    def by_prefix(self, prefix: str) -> Outputs:
        """Return the outputs whose names have the prefix, under their names without it."""
        return {name.removeprefix(prefix): array for name, array in self.outputs.items() if name.startswith(prefix)}

    def select(self, rows: NDArray[np.int_] | NDArray[np.bool_]) -> Predictions:
        """Return the predictions of some clips."""
        numbers = np.arange(len(self.utterances))[rows]
        utterances = [self.utterances[row] for row in numbers]
        outputs = {name: array[numbers] for name, array in self.outputs.items()}
        return replace(
            self, utterances=utterances, targets=self.targets[numbers], folds=self.folds[numbers], outputs=outputs
        )


def predicted_classes(log_probs: NDArray[np.float32]) -> NDArray[np.int_]:
    """Return the most probable class of each row of [n, labels], `NO_SPEECH` for rows of NaN."""
    silent = np.isnan(log_probs).any(axis=1)
    return np.where(silent, NO_SPEECH, np.nan_to_num(log_probs, nan=-np.inf).argmax(axis=1))


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write the folder's predictions.npz."""
    clips = predictions.utterances
    write_arrays(
        folder / FILE,
        corpus=[clip.corpus for clip in clips],
        name=[clip.name for clip in clips],
        speaker=[clip.speaker for clip in clips],
        gender=[clip.gender or "" for clip in clips],
        native=[clip.native or "" for clip in clips],
        perceived_labels=[" ".join(clip.perceived_labels) for clip in clips],
        label=predictions.targets.astype(np.int8),
        labels=list(predictions.labels),
        fold=predictions.folds,
        calibrated=predictions.calibrated,
        **{f"output.{name}": array for name, array in predictions.outputs.items()},
    )


def read_predictions(folder: Path) -> Predictions:
    """Return what `write_predictions` wrote."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            names = ("corpus", "name", "speaker", "gender", "perceived_labels")
            columns = [arrays[name].tolist() for name in names]
            natives = arrays["native"].tolist() if "native" in arrays else [""] * len(columns[0])
            labels, targets = tuple(arrays["labels"].tolist()), arrays["label"].astype(int)
            folds, calibrated = arrays["fold"], bool(arrays["calibrated"])
            outputs = {key.removeprefix("output."): arrays[key] for key in arrays if key.startswith("output.")}
            assert MAIN in outputs
    except (OSError, EOFError, ValueError, KeyError, TypeError, AssertionError, BadZipFile, zlib.error):
        raise InvalidSettings(f"{folder} holds no predictions ({FILE}).") from None
    utterances = [
        Utterance(
            corpus,
            Path(name),
            labels[target],
            speaker,
            gender or None,
            native=native or None,
            perceived_labels=tuple(perceived.split()),
        )
        for corpus, name, speaker, gender, perceived, native, target in zip(
            *columns, natives, targets.tolist(), strict=True
        )
    ]
    return Predictions(utterances, labels, targets, folds, outputs, calibrated)


def align_predictions(
    folder: Path, utterances: Sequence[Utterance], folds: Mapping[str, NDArray[np.int_]]
) -> Predictions:
    """Return a run's predictions in the order of these clips, tested in these very folds (rows by fold name).

    Raise InvalidSettings if there are none, or those of other clips or folds.
    """
    predictions = read_predictions(folder)
    places = {(clip.corpus, clip.name): row for row, clip in enumerate(predictions.utterances)}
    rows = np.array([places.get((clip.corpus, clip.name), -1) for clip in utterances])
    names = np.full(len(utterances), "", predictions.folds.dtype)
    for name, tested in folds.items():
        names[tested] = name
    if len(rows) != len(places) or (rows < 0).any() or not np.array_equal(predictions.folds[rows], names):
        raise InvalidSettings(f"The run {folder} has other clips or folds than these; train it again.")
    return replace(predictions.select(rows), utterances=list(utterances), folds=names)

"""The figures of a run, computed from its predictions alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ser_engine.data.corpora.base import Utterance
from ser_engine.evaluation import calibration, corpus_probe
from ser_engine.evaluation.metrics import accuracies, interval_over_speakers, percent, report, unweighted_accuracy
from ser_engine.evaluation.ordinary import is_ordinary, measure_ordinary, quiet_threshold
from ser_engine.evaluation.predictions import (
    COMPONENT,
    DEGRADED,
    UNTESTED,
    Predictions,
    predicted_classes,
    read_predictions,
)
from ser_engine.evaluation.record import RunRecord, read_record


def measure_predictions(predictions: Predictions) -> dict[str, Any]:
    """Return the entries of a `RunRecord` that follow from predictions.

    Calibration is measured if there are two or more folds, each at the temperature fitted on the others, over the clips
    with speech: a clip without speech gets no answer. Ordinary talk counts only for false alarms and for the threshold
    of "not sure", which is high enough for both.
    """
    talk = is_ordinary(predictions.utterances)
    everything, predictions = predictions, predictions.select(~talk)
    true, predicted = predictions.targets, predicted_classes(predictions.main)
    measured = report(true, predicted, predictions.speakers.tolist(), predictions.labels, predictions.folds)
    if len(np.unique(predictions.folds)) > 1:
        answered, probabilities = predicted >= 0, calibrated(everything)
        quiet = probabilities[talk & ~np.isnan(everything.main).any(axis=1)]
        least = quiet_threshold(quiet, predictions.labels) if len(quiet) else 0.0
        measured["calibration"] = calibration.measure(true[answered], probabilities[~talk][answered], least)
        measured["metrics"]["ECE"] = measured["calibration"].pop("ECE")
    corpora = np.array([utterance.corpus for utterance in predictions.utterances])
    degraded, components = predictions.by_prefix(DEGRADED), predictions.by_prefix(COMPONENT)
    measured |= {
        **measure_groups(predictions.utterances, true, predicted),
        "perceived": measure_listeners(predictions.utterances),
        "degradations": {name: _measure_degraded(predictions, log_probs) for name, log_probs in degraded.items()},
        "components": {name: accuracies(true, predicted_classes(part)) for name, part in components.items()},
        "corpus_probe": corpus_probe.summarize(predictions.by_prefix(corpus_probe.PREFIX), corpora),
    }
    return {name: value for name, value in measured.items() if value != {}}


def calibrated(predictions: Predictions) -> NDArray[np.float32]:
    """Return probabilities float32 [n, labels], each fold at the temperature fitted on the other folds."""
    if predictions.calibrated:
        return np.asarray(softmax(predictions.main, axis=1))
    return np.asarray(softmax(predictions.main / row_temperatures(predictions), axis=1), np.float32)


def row_temperatures(predictions: Predictions) -> NDArray[np.float64]:
    """Return the temperature of each clip's fold, [n, 1]."""
    temperatures = fold_temperatures(predictions)
    return np.array([temperatures[fold] for fold in predictions.folds])[:, None]


def fold_temperatures(predictions: Predictions) -> dict[str, float]:
    """Return for each fold the temperature that is fitted on the clips of the others that have speech."""
    folds = predictions.folds
    return {str(fold): overall_temperature(predictions.select(folds != fold)) for fold in np.unique(folds)}


def overall_temperature(predictions: Predictions) -> float:
    """Return the temperature that is fitted on all folds' clips that have speech and are no ordinary talk."""
    has_speech = (predicted_classes(predictions.main) >= 0) & ~is_ordinary(predictions.utterances)
    return calibration.fit_temperature(predictions.main[has_speech], predictions.targets[has_speech])


def _measure_degraded(predictions: Predictions, log_probs: NDArray[np.float32]) -> dict[str, Any]:
    """Return the figures on the clips that were tested degraded; `lost` are the points of UA that it costs."""
    tested = (log_probs != UNTESTED).any(axis=1)
    predictions, log_probs = predictions.select(tested), log_probs[tested]
    true, predicted = predictions.targets, predicted_classes(log_probs)
    ua = unweighted_accuracy(true, predicted)
    low, high = interval_over_speakers(true, predicted, predictions.speakers.tolist())
    return {
        **accuracies(true, predicted),
        "UA_low": low,
        "UA_high": high,
        "lost": round(unweighted_accuracy(true, predicted_classes(predictions.main)) - ua, 2),
        "no_speech": int((predicted < 0).sum()),
        **({} if tested.all() else {"clips": len(true)}),
    }


def measure_listeners(utterances: Sequence[Utterance]) -> dict[str, dict[str, Any]]:
    """Return how often most listeners name the intended emotion from the voice alone, in percent, by corpus.

    {corpus: {agreement, clips, per_label {label: percent}}} for corpora with listeners' votes; of two labels with as
    many votes, each counts half.
    """
    result = {}
    for corpus in sorted({utterance.corpus for utterance in utterances if utterance.perceived_labels}):
        rated = [u for u in utterances if u.corpus == corpus and u.perceived_labels]
        labels = np.array([utterance.label for utterance in rated])
        agreed = np.array([(u.label in u.perceived_labels) / len(u.perceived_labels) for u in rated])
        result[corpus] = {
            "agreement": percent(agreed),
            "clips": len(rated),
            "per_label": {str(label): percent(agreed[labels == label]) for label in np.unique(labels)},
        }
    return result


def measure_groups(
    utterances: Sequence[Utterance], true: NDArray[np.int_], predicted: NDArray[np.int_]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return `by_corpus` (with intervals over speakers), `by_speaker` and `by_gender`: UA, WA and clips of each.

    Speakers whose gender is not known are left out of the last.
    """
    speakers = np.array([utterance.speaker for utterance in utterances])
    groups = {
        "by_corpus": [utterance.corpus for utterance in utterances],
        "by_speaker": speakers.tolist(),
        "by_gender": [utterance.gender or "" for utterance in utterances],
    }
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name, values in groups.items():
        result[name] = {}
        for value in filter(None, np.unique(values).tolist()):
            rows = np.array(values) == value
            result[name][value] = {**accuracies(true[rows], predicted[rows]), "clips": int(rows.sum())}
            if name == "by_corpus":
                low, high = interval_over_speakers(true[rows], predicted[rows], speakers[rows].tolist())
                result[name][value] |= {"UA_low": low, "UA_high": high}
    return result


def measure_external(predictions: Predictions, temperature: float, threshold: float) -> dict[str, Any]:
    """Return the figures on a corpus that is not in training: over all labels, and among those that the corpus has.

    Of windows of ordinary talk, return `measure_ordinary`. Clips without speech count as errors. `confidence` is that
    of the clips with speech, from 0 to 1: the mean top probability, the share of the clips whose top probability
    reaches the threshold, and how many of these are right; `ECE` is over all labels, in percent.
    """
    if is_ordinary(predictions.utterances).all():
        probabilities = softmax(predictions.main / temperature, axis=1)
        return measure_ordinary(probabilities, predictions.labels, threshold)
    true, predicted = predictions.targets, predicted_classes(predictions.main)
    shared = np.unique(true)
    among = predicted_classes(predictions.main[:, shared])
    among = np.where(among < 0, among, shared[among])
    answered = predicted >= 0
    probabilities = softmax(predictions.main[answered] / temperature, axis=1)
    confidence = probabilities.max(axis=1)
    sure, right = confidence >= threshold, (predicted == true)[answered]
    return {
        "confidence": {
            "mean": round(float(confidence.mean()), 4),
            "coverage": round(float(sure.mean()), 4),
            "accuracy": round(float(right[sure].mean()), 4) if sure.any() else None,
        },
        "ECE": round(100 * calibration.expected_calibration_error(true[answered], probabilities), 2),
        "clips": len(true),
        "no_speech": int((~answered).sum()),
        "UA": round(unweighted_accuracy(true, predicted), 2),
        "UA_among_shared_labels": round(unweighted_accuracy(true, among), 2),
        "UA_among_shared_labels_ci95": list(interval_over_speakers(true, among, predictions.speakers.tolist())),
        "shared_labels": [predictions.labels[i] for i in shared],
    }


def fold_entries(predictions: Predictions, trained_on: dict[str, int]) -> dict[str, Any]:
    """Return for each fold the tested speakers, the number of training and tested clips, UA and WA.

    Ordinary talk is not tested for accuracy.
    """
    predictions = predictions.select(~is_ordinary(predictions.utterances))
    predicted = predicted_classes(predictions.main)
    entries = {}
    for fold in dict.fromkeys(predictions.folds.tolist()):
        rows = predictions.folds == fold
        entries[fold] = {
            "test_speakers": sorted(set(predictions.speakers[rows].tolist())),
            "trained_on": trained_on[fold],
            "clips": int(rows.sum()),
            **accuracies(predictions.targets[rows], predicted[rows]),
        }
    return entries


def recompute(results: Path, id: str) -> tuple[dict[str, Any], list[str]]:
    """Compute a run's figures again from its predictions; return them, and the entries of its record that differ."""
    record = read_record(results, id).to_dict()
    measured = measure_predictions(read_predictions(results / id))
    plain = RunRecord(id=id, **measured).to_dict()
    return measured, [name for name in measured if record.get(name) != plain.get(name)]

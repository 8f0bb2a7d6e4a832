"""What a run stores about itself: results/<run>/{run.json, history.jsonl, folds.json}, and a model's card."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ser_engine.data.corpora.base import Utterance
from ser_engine.evaluation import calibration
from ser_engine.evaluation.metrics import interval_over_speakers, percent, report, weighted_accuracy
from ser_engine.evaluation.metrics import unweighted_accuracy as ua
from ser_engine.training.config import TrainingConfig, TunedTraining

STATISTICS = "mean and deviation over time of all layers of Whisper-base's encoder, frozen"


def measure_run(
    utterances: Sequence[Utterance],
    log_probabilities: NDArray[np.float32],
    folds: NDArray[np.int_],
    temperatures: dict[int, float],
    labels: Sequence[str],
    worse: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, Any]:
    """Return the measured entries of run.json.

    Parameters
    ----------
    utterances : n
    log_probabilities : float32 [n, labels], each row by the model of a fold that did not hear its speaker; where no
        speech was found the row is uniform, and counts as wrong
    folds : int [n]
    temperatures : for each fold the temperature that was fitted on the other folds
    worse : log-probabilities of the same clips under each condition
    """
    true = np.array([labels.index(str(utterance.label)) for utterance in utterances])
    predicted, silent = decide(log_probabilities, true)
    probabilities = calibrated(log_probabilities, folds, temperatures)
    speakers = np.array([utterance.speaker for utterance in utterances])
    measured = report(true, predicted, speakers.tolist(), labels)
    # Where no speech was found the application gives no answer, so that there is none to be sure of.
    measured["confidence"] = calibration.measure(true[~silent], probabilities[~silent])
    measured["metrics"]["ECE"] = measured["confidence"].pop("ECE")
    measured["no_speech_found"] = int(silent.sum())
    measured["listeners"] = listeners(utterances)
    measured |= by_groups(utterances, true, predicted)
    if worse:
        plain_ua = measured["metrics"]["UA"]
        measured["conditions"] = {
            name: measure_condition(utterances, found, labels, plain_ua) for name, found in worse.items()
        }
    return measured


def calibrated(
    log_probabilities: NDArray[np.float32], folds: NDArray[np.int_], temperatures: dict[int, float]
) -> NDArray[np.float32]:
    """Return probabilities float32 [n, labels], each row at the temperature of its fold."""
    scaled = log_probabilities / np.array([temperatures[fold] for fold in folds])[:, None]
    return softmax(scaled, axis=1).astype(np.float32)


def fold_temperatures(
    log_probabilities: NDArray[np.float32], true: NDArray[np.int_], folds: NDArray[np.int_]
) -> dict[int, float]:
    """Return for each fold the temperature that is fitted on the clips of the others in which speech was found."""
    heard = ~decide(log_probabilities, true)[1]
    others = {int(fold): heard & (folds != fold) for fold in np.unique(folds)}
    return {fold: calibration.fit_temperature(log_probabilities[rows], true[rows]) for fold, rows in others.items()}


def measure_condition(
    utterances: Sequence[Utterance], log_probabilities: NDArray[np.float32], labels: Sequence[str], plain_ua: float
) -> dict[str, Any]:
    """Return the figures of the same clips heard under a condition, `lost` the points of UA that it costs."""
    true = np.array([labels.index(str(utterance.label)) for utterance in utterances])
    predicted, silent = decide(log_probabilities, true)
    speakers = [utterance.speaker for utterance in utterances]
    found = ua(true, predicted)
    return {
        "UA": round(found, 2),
        "UA_ci95": [round(bound, 2) for bound in interval_over_speakers(true, predicted, speakers)],
        "WA": round(weighted_accuracy(true, predicted), 2),
        "lost": round(plain_ua - found, 2),
        "no_speech_found": int(silent.sum()),
        "by_corpus": by_groups(utterances, true, predicted)["by_corpus"],
    }


def listeners(utterances: Sequence[Utterance]) -> dict[str, dict[str, Any]]:
    """Return how often most listeners to the voice alone took a clip for what was meant, in percent, by corpus.

    {corpus: {agreement, clips, per_label {label: percent}}} of the corpora that tell; of two answers that as many
    listeners gave, each counts half.
    """
    found = {}
    for corpus in sorted({utterance.corpus for utterance in utterances if utterance.perceived_labels}):
        some = [utterance for utterance in utterances if utterance.corpus == corpus and utterance.perceived_labels]
        labels = np.array([utterance.label for utterance in some])
        agreed = np.array([(one.label in one.perceived_labels) / len(one.perceived_labels) for one in some])
        found[corpus] = {
            "agreement": percent(agreed),
            "clips": len(some),
            "per_label": {str(label): percent(agreed[labels == label]) for label in np.unique(labels)},
        }
    return found


def by_groups(
    utterances: Sequence[Utterance], true: NDArray[np.int_], predicted: NDArray[np.int_]
) -> dict[str, dict[str, Any]]:
    """Return `by_corpus` (with intervals), `by_speaker` and `by_gender`: UA, WA and clips of each.

    Who is neither known as female nor as male is left out of the last.
    """
    speakers = np.array([utterance.speaker for utterance in utterances])
    groups = {
        "by_corpus": [utterance.corpus for utterance in utterances],
        "by_speaker": speakers.tolist(),
        "by_gender": [utterance.gender or "" for utterance in utterances],
    }
    return {
        name: _by(np.array(values), true, predicted, speakers, intervals=name == "by_corpus")
        for name, values in groups.items()
    }


def decide(
    log_probabilities: NDArray[np.float32], true: NDArray[np.int_]
) -> tuple[NDArray[np.int_], NDArray[np.bool_]]:
    """Return the predicted labels, int [n], and where no speech was found, bool [n]: there the prediction is wrong."""
    predicted = log_probabilities.argmax(axis=1)
    silent = np.ptp(log_probabilities, axis=1) == 0
    predicted[silent] = (true[silent] + 1) % log_probabilities.shape[1]
    return predicted, silent


def _by(
    values: NDArray[np.str_],
    true: NDArray[np.int_],
    predicted: NDArray[np.int_],
    speakers: NDArray[np.str_],
    intervals: bool,
) -> dict[str, Any]:
    """Return UA, WA and the number of clips for each value, with intervals over speakers where there are several."""
    result = {}
    for value in filter(None, np.unique(values).tolist()):
        rows = values == value
        entry: dict[str, Any] = {
            "UA": round(ua(true[rows], predicted[rows]), 2),
            "WA": round(weighted_accuracy(true[rows], predicted[rows]), 2),
            "clips": int(rows.sum()),
        }
        if intervals:
            bounds = interval_over_speakers(true[rows], predicted[rows], speakers[rows].tolist())
            entry["UA_ci95"] = [round(bound, 2) for bound in bounds]
        result[value] = entry
    return result


def measure_external(
    utterances: Sequence[Utterance],
    log_probabilities: NDArray[np.float32],
    labels: Sequence[str],
    temperature: float = 1.0,
    below: float = 0.0,
) -> dict[str, Any]:
    """Return the figures on a corpus that nothing was trained on: over all our labels, and among those it has.

    `confidence` says how sure the model is there at its temperature, from 0 to 1: the mean top probability, the share
    of the clips whose own is not `below` its threshold, and how many of those answers are right.
    """
    true = np.array([labels.index(str(utterance.label)) for utterance in utterances])
    speakers = [utterance.speaker for utterance in utterances]
    shared = np.unique(true)
    among = shared[log_probabilities[:, shared].argmax(axis=1)]
    predicted = log_probabilities.argmax(axis=1)
    confidence = softmax(log_probabilities / temperature, axis=1).max(axis=1)
    sure = confidence >= below
    return {
        "confidence": {
            "mean": round(float(confidence.mean()), 4),
            "coverage": round(float(sure.mean()), 4),
            "accuracy": round(float((predicted == true)[sure].mean()), 4) if sure.any() else None,
        },
        "clips": len(utterances),
        "UA": round(ua(true, predicted), 2),
        "UA_among_shared_labels": round(ua(true, among), 2),
        "UA_among_shared_labels_ci95": [round(b, 2) for b in interval_over_speakers(true, among, speakers)],
        "shared_labels": [labels[i] for i in shared],
    }


def fold_entries(
    utterances: Sequence[Utterance], folds: NDArray[np.int_], opinions: NDArray[np.float32], labels: Sequence[str]
) -> dict[str, Any]:
    """Return for each fold who was tested and how well."""
    true = np.array([labels.index(str(utterance.label)) for utterance in utterances])
    predicted, _ = decide(opinions, true)
    entries = {}
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold).tolist()
        entries[str(fold)] = {
            "test_speakers": sorted({utterances[i].speaker for i in rows}),
            "clips": len(rows),
            "UA": round(ua(true[rows], predicted[rows]), 2),
            "WA": round(weighted_accuracy(true[rows], predicted[rows]), 2),
        }
    return entries


def write_json(path: Path, value: Any) -> None:
    """Write JSON beside `path` and rename it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(path.suffix + ".part")
    beside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)


def _features(config: TrainingConfig) -> str:
    """Return what a model is fed with."""
    if isinstance(config, TunedTraining):
        return f"blocks of Whisper-base's encoder tuned for emotion, beside {config.beside}"
    return f"{STATISTICS}, and moments of its lower layers" if config.attentive else STATISTICS


def run_entry(run: str, config: TrainingConfig, measured: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return run.json: the figures with what they were measured on and how."""
    return {
        "id": run,
        "model": config.id,
        "features": _features(config),
        "protocol": config.protocol,
        "corpora": list(config.corpora),
        "labels": list(config.labels),
        **measured,
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "seed": config.seed,
        "config": asdict(config),
    }

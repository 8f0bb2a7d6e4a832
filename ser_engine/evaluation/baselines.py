"""What it gains to know how a speaker sounds when calm: the same clips with and without a baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from ser_engine.evaluation.evaluate import row_temperatures
from ser_engine.evaluation.metrics import unweighted_accuracy
from ser_engine.evaluation.ordinary import is_ordinary, measure_ordinary, quiet_threshold
from ser_engine.evaluation.predictions import BASELINE, Predictions, predicted_classes


def measure_baselines(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Return {seconds: {corpus or "pooled": {UA, without, clips}}}; of ordinary talk, {alarms, without, windows}.

    Clips that a baseline is of are left out of both figures. Alarms are counted at the threshold at which at most
    `ordinary.TARGET` of the windows without a baseline are false alarms.
    """
    corpora = np.array([utterance.corpus for utterance in predictions.utterances])
    talk, labels = is_ordinary(predictions.utterances), predictions.labels
    outputs = predictions.by_prefix(BASELINE)
    if not outputs or len(np.unique(predictions.folds)) < 2:
        return {}
    scale = row_temperatures(predictions)
    result: dict[str, dict[str, Any]] = {}
    for seconds, log_probs in outputs.items():
        known = ~np.isnan(log_probs).any(axis=1) & ~np.isnan(predictions.main).any(axis=1)
        groups = {"pooled": known & ~talk} | {name: known & (corpora == name) for name in np.unique(corpora).tolist()}
        result[seconds] = {}
        for name, rows in groups.items():
            if not rows.any():
                continue
            pair = [np.asarray((each / scale)[rows], np.float32) for each in (log_probs, predictions.main)]
            if talk[rows].any():
                own, plain = (np.asarray(softmax(each, axis=1), np.float32) for each in pair)
                threshold = quiet_threshold(plain, labels)
                alarms, without = (measure_ordinary(each, labels, threshold)["alarms"] for each in (own, plain))
                result[seconds][name] = {"alarms": alarms, "without": without, "windows": int(rows.sum())}
            else:
                true = predictions.targets[rows]
                ua, without = (round(unweighted_accuracy(true, predicted_classes(each)), 2) for each in pair)
                result[seconds][name] = {"UA": ua, "without": without, "clips": int(rows.sum())}
    return result

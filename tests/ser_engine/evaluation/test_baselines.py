"""What baselines gain is measured on the same clips with and without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ser_engine.data.corpora.base import ORDINARY, Utterance
from ser_engine.evaluation.baselines import measure_baselines
from ser_engine.evaluation.predictions import Predictions

LABELS = ("neutral", "angry")
CLIPS, WINDOWS = 40, 40


def predictions() -> Predictions:
    """Without a baseline, half of the clips are right and one window of four is an alarm; with one, all are right."""
    acted = [Utterance("acted", Path(f"{n}.wav"), LABELS[n % 2], str(n % 4)) for n in range(CLIPS)]
    talk = [Utterance("talk", Path(f"t{n}.wav"), "neutral", f"t{n}", native=ORDINARY) for n in range(WINDOWS)]
    targets = np.array([n % 2 for n in range(CLIPS)] + [0] * WINDOWS)
    right = np.log(np.where(targets[:, None] == [0, 1], 0.9, 0.1)).astype(np.float32)
    plain = right.copy()
    plain[: CLIPS // 2] = plain[: CLIPS // 2, ::-1]
    plain[CLIPS::4] = plain[CLIPS::4, ::-1]
    known = right.copy()
    known[:4] = np.nan
    folds = np.array(["1", "2"])[np.arange(len(targets)) // 2 % 2]
    return Predictions(acted + talk, LABELS, targets, folds, {"main": plain, "baseline.15": known})


def test_clips_that_a_baseline_is_of_are_left_out_of_both_figures() -> None:
    figures = measure_baselines(predictions())["15"]
    assert figures["pooled"] == figures["acted"]
    assert figures["acted"] == {"UA": 100.0, "without": round(100 * 20 / 36, 2), "clips": 36}
    assert figures["talk"]["windows"] == WINDOWS and figures["talk"]["alarms"] <= figures["talk"]["without"]


def test_without_baselines_or_folds_there_is_nothing_to_measure() -> None:
    plain = predictions()
    assert measure_baselines(replace(plain, outputs={"main": plain.main})) == {}
    assert measure_baselines(replace(plain, folds=np.full(len(plain.targets), "1"))) == {}

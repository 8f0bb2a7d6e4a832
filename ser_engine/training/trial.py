"""One change of a configuration, tested on some folds, and recorded next to all that was tried before."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.ordinary import is_ordinary, measure_ordinary
from ser_engine.evaluation.trials import TRIALS, read_trials
from ser_engine.io import write_text
from ser_engine.settings import Settings
from ser_engine.training.config import config_name, load_config
from ser_engine.training.runner import prepare_run


def run_trial(
    path: Path, changes: Sequence[str], folds: Sequence[str], settings: Settings, protocol: str = "", note: str = ""
) -> dict[str, Any]:
    """Train what a TOML describes with some entries changed, test it on some folds, and add that to trials.jsonl.

    A trial that was run before is measured again and its line replaced; finished folds are not trained again.
    `changes` are lines of TOML, "key = value"; `folds` are tested, each by a model trained on all the others. The
    result is {run, changed, folds, UA, WA, by_corpus {corpus: UA}, degradations {name: UA}, corpus_probe, clips,
    seconds, note}, where baselines are tested `baselines` (see `measure_baselines`), and where ordinary talk is tested
    `ordinary`: the percentage of its windows whose answer is neither neutral nor calm, however unsure.
    """
    changed = read_changes(changes)
    read_trials(settings.results / TRIALS)  # a damaged file is reported before anything is trained
    run = prepare_run(path, protocol, settings, load_config(path, protocol, changed))
    for name in folds:
        run.fold(name)
    predictions = run.predictions(run.cross_validate(folds), folds)
    measured = run.system.measure(predictions)
    line = {
        "run": config_name(path),
        "changed": changed,
        "folds": sorted(folds),
        "UA": measured["metrics"]["UA"],
        "WA": measured["metrics"]["WA"],
        "by_corpus": {corpus: row["UA"] for corpus, row in measured["by_corpus"].items()},
        "degradations": {name: row["UA"] for name, row in measured.get("degradations", {}).items()},
        "corpus_probe": measured.get("corpus_probe", {}),
        "clips": len(predictions.targets),
        "seconds": round(run.state.seconds(folds), 1),
        "note": note,
    }
    if baselines := measured.get("details", {}).get("baselines"):
        line["baselines"] = baselines
    talk = is_ordinary(predictions.utterances) & ~np.isnan(predictions.main).any(axis=1)
    if talk.any():
        probabilities = np.asarray(softmax(predictions.main[talk], axis=1))
        line["ordinary"] = measure_ordinary(probabilities, predictions.labels, threshold=0.0)["alarms"]
    _add_trial(settings.results / TRIALS, line)
    return line


def read_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Return {key: value} of texts like "dropout = 0.6"; InvalidSettings names the one that is not valid TOML."""
    entries: dict[str, Any] = {}
    for text in changes:
        try:
            entries |= tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            raise InvalidSettings(
                f"“{text}” is not an entry of a TOML file, such as dropout=0.6 or corpora=['tess']."
            ) from None
    return entries


def _add_trial(path: Path, line: dict[str, Any]) -> None:
    """Append a trial, in place of an earlier one of the same changes and folds."""
    same = ("run", "changed", "folds")
    others = [trial for trial in read_trials(path) if any(trial.get(key) != line[key] for key in same)]
    write_text(path, "".join(json.dumps(trial, ensure_ascii=False) + "\n" for trial in (*others, line)))

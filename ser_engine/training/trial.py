"""One thing changed, tried on some folds of whole speakers, and kept beside all that was tried before."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.evaluate import by_groups, decide
from ser_engine.evaluation.metrics import unweighted_accuracy, weighted_accuracy
from ser_engine.settings import Settings
from ser_engine.training.config import TrainingConfig, read_config
from ser_engine.training.runner import prepare

TRIALS = "trials.jsonl"


def trial(
    path: Path,
    changes: Sequence[str],
    folds: Sequence[int],
    data: Path,
    settings: Settings,
    results: Path,
    note: str = "",
) -> dict[str, Any]:
    """Train what a TOML describes with some entries changed, test it on some folds, and write that into trials.jsonl.

    A trial that was done before is measured anew and keeps its line; what it had finished is not trained again.

    Parameters
    ----------
    changes : "key = value" as TOML has them
    folds : numbers of the folds that are tested, each by a model of all the others

    Returns
    -------
    {run, changed, folds, UA, WA, by_corpus {corpus: UA}, conditions {condition: UA}, corpus_probe, clips, seconds,
    note}

    Raises
    ------
    CorpusError
        A corpus is not in `data`.
    InvalidSettings
        The TOML or a change is wrong, is none of the bundled model's kind, or there is no such fold.
    """
    changed = read_changes(changes)
    config = read_config(path, changed)
    if not isinstance(config, TrainingConfig) or config.protocol != "speaker-independent":
        raise InvalidSettings(f"{path} asks for {config.architecture}; trials are of whisper-statistics alone.")
    experiment = prepare(config, path, data, settings)
    numbers = experiment.folds()
    if unknown := sorted(set(folds) - set(numbers.tolist())):
        raise InvalidSettings(f"{path} has no fold {unknown[0]}; it has {', '.join(map(str, np.unique(numbers)))}.")
    opinions = experiment.cross_validate(numbers, folds)
    rows = np.flatnonzero(np.isin(numbers, folds))
    true, utterances = experiment.true[rows], [experiment.utterances[row] for row in rows]
    predicted, *worse = (decide(found[rows], true)[0] for found in opinions)
    line = {
        "run": path.stem,
        "changed": changed,
        "folds": sorted(folds),
        "UA": round(unweighted_accuracy(true, predicted), 2),
        "WA": round(weighted_accuracy(true, predicted), 2),
        "by_corpus": {name: row["UA"] for name, row in by_groups(utterances, true, predicted)["by_corpus"].items()},
        "conditions": {
            name: round(unweighted_accuracy(true, found), 2)
            for name, found in zip(config.conditions, worse, strict=True)
        },
        "corpus_probe": experiment.corpus_probe(numbers, folds),
        "clips": len(rows),
        "seconds": round(sum(experiment.took[str(fold)] for fold in folds), 1),
        "note": note,
    }
    _write(results / TRIALS, line)
    return line


def read_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Return {key: value} of texts like "dropout = 0.6"; InvalidSettings names the one that is no entry of a TOML."""
    found: dict[str, Any] = {}
    for text in changes:
        try:
            found |= tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            raise InvalidSettings(
                f"“{text}” is no entry of a TOML, as dropout=0.6 or labels=['sad'] would be."
            ) from None
    return found


def read_trials(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a trials.jsonl; none where there is no such file, and what is no line is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def _write(path: Path, line: dict[str, Any]) -> None:
    """Put a trial in the place of an earlier one of the same, or at the end."""
    same = ("run", "changed", "folds")
    trials = read_trials(path)
    places = [i for i, one in enumerate(trials) if all(one.get(key) == line[key] for key in same)]
    if places:
        trials[places[0]] = line
    else:
        trials.append(line)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in trials), encoding="utf-8")
    beside.replace(path)

"""The model of one fold, saved: what a finished model of that configuration predicts for unseen speakers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ser_engine.data.corpora.base import Utterance
from ser_engine.data.splits import Fold
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.evaluate import overall_temperature
from ser_engine.models.store import CONFIG
from ser_engine.settings import Settings
from ser_engine.training.config import load_config
from ser_engine.training.heads import HeadTrainingConfig
from ser_engine.training.runner import NO_ROWS, Run, prepare_run
from ser_engine.training.state import RunState
from ser_engine.training.system import Task


def train_fold_model(path: Path, fold: str, settings: Settings) -> tuple[Path, list[Utterance]]:
    """Return the folder of a model that was trained on all folds but one, and the clips of that fold.

    The folder lies in `settings.cache` and is an emotion model like any other; its config.json names the speakers that
    are not in its training under "unseen_speakers". A model that is there is not trained again.
    """
    config = load_config(path)
    if config.system != "whisper-statistics" or not isinstance(config, HeadTrainingConfig):
        raise InvalidSettings(f"{path} is of the system {config.system}; only whisper-statistics saves fold models.")
    # Only degradations that are trained on matter here, since nothing is tested.
    changed = replace(config, degradations=config.augmentation, id=f"{config.id}-fold-{fold}")
    run = prepare_run(path, "", settings, changed)
    number, left_out = run.fold(fold)
    clips = run.prepared.clips
    unseen = [clips.utterances[row] for row in left_out.test]
    folder = settings.cache / "fold-models" / f"{path.stem}-fold-{fold}-{run.state.folder.name}"
    if not (folder / CONFIG).exists():
        fitted = run.system.fit(run.prepared, Task.of(left_out, number, RunState(folder)))
        model = run.system.export(fitted, run.prepared, _temperature(run, number, folder))
        speakers = sorted({utterance.speaker for utterance in unseen})
        model.card = {"corpora": list(config.corpora), "fold": fold, "unseen_speakers": speakers}
        model.save(folder)
    return folder, unseen


def _temperature(run: Run, number: int, folder: Path) -> float:
    """Return the temperature fitted on the next fold, by a system that was trained on neither of the two folds."""
    left_out, other = run.folds[number], run.folds[(number + 1) % len(run.folds)]
    train = np.setdiff1d(left_out.train, other.test)
    name = f"{left_out.name} and {other.name}"
    fitted = run.system.fit(run.prepared, Task(train, NO_ROWS, name, len(run.folds), RunState(folder)))
    outputs = run.system.predict(fitted, run.prepared, other.test)
    tested = replace(run, folds=[Fold(other.name, train, NO_ROWS, other.test)])
    return overall_temperature(tested.predictions([outputs]))

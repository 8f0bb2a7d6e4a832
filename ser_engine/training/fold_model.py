"""The model of one fold, kept: what a finished model of that recipe would say of voices that it has not heard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.calibration import fit_temperature
from ser_engine.models import store as weights
from ser_engine.models.whisper_statistics import WhisperStatistics
from ser_engine.settings import Settings
from ser_engine.training.config import TrainingConfig, read_config
from ser_engine.training.heads import Rows, log_probabilities
from ser_engine.training.runner import Experiment, prepare, present


def fold_model(path: Path, fold: int, data: Path, settings: Settings) -> tuple[Path, list[Utterance]]:
    """Return the folder of a model that was trained on all folds but one, and the clips of the speakers in that one.

    The folder lies in `settings.cache` and is an emotion model like any other; its config.json names the speakers that
    it has not heard under "unheard". What is there is not trained again.

    Raises
    ------
    CorpusError
        A corpus of the configuration is not in `data`.
    InvalidSettings
        The configuration is wrong, is none of the bundled model's kind, or has no such fold.
    """
    config = read_config(path)
    if not isinstance(config, TrainingConfig) or config.architecture != "whisper-statistics":
        raise InvalidSettings(f"{path} asks for {config.architecture}; one fold of whisper-statistics alone is kept.")
    # Nothing is tested here, so that nothing has to be heard worse but what is learned from.
    experiment = prepare(replace(config, conditions=config.augmentation), path, data, settings)
    folds = experiment.folds()
    known = [int(number) for number in np.unique(folds)]
    if fold not in known:
        raise InvalidSettings(f"{path} has the folds {', '.join(map(str, known))}, and no fold {fold}.")
    unheard = [one for one, number in zip(experiment.utterances, folds, strict=True) if number == fold]
    version = experiment.state.name.rsplit("-", 1)[-1]
    folder = settings.cache / "fold-models" / f"{path.stem}-fold-{fold}-{version}"
    if not (folder / weights.CONFIG).exists():
        folder.mkdir(parents=True, exist_ok=True)
        model = _train(replace(experiment, state=folder), folds, fold, settings)
        model.card["unheard"] = sorted({one.speaker for one in unheard})
        model.save(folder)
    return folder, unheard


def _train(experiment: Experiment, folds: Rows, fold: int, settings: Settings) -> WhisperStatistics:
    """Train on all folds but one; its temperature is fitted on another, by a head that heard neither of the two."""
    config, heard = experiment.config, experiment.heard
    head = experiment.fit(np.flatnonzero(heard & (folds != fold)), str(fold))
    others = np.unique(folds[folds != fold])
    tuned = others[np.searchsorted(others, fold) % len(others)]
    judge = experiment.fit(np.flatnonzero(heard & (folds != fold) & (folds != tuned)), f"{fold} and {tuned}")
    rows = np.flatnonzero(heard & (folds == tuned))
    encodings = present(experiment.views[0], rows)
    temperature = fit_temperature(log_probabilities(judge, encodings), experiment.true[rows])
    encoder = weights.shared_whisper(replace(settings, whisper="base")).encoder
    card = {"corpora": list(config.corpora), "fold": fold}
    return WhisperStatistics(f"{config.id}-fold-{fold}", config.labels, head, encoder, temperature, card)

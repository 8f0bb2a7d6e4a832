"""A voice's model and a reader of words as one, on strangers: what words add to acted speech, or cost it.

Nothing is trained: the voice's opinions are those of the folds of its own run, the reader is finished, and how the two
become one is `ser_engine.fusion`'s. The sentences of acted corpora say nothing of the emotion, so that the best that
words can do there is nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine import trained_on
from ser_engine.analysis import Scores
from ser_engine.errors import InvalidSettings
from ser_engine.fusion import fuse, speaks
from ser_engine.models.fused import Fused
from ser_engine.settings import Settings
from ser_engine.training import predictions
from ser_engine.training.audit import audit_folds
from ser_engine.training.card import write_fused_card
from ser_engine.training.config import FusedTraining, TrainingConfig, read_config
from ser_engine.training.evaluate import calibrated, decide, fold_entries, fold_temperatures, measure_run, write_json
from ser_engine.training.metrics import unweighted_accuracy, weighted_accuracy
from ser_engine.training.run import card_of, prepare
from ser_engine.training.splits import numbered, speakers_apart
from ser_engine.training.transcripts import heard_words


def run_fused(path: Path, config: FusedTraining, data: Path, settings: Settings, results: Path) -> dict[str, Any]:
    """Measure and write the model that the TOML at `path` describes, of a voice's run and a finished reader of words.

    Writes results/<name of the TOML>/{run.json, folds.json, predictions.npz} and models/<id>/{config.json,
    trained_on.bin, README.md}. The folds of the voice's run that are not kept are trained first. Returns run.json.

    Raises
    ------
    CorpusError
        A corpus is not in `data`.
    InvalidSettings
        The TOML is wrong, or the one of the voice that it names.
    WeightsUnavailable
        One of the two finished models is not in `settings.models_dir`.
    """
    source = path.parent / f"{config.speech}.toml"
    voice = read_config(source)
    if not isinstance(voice, TrainingConfig) or not voice.save:
        raise InvalidSettings(f"{path}: speech names {source}, which makes no model of a voice alone.")
    if voice.corpora != config.corpora:
        raise InvalidSettings(f"{path} is about other corpora than {source}, whose voices it takes.")
    parts = (settings.models_dir / voice.id, settings.models_dir / config.text)
    model = Fused.join(config.id, *parts, settings)
    experiment = prepare(voice, source.stem, data, settings)
    utterances, true, folds = experiment.utterances, experiment.true, experiment.folds()
    opinions = experiment.cross_validate(folds)[0]
    temperatures = fold_temperatures(opinions, true, folds)
    voices = calibrated(opinions, folds, temperatures)
    words = heard_words([utterance.path for utterance in utterances], settings)
    read = model.read(words)
    both = np.stack(
        [
            fuse(Scores(voice.labels, own), opinion, said.confidence).probabilities
            for own, opinion, said in zip(voices, read, words, strict=True)
        ]
    )
    found = np.log(np.maximum(both, 1e-9)).astype(np.float32)
    measured = measure_run(utterances, found, folds, dict.fromkeys(temperatures, 1.0), voice.labels)
    alone, _ = decide(opinions, true)
    together, _ = decide(found, true)
    parted = numbered(folds)
    entry = {
        "id": path.stem,
        "model": config.id,
        "features": f"voice by {voice.id}, words by {config.text}",
        "protocol": voice.protocol,
        "speaker_independent": speakers_apart(utterances, parted),
        "corpora": list(voice.corpora),
        "labels": list(voice.labels),
        **measured,
        "parts": {"speech": _figures(true, alone)},
        "words": {
            "speak": _percent(np.array([opinion is not None and speaks(opinion, voice.labels) for opinion in read])),
            "change": _percent(alone != together),
            "lost": round(unweighted_accuracy(true, alone) - unweighted_accuracy(true, together), 2),
        },
        "audit": audit_folds(utterances, parted).to_dict(),
        "note": config.note,
        "seed": voice.seed,
        "config": asdict(config),
    }
    write_json(results / path.stem / "run.json", entry)
    write_json(results / path.stem / "folds.json", fold_entries(utterances, folds, found, voice.labels))
    predictions.write(results / path.stem, utterances, folds, found[None])
    model.card = {"corpora": list(voice.corpora), "measured": card_of(entry)}
    folder = settings.models_dir / config.id
    model.save(folder)
    trained_on.write(folder, [utterances[i].path for i in np.flatnonzero(experiment.heard)])
    write_fused_card(folder, entry, voice.id)
    return entry


def _figures(true: NDArray[np.int_], predicted: NDArray[np.int_]) -> dict[str, float]:
    return {
        "UA": round(unweighted_accuracy(true, predicted), 2),
        "WA": round(weighted_accuracy(true, predicted), 2),
    }


def _percent(marks: NDArray[np.bool_]) -> float:
    return round(100 * float(marks.mean()), 2)

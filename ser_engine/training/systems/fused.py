"""A voice's model and a reader of words as one, on strangers: what words add to acted speech, or cost it.

Nothing is trained: the voice's opinions are those of the folds of its own run, the reader is finished, and how the two
become one is in `ser_engine.models.fusion`. The sentences of acted corpora say nothing of the emotion: at best the
words change nothing there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shutil import copyfile
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.audit import audit_folds
from ser_engine.data.cache import keep_named
from ser_engine.data.splits import folds_by_number, speakers_apart
from ser_engine.data.transcripts import PIPELINE, heard_words
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation import predictions
from ser_engine.evaluation.cards import write_fused_card
from ser_engine.evaluation.evaluate import calibrated, decide, fold_entries, fold_temperatures, measure_run, write_json
from ser_engine.evaluation.metrics import accuracies, percent, unweighted_accuracy
from ser_engine.models import trained_on
from ser_engine.models.fused import TEXT, Fused
from ser_engine.models.fusion import factors, tilted
from ser_engine.models.store import read_config as read_model
from ser_engine.settings import Settings
from ser_engine.training.config import FusedTraining, TrainingConfig, read_config
from ser_engine.training.runner import card_of, read
from ser_engine.types import Scores

WORDS = "words.npz"
"""What the words of each clip said, beside the run, so that another voice can be joined without listening again."""


def run_fused(path: Path, config: FusedTraining, data: Path, settings: Settings, results: Path) -> dict[str, Any]:
    """Measure and write the model that the TOML at `path` describes, of a voice's run and a finished reader of words.

    Writes results/<name of the TOML>/{run.json, folds.json, predictions.npz, words.npz} and
    models/<id>/{config.json, trained_on.bin, README.md}. What words.npz holds of the same recognizer and the same
    reader is not listened for again. Returns run.json.

    Raises
    ------
    CorpusError
        A corpus is not in `data`.
    InvalidSettings
        The TOML is wrong, or the one of the voice that it names, or that one's run is not in `results`.
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
    said = predictions.read_of(results / source.stem, read(voice.corpora, data, voice.labels))
    utterances, folds, opinions = said.utterances, said.folds, said.log_probabilities[0]
    true = np.array([voice.labels.index(str(utterance.label)) for utterance in utterances])
    temperatures = fold_temperatures(opinions, true, folds)
    voices = calibrated(opinions, folds, temperatures)
    words = _words(results / path.stem / WORDS, model, [utterance.path for utterance in utterances], settings)
    both = np.stack(
        [tilted(Scores(voice.labels, own), row).probabilities for own, row in zip(voices, words, strict=True)]
    )
    found = np.log(np.maximum(both, 1e-9)).astype(np.float32)
    measured = measure_run(utterances, found, folds, dict.fromkeys(temperatures, 1.0), voice.labels)
    alone, _ = decide(opinions, true)
    together, _ = decide(found, true)
    parted = folds_by_number(folds)
    entry = {
        "id": path.stem,
        "model": config.id,
        "features": f"voice by {voice.id}, words by {config.text}",
        "protocol": voice.protocol,
        "speaker_independent": speakers_apart(utterances, parted),
        "corpora": list(voice.corpora),
        "labels": list(voice.labels),
        **measured,
        "parts": {"speech": accuracies(true, alone)},
        "words": {
            "speak": percent((words != words[:, :1]).any(axis=1)),
            "change": percent(alone != together),
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
    copyfile(parts[0] / trained_on.FILE, folder / trained_on.FILE)
    write_fused_card(folder, entry, voice.id)
    return entry


def _words(kept: Path, model: Fused, clips: Sequence[Path], settings: Settings) -> NDArray[np.float64]:
    """Return by what the words of each clip multiply the odds of each label, [n, labels]; `kept` is read or written."""
    whisper = read_model(settings.models_dir / f"whisper-{settings.whisper}").get("weights")
    names = [f"{clip.parent.name}/{clip.name}" for clip in clips]
    known = [names, model.labels, model.parts[TEXT]["sha256"], whisper, settings.language, PIPELINE]
    identity = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    try:
        with np.load(kept, allow_pickle=False) as file:
            if str(file["identity"]) == identity:
                return np.asarray(file["factors"], np.float64)
    except (OSError, ValueError, KeyError, BadZipFile):
        pass
    words = heard_words(clips, settings)
    found = np.stack(
        [
            factors(opinion, said.confidence, model.labels)
            for opinion, said in zip(model.read(words), words, strict=True)
        ]
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    keep_named(kept, identity=identity, factors=found.astype(np.float32))
    return found.astype(np.float32).astype(np.float64)

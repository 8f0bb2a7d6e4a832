"""One experiment from its TOML to results/<run>/ and models/<id>/; stopped, it goes on at the fold it was in."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine import weights
from ser_engine.corpora import registry
from ser_engine.corpora.base import Utterance
from ser_engine.errors import InvalidSettings
from ser_engine.models.whisper_statistics import Head, WhisperStatistics
from ser_engine.settings import Settings
from ser_engine.training.card import write_card
from ser_engine.training.config import TrainingConfig
from ser_engine.training.evaluate import measure_external, measure_run, run_entry, write_json
from ser_engine.training.prepare import encoder_statistics
from ser_engine.training.splits import speaker_independent
from ser_engine.training.train import (
    HistoryFile,
    fit_temperature,
    log_probabilities,
    targets_of,
    train_head,
    weights_of,
)

Features = list[NDArray[np.float32] | None]


def run(path: Path, data: Path, settings: Settings, results: Path) -> dict[str, Any]:
    """Train and measure what the TOML at `path` describes, on the corpora in `data`.

    Writes results/<name of the TOML>/{run.json, history.jsonl, folds.json} and, trained on all folds together,
    models/<id>/{config.json, model.safetensors, README.md}. Returns run.json.

    Raises
    ------
    CorpusError
        A corpus is not in `data`.
    InvalidSettings
        The TOML is wrong.
    """
    config = TrainingConfig.read(path)
    if (config.architecture, config.protocol) != ("whisper-statistics", "speaker-independent"):
        raise InvalidSettings(f"{path} asks for {config.architecture}, {config.protocol}, which cannot be trained yet.")
    begun = time.perf_counter()
    utterances = _read(config.corpora, data)
    features = encoder_statistics([utterance.path for utterance in utterances], settings)
    folds = speaker_independent(utterances, config.seed)
    state = settings.cache / "runs" / f"{path.stem}-{_fingerprint(config, utterances)}"
    state.mkdir(parents=True, exist_ok=True)
    opinions = _cross_validate(config, utterances, features, folds, state)

    true = np.array([config.labels.index(str(utterance.label)) for utterance in utterances])
    heard = np.array([array is not None for array in features])
    others = {fold: heard & (folds != fold) for fold in np.unique(folds)}
    temperatures = {int(fold): fit_temperature(opinions[rows], true[rows]) for fold, rows in others.items()}
    measured = measure_run(utterances, opinions, folds, temperatures, config)

    head = _final(config, utterances, features, state)
    if config.external:
        measured["external"] = _external(config, head, data, settings)
    entry = run_entry(path.stem, config, measured, time.perf_counter() - begun)
    folder = results / path.stem
    write_json(folder / "run.json", entry)
    write_json(folder / "folds.json", _folds(utterances, folds, opinions, config))
    (folder / "history.jsonl").write_bytes((state / "history.jsonl").read_bytes())
    _save_model(config, head, fit_temperature(opinions[heard], true[heard]), entry, settings)
    return entry


def _read(corpora: tuple[str, ...], data: Path) -> list[Utterance]:
    """Return all utterances of the corpora that have one of our labels."""
    everything = [utterance for corpus in corpora for utterance in registry.read(corpus, data)]
    return [utterance for utterance in everything if utterance.label is not None]


def _fingerprint(config: TrainingConfig, utterances: list[Utterance]) -> str:
    names = " ".join(f"{utterance.corpus}/{utterance.name}" for utterance in utterances)
    return hashlib.sha256(f"{config} {names}".encode()).hexdigest()[:12]


def _cross_validate(
    config: TrainingConfig, utterances: list[Utterance], features: Features, folds: NDArray[np.int_], state: Path
) -> NDArray[np.float32]:
    """Return log-probabilities [n, labels], each row by a head that did not hear its speaker; uniform if no speech."""
    opinions = np.full((len(utterances), len(config.labels)), -np.log(len(config.labels)), np.float32)
    heard = np.array([array is not None for array in features])
    for fold in tqdm(np.unique(folds), desc="folds"):
        saved = state / f"fold-{fold}.npy"
        test = np.flatnonzero(heard & (folds == fold))
        if not saved.exists():
            head = _fit(config, utterances, features, np.flatnonzero(heard & (folds != fold)), state, str(fold))
            _save(saved, log_probabilities(head, _stack(features, test)))
        opinions[test] = np.load(saved)
    return opinions


def _fit(
    config: TrainingConfig, utterances: list[Utterance], features: Features, rows: NDArray[np.int_], state: Path, fold: str
) -> Head:
    chosen = [utterances[i] for i in rows]
    history = HistoryFile(state / "history.jsonl", fold)
    return train_head(
        _stack(features, rows), targets_of(chosen, config), weights_of(chosen, config), config, history
    )


def _final(config: TrainingConfig, utterances: list[Utterance], features: Features, state: Path) -> Head:
    """Return the head that is shipped: trained on every speaker."""
    rows = np.flatnonzero([array is not None for array in features])
    return _fit(config, utterances, features, rows, state, "all")


def _external(
    config: TrainingConfig, head: Head, data: Path, settings: Settings
) -> dict[str, dict[str, Any]]:
    """Return figures on corpora that were not trained on, clips without speech left out and counted."""
    figures = {}
    for corpus in config.external:
        utterances = _read((corpus,), data)
        features = encoder_statistics([utterance.path for utterance in utterances], settings)
        rows = np.flatnonzero([array is not None for array in features])
        opinions = log_probabilities(head, _stack(features, rows))
        figures[corpus] = measure_external([utterances[i] for i in rows], opinions, config)
        figures[corpus]["no_speech_found"] = len(utterances) - len(rows)
    return figures


def _stack(features: Features, rows: NDArray[np.int_]) -> NDArray[np.float32]:
    chosen = [features[i] for i in rows]
    return np.stack([array for array in chosen if array is not None])


def _save(path: Path, array: NDArray[np.float32]) -> None:
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        np.save(file, array)
    beside.replace(path)


def _folds(
    utterances: list[Utterance], folds: NDArray[np.int_], opinions: NDArray[np.float32], config: TrainingConfig
) -> dict[str, Any]:
    """Return for each fold who was tested and how well."""
    from ser_engine.training.metrics import unweighted_accuracy, weighted_accuracy

    true = np.array([config.labels.index(str(utterance.label)) for utterance in utterances])
    predicted = opinions.argmax(axis=1)
    result = {}
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        result[str(fold)] = {
            "test_speakers": sorted({utterances[i].speaker for i in rows}),
            "clips": len(rows),
            "UA": round(unweighted_accuracy(true[rows], predicted[rows]), 2),
            "WA": round(weighted_accuracy(true[rows], predicted[rows]), 2),
        }
    return result


def _save_model(config: TrainingConfig, head: Head, temperature: float, entry: dict[str, Any], settings: Settings) -> None:
    """Write the model with its measured figures and its card."""
    measured = {
        "protocol": entry["protocol"],
        **{key: entry["metrics"][key] for key in ("UA", "WA", "UA_ci95", "ECE")},
        "per_corpus": entry["by_corpus"],
        "external": entry.get("external", {}),
        "run": entry["id"],
    }
    encoder = weights.shared_whisper(replace(settings, whisper="base")).encoder
    card = {"corpora": list(config.corpora), "measured": measured}
    folder = settings.models_dir / config.id
    WhisperStatistics(config.id, config.labels, head, encoder, temperature, card).save(folder)
    write_card(folder, entry)

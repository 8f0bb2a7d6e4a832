"""One experiment from its TOML to results/<run>/ and models/<id>/; stopped, it goes on at the fold it was in."""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.data import splits
from ser_engine.data.audit import audit_folds
from ser_engine.data.cache import PIPELINE, encoder_outputs, keep
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.splits import assign_speaker_folds, folds_by_number
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation import corpus_probe, predictions
from ser_engine.evaluation.calibration import fit_temperature
from ser_engine.evaluation.cards import write_card
from ser_engine.evaluation.evaluate import (
    fold_entries,
    fold_temperatures,
    measure_external,
    measure_run,
    run_entry,
    write_json,
)
from ser_engine.features.encoder import Encoding
from ser_engine.models import store as weights
from ser_engine.models import trained_on
from ser_engine.models.whisper_statistics import Head, OnWhisperEncoder, WhisperStatistics
from ser_engine.settings import Settings
from ser_engine.training.config import TrainingConfig, read_config
from ser_engine.training.heads import (
    HistoryFile,
    Rows,
    embeddings,
    log_probabilities,
    targets_of,
    train_head,
    weights_of,
)

# Architecture → module and function; modules are imported when a system of theirs is trained.
RUNNERS = {
    "classical": ("ser_engine.training.systems.classical", "run_classical"),
    "fused": ("ser_engine.training.systems.fused", "run_fused"),
    "network": ("ser_engine.training.systems.network", "run_network"),
    "speech-text": ("ser_engine.training.systems.speech_text", "run_speech_text"),
    "text-emotion": ("ser_engine.training.systems.text_emotion", "run_text_emotion"),
}

PROTOCOLS = ("speaker-independent", "stratified-k-fold")
"""That can be measured: both test every clip once."""

EXPERIMENTS = {
    "whisper-statistics": ("ser_engine.training.runner", "prepare_statistics"),
    "whisper-tuned": ("ser_engine.training.systems.whisper_tuned", "prepare_tuned"),
}
"""Architecture → module and function that make the `Experiment` of what is learned fold by fold."""

Feature = TypeVar("Feature")
"""What is known of a clip."""
Trained = TypeVar("Trained")
"""What a fold's training makes."""


@dataclass(frozen=True)
class Experiment(ABC, Generic[Feature, Trained]):
    """What is trained on: n utterances, and their features in every view (the first is the one that is tested).

    `true` is int [n], indices into the labels; `heard` is bool [n], false where no speech was found; `worse` are the
    features under each of the configuration's conditions; `state` is the folder in which finished folds are kept.
    """

    config: TrainingConfig
    utterances: list[Utterance]
    views: list[list[Feature | None]]
    worse: list[list[Feature | None]]
    state: Path

    @abstractmethod
    def train(
        self,
        versions: Sequence[Sequence[Feature | None]],
        targets: NDArray[np.float32],
        weights: NDArray[np.float64],
        fold: str,
    ) -> Trained:
        """Return what is trained of n clips, see `train.train_head`; `timed`, and told to `history`."""

    @abstractmethod
    def opinions(self, trained: Trained, features: Sequence[Feature]) -> NDArray[np.float32]:
        """Return log-probabilities float32 [n, labels] of n clips."""

    @abstractmethod
    def sources(self, trained: Trained) -> list[Callable[[Sequence[Any]], NDArray[np.float32]]]:
        """Return what makes embeddings of features, for each of `corpus_probe.SOURCES`."""

    @abstractmethod
    def external_opinions(
        self, trained: Trained, paths: Sequence[Path], settings: Settings
    ) -> tuple[Rows, NDArray[np.float32]]:
        """Return in which of some recordings there is speech, int [m], and joint log-probabilities [m, labels]."""

    @abstractmethod
    def joined(
        self, found: NDArray[np.float32], folds: Rows, results: Path
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the log-probabilities that the finished model would have, of those that were cross-validated.

        And further entries of run.json.
        """

    @abstractmethod
    def finished(
        self, trained: Trained, temperature: float, card: dict[str, Any], settings: Settings
    ) -> OnWhisperEncoder:
        """Return the finished model."""

    @property
    def true(self) -> Rows:
        """Return the labels as int [n]."""
        return np.array([self.config.labels.index(str(utterance.label)) for utterance in self.utterances])

    @property
    def corpora(self) -> Rows:
        """Return the corpus of each as int [n], an index into the configuration's."""
        return np.array([self.config.corpora.index(utterance.corpus) for utterance in self.utterances])

    @property
    def heard(self) -> NDArray[np.bool_]:
        """Return bool [n]: whether speech was found."""
        return np.array([encoding is not None for encoding in self.views[0]])

    def folds(self) -> Rows:
        """Return the fold, int [n] from 1, in which each is tested."""
        numbers = np.zeros(len(self.utterances), int)
        labels = [str(utterance.label) for utterance in self.utterances]
        for fold in splits.make_folds(self.config.protocol, self.utterances, labels, self.config.seed):
            numbers[fold.test] = int(fold.name)
        return numbers

    @property
    def took(self) -> dict[str, float]:
        """Return {fold: seconds} of every training that has ended, "all" among them."""
        found: dict[str, float] = {}
        for file in sorted(self.state.glob("fold-*.seconds")):
            fold = file.stem.split("-")[1]
            found[fold] = found.get(fold, 0.0) + float(file.read_text(encoding="utf-8"))
        return found

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Keep in `state`, as a part of `took`, how long the training of "fold-1" or "fold-1-member-0" takes."""
        begun = time.perf_counter()
        yield
        (self.state / f"{part}.seconds").write_text(f"{time.perf_counter() - begun:.1f}", encoding="utf-8")

    def history(self, fold: str, members: int = 0) -> HistoryFile:
        """Return what keeps in `state` how the training of a fold goes, whose first `members` are finished already."""
        return HistoryFile(self.state / "history.jsonl", fold, members=members)

    def fit(self, rows: Rows, fold: str) -> Trained:
        """Return what is trained on all versions of rows with speech in them."""
        chosen = [self.utterances[i] for i in rows]
        learned = [self.worse[self.config.conditions.index(name)] for name in self.config.augmentation]
        versions = [[features[i] for i in rows] for features in (*self.views, *learned)]
        return self.train(versions, targets_of(chosen, self.config), weights_of(chosen, self.config), fold)

    def cross_validate(self, folds: Rows, only: Collection[int] | None = None) -> NDArray[np.float32]:
        """Return log-probabilities [1 + conditions, n, labels], each row by what did not hear its speaker.

        The first are of the clips as they are. Where no speech was found, the row is uniform, and in folds that are not
        among `only`.
        """
        count = len(self.config.labels)
        tested = [self.views[0], *self.worse]
        opinions = np.full((len(tested), len(self.utterances), count), -np.log(count), np.float32)
        for fold in tqdm(np.unique(folds) if only is None else sorted(only), desc="folds"):
            saved = self.state / f"fold-{fold}.npy"
            test = np.flatnonzero(folds == fold)
            if not saved.exists():
                trained = self.fit(np.flatnonzero(self.heard & (folds != fold)), str(fold))
                for own, features in zip(opinions, tested, strict=True):
                    if rows := [int(i) for i in test if features[i] is not None]:
                        own[rows] = self.opinions(trained, present(features, rows))
                self._probe(trained, folds, int(fold))
                keep(saved, opinions[:, test])
            opinions[:, test] = np.load(saved)
        return opinions

    def _probe(self, trained: Trained, folds: Rows, fold: int) -> None:
        """Keep in `state` which corpora the clips of a fold are taken for."""
        corpora, plain = self.corpora, self.views[0]
        if len(np.unique(corpora)) > 1:
            train, test = (np.flatnonzero(self.heard & own) for own in (folds != fold, folds == fold))
            known, unknown = present(plain, train), present(plain, test)
            keep(
                self.state / f"probe-{fold}.npy",
                corpus_probe.probe(self.sources(trained), known, corpora[train], unknown, self.config.seed),
            )

    def corpus_probe(self, folds: Rows, only: Collection[int] | None = None) -> dict[str, Any]:
        """Return how well the corpora can be told apart, over all folds or some; nothing where there is but one."""
        if len(np.unique(self.corpora)) == 1:
            return {}
        numbers = sorted(np.unique(folds)) if only is None else sorted(only)
        found = [np.load(self.state / f"probe-{fold}.npy") for fold in numbers]
        true = [self.corpora[self.heard & (folds == fold)] for fold in numbers]
        return corpus_probe.measure(np.concatenate(true), np.concatenate(found, axis=1))


@dataclass(frozen=True)
class StatisticsExperiment(Experiment[Encoding, Head]):
    """Heads on encodings of the frozen encoder."""

    def train(
        self,
        versions: Sequence[Sequence[Encoding | None]],
        targets: NDArray[np.float32],
        weights: NDArray[np.float64],
        fold: str,
    ) -> Head:
        """Return a head."""
        with self.timed(f"fold-{fold}"):
            return train_head(versions, targets, weights, self.config, self.history(fold))

    def opinions(self, trained: Head, features: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return log-probabilities float32 [n, labels] of n clips."""
        return log_probabilities(trained, features)

    def sources(self, trained: Head) -> list[Callable[[Sequence[Any]], NDArray[np.float32]]]:
        """Return what makes embeddings: of the encoder's statistics over its layers, and of the head's last layers."""
        return [corpus_probe.layers_mean, partial(embeddings, trained)]

    def external_opinions(
        self, trained: Head, paths: Sequence[Path], settings: Settings
    ) -> tuple[Rows, NDArray[np.float32]]:
        """Return in which of some recordings there is speech, int [m], and log-probabilities [m, labels]."""
        features = encoder_outputs(paths, settings)
        rows = np.flatnonzero([encoding is not None for encoding in features])
        return rows, self.opinions(trained, present(features, rows))

    def joined(
        self, found: NDArray[np.float32], folds: Rows, results: Path
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return what was found, for the head alone has the say, and nothing further."""
        return found, {}

    def finished(
        self, trained: Head, temperature: float, card: dict[str, Any], settings: Settings
    ) -> WhisperStatistics:
        """Return the head and its encoder as a model."""
        encoder = weights.shared_whisper(replace(settings, whisper="base")).encoder
        return WhisperStatistics(self.config.id, self.config.labels, trained, encoder, temperature, card)


def run(path: Path, data: Path, settings: Settings, results: Path) -> dict[str, Any]:
    """Train and measure what the TOML at `path` describes, on the corpora in `data`.

    Writes results/<name of the TOML>/{run.json, history.jsonl, folds.json, predictions.npz} and, trained on all folds
    together unless the TOML says save = false, models/<id>/{config.json, model.safetensors, README.md}. Returns
    run.json. Other kinds of systems: see `RUNNERS`.

    Raises
    ------
    CorpusError
        A corpus is not in `data`.
    InvalidSettings
        The TOML is wrong.
    """
    config = read_config(path)
    if config.architecture in RUNNERS:
        module, function = RUNNERS[config.architecture]
        entry: dict[str, Any] = getattr(import_module(module), function)(path, config, data, settings, results)
        return entry
    if not isinstance(config, TrainingConfig) or config.architecture not in EXPERIMENTS:
        raise InvalidSettings(f"{path} asks for {config.architecture}, which cannot be trained.")
    if config.protocol not in PROTOCOLS:
        raise InvalidSettings(f"{path} asks for {config.protocol}; {config.architecture} knows {', '.join(PROTOCOLS)}.")
    experiment = prepare(config, path, data, settings)
    folds = experiment.folds()
    found, further = experiment.joined(experiment.cross_validate(folds), folds, results)

    opinions, true, heard = found[0], experiment.true, experiment.heard
    temperatures = fold_temperatures(opinions, true, folds)
    worse = dict(zip(config.conditions, found[1:], strict=True))
    measured = measure_run(experiment.utterances, opinions, folds, temperatures, config.labels, worse)
    measured |= further

    temperature = fit_temperature(opinions[heard], true[heard])
    measured["corpus_probe"] = experiment.corpus_probe(folds)
    trained = experiment.fit(np.flatnonzero(heard), "all") if config.save or config.external else None
    if trained is not None and config.external:
        below = measured["confidence"]["threshold"]["below"]
        measured["external"] = _external(experiment, trained, data, settings, temperature, below)
    parted = folds_by_number(folds)
    measured["audit"] = audit_folds(experiment.utterances, parted).to_dict()
    measured["speaker_independent"] = splits.speakers_apart(experiment.utterances, parted)
    entry = run_entry(path.stem, config, measured, sum(experiment.took.values()))
    folder = results / path.stem
    write_json(folder / "run.json", entry)
    write_json(folder / "folds.json", fold_entries(experiment.utterances, folds, opinions, config.labels))
    predictions.write(folder, experiment.utterances, folds, found)
    (folder / "history.jsonl").write_bytes((experiment.state / "history.jsonl").read_bytes())
    (experiment.state / "finished").touch()  # the results page shows a run's epochs until then
    if trained is not None and config.save:
        card = {"corpora": list(config.corpora), "measured": card_of(entry)}
        model = settings.models_dir / config.id
        experiment.finished(trained, temperature, card, settings).save(model)
        trained_on.write(model, [experiment.utterances[i].path for i in np.flatnonzero(heard)])
        write_card(model, entry)
    return entry


def audit_run(folder: Path, data: Path) -> dict[str, Any]:
    """Audit the split of a run that was made before runs were audited, write that into its run.json and return it.

    Raises
    ------
    CorpusError
        A corpus of the run is not in `data`.
    InvalidSettings
        The folder holds no run that lacks its audit.
    """
    try:
        entry: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        corpora, labels, seed = (entry["config"][key] for key in ("corpora", "labels", "seed"))
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidSettings(f"{folder} holds no run whose split could be made again.") from None
    if "audit" in entry:
        raise InvalidSettings(f"{folder} has its audit already.")
    utterances = read(tuple(corpora), data, tuple(labels))
    entry["audit"] = audit_folds(utterances, folds_by_number(assign_speaker_folds(utterances, seed))).to_dict()
    write_json(folder / "run.json", entry)
    return entry


def prepare(config: TrainingConfig, path: Path, data: Path, settings: Settings) -> Experiment[Any, Any]:
    """Read the corpora, compute their features and make the folder of the state of the run that `path` names."""
    module, function = EXPERIMENTS[config.architecture]
    experiment: Experiment[Any, Any] = getattr(import_module(module), function)(config, path, data, settings)
    return experiment


def prepare_statistics(config: TrainingConfig, path: Path, data: Path, settings: Settings) -> StatisticsExperiment:
    """Return what heads on the frozen encoder are trained on."""
    utterances = read(config.corpora, data, config.labels)
    paths = [utterance.path for utterance in utterances]
    views = [encoder_outputs(paths, settings, view) for view in range(config.views + 1)]
    talkers = talkers_of(config, data)
    worse = [encoder_outputs(paths, settings, condition=name, talkers=talkers) for name in config.conditions]
    state = state_of(config, path.stem, utterances, [*views, *worse], settings)
    return StatisticsExperiment(config, utterances, views, worse, state)


def talkers_of(config: TrainingConfig, data: Path) -> list[Path]:
    """Return the recordings that babble is made of; none where there is no babble."""
    others = config.external if "babble" in config.conditions else ()
    return [one.path for corpus in others for one in registry.read_corpus(corpus, data)]


def state_of(
    config: TrainingConfig,
    name: str,
    utterances: Sequence[Utterance],
    features: Sequence[Sequence[Iterable[NDArray[np.floating[Any]]] | None]],
    settings: Settings,
) -> Path:
    """Return the folder, which is made, of the state of a run of this configuration on these very features."""
    fingerprint = hashlib.sha256(f"{PIPELINE} {config}".encode())
    for utterance, *versions in zip(utterances, *features, strict=True):
        fingerprint.update(f"{utterance.corpus}/{utterance.name} {utterance.label}".encode())
        for version in versions:
            for array in () if version is None else version:
                fingerprint.update(array.tobytes())
    state = settings.cache / "runs" / f"{name}-{fingerprint.hexdigest()[:12]}"
    state.mkdir(parents=True, exist_ok=True)
    return state


def read(corpora: tuple[str, ...], data: Path, labels: tuple[str, ...]) -> list[Utterance]:
    """Return all utterances of the corpora that have one of the labels."""
    everything = [utterance for corpus in corpora for utterance in registry.read_corpus(corpus, data)]
    return [utterance for utterance in everything if utterance.label in labels]


def _external(
    experiment: Experiment[Any, Trained],
    trained: Trained,
    data: Path,
    settings: Settings,
    temperature: float,
    below: float,
) -> dict[str, dict[str, Any]]:
    """Return figures on corpora that were not trained on, clips without speech left out and counted."""
    figures = {}
    labels = experiment.config.labels
    for corpus in experiment.config.external:
        utterances = read((corpus,), data, labels)
        rows, opinions = experiment.external_opinions(trained, [utterance.path for utterance in utterances], settings)
        figures[corpus] = measure_external([utterances[i] for i in rows], opinions, labels, temperature, below)
        figures[corpus]["no_speech_found"] = len(utterances) - len(rows)
    return figures


def present(features: Sequence[Feature | None], rows: Iterable[int]) -> list[Feature]:
    """Return those of the rows in which speech was found."""
    return [found for row in rows if (found := features[row]) is not None]


def card_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of run.json that stand in a model's config.json; `Analyzer.card` passes them on."""
    return {
        "protocol": entry["protocol"],
        **{key: entry["metrics"][key] for key in ("UA", "WA", "UA_ci95", "ECE")},
        "per_corpus": entry["by_corpus"],
        "per_label": {
            label: {name: row[name] for name in ("recall", "precision")} for label, row in entry["per_class"].items()
        },
        "not_sure": entry["confidence"]["threshold"],
        "listeners": entry["listeners"],
        "external": entry.get("external", {}),
        "run": entry["id"],
    }

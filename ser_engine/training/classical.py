"""One experiment with a classical system, from its TOML to results/<run>/; stopped, it goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from ser_engine.corpora import registry
from ser_engine.corpora.base import Utterance
from ser_engine.corpora.labels import LABEL_SETS
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.features import ACOUSTIC
from ser_engine.models.classical import Classical, make_estimator, probabilities
from ser_engine.settings import Settings
from ser_engine.training import splits
from ser_engine.training.acoustic import PIPELINE, acoustic_features
from ser_engine.training.audit import audit_folds
from ser_engine.training.augment import RECIPES
from ser_engine.training.balance import to_count, to_harmonic_mean
from ser_engine.training.config import ClassicalConfig
from ser_engine.training.evaluate import by_groups, write_json
from ser_engine.training.metrics import report, unweighted_accuracy, weighted_accuracy
from ser_engine.training.prepare import keep

VERSION = "2"
"""To be raised whenever a system or what is kept of a fold changes in its code, so that nothing stale is read."""

Rows = NDArray[np.int_]
BALANCES = ("", "count", "harmonic-mean")


@dataclass(frozen=True)
class Experiment:
    """What is trained on: n clips with their labels, and their features in every copy.

    Attributes
    ----------
    labels : str [n], of the configuration's label set
    features : float32 [n, copies, k]; copy 0 is the recording itself, each further one an augmentation of it
    missing : corpora of the configuration that are not in the data folder
    dropped : how many clips the preprocessing left nothing of, or too little
    """

    config: ClassicalConfig
    utterances: list[Utterance]
    labels: NDArray[np.str_]
    features: NDArray[np.float32]
    missing: tuple[str, ...]
    dropped: int

    @property
    def leaks(self) -> bool:
        """Whether the copies are made before the split, so that twins of a clip land on both of its sides."""
        return splits.PROTOCOLS[self.config.protocol].trap

    @property
    def fingerprint(self) -> str:
        """What tells this experiment from every other, whatever changed."""
        digest = hashlib.sha256(f"{PIPELINE} {VERSION} {self.config}".encode())
        for utterance, label in zip(self.utterances, self.labels, strict=True):
            digest.update(f"{utterance.corpus}/{utterance.name} {utterance.speaker} {label}\n".encode())
        digest.update(self.features.tobytes())
        return digest.hexdigest()[:12]

    def expanded(self) -> Experiment:
        """Return the same with every copy as a clip of its own, in the order of `splits.expand`: clip by clip."""
        count, copies, width = self.features.shape
        return Experiment(
            self.config,
            splits.expand(self.utterances, copies - 1),
            np.repeat(self.labels, copies),
            self.features.reshape(count * copies, 1, width),
            self.missing,
            self.dropped,
        )

    def training_rows(self, train: Rows, fold: int) -> tuple[Rows, Rows]:
        """Return which clips are trained on, int [m], and in which of their copies, int [m]."""
        rng = np.random.default_rng([self.config.seed, fold])
        copies = self.features.shape[1]
        rows, copy = np.tile(train, copies), np.repeat(np.arange(copies), len(train))
        if self.config.balance == "count":
            # A recording itself is preferred to a copy of it.
            chosen = to_count(self.labels[rows], self.config.balance_to, rng, prefer=copy)
        elif self.config.balance == "harmonic-mean":
            chosen = to_harmonic_mean(self.labels[rows], rng)
        else:
            chosen = np.arange(len(rows))
        return rows[chosen], copy[chosen]

    def fit(self, train: Rows, fold: int) -> Pipeline:
        """Return the system trained on some clips."""
        pipeline = make_estimator(self.config.estimator, self.config.seed, self.config.parameters)
        rows, copy = self.training_rows(train, fold)
        try:
            return pipeline.fit(self.features[rows, copy], self.labels[rows])
        except (ValueError, np.linalg.LinAlgError) as error:
            raise InvalidSettings(f"{self.config.estimator} cannot learn from these clips: {error}") from None


def run_classical(path: Path, config: ClassicalConfig, data: Path, settings: Settings, results: Path) -> dict[str, Any]:
    """Train and measure what the TOML at `path` describes, on the corpora in `data`.

    Writes results/<name of the TOML>/{run.json, folds.json} and history.jsonl where the system learns in epochs.
    Returns run.json.

    Raises
    ------
    CorpusError
        A corpus is not in `data`, or is none that the protocol can split.
    InvalidSettings
        The configuration makes no sense.
    """
    check(config, path)
    experiment = prepare(config, data, settings)
    if experiment.leaks:
        experiment = experiment.expanded()
    folds = splits.make(
        config.protocol,
        experiment.utterances,
        experiment.labels.tolist(),
        config.seed,
        config.folds,
        settings.emobox,
    )
    state = settings.cache / "runs" / f"{path.stem}-{experiment.fingerprint}"
    state.mkdir(parents=True, exist_ok=True)
    labels = list(LABEL_SETS[config.label_set].order(experiment.labels.tolist()))
    opinions = [
        _test(experiment, fold, number, labels, state) for number, fold in enumerate(tqdm(folds, desc=path.stem))
    ]
    entry = _entry(path.stem, experiment, folds, opinions, labels)
    # Of training and testing, however often the run was stopped in between; the features are kept for all runs.
    seconds = sum(float((state / f"fold-{number}.seconds").read_text()) for number in range(len(folds)))
    entry |= {"seconds": round(seconds, 2), "size_mb": round((state / "size").stat().st_size / 1e6, 2)}
    folder = results / path.stem
    write_json(folder / "run.json", entry)
    write_json(folder / "folds.json", _fold_entries(experiment, folds, opinions, labels))
    if history := sorted(state.glob("history-*.jsonl")):
        (folder / "history.jsonl").write_bytes(b"".join(file.read_bytes() for file in history))
    if config.save:
        pipeline = experiment.fit(np.arange(len(experiment.labels)), len(folds))
        card = {"corpora": entry["corpora"], "run": entry["id"]}
        Classical(config.id, tuple(labels), config.features, pipeline, card).save(settings.models_dir / config.id)
    return entry


def check(config: ClassicalConfig, path: Path) -> None:
    """Refuse in one sentence what names something that is not there."""
    known = {
        "features": (config.features, ACOUSTIC),
        "label_set": (config.label_set, tuple(LABEL_SETS)),
        "protocol": (config.protocol, tuple(splits.PROTOCOLS)),
        "augmentation": (config.augmentation, ("", *RECIPES)),
        "balance": (config.balance, BALANCES),
    }
    for name, (value, possible) in known.items():
        if value not in possible:
            raise InvalidSettings(f"{path}: {name} is “{value}”; it can be {', '.join(filter(None, possible))}.")
    if (config.balance == "count") != bool(config.balance_to):
        raise InvalidSettings(f"{path}: balance = “count” and balance_to belong together.")
    make_estimator(config.estimator, config.seed, config.parameters)


def prepare(config: ClassicalConfig, data: Path, settings: Settings) -> Experiment:
    """Read the corpora and compute, or read, the features of every clip that has one of the labels."""
    label_set = LABEL_SETS[config.label_set]
    utterances: list[Utterance] = []
    missing: list[str] = []
    for name in (*config.corpora, *config.optional_corpora):
        try:
            found = [utterance for utterance in registry.read(name, data) if label_set.of(utterance) is not None]
        except CorpusError:
            if name not in config.optional_corpora or registry.lies_in(name, data):
                raise
            missing.append(name)
            continue
        utterances += _some(found, [str(label_set.of(utterance)) for utterance in found], config)
    table = acoustic_features(
        [utterance.path for utterance in utterances],
        settings,
        config.features,
        config.preprocessing,
        augmentation=config.augmentation,
        seed=config.seed,
    )
    kept = [i for i, copies in enumerate(table) if copies is not None]
    if not kept:
        raise CorpusError(f"No clip of {', '.join(config.corpora)} could be used.")
    features = np.stack([np.stack(copies) for copies in table if copies is not None])
    chosen = [utterances[i] for i in kept]
    labels = np.array([str(label_set.of(utterance)) for utterance in chosen])
    return Experiment(config, chosen, labels, features, tuple(missing), len(utterances) - len(kept))


def _some(utterances: list[Utterance], labels: list[str], config: ClassicalConfig) -> list[Utterance]:
    """Return at most `config.clips` of them, as many of each label as can be, drawn with the seed."""
    if not config.clips or len(utterances) <= config.clips:
        return utterances
    order = np.random.default_rng(config.seed).permutation(len(utterances))
    turns: dict[str, int] = {}
    ranked = []
    for i in order:
        turns[labels[i]] = turns.get(labels[i], 0) + 1
        ranked.append((turns[labels[i]], labels[i], int(i)))
    return [utterances[i] for i in sorted(i for _, _, i in sorted(ranked)[: config.clips])]


def _test(
    experiment: Experiment, fold: splits.Fold, number: int, labels: Sequence[str], state: Path
) -> NDArray[np.float32]:
    """Return probabilities [m, labels] for the fold's test clips, by a system trained on its training clips."""
    saved = state / f"fold-{number}.npy"
    if not saved.exists():
        begun = time.perf_counter()
        pipeline = experiment.fit(fold.train, number)
        opinions = probabilities(pipeline, experiment.features[fold.test, 0], labels)
        (state / f"fold-{number}.seconds").write_text(f"{time.perf_counter() - begun:.3f}", encoding="utf-8")
        if losses := getattr(pipeline[-1], "loss_curve_", None):  # of the systems here, only the MLP has epochs
            lines = [{"fold": fold.name, "epoch": i, "loss": round(loss, 5)} for i, loss in enumerate(losses, start=1)]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (state / f"history-{number:04}.jsonl").write_text(text, encoding="utf-8")
        if number == 0:
            import skops.io

            (state / "size").write_bytes(skops.io.dumps(pipeline))
        keep(saved, opinions)
    return np.load(saved)


def _entry(
    run: str,
    experiment: Experiment,
    folds: Sequence[splits.Fold],
    opinions: Sequence[NDArray[np.float32]],
    labels: list[str],
) -> dict[str, Any]:
    """Return run.json without what has to do with time."""
    config = experiment.config
    rows = np.concatenate([fold.test for fold in folds])
    numbers = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds])
    tested = [experiment.utterances[i] for i in rows]
    true = np.array([labels.index(experiment.labels[i]) for i in rows])
    predicted = np.concatenate(opinions).argmax(axis=1)
    findings = audit_folds(experiment.utterances, folds)
    return {
        "id": run,
        "model": config.id,
        "features": config.features + (f", {config.augmentation} augmentation" if config.augmentation else ""),
        "protocol": splits.named(config.protocol, experiment.utterances, folds),
        "speaker_independent": splits.speakers_apart(experiment.utterances, folds),
        "corpora": sorted({utterance.corpus for utterance in experiment.utterances}),
        "missing_corpora": list(experiment.missing),
        "labels": labels,
        **report(true, predicted, [utterance.speaker for utterance in tested], labels, numbers),
        **by_groups(tested, true, predicted),
        "clips": len(experiment.utterances),
        "tested": len(rows),
        "dropped": experiment.dropped,
        "published": config.published,
        "note": config.note,
        "seed": config.seed,
        "config": {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(config).items()},
        "audit": findings.to_dict(),
    }


def _fold_entries(
    experiment: Experiment,
    folds: Sequence[splits.Fold],
    opinions: Sequence[NDArray[np.float32]],
    labels: list[str],
) -> dict[str, Any]:
    """Return for each fold who was tested and how well."""
    entries = {}
    for fold, scores in zip(folds, opinions, strict=True):
        true = np.array([labels.index(experiment.labels[i]) for i in fold.test])
        speakers = {experiment.utterances[i].speaker for i in fold.test}
        entries[fold.name] = {
            "test_speakers": sorted(speakers),
            "trained_on": len(fold.train),
            "clips": len(fold.test),
            "UA": round(unweighted_accuracy(true, scores.argmax(axis=1)), 2),
            "WA": round(weighted_accuracy(true, scores.argmax(axis=1)), 2),
        }
    return entries

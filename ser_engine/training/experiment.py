"""What all systems of the papers share: clips, folds, and the result that becomes results/<run>/run.json.

An experiment trains one system a fold on some clips and tests it on others. What the system is and what it is fed with
is known to the module of its kind; here is what is the same for every kind, so that no two can be measured differently.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit
from tqdm import tqdm

from ser_engine.data import splits
from ser_engine.data.audit import audit_folds
from ser_engine.data.balance import balance_to_count, balance_to_harmonic_mean
from ser_engine.data.cache import keep
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation.evaluate import by_groups, write_json
from ser_engine.evaluation.metrics import report, unweighted_accuracy, weighted_accuracy
from ser_engine.labels import LABEL_SETS
from ser_engine.settings import Settings
from ser_engine.training.config import ExperimentConfig

Rows = NDArray[np.int_]
Test = Callable[[splits.Fold, int, Path], NDArray[np.float32]]
"""Trains on a fold's training clips and returns float32 [tested, labels], given the fold, its number, and the folder in
which the run keeps what is finished. It may write `history-NNNN.jsonl` there, and `size`, the model's bytes on disk.
"""
BALANCES = ("", "count", "harmonic-mean")
HELD_OUT = 0.1
"""The share of the training clips that says when to stop, where the protocol has no validation part."""


@dataclass(frozen=True)
class Clips:
    """What an experiment is about.

    Attributes
    ----------
    labels : str [n], of the configuration's label set
    missing : corpora of the configuration that are not in the data folder
    dropped : how many clips could not be used
    """

    utterances: list[Utterance]
    labels: NDArray[np.str_]
    missing: tuple[str, ...] = ()
    dropped: int = 0

    def order(self, config: ExperimentConfig) -> tuple[str, ...]:
        """Return the labels that occur, in the order of their set."""
        return LABEL_SETS[config.label_set].order(self.labels.tolist())

    def only(self, kept: Sequence[int]) -> Clips:
        """Return some of them; the others count as dropped."""
        dropped = self.dropped + len(self.utterances) - len(kept)
        return Clips([self.utterances[i] for i in kept], self.labels[list(kept)], self.missing, dropped)

    def digest(self) -> str:
        """Return the sha256 of which clips they are and what they are called, in hexadecimal."""
        digest = hashlib.sha256()
        for utterance, label in zip(self.utterances, self.labels, strict=True):
            digest.update(f"{utterance.corpus}/{utterance.name} {utterance.speaker} {label}\n".encode())
        return digest.hexdigest()


def check(config: ExperimentConfig, path: Path, **further: tuple[str, Sequence[str]]) -> None:
    """Refuse in one sentence what names something that is not there; `further` are a kind's own entries."""
    known = {
        "label_set": (config.label_set, tuple(LABEL_SETS)),
        "protocol": (config.protocol, tuple(splits.PROTOCOLS)),
        "balance": (config.balance, BALANCES),
        **further,
    }
    for name, (value, possible) in known.items():
        if value not in possible:
            raise InvalidSettings(f"{path}: {name} is “{value}”; it can be {', '.join(filter(None, possible))}.")
    if (config.balance == "count") != bool(config.balance_to):
        raise InvalidSettings(f"{path}: balance = “count” and balance_to belong together.")


def read_clips(config: ExperimentConfig, data: Path) -> Clips:
    """Return every clip of the configuration's corpora that has one of its labels.

    Raises
    ------
    CorpusError
        A corpus is not in `data`; an optional one is only named as missing.
    """
    label_set = LABEL_SETS[config.label_set]
    utterances: list[Utterance] = []
    missing: list[str] = []
    for name in (*config.corpora, *config.optional_corpora):
        try:
            found = [utterance for utterance in registry.read_corpus(name, data) if label_set.of(utterance) is not None]
        except CorpusError:
            if name not in config.optional_corpora or registry.is_available(name, data):
                raise
            missing.append(name)
            continue
        utterances += _some(found, [str(label_set.of(utterance)) for utterance in found], config)
    labels = np.array([str(label_set.of(utterance)) for utterance in utterances])
    return Clips(utterances, labels, tuple(missing))


def _some(utterances: list[Utterance], labels: list[str], config: ExperimentConfig) -> list[Utterance]:
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


def training_rows(
    config: ExperimentConfig, labels: NDArray[np.str_], train: Rows, copies: int, fold: int
) -> tuple[Rows, Rows]:
    """Return which clips are trained on, int [m], and in which of their copies, int [m], as the configuration balances.

    `labels` is str [n], of all clips; each has so many copies, the recording itself first, which is preferred to them.
    """
    rng = np.random.default_rng([config.seed, fold])
    rows, copy = np.tile(train, copies), np.repeat(np.arange(copies), len(train))
    if config.balance == "count":
        chosen = balance_to_count(labels[rows], config.balance_to, rng, prefer=copy)
    elif config.balance == "harmonic-mean":
        chosen = balance_to_harmonic_mean(labels[rows], rng)
    else:
        chosen = np.arange(len(rows))
    return rows[chosen], copy[chosen]


def fed_with(features: str, augmentation: str) -> str:
    """Return what run.json says that a system is fed with."""
    return features + (f", {augmentation} augmentation" if augmentation else "")


def held_out(config: ExperimentConfig, clips: Clips, train: Rows, fold: int) -> tuple[Rows, Rows]:
    """Return which of the training clips are trained on and which say when to stop: a tenth of the speakers.

    Where there are only one or two speakers it is a tenth of the clips.
    """
    speakers = [clips.utterances[row].speaker for row in train]
    groups = speakers if len(set(speakers)) > 2 else np.arange(len(train))
    seed = int(np.random.SeedSequence([config.seed, fold]).generate_state(1)[0])
    kept, held = next(GroupShuffleSplit(1, test_size=HELD_OUT, random_state=seed).split(train, groups=groups))
    return train[kept], train[held]


def cross_validate(
    name: str, config: ExperimentConfig, clips: Clips, fingerprint: str, test: Test, settings: Settings
) -> tuple[list[splits.Fold], list[NDArray[np.float32]], Path]:
    """Return the folds, what was found in each, float32 [tested, labels], and the folder of the run's state.

    What an earlier attempt with the same fingerprint has finished is not done again.

    Raises
    ------
    CorpusError
        The protocol cannot split these clips.
    """
    state = settings.cache / "runs" / f"{name}-{fingerprint}"
    state.mkdir(parents=True, exist_ok=True)
    folds = splits.make_folds(
        config.protocol, clips.utterances, clips.labels.tolist(), config.seed, config.folds, settings.emobox
    )
    opinions = []
    for number, fold in enumerate(tqdm(folds, desc=name)):
        saved = state / f"fold-{number}.npy"
        if not saved.exists():
            begun = time.perf_counter()
            found = test(fold, number, state)
            (state / f"fold-{number}.seconds").write_text(f"{time.perf_counter() - begun:.3f}", encoding="utf-8")
            keep(saved, found)
        opinions.append(np.load(saved))
    return folds, opinions, state


def write_run(
    name: str,
    config: ExperimentConfig,
    features: str,
    clips: Clips,
    folds: Sequence[splits.Fold],
    opinions: Sequence[NDArray[np.float32]],
    state: Path,
    results: Path,
    **further: Any,
) -> dict[str, Any]:
    """Write results/<name>/{run.json, folds.json} and history.jsonl where the system learns in epochs; return run.json.

    `features` says what the system is fed with; `further` are a kind's own entries of run.json.
    """
    labels = list(clips.order(config))
    entry = _entry(name, config, features, clips, folds, opinions, labels)
    # Of training and testing, however often the run was stopped in between; the features are kept for all runs.
    seconds = sum(float((state / f"fold-{number}.seconds").read_text()) for number in range(len(folds)))
    entry |= {"seconds": round(seconds, 2), "size_mb": round(int((state / "size").read_text()) / 1e6, 2), **further}
    folder = results / name
    write_json(folder / "run.json", entry)
    write_json(folder / "folds.json", _fold_entries(clips, folds, opinions, labels))
    if history := sorted(state.glob("history-*.jsonl")):
        (folder / "history.jsonl").write_bytes(b"".join(file.read_bytes() for file in history))
    (state / "finished").touch()  # the results page shows a run's epochs until then
    return entry


def _entry(
    name: str,
    config: ExperimentConfig,
    features: str,
    clips: Clips,
    folds: Sequence[splits.Fold],
    opinions: Sequence[NDArray[np.float32]],
    labels: list[str],
) -> dict[str, Any]:
    """Return run.json without what has to do with time."""
    rows = np.concatenate([fold.test for fold in folds])
    numbers = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds])
    tested = [clips.utterances[i] for i in rows]
    true = np.array([labels.index(clips.labels[i]) for i in rows])
    predicted = np.concatenate(opinions).argmax(axis=1)
    return {
        "id": name,
        "model": config.id,
        "features": features,
        "protocol": splits.describe_split(config.protocol, clips.utterances, folds),
        "speaker_independent": splits.speakers_apart(clips.utterances, folds),
        "corpora": sorted({utterance.corpus for utterance in clips.utterances}),
        "missing_corpora": list(clips.missing),
        "labels": labels,
        **report(true, predicted, [utterance.speaker for utterance in tested], labels, numbers),
        **by_groups(tested, true, predicted),
        "clips": len(clips.utterances),
        "tested": len(rows),
        "dropped": clips.dropped,
        "published": config.published,
        "note": config.note,
        "seed": config.seed,
        "config": {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(config).items()},
        "audit": audit_folds(clips.utterances, folds).to_dict(),
    }


def _fold_entries(
    clips: Clips,
    folds: Sequence[splits.Fold],
    opinions: Sequence[NDArray[np.float32]],
    labels: list[str],
) -> dict[str, Any]:
    """Return for each fold who was tested and how well."""
    entries = {}
    for fold, scores in zip(folds, opinions, strict=True):
        true = np.array([labels.index(clips.labels[i]) for i in fold.test])
        speakers = {clips.utterances[i].speaker for i in fold.test}
        entries[fold.name] = {
            "test_speakers": sorted(speakers),
            "trained_on": len(fold.train),
            "clips": len(fold.test),
            "UA": round(unweighted_accuracy(true, scores.argmax(axis=1)), 2),
            "WA": round(weighted_accuracy(true, scores.argmax(axis=1)), 2),
        }
    return entries

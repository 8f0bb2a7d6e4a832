"""A finished model measured on corpora as they are: one of ours, or any of the hub's, into results/<run>/run.json.

Nothing is trained here. Whether the model has heard the voices before decides what its figures are worth, and it is
known of our own models only; the result says plainly which of the two it is, or that nobody knows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.analyzer import Analyzer
from ser_engine.data import splits
from ser_engine.data.audit import Finding, Findings, Severity
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation.calibration import expected_calibration_error
from ser_engine.evaluation.evaluate import by_groups, write_json
from ser_engine.evaluation.metrics import report
from ser_engine.evaluation.scores import Scored, fingerprint, score
from ser_engine.labels import LABEL_SETS
from ser_engine.models.hub_labels import merged
from ser_engine.models.registry import default_model
from ser_engine.models.store import read_config
from ser_engine.settings import Settings

AS_IS = "as-is"
"""The protocol that tests every clip once. Any other tests the clips that it would have tested, fold by fold."""

WEIGHTS = (".safetensors", ".bin", ".skops")


@dataclass(frozen=True)
class Plan:
    """What is measured, and how.

    Attributes
    ----------
    model : as `Settings.model`: the name of a folder in the models folder, a path, or "hf:..."
    corpora : ids in any spelling, or manifests; empty for every corpus in the data folder
    protocol : "as-is", or a key of `splits.PROTOCOLS` whose test clips alone count
    label_set : a key of `corpora.labels.LABEL_SETS`: what the clips are called, and which labels of a model are one
    unseen : the word of who measures that the model has heard none of these voices
    words : whether the words are transcribed, for models that read them
    name : of the folder in results; made of all this where it is empty
    seed : of the protocol's folds
    """

    model: str
    corpora: tuple[str, ...] = ()
    protocol: str = AS_IS
    label_set: str = "eight"
    unseen: bool = False
    words: bool = False
    name: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        protocols = (AS_IS, *(id for id, protocol in splits.PROTOCOLS.items() if not protocol.leaky))
        if self.protocol not in protocols:
            raise InvalidSettings(f"There is no protocol “{self.protocol}”; there are {', '.join(protocols)}.")
        if self.label_set not in LABEL_SETS:
            raise InvalidSettings(f"There is no label set “{self.label_set}”; there are {', '.join(LABEL_SETS)}.")
        if self.name != Path(self.name).name:
            raise InvalidSettings(f"“{self.name}” cannot be the name of a run's folder.")


@dataclass(frozen=True)
class Hearing:
    """Whether a model had heard the voices that it is tested on: None where nobody knows; `sentence` tells a person."""

    before: bool | None
    words: str
    sentence: str

    def findings(self, tested: Sequence[Utterance]) -> dict[str, Any]:
        """Return what stands in the place of a split's audit."""
        kinds: dict[bool | None, tuple[str, Severity]] = {
            True: ("trained-on", "leak"),
            None: ("training-unknown", "warning"),
            False: ("trained-on-others", "note"),
        }
        kind, severity = kinds[self.before]
        count = 0 if self.before is False else len(tested)
        finding = Finding(kind, severity, count, len(tested), self.sentence)
        corpora = tuple(sorted({utterance.corpus for utterance in tested}))
        speakers = len({utterance.speaker for utterance in tested})
        return Findings(len(tested), len(tested), speakers, corpora, (finding,)).to_dict()


def evaluate(plan: Plan, data: Path, settings: Settings, results: Path, workers: int = 0) -> dict[str, Any]:
    """Score every clip of the corpora in `data` with a finished model and write results/<name>/run.json.

    Clips whose label the model does not have are left out and counted; those without speech count as wrong. Stopped,
    it goes on at the clip where it was. Returns run.json.

    Raises
    ------
    WeightsUnavailable
        There is no such model.
    CorpusError
        A corpus is not in `data`, or none of its clips has a label of the model's.
    InvalidSettings
        `unseen` is said of a model whose config.json says otherwise.
    """
    folder = default_model(replace(settings, model=plan.model))
    analyzer = Analyzer(replace(settings, model=plan.model, threads=settings.threads or 1))
    utterances = _clips(plan, data)
    hearing = _hearing(plan, read_config(folder).get("corpora"), {utterance.corpus for utterance in utterances})

    label_set = LABEL_SETS[plan.label_set]
    labels, sums = merged([label_set.mapping.get(label, label) for label in analyzer.model.labels])
    named = [str(label_set.of(utterance)) for utterance in utterances]
    left_out = Counter(label for label in named if label not in labels)
    chosen = [utterance for utterance, label in zip(utterances, named, strict=True) if label in labels]
    if not chosen:
        raise CorpusError(f"{analyzer.model.id} knows {', '.join(labels)}, and no clip has one of these labels.")

    version = fingerprint(folder, analyzer.model.labels, analyzer.settings, plan.words)
    scored = score([utterance.path for utterance in chosen], analyzer, version, plan.words, workers)
    kept = [i for i, one in enumerate(scored) if not one.error]
    tested = [chosen[i] for i in kept]
    if not tested:
        raise CorpusError(f"None of the {len(chosen)} clips could be read.")
    opinions = _opinions([scored[i] for i in kept], analyzer.model.labels) @ sums
    entry = _entry(plan, hearing, tested, opinions, labels, settings)
    entry |= {
        "id": plan.name or _name(plan, analyzer.model.id, entry["corpora"]),
        "model": analyzer.model.id,
        "left_out": dict(sorted(left_out.items())),
        "dropped": len(chosen) - len(tested),
        "seconds": round(sum(one.seconds for one in scored), 2),
        "size_mb": round(sum(file.stat().st_size for file in folder.iterdir() if file.suffix in WEIGHTS) / 1e6, 2),
    }
    entry["config"]["fingerprint"] = version
    write_json(results / entry["id"] / "run.json", entry)
    return entry


def _clips(plan: Plan, data: Path) -> list[Utterance]:
    """Return every clip of the corpora that the label set has a name for."""
    names = plan.corpora or tuple(corpus.id for corpus, _ in registry.find_folders(data))
    if not names:
        raise CorpusError(f"There is no corpus in {data}.")
    of = LABEL_SETS[plan.label_set].of
    return [clip for name in dict.fromkeys(names) for clip in registry.read_corpus(name, data) if of(clip) is not None]


def _hearing(plan: Plan, trained: object, tested: set[str]) -> Hearing:
    """Find out whether the model was trained on what it is tested on; `trained` is what its config.json says."""
    known = _ids(trained) if isinstance(trained, list) else set()
    on = ", ".join(sorted(known & tested))
    if on and plan.unseen:
        raise InvalidSettings(f"{plan.model} was trained on {on}, as its config.json says; it cannot be unseen.")
    if on:
        sentence = f"The model was trained on clips that are tested here: {on} was part of its training."
        return Hearing(True, f"the model was trained on {on}", sentence)
    if plan.unseen:
        sentence = "That the model has heard none of these voices is the word of whoever measured it, not checked here."
        return Hearing(False, "voices said to be new to the model", sentence)
    # A manifest may hold clips of any corpus under a name of its own.
    if known and known | tested <= set(registry.CORPORA):
        sentence = f"The model was trained on other corpora: {', '.join(sorted(known))}."
        return Hearing(False, "the model was trained on other corpora", sentence)
    sentence = "What this model was trained on is not known here; these very clips may have been part of it."
    return Hearing(None, "what the model was trained on is not known", sentence)


def _ids(names: Sequence[object]) -> set[str]:
    """Return corpora under their ids; what is none keeps its name."""
    ids = set()
    for name in map(str, names):
        try:
            ids.add(registry.get_corpus(name).id)
        except CorpusError:
            ids.add(name)
    return ids


def _opinions(scored: Sequence[Scored], labels: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 [n, labels]; all zero where no speech was found."""
    rows = [[one.scores[label] for label in labels] if one.scores else [0.0] * len(labels) for one in scored]
    return np.array(rows, np.float32)


def _entry(
    plan: Plan,
    hearing: Hearing,
    utterances: Sequence[Utterance],
    opinions: NDArray[np.float32],
    labels: tuple[str, ...],
    settings: Settings,
) -> dict[str, Any]:
    """Return run.json without what has to do with the model's files and with time."""
    named = [str(LABEL_SETS[plan.label_set].of(utterance)) for utterance in utterances]
    everything = [splits.Fold(AS_IS, np.array([], int), np.array([], int), np.arange(len(utterances)))]
    folds = everything
    if plan.protocol != AS_IS:
        folds = splits.make_folds(plan.protocol, utterances, named, plan.seed, listings=settings.emobox)
    rows = np.concatenate([fold.test for fold in folds])
    numbers = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds])
    tested = [utterances[i] for i in rows]
    true = np.array([labels.index(named[i]) for i in rows])
    silent = opinions[rows].sum(axis=1) == 0
    predicted = opinions[rows].argmax(axis=1)
    predicted[silent] = (true[silent] + 1) % len(labels)
    which = "every clip once" if plan.protocol == AS_IS else f"the test clips of {plan.protocol}"
    entry = {
        "id": "",
        "model": "",
        "features": "as the finished model makes them",
        "protocol": f"{AS_IS} ({which}; {hearing.words})",
        "speaker_independent": hearing.before is False,
        "corpora": sorted({utterance.corpus for utterance in tested}),
        "missing_corpora": [],
        "labels": list(labels),
        **report(true, predicted, [utterance.speaker for utterance in tested], labels, numbers),
        **by_groups(tested, true, predicted),
        "clips": len(utterances),
        "tested": len(rows),
        "no_speech_found": int(silent.sum()),
        "published": "",
        "note": hearing.sentence,
        "seed": plan.seed,
        "config": {name: list(v) if isinstance(v, tuple) else v for name, v in vars(plan).items()},
        "audit": hearing.findings(tested),
    }
    if (~silent).any():
        error = expected_calibration_error(true[~silent], opinions[rows][~silent])
        entry["metrics"]["ECE"] = round(100 * error, 2)
    return entry


def _name(plan: Plan, id: str, corpora: Sequence[str]) -> str:
    """Return the run's name: evaluated-<model>-<corpora>-<protocol>, in signs that every file system takes."""
    parts = ("evaluated", id, "_".join(corpora), plan.protocol.replace("-", "_"))
    return "-".join(re.sub(r"[^\w.]+", "_", part).strip("_.") for part in parts)

"""A finished model measured on corpora: one of ours, or any of the hub's.

Nothing is trained here. Whether the tested speakers are in the model's training decides what its figures are worth; the
record says which of the two it is, or that it is not known.
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
from ser_engine.evaluation.evaluate import measure_predictions
from ser_engine.evaluation.ordinary import is_ordinary
from ser_engine.evaluation.predictions import MAIN, Predictions, predicted_classes
from ser_engine.evaluation.record import RunRecord
from ser_engine.evaluation.scores import Scored, fingerprint, score
from ser_engine.labels import LABEL_SETS
from ser_engine.models.hub_labels import merged
from ser_engine.models.registry import find_model
from ser_engine.models.store import read_config
from ser_engine.settings import Settings

AS_IS = "as-is"
"""The protocol that tests every clip once. Any other tests the clips that it would have tested, fold by fold."""
SOURCE = "evaluated"
"""First part of the ids of these runs."""
WEIGHTS = (".safetensors", ".bin", ".skops")


@dataclass(frozen=True)
class Plan:
    """What is measured, and how.

    Attributes
    ----------
    model : as `Settings.model`: the name of a folder in the models folder, a path, or "hf:..."
    corpora : ids in any spelling, or manifests; empty for every corpus in the data folder
    protocol : "as-is", or a key of `splits.PROTOCOLS` whose test clips alone count
    label_set : key of `labels.LABEL_SETS`: the classes of the clips, and which labels of a model are merged
    unseen : the user's word that no tested speaker is in the model's training
    words : whether clips are transcribed, for models that use text
    name : of the run; made of all this if it is empty
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
        protocols = (
            AS_IS,
            *(id for id, protocol in splits.PROTOCOLS.items() if not protocol.leaky and id != splits.CROSS_CORPUS),
        )
        if self.protocol not in protocols:
            raise InvalidSettings(f"There is no protocol “{self.protocol}”; there are {', '.join(protocols)}.")
        if self.label_set not in LABEL_SETS:
            raise InvalidSettings(f"There is no label set “{self.label_set}”; there are {', '.join(LABEL_SETS)}.")
        if self.name != Path(self.name).name:
            raise InvalidSettings(f"“{self.name}” cannot be the name of a run's folder.")


@dataclass(frozen=True)
class Provenance:
    """Whether tested corpora are in a model's training: None if not known; in a few words, and in a sentence."""

    trained_on: bool | None
    words: str
    sentence: str

    def findings(self, tested: Sequence[Utterance]) -> dict[str, Any]:
        """Return the finding that takes the place of a split's audit."""
        kinds: dict[bool | None, tuple[str, Severity, int]] = {
            True: ("trained-on", "leak", len(tested)),
            None: ("training-unknown", "warning", len(tested)),
            False: ("trained-on-others", "note", 0),
        }
        finding = Finding(*kinds[self.trained_on], len(tested), self.sentence)
        corpora = tuple(sorted({utterance.corpus for utterance in tested}))
        speakers = len({utterance.speaker for utterance in tested})
        return Findings(len(tested), len(tested), speakers, corpora, (finding,)).to_dict()


def evaluate_model(plan: Plan, settings: Settings, data: Path, results: Path, workers: int = 0) -> RunRecord:
    """Score every clip of the corpora in `data` with a finished model and write its record.

    Clips whose label the model does not have are left out and counted; clips without speech are errors. A run that was
    stopped resumes at its clip.
    Raise CorpusError if no clip has a label of the model's, InvalidSettings if `unseen` contradicts config.json.
    """
    folder = find_model(replace(settings, model=plan.model))
    analyzer = Analyzer(replace(settings, model=plan.model, threads=settings.threads or 1, speakers="off"))
    utterances = _load_clips(plan, data)
    provenance = _provenance(plan, read_config(folder).get("corpora"), {clip.corpus for clip in utterances})

    label_set = LABEL_SETS[plan.label_set]
    labels, sums = merged([label_set.mapping.get(label, label) for label in analyzer.model.labels])
    counts = Counter(str(label_set.of(utterance)) for utterance in utterances)
    left_out = {label: counts[label] for label in sorted(counts) if label not in labels}
    chosen = [utterance for utterance in utterances if label_set.of(utterance) in labels]
    if not chosen:
        raise CorpusError(f"{analyzer.model.id} has the labels {', '.join(labels)}, and no clip has one of them.")

    version = fingerprint(folder, analyzer.model.labels, analyzer.settings, plan.words)
    scored = score([utterance.path for utterance in chosen], analyzer, version, plan.words, workers)
    readable = [(clip, result) for clip, result in zip(chosen, scored, strict=True) if not result.error]
    if not readable:
        raise CorpusError(f"None of the {len(chosen)} clips could be read.")
    probabilities = _probabilities([result for _, result in readable], analyzer.model.labels) @ sums
    predictions = _predictions(plan, [clip for clip, _ in readable], probabilities, labels, settings)
    corpora = tuple(sorted({clip.corpus for clip in predictions.utterances}))
    which = "every clip once" if plan.protocol == AS_IS else f"the test clips of {plan.protocol}"
    record = RunRecord(
        id=f"{SOURCE}/{plan.name or _name(plan, analyzer.model.id, corpora)}/{plan.protocol}",
        model=analyzer.model.id,
        system="evaluated model",
        features="as the finished model computes them",
        protocol=plan.protocol,
        split=f"{which}; {provenance.words}",
        speaker_independent=provenance.trained_on is False,
        corpora=corpora,
        labels=tuple(labels),
        **_measure(predictions),
        audit=provenance.findings(predictions.utterances),
        clips=len(readable),
        dropped=len(chosen) - len(readable),
        seconds=round(sum(result.seconds for result in scored), 2),
        size_mb=round(sum(file.stat().st_size for file in folder.iterdir() if file.suffix in WEIGHTS) / 1e6, 2),
        note=provenance.sentence,
        seed=plan.seed,
        config={**vars(plan), "corpora": list(plan.corpora), "fingerprint": version},
        details={"left_out": left_out} if left_out else {},
    )
    record.write(results)
    return record


def _load_clips(plan: Plan, data: Path) -> list[Utterance]:
    """Return every clip of the corpora that has a class in the label set, and is no ordinary talk."""
    names = plan.corpora or tuple(corpus.id for corpus, _ in registry.find_folders(data))
    if not names:
        raise CorpusError(f"There is no corpus in {data}.")
    of = LABEL_SETS[plan.label_set].of
    clips = [clip for name in dict.fromkeys(names) for clip in registry.read_corpus(name, data) if of(clip) is not None]
    emotional = [clip for clip, ordinary in zip(clips, is_ordinary(clips), strict=True) if not ordinary]
    if clips and not emotional:
        raise CorpusError(f"In {', '.join(names)} there is ordinary talk alone; --ordinary counts its false alarms.")
    return emotional


def _provenance(plan: Plan, trained: object, tested: set[str]) -> Provenance:
    """Return whether the model was trained on tested corpora; `trained` are the corpora that its config.json names."""
    known = {registry.corpus_id(str(name)) for name in trained} if isinstance(trained, list) else set()
    on = ", ".join(sorted(known & tested))
    if on and plan.unseen:
        raise InvalidSettings(f"{plan.model} was trained on {on}, as its config.json says; it cannot be unseen.")
    if on:
        sentence = f"The model was trained on clips that are tested here: {on} was part of its training."
        return Provenance(True, f"the model was trained on {on}", sentence)
    if plan.unseen:
        sentence = "That no tested speaker is in the model's training is the word of whoever ran this; not checked."
        return Provenance(False, "speakers said to be unseen by the model", sentence)
    # A manifest may hold clips of any corpus under a name of its own.
    if known and known | tested <= set(registry.CORPORA):
        sentence = f"The model was trained on other corpora: {', '.join(sorted(known))}."
        return Provenance(False, "the model was trained on other corpora", sentence)
    sentence = "The training data of this model are not known; these very clips may be among them."
    return Provenance(None, "the model's training data are not known", sentence)


def _probabilities(scored: Sequence[Scored], labels: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 [n, labels]; NaN for clips without speech."""
    missing = [np.nan] * len(labels)
    return np.array([[s.scores[label] for label in labels] if s.scores else missing for s in scored], np.float32)


def _predictions(
    plan: Plan,
    utterances: Sequence[Utterance],
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    settings: Settings,
) -> Predictions:
    """Return the predictions of the clips that the protocol tests."""
    names = [str(LABEL_SETS[plan.label_set].of(utterance)) for utterance in utterances]
    none = np.zeros(0, int)
    folds = [splits.Fold(AS_IS, none, none, np.arange(len(utterances)))]
    if plan.protocol != AS_IS:
        folds = splits.make_folds(plan.protocol, utterances, names, plan.seed, listings=settings.emobox)
    rows = np.concatenate([fold.test for fold in folds])
    return Predictions(
        [utterances[row] for row in rows],
        tuple(labels),
        np.array([list(labels).index(names[row]) for row in rows]),
        np.repeat([fold.name for fold in folds], [len(fold.test) for fold in folds]),
        {MAIN: np.log(np.maximum(probabilities[rows], 1e-9))},
        calibrated=True,
    )


def _measure(predictions: Predictions) -> dict[str, Any]:
    """Return the entries of the record, with the calibration error of the model's own probabilities."""
    measured = measure_predictions(predictions)
    answered = predicted_classes(predictions.main) >= 0
    if answered.any():
        error = expected_calibration_error(predictions.targets[answered], np.exp(predictions.main[answered]))
        measured["metrics"]["ECE"] = round(100 * error, 2)
    return measured


def _name(plan: Plan, id: str, corpora: Sequence[str]) -> str:
    """Return "<model>-<corpora>" in characters that every file system takes."""
    return "-".join(re.sub(r"[^\w.]+", "_", part).strip("_.") for part in (id, "_".join(corpora)))

"""What an experiment would take: clips, folds, steps, parameters, memory, hours on this machine; nothing is trained.

Corpora that are not in the data folder count with their published numbers of clips and speakers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from ser_engine.data.corpora.base import Corpus, Utterance
from ser_engine.data.corpora.registry import CORPORA, is_available
from ser_engine.data.splits import make_folds
from ser_engine.errors import InvalidRecord, InvalidSettings
from ser_engine.evaluation.record import read_record
from ser_engine.labels import LABEL_SETS
from ser_engine.settings import Settings, available_cores
from ser_engine.training.clips import Clips, load_clips
from ser_engine.training.config import ExperimentConfig, config_name, load_config
from ser_engine.training.systems import system_class


@dataclass(frozen=True)
class DryRun:
    """What a run would take.

    Attributes
    ----------
    run : "<source>/<system>/<protocol>"
    clips, folds, examples : clips in all, folds, and training examples of a fold with their copies
    steps : of the optimizer, in all folds; 0 where there is none
    parameters, trained : of the network; 0 where there is none
    memory_mb, hours, cores : at most, and on a machine with so many cores
    published : corpora that are not here and count with their published numbers
    basis : where the hours are from, in words
    """

    run: str
    clips: int
    folds: int
    examples: int
    steps: int
    parameters: int
    trained: int
    memory_mb: int
    hours: float
    cores: int
    published: tuple[str, ...]
    basis: str

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values."""
        return asdict(self) | {"published": list(self.published)}


def estimate(path: Path, protocol: str, settings: Settings, changes: Mapping[str, Any] | None = None) -> DryRun:
    """Return what the experiment at `path` would take under one of its protocols.

    Raise InvalidSettings if the file is wrong, or if the cost of its system is known only from a finished run, and
    there is none; CorpusError if its protocol cannot split these clips.
    """
    config = load_config(path, protocol, changes)
    kind, id = system_class(config.system), f"{config_name(path)}/{config.protocol}"
    clips, published = expected_clips(config, settings)
    folds = make_folds(
        config.protocol, clips.utterances, clips.labels.tolist(), config.seed, config.folds, settings.emobox,
        config.train_corpora,
    )  # fmt: skip
    work = kind.work(config, clips, folds, settings)
    examples = round(float(np.mean([len(fold.train) for fold in folds])))
    count, cores = len(clips.utterances), available_cores()
    if work is None:
        try:
            record = read_record(settings.results, id)
        except InvalidRecord:
            raise InvalidSettings(
                f"What {config.system} takes is known only from a finished run, and {id} has none in "
                f"{settings.results}."
            ) from None
        hours = round((record.seconds or 0.0) / 3600, 3)
        basis = "its finished run, without features"
        return DryRun(id, count, len(folds), examples, 0, 0, 0, 0, hours, record.cores or cores, published, basis)
    return DryRun(
        run=id,
        clips=count,
        folds=len(folds),
        examples=work.examples,
        steps=work.steps,
        parameters=work.parameters,
        trained=work.trained,
        memory_mb=round(work.memory / 1e6),
        hours=round(work.hours, 3),
        cores=cores,
        published=published,
        basis="counted operations and timed parts" if work.operations else "timed parts",
    )


def expected_clips(config: ExperimentConfig, settings: Settings) -> tuple[Clips, tuple[str, ...]]:
    """Return the clips of an experiment, and the corpora among them that are not here."""
    utterances: list[Utterance] = []
    missing = []
    for name in (*config.corpora, *config.optional_corpora):
        if is_available(name, settings.data) or name not in CORPORA:
            utterances += _clips_here(config, name, settings.data)
        else:
            missing.append(name)
            utterances += _published(CORPORA[name], config)
    label_set = LABEL_SETS[config.label_set]
    labels = np.array([str(label_set.of(utterance)) for utterance in utterances])
    return Clips(utterances, labels, label_set.order(labels.tolist())), tuple(missing)


_READ: dict[tuple[str, Path, str, int, int], list[Utterance]] = {}


def _clips_here(config: ExperimentConfig, name: str, data: Path) -> list[Utterance]:
    """Return an experiment's clips of a corpus, read once for all experiments."""
    key = (name, data, config.label_set, config.clips, config.seed)
    if key not in _READ:
        _READ[key] = load_clips(config, data, [name]).utterances
    return _READ[key]


def _published(corpus: Corpus, config: ExperimentConfig) -> list[Utterance]:
    """Return stand-ins for a corpus's clips: its published number of each label, evenly over its speakers."""
    names = [str(name) for name in corpus.published_folds or range(corpus.expected_speakers)]
    speakers = cycle(f"{corpus.id}/{name}" for name in names)
    label_set = LABEL_SETS[config.label_set]
    clips = [
        Utterance(corpus.id, Path(f"{native}-{number}.wav"), corpus.labels[native], next(speakers), native=native)
        for native, count in corpus.expected_labels.items()
        for number in range(count)
    ]
    return [clip for clip in clips if label_set.of(clip) is not None]

"""A finished model's false alarms on ordinary talk, window by window as the timeline shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ser_engine.analyzer import Analyzer
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import audio_files
from ser_engine.data.pool import map_batches
from ser_engine.data.splits import held_out
from ser_engine.errors import CorpusError, NoSpeech
from ser_engine.evaluation.ordinary import is_ordinary, measure_ordinary, run_id
from ser_engine.evaluation.record import RunRecord
from ser_engine.settings import Settings

KIND: Literal["ordinary"] = "ordinary"
BATCH = 4


def evaluate_ordinary(model: str, sources: Sequence[str], settings: Settings, words: bool = False) -> RunRecord:
    """Measure a model on ordinary talk and write its record, evaluated/<model>-ordinary/as-is.

    Of a corpus, the speakers are tested on whom no experiment trains (`splits.held_out`). A recording's windows
    are those of the timeline; one that is too short for a timeline is a window by itself.
    Raise CorpusError for a source that is neither a corpus of ordinary talk nor a file or folder.

    Parameters
    ----------
    model : as `Settings.model`
    sources : ids of corpora in `settings.data`, recordings, or folders of recordings
    words : whether they are transcribed, for models that use text
    """
    analyzer = Analyzer(replace(settings, model=model, threads=settings.threads or 1, speakers="off"))
    labels, threshold = analyzer.model.labels, analyzer.model.threshold or 0.0
    details = {}
    for source in sources:
        paths = _recordings(source, settings)
        windows = map_batches(partial(_windows, analyzer=analyzer, words=words), paths, 0, source, BATCH, threads=True)
        probabilities = np.concatenate([np.zeros((0, len(labels)), np.float32), *windows])
        if not len(probabilities):
            raise CorpusError(f"No speech was found in the recordings of {source}.")
        name = registry.corpus_id(Path(source).stem)
        details[name] = {"recordings": len(paths), **measure_ordinary(probabilities, labels, threshold)}
    record = RunRecord(
        id=run_id(analyzer.model.id),
        kind=KIND,
        model=analyzer.model.id,
        system="evaluated model",
        features="as the finished model computes them",
        protocol="as-is",
        labels=labels,
        note="Nobody was asked to express an emotion in these recordings.",
        config={
            "model": model,
            "sources": list(details),
            "words": words,
            "threshold": threshold,
        },
        details=details,
    )
    record.write(settings.results)
    return record


def _recordings(source: str, settings: Settings) -> list[Path]:
    if source not in registry.CORPORA:
        path = Path(source)
        files = audio_files(path) if path.is_dir() else [path] if path.is_file() else []
        if not files:
            raise CorpusError(f"{source} is neither a corpus nor a recording or a folder of recordings.")
        return files
    utterances = registry.read_corpus(source, settings.data)
    if not is_ordinary(utterances).all():
        raise CorpusError(f"{source} is no corpus of ordinary talk.")
    return [utterances[row].path for row in np.flatnonzero(held_out(utterances))]


def _windows(paths: list[Path], analyzer: Analyzer, words: bool) -> list[NDArray[np.float32]]:
    """Return the probabilities of each recording's windows, float32 [windows, labels]."""
    return [_probabilities(path, analyzer, words) for path in paths]


def _probabilities(path: Path, analyzer: Analyzer, words: bool) -> NDArray[np.float32]:
    try:
        analysis = analyzer.analyze(path, transcribe=words)
    except NoSpeech:
        return np.zeros((0, len(analyzer.model.labels)), np.float32)
    windows = [window.scores for window in analysis.timeline] or [analysis.scores]
    return np.stack([scores.probabilities for scores in windows])

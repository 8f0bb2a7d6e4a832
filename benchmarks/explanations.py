"""Deletion test of explanations: how far the answer falls without the moments that weigh most, or random ones.

Weights by removal, by silence and by attention are compared. Also measures the voices of adults who read aloud.

`python -m benchmarks.explanations` writes results/explanations.json; it needs the corpora (SER_DATA).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.analyzer import Analyzer
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio
from ser_engine.data.corpora.registry import read_corpus
from ser_engine.errors import NoSpeech
from ser_engine.explanation import cut_pieces, log_odds, remove
from ser_engine.features.voice import measure_voice
from ser_engine.io import write_json
from ser_engine.models.whisper_statistics import AttentivePoolingHead
from ser_engine.settings import PROJECT, Settings
from ser_engine.types import CleanSpeech, Scores

OUT = PROJECT / "results" / "explanations.json"
CORPORA = ("ravdess", "cremad", "tess")
CLIPS, SHARE, DRAWS = 5, 0.3, 5
"""Clips of each emotion of each corpus, the share of the pieces that is deleted, and random choices of as many."""
Piece = tuple[int, int]


def silence(speech: CleanSpeech, first: int, last: int) -> CleanSpeech:
    """Return the speech with zeros as the samples `first` to `last` (exclusive)."""
    samples = speech.samples.copy()
    samples[first:last] = 0
    return replace(speech, samples=samples)


DELETIONS: dict[str, Callable[[CleanSpeech, int, int], CleanSpeech]] = {"removal": remove, "silence": silence}


def main() -> None:
    """Measure the three kinds of weights under both kinds of deletion, write and print the figures."""
    settings = replace(Settings.from_env(), transcribe=False, engine="torch")  # attention is read from its modules
    analyzer = Analyzer(settings)
    clips = list(choose_clips(settings.data))
    rows = [row for path in tqdm(clips, unit="clip") if (row := delete_from(analyzer, path))]
    measured = {"model": analyzer.model.id, "clips": len(rows), "share": SHARE, "deletion": summarize(rows)}
    measured["reading"] = measure_readers(settings)
    write_json(OUT, measured)
    print(json.dumps(measured, indent=2))


def choose_clips(data: Path) -> Iterable[Path]:
    """Yield `CLIPS` random clips of every emotion of every corpus."""
    rng = np.random.default_rng(0)
    for corpus in CORPORA:
        by_label: dict[str, list[Path]] = defaultdict(list)
        for utterance in read_corpus(corpus, data):
            by_label[utterance.label].append(utterance.path)
        for label in sorted(by_label):
            paths = sorted(by_label[label])
            yield from (paths[row] for row in rng.choice(len(paths), CLIPS, replace=False))


def delete_from(analyzer: Analyzer, path: Path) -> dict[str, dict[str, float]]:
    """Return {deletion: {weights or "random": fall of the answer's probability}} of one clip."""
    analysis = analyzer.analyze(path)
    speech, label = analysis.speech, analysis.scores.top
    pieces = cut_pieces(speech)
    if analysis.timeline or len(pieces) < 3:
        return {}

    def scores(batch: Sequence[CleanSpeech]) -> list[Scores]:
        return [prediction.scores for prediction in analyzer.model.predict(batch)]

    weights = {"attention": attention(analyzer, speech, pieces)}
    for name, delete in DELETIONS.items():
        weights[name] = np.array([-log_odds(each, label) for each in scores([delete(speech, *p) for p in pieces])])
    count = max(1, round(SHARE * len(pieces)))
    rng = np.random.default_rng(0)
    chosen = {name: [np.argsort(-values)[:count]] for name, values in weights.items()}
    chosen["random"] = [rng.choice(len(pieces), count, replace=False) for _ in range(DRAWS)]
    whole = analysis.scores.to_dict()[label]
    falls: dict[str, dict[str, float]] = {}
    for name, delete in DELETIONS.items():
        sets = [(kind, rows) for kind, choices in chosen.items() for rows in choices]
        # From the last piece on, so that the places of the others stay the same.
        deleted = [
            reduce(lambda left, row, delete=delete: delete(left, *pieces[row]), sorted(rows, reverse=True), speech)
            for _, rows in sets
        ]
        found: dict[str, list[float]] = defaultdict(list)
        for (kind, _), each in zip(sets, scores(deleted), strict=True):
            found[kind].append(whole - each.to_dict()[label])
        falls[name] = {kind: float(np.mean(values)) for kind, values in found.items()}
    return falls


def attention(analyzer: Analyzer, speech: CleanSpeech, pieces: Sequence[Piece]) -> NDArray[np.float64]:
    """Return the mean share of the pooling heads' attention that each piece gets."""
    shares: list[NDArray[np.float64]] = []

    def keep(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        frames = output.double().softmax(dim=1).mean(dim=2)[0].numpy()
        edges = [round(first / len(speech.samples) * len(frames)) for first, _ in pieces]
        shares.append(np.add.reduceat(frames, edges))

    audio = analyzer.model.audio  # type: ignore[attr-defined]
    heads = [module for head in audio.heads for module in head.modules()]
    hooks = [head.attend.register_forward_hook(keep) for head in heads if isinstance(head, AttentivePoolingHead)]
    audio.predict([speech])
    for hook in hooks:
        hook.remove()
    return np.mean(shares, axis=0)


def summarize(rows: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Return the mean falls in percentage points, and the share of clips (percent) that fall more than at random."""
    falls: dict[str, Any] = {}
    for deletion in DELETIONS:
        kinds = {kind: np.array([row[deletion][kind] for row in rows]) for kind in rows[0][deletion]}
        falls[deletion] = {
            kind: {
                "fall": round(100 * float(values.mean()), 1),
                "more_than_random": round(100 * float((values > kinds["random"]).mean()), 1),
            }
            for kind, values in kinds.items()
        }
    return falls


def measure_readers(settings: Settings) -> dict[str, Any]:
    """Return the 10th, 50th and 90th percentile of each measurement of the voices of LibriSpeech, and their number."""
    paths = [utterance.path for utterance in read_corpus("librispeech", settings.data)]
    voices = []
    for path in tqdm(paths, unit="speaker"):
        with suppress(NoSpeech):
            voices.append(vars(measure_voice(clean_speech(load_audio(path, settings), settings).samples)))
    percentiles = {
        name: np.percentile([voice[name] for voice in voices if voice[name]], (10, 50, 90)).round(1).tolist()
        for name in voices[0]
    }
    return {"speakers": len(voices), **percentiles}


if __name__ == "__main__":
    main()

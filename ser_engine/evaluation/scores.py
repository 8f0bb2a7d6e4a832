"""A finished model's scores of each clip of a corpus, computed once and cached.

Clips go through `Analyzer`, so that the figures are those of the application.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser_engine.analyzer import Analyzer
from ser_engine.data.cache import Cache, compute_clips, hash_options, preprocessing_options
from ser_engine.models.store import CONFIG, sha256
from ser_engine.settings import Settings

# Files of a model that do not affect its scores.
DOCUMENTS = frozenset({"README.md", "LICENSE"})


@dataclass(frozen=True)
class Scored:
    """One clip: {label: probability}, None for a clip without speech; `error` says why it could not be read."""

    scores: dict[str, float] | None
    seconds: float = 0.0
    error: str = ""


def fingerprint(folder: Path, labels: Sequence[str], settings: Settings, words: bool = False) -> str:
    """Return 12 hexadecimal digits that stand for a model and everything else that decides its scores.

    `labels` are the model's, which its folder alone does not decide (`hub_labels`). A folder of one of our models may
    refer to the encoder of the bundled Whisper, so the checksums of that take part, too.
    """
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name[0] != "."]
    digests = {file.name: sha256(file) for file in files if file.name not in DOCUMENTS}
    whisper = settings.models_dir / "whisper-base" / CONFIG
    digests["whisper-base"] = sha256(whisper) if whisper.is_file() else ""
    spoken = {name: getattr(settings, name) for name in ("whisper", "language")} if words else {}
    return hash_options(digests, tuple(labels), preprocessing_options(settings), spoken)


def score(
    paths: Sequence[Path], analyzer: Analyzer, version: str, words: bool = False, workers: int = 0
) -> list[Scored]:
    """Return the scores of each recording; unreadable clips are reported on the standard error.

    `version` is the model's `fingerprint`, `words` whether clips are transcribed. The workers are threads that share
    one copy of the model, each with as many threads in torch as the analyzer's settings state.
    """
    cache = Cache(analyzer.settings.cache, "scores", version, suffix=".json")
    prepare = partial(_analyze, analyzer=analyzer, words=words)
    outcomes = compute_clips(paths, cache, prepare, list, workers, "scoring", batch=1, threads=True)
    results = []
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, Path):
            results.append(Scored(**(cache.load(outcome) or {"scores": None})))
        else:
            tqdm.write(f"{path}: {outcome}", file=sys.stderr)
            results.append(Scored(None, error=str(outcome)))
    return results


def _analyze(data: bytes, analyzer: Analyzer, words: bool) -> dict[str, Any]:
    analysis = analyzer.analyze(data, transcribe=words)
    return {"scores": analysis.scores.to_dict(), "seconds": round(analysis.seconds["total"], 4)}

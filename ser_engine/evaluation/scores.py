"""What a finished model says about each clip, found once and kept on disk.

Clips go the application's own way (`Analyzer`), so that what is measured is what people get. What is kept is named
after the sha256 of the recording, in a folder named after the model's files and all else that decides the answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ser_engine.analyzer import Analyzer
from ser_engine.data.cache import HEARD
from ser_engine.errors import InvalidAudio, NoSpeech, TooLarge
from ser_engine.models.store import CONFIG, sha256
from ser_engine.settings import Settings

PIPELINE = "1"
"""To be raised whenever decoding, cleaning, windows or the way of a score change, so that nothing stale is read."""

# What lies beside weights without a part in the answer.
BESIDE = frozenset({"README.md", "LICENSE"})


@dataclass(frozen=True)
class Scored:
    """One clip: {label: probability}, None where no speech was found; `error` says why it could not be read."""

    scores: dict[str, float] | None
    seconds: float = 0.0
    error: str = ""


def fingerprint(folder: Path, labels: Sequence[str], settings: Settings, words: bool = False) -> str:
    """Return what tells this model, heard in this way, from every other; 12 hexadecimal digits.

    `labels` are the model's, which are not the folder's alone to decide (`hub_labels`). Our models' folders may refer
    to the encoder of the bundled Whisper, so that its checksums take part, too.
    """
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name[0] != "."]
    digests = {file.name: sha256(file) for file in files if file.name not in BESIDE}
    whisper = settings.models_dir / "whisper-base" / CONFIG
    digests["whisper-base"] = sha256(whisper) if whisper.is_file() else ""
    heard = {name: getattr(settings, name) for name in HEARD}
    spoken = {name: getattr(settings, name) for name in ("whisper", "language")} if words else {}
    return hashlib.sha256(f"{PIPELINE} {digests} {tuple(labels)} {heard} {spoken}".encode()).hexdigest()[:12]


def score(
    paths: Sequence[Path], analyzer: Analyzer, version: str, words: bool = False, workers: int = 0
) -> list[Scored]:
    """Return what the analyzer's model says about each recording.

    What is in the cache is read; the rest is scored by `workers` threads (0: one a core) that share one copy of the
    model, with a progress bar, and written as it is done, so that a run that was stopped goes on where it was. Clips
    that cannot be read are told on the standard error.

    Parameters
    ----------
    analyzer : its settings name the model, the cache, and how many threads each of the workers may use in torch
    version : what `fingerprint` returns for the model
    words : whether the words are transcribed, for models that read them

    Raises
    ------
    WeightsUnavailable
        The model is not there, or cannot score recordings.
    """
    folder = analyzer.settings.cache / f"scores-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    found = []
    try:
        results = pool.map(lambda path: _score(path, analyzer, folder, words), paths)
        for path, scored in zip(paths, tqdm(results, total=len(paths), desc="scoring", unit="clip"), strict=True):
            if scored.error:
                tqdm.write(f"{path}: {scored.error}", file=sys.stderr)
            found.append(scored)
    finally:
        # After Ctrl-C or an error nothing new is begun.
        pool.shutdown(cancel_futures=True)
    return found


def _score(path: Path, analyzer: Analyzer, folder: Path, words: bool) -> Scored:
    """Return what is kept of one recording, or score and keep it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Scored(None, error=f"The file cannot be read ({error.strerror}).")
    target = folder / f"{hashlib.sha256(data).hexdigest()}.json"
    try:
        return Scored(**json.loads(target.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # the last two: a disk that lost what was written
        pass
    try:
        analysis = analyzer.analyze(data, name=path.name, transcribe=words)
        scored = Scored(analysis.scores.to_dict(), round(analysis.seconds["total"], 4))
    except NoSpeech:
        scored = Scored(None)
    except (InvalidAudio, TooLarge) as error:
        return Scored(None, error=str(error))
    # Two threads may have the same recording under two names.
    beside = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    beside.write_text(json.dumps({"scores": scored.scores, "seconds": scored.seconds}), encoding="utf-8")
    beside.replace(target)
    return scored

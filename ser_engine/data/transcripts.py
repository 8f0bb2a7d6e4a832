"""What Whisper hears of each clip of a corpus, found once and kept on disk.

Systems that read words are trained on what the recognizer hears, mistakes included, since that is what they will be
given: the script of an acted corpus would teach them words that nobody has in use.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ser_engine.data.cache import HEARD, replacing
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.types import Transcript

if TYPE_CHECKING:
    from ser_engine.transcription.transcriber import Transcriber
    from ser_engine.types import CleanSpeech

PIPELINE = "1"
"""To be raised whenever decoding, cleaning or transcription changes, so that nothing stale is read."""
CHUNK = 16
"""How many clips a worker takes at a time; after Ctrl-C it finishes them."""
TOGETHER = 8
"""How many of them Whisper decodes at once, which takes a fifth less time than one by one."""

_worker: dict[str, Any] = {}


def transcripts(paths: Sequence[Path], settings: Settings, workers: int = 0) -> list[str]:
    """Return the words alone of what `heard_words` returns."""
    return [found.text for found in heard_words(paths, settings, workers)]


def heard_words(paths: Sequence[Path], settings: Settings, workers: int = 0) -> list[Transcript]:
    """Return the words that Whisper hears in each recording, without segments; an empty text where it hears none.

    What is in `settings.cache` is read; the rest is heard by `workers` processes of one thread each (0: one a core),
    with a progress bar, and written as it is done, so that a run that was stopped goes on where it was.

    Raises
    ------
    InvalidAudio, TooLarge
        A recording cannot be decoded, or is over a limit.
    WeightsUnavailable
        Whisper's weights are not there.
    """
    folder = settings.cache / f"transcripts-whisper-{settings.whisper}-{_version(settings)}"
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [paths[first : first + CHUNK] for first in range(0, len(paths), CHUNK)]
    workers = min(workers or os.cpu_count() or 1, len(chunks)) or 1
    found: list[Transcript] = []
    with (
        ProcessPoolExecutor(workers, initializer=_start, initargs=(settings,)) as pool,
        tqdm(total=len(paths), desc="transcribing", unit="clip") as bar,
    ):
        for heard in pool.map(partial(_hear, folder=folder), chunks):
            found += heard
            bar.update(len(heard))
    return found


def _version(settings: Settings) -> str:
    """Return what tells this way of hearing from every other."""
    heard = {name: getattr(settings, name) for name in (*HEARD, "language")}
    return hashlib.sha256(f"{PIPELINE} {heard}".encode()).hexdigest()[:12]


def _start(settings: Settings) -> None:
    """Say in a worker process what it works with."""
    _worker["settings"] = replace(settings, threads=1)


def _transcriber() -> Transcriber:
    """Return a worker's transcriber, loaded when a first recording asks."""
    if "transcriber" not in _worker:
        from ser_engine.analyzer import Analyzer

        _worker["transcriber"] = Analyzer(_worker["settings"]).transcriber
    return _worker["transcriber"]


def _hear(paths: Sequence[Path], folder: Path) -> list[Transcript]:
    """Return the words of some recordings, from the cache or by listening."""
    from ser_engine.audio.clean import clean_speech
    from ser_engine.audio.decode import load_audio

    settings = _worker["settings"]
    recordings = [path.read_bytes() for path in paths]
    targets = [folder / f"{hashlib.sha256(data).hexdigest()}.json" for data in recordings]
    known = {target: _kept(target) for target in targets}
    speeches: dict[Path, CleanSpeech] = {}
    for data, target in zip(recordings, targets, strict=True):
        if known[target] is None:
            try:
                speeches[target] = clean_speech(load_audio(data, settings), settings)
            except NoSpeech:
                known[target] = _keep(target, "")
    if speeches:
        heard = _transcriber().transcribe_all(list(speeches.values()), TOGETHER)
        for target, found in zip(speeches, heard, strict=True):
            known[target] = _keep(target, found.text, found.language, found.confidence)
    return [transcript for target in targets if (transcript := known[target]) is not None]


def _kept(target: Path) -> Transcript | None:
    """Return the words in a file of the cache, or None where there are none that can be read."""
    try:
        entry = json.loads(target.read_text(encoding="utf-8"))
        return _transcript(str(entry["text"]), entry["language"], float(entry["confidence"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError):  # all but the first: a disk that lost what was written
        return None


def _keep(target: Path, text: str, language: str | None = None, confidence: float = 0.0) -> Transcript:
    """Write one entry of the cache, beside and renamed, and return it."""
    confidence = round(confidence, 4)
    entry = {"text": text, "language": language, "confidence": confidence}
    with replacing(target) as beside:
        beside.write_text(json.dumps(entry, ensure_ascii=False), encoding="utf-8")
    return _transcript(text, language, confidence)


def _transcript(text: str, language: str | None, confidence: float) -> Transcript:
    return Transcript(text, language, (), confidence, "kept")

"""Whisper's transcript of every clip of a corpus, computed once and cached.

Systems that use text are trained on what the recognizer transcribes, mistakes included, since that is what they are
given in use: the script of an acted corpus would teach them words that nobody has then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_engine.data.cache import Cache, compute_clips, preprocessing_options
from ser_engine.data.preprocess import clean_clip
from ser_engine.settings import Settings
from ser_engine.types import CleanSpeech, Transcript

if TYPE_CHECKING:
    from ser_engine.transcription.transcriber import Transcriber

BATCH = 16
"""Clips that a process takes at a time."""
DECODED_TOGETHER = 8
"""Clips that Whisper decodes at once, which takes a fifth less time than one by one."""


def transcribe_clips(paths: Sequence[Path], settings: Settings, workers: int = 0) -> list[Transcript]:
    """Return the transcript of each recording, without segments; an empty text for a clip without speech.

    Raise InvalidAudio or TooLarge for a recording that cannot be decoded, WeightsUnavailable without Whisper.
    """
    name = f"transcripts-whisper-{settings.whisper}"
    cache = Cache(settings.cache, name, preprocessing_options(settings), settings.language, suffix=".json")
    worker = replace(settings, threads=1)
    prepare, compute = partial(clean_clip, settings=worker), partial(_transcribe, settings=worker)
    entries = cache.load_all(compute_clips(paths, cache, prepare, compute, workers, "transcribing", BATCH))
    empty = {"text": "", "language": None, "confidence": 0.0}
    return [Transcript(**(entry or empty), segments=(), engine="cache") for entry in entries]


@lru_cache(maxsize=1)
def _transcriber(settings: Settings) -> Transcriber:
    from ser_engine.analyzer import Analyzer

    return Analyzer(settings).transcriber


def _transcribe(clips: list[CleanSpeech], settings: Settings) -> list[dict[str, Any]]:
    return [
        {"text": transcript.text, "language": transcript.language, "confidence": round(transcript.confidence, 4)}
        for transcript in _transcriber(settings).transcribe_all(clips, DECODED_TOGETHER)
    ]

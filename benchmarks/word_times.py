"""Error of the times of words, on sentences of TESS and RAVDESS that are joined at known moments.

Both were recorded in quiet rooms, so that the level shows where a sentence begins, and with it its first word. The
pauses between the sentences are so short that speech detection keeps them, or so long that it removes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.clean import clean_speech, resample
from ser_engine.audio.decode import load_audio, load_samples
from ser_engine.audio.quality import normalize_level
from ser_engine.data.corpora import registry
from ser_engine.settings import Settings
from ser_engine.transcription.transcriber import load_transcriber
from ser_engine.types import SAMPLE_RATE

CORPORA = ("tess", "ravdess")
RECORDINGS, SENTENCES, PAUSE_S = 60, 5, (0.05, 1.0)
FRAME = SAMPLE_RATE // 200
# A sentence begins where its level first comes this near to its loudest frame, and stays there for 30 ms.
BELOW_PEAK_DB, SUSTAINED = 35.0, 6

Samples = NDArray[np.float32]


def measure(recordings: int = RECORDINGS) -> dict[str, float]:
    """Return the median error of a word's start in seconds, and the share of these words that were recognized.

    Nothing is measured without the corpora.
    """
    settings = Settings.from_env()
    if not all(registry.is_available(name, settings.data) for name in CORPORA):
        return {}
    errors, known = measure_errors(settings, recordings)
    return {
        "word_start_error_s": round(median(map(abs, errors)), 3),
        "word_starts_found": round(len(errors) / known, 3),
    }


def measure_errors(settings: Settings, recordings: int) -> tuple[list[float], int]:
    """Return by how many seconds the recognized words begin too late, and how many words there are."""
    transcriber = load_transcriber(settings)
    errors, known = [], 0
    for samples, words in join_sentences(settings, recordings):
        speech = clean_speech(load_samples(samples, SAMPLE_RATE, settings), settings)
        timed = [word for segment in transcriber.transcribe(speech, words=True).segments for word in segment.words]
        spoken = [word for word, _ in words]
        for j, i in match([word.text for word in timed], spoken).items():
            start = words[j][1]
            if start is not None:
                errors.append(timed[i].start - start)
        known += sum(start is not None for _, start in words)
    return errors, known


def join_sentences(settings: Settings, recordings: int) -> Iterator[tuple[Samples, list[tuple[str, float | None]]]]:
    """Yield recordings, float32 [n] at 16 kHz, and their words, each with its start in seconds where that is known."""
    rng = np.random.default_rng(0)
    clips = [clip for name in CORPORA for clip in registry.read_corpus(name, settings.data) if clip.words]
    for _ in range(recordings):
        pieces = [0.001 * rng.standard_normal(SAMPLE_RATE // 2)]
        words: list[tuple[str, float | None]] = []
        for row in rng.choice(len(clips), SENTENCES, replace=False):
            recording = load_audio(clips[row].path, settings)
            samples = trim(normalize_level(resample(recording.samples, recording.rate)))
            first, *others = str(clips[row].words).split()
            words += [(first, sum(map(len, pieces)) / SAMPLE_RATE), *((word, None) for word in others)]
            pieces += [samples, np.zeros(round(rng.uniform(*PAUSE_S) * SAMPLE_RATE))]
        joined = np.concatenate(pieces)
        yield (joined + 0.0005 * rng.standard_normal(len(joined))).astype(np.float32), words


def trim(samples: Samples, below_peak_db: float = BELOW_PEAK_DB) -> Samples:
    """Return a sentence from its first to its last moment that is not quiet."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    loud = levels >= levels.max() - below_peak_db
    runs = np.lib.stride_tricks.sliding_window_view(loud, SUSTAINED).all(axis=1).nonzero()[0]
    return samples[runs[0] * FRAME : (runs[-1] + SUSTAINED) * FRAME]


def match(recognized: Sequence[str], spoken: Sequence[str]) -> dict[int, int]:
    """Return for each spoken word that was recognized (its number) the number of the recognized word."""
    plain = [[re.sub(r"\W", "", word).lower() for word in words] for words in (spoken, recognized)]
    blocks = SequenceMatcher(None, *plain, autojunk=False).get_matching_blocks()
    return {block.a + n: block.b + n for block in blocks for n in range(block.size)}

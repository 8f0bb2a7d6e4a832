"""Languages of stretches of speech, in recordings that are joined of clips in two languages, and of short clips.

In half of the recordings one language follows the other, in the other half they alternate at each pause, as where an
interpreter speaks. Short clips are the beginnings of others; they are transcribed as whole recordings, and as parts of
a recording in their own language.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.word_times import Samples, trim
from ser_engine.audio.clean import clean_speech, resample
from ser_engine.audio.decode import load_audio, load_samples
from ser_engine.audio.quality import normalize_level
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.transcription.transcriber import Transcriber, load_transcriber
from ser_engine.types import SAMPLE_RATE, Span, Transcript

CORPORA = ("ravdess", "cremad", "librispeech", "emodb", "emovo")
RECORDINGS, CLIPS, LONGEST_S, PAUSE_S = 8, 12, 6.0, (0.4, 1.2)
SHORT_CLIPS, SHORT_S = 18, (0.8, 1.9)

Pools = dict[str, list[list[Utterance]]]
"""Clips by language, and then by corpus."""


def measure(recordings: int = RECORDINGS, short_clips: int = SHORT_CLIPS) -> dict[str, float]:
    """Return shares of the speech, in percent, whose language is right; nothing without the corpora.

    `languages_right` is of recordings in two languages; `short_language_right` of short clips as whole recordings, and
    `short_language_right_in_recording` where the language of the recording is known.
    """
    settings = Settings.from_env()
    if not all(registry.is_available(name, settings.data) for name in CORPORA):
        return {}
    pools: Pools = defaultdict(list)
    for name in CORPORA:
        pools[registry.get_corpus(name).languages[0]].append(list(registry.read_corpus(name, settings.data)))
    transcriber, rng = load_transcriber(settings), np.random.default_rng(0)
    right = [
        (span.duration_s, language == _language_of(transcript, span))
        for number in range(recordings)
        for transcript, stretches in [_transcribe_joined(transcriber, settings, pools, rng, number)]
        for span, language in stretches
    ]
    alone, known = zip(*_transcribe_short(transcriber, settings, pools, rng, short_clips), strict=True)
    return {
        "languages_right": round(
            100 * sum(length for length, hit in right if hit) / sum(length for length, _ in right), 1
        ),
        "short_language_right": round(100 * float(np.mean(alone)), 1),
        "short_language_right_in_recording": round(100 * float(np.mean(known)), 1),
    }


def _transcribe_joined(
    transcriber: Transcriber, settings: Settings, pools: Pools, rng: np.random.Generator, number: int
) -> tuple[Transcript, list[tuple[Span, str]]]:
    """Return the transcript of a recording in two languages, and where which of them is spoken."""
    languages = rng.permutation(sorted(pools))[:2]
    order = np.arange(CLIPS) % 2 if number % 2 else np.arange(CLIPS) >= rng.integers(3, CLIPS - 3)
    pieces: list[Samples] = [np.zeros(SAMPLE_RATE // 2, np.float32)]
    stretches: list[tuple[Span, str]] = []
    for language in languages[order.astype(int)]:
        samples = _load_clip(pools[language], settings, rng)[: round(LONGEST_S * SAMPLE_RATE)]
        start = sum(map(len, pieces)) / SAMPLE_RATE
        stretches.append((Span(start, start + len(samples) / SAMPLE_RATE), str(language)))
        pieces += [samples, np.zeros(round(rng.uniform(*PAUSE_S) * SAMPLE_RATE), np.float32)]
    return _transcribe(transcriber, settings, pieces, rng), stretches


def _transcribe_short(
    transcriber: Transcriber, settings: Settings, pools: Pools, rng: np.random.Generator, count: int
) -> Iterator[tuple[bool, bool]]:
    """Yield for each short clip with words whether its language is right, without and with that of a recording."""
    for number in range(count):
        language = sorted(pools)[number % len(pools)]
        samples = _load_clip(pools[language], settings, rng)[: round(rng.uniform(*SHORT_S) * SAMPLE_RATE)]
        silence = np.zeros(SAMPLE_RATE // 2, np.float32)
        try:
            both = [
                _transcribe(transcriber, settings, [silence, samples, silence], np.random.default_rng(number), main)
                for main in (None, language)
            ]
        except NoSpeech:
            continue
        if all(transcript.text for transcript in both):
            yield both[0].language == language, both[1].language == language


def _transcribe(
    transcriber: Transcriber,
    settings: Settings,
    pieces: Sequence[Samples],
    rng: np.random.Generator,
    main: str | None = None,
) -> Transcript:
    joined = np.concatenate(pieces)
    noisy = (joined + 0.0005 * rng.standard_normal(len(joined))).astype(np.float32)
    return transcriber.transcribe(clean_speech(load_samples(noisy, SAMPLE_RATE, settings), settings), main=main)


def _load_clip(pool: Sequence[Sequence[Utterance]], settings: Settings, rng: np.random.Generator) -> Samples:
    """Return the speech of a random clip of a random corpus, at an even level."""
    corpus = pool[rng.integers(len(pool))]
    recording = load_audio(corpus[rng.integers(len(corpus))].path, settings)
    return trim(normalize_level(resample(recording.samples, recording.rate)))


def _language_of(transcript: Transcript, span: Span) -> str | None:
    """Return the language of the sentence that shares most of a span; None where none does."""
    shared: dict[str | None, float] = defaultdict(float)
    for segment in transcript.segments:
        shared[segment.language] += max(0.0, min(span.end, segment.end) - max(span.start, segment.start))
    language = max(shared, key=lambda each: shared[each], default=None)
    return language if language is not None and shared[language] > 0 else None

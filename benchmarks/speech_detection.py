"""Share of voices that are refused as no speech, and of sounds without speech that are accepted; whispers by name.

Voices are an even sample of every corpus at hand, sounds are generated ones (`sounds`) and recorded instruments and
weather, whispers are made from clips of CREMA-D and RAVDESS (`voices`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from benchmarks.sounds import generate, read_instruments
from benchmarks.voices import whisper
from ser_engine.audio.clean import clean_speech, resample
from ser_engine.audio.decode import load_audio, load_samples
from ser_engine.data.corpora import registry
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.speakers.voice_kind import WHISPERED, name_voice
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Recording

CLIPS = {
    "ased": 2474, "emogator": 1000, "ravdess": 480, "cremad": 500, "tess": 200, "emodb": 150, "emovo": 150,
    "librispeech": 50, "speechocean": 150,
}  # fmt: skip
"""Clips of each corpus, evenly spread: all of ASED, which is the one with sobs."""
SOUNDS = 60
WHISPERS, WHISPERED_CORPORA = 60, ("cremad", "ravdess")


def measure() -> dict[str, object]:
    """Return rates in percent, of how many files they are, and which kinds of sounds were accepted.

    Nothing is measured of corpora that are not there.
    """
    settings = Settings.from_env()
    refused, clips, misnamed = Counter[str](), Counter[str](), 0
    for corpus, recording in _read_voices(settings):
        speech = _clean(recording, settings)
        clips[corpus] += 1
        refused[corpus] += speech is None
        misnamed += speech is not None and WHISPERED in speech.quality.voice_kinds
    rates = {f"speech_refused_{corpus}": _percent(refused[corpus], count) for corpus, count in clips.items()}
    total = {"speech_refused": _percent(refused.total(), clips.total()), "speech_clips": dict(clips)} if clips else {}
    named = {"whisper_wrong": _percent(misnamed, clips.total() - refused.total())} if clips else {}
    return total | rates | measure_sounds(settings) | measure_whispers(settings) | named


def measure_sounds(settings: Settings) -> dict[str, object]:
    """Return the percentage of sounds without speech that are accepted, and how many of each kind were."""
    recorded = list(read_instruments(settings.data))
    sounds = [*generate(SOUNDS - len(recorded)), *(("recorded", samples) for _, samples in recorded)]
    kinds, accepted = Counter(kind for kind, _ in sounds), Counter[str]()
    for kind, samples in sounds:
        accepted[kind] += _clean(load_samples(samples, SAMPLE_RATE, settings), settings) is not None
    return {
        "music_accepted": _percent(accepted.total(), len(sounds)),
        "music_files": dict(kinds),
        "music_accepted_files": {kind: count for kind, count in accepted.items() if count},
    }


def measure_whispers(settings: Settings) -> dict[str, float]:
    """Return the percentage of vocoded whispers that are named as such; one that is refused is not."""
    named, count = 0, 0
    for corpus in WHISPERED_CORPORA:
        for recording in _read_clips(corpus, WHISPERS // len(WHISPERED_CORPORA), settings):
            samples = whisper(resample(recording.samples, recording.rate), np.random.default_rng(count))
            speech = _clean(load_samples(samples, SAMPLE_RATE, settings), settings)
            named += speech is not None and WHISPERED in speech.quality.voice_kinds
            count += 1
    return {"whisper_named": _percent(named, count)} if count else {}


def _read_voices(settings: Settings) -> Iterator[tuple[str, Recording]]:
    for corpus, count in CLIPS.items():
        for recording in _read_clips(corpus, count, settings):
            yield corpus, recording


def _read_clips(corpus: str, count: int, settings: Settings) -> Iterator[Recording]:
    """Yield `count` clips of a corpus, evenly spread over it; none where it is missing."""
    if registry.is_available(corpus, settings.data):
        clips = registry.read_corpus(corpus, settings.data)
        for row in np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int):
            yield load_audio(clips[row].path, settings)


def _clean(recording: Recording, settings: Settings) -> CleanSpeech | None:
    """Return the speech of a recording, None where it is refused."""
    try:
        return name_voice(clean_speech(recording, settings), settings)
    except NoSpeech:
        return None


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2)

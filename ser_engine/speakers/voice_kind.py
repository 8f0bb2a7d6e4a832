"""Name kinds of voices that the models were not trained on: whispers and children's voices.

Sung voices are not named: in real recordings, steadiness does not separate them well enough from slow speech
(docs/accuracy.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ser_engine.features.voice import FEWEST, FLOOR_DB, SILENCE_DB, VOICED, frame_levels, frame_pitch
from ser_engine.models.child_voice import load_child_voice
from ser_engine.models.voice_embedder import load_embedder
from ser_engine.settings import Settings
from ser_engine.speakers.clustering import normalize
from ser_engine.speakers.diarization import PART_S, fill_part
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Quality, Span

WHISPERED, CHILD = "whispered", "child"
SENTENCES = {
    WHISPERED: "This sounds like a whisper; the model was trained on voiced speech, so its answer is less reliable.",
    CHILD: "This sounds like a child; the model was trained on emotions of adults, so its answer is less reliable.",
}
"""The warning for each kind."""
CLEARLY_VOICED = 0.25
"""Aperiodic share of a frame's power, between `PITCHED` and `VOICED`."""
MOST_VOICED, MOST_CLEARLY_VOICED = 0.15, 0.02
"""Shares of spoken frames that may be voiced, and clearly so, in a whisper; measured by `benchmarks.bench speech`."""
LEAST_PITCH_HZ = 180.0
"""Median pitch below which a voice is no child's: 96 of 100 recordings of children have a higher one."""
LEAST_SNR_DB = 15.0
"""Ratio of speech to background below which noise may hide the voice, so that nothing is named."""
SHORTEST_S, PIECE_S, PIECES = 1.0, 0.25, 8
"""In less speech, nothing is named; of more than these pieces, as many are measured, evenly spread."""
MOST_PARTS = 2
"""Parts of `PART_S` that are embedded, evenly spread."""


def load_models(settings: Settings) -> None:
    """Load what recognizes a child's voice; raise WeightsUnavailable if something is missing."""
    load_embedder(settings)
    load_child_voice(settings)


def name_voice(speech: CleanSpeech, settings: Settings) -> CleanSpeech:
    """Return the speech of one voice with its likely kinds, and warnings of them, in its quality.

    Raise WeightsUnavailable if a model is missing.
    """
    quality = speech.quality
    noisy = quality.noise_reduced or (quality.snr_db is not None and quality.snr_db < LEAST_SNR_DB)
    if noisy or quality.speech_s < SHORTEST_S:
        return speech
    pitch, aperiodic = _measure_pitch(speech.samples)
    if _is_whispered(aperiodic):
        kinds: tuple[str, ...] = (WHISPERED,)
    elif _is_high(pitch) and load_child_voice(settings).is_child(embed_voice(speech.samples, settings)):
        kinds = (CHILD,)
    else:
        kinds = ()
    return replace(speech, quality=add_kinds(quality, kinds))


def add_kinds(quality: Quality, kinds: Sequence[str]) -> Quality:
    """Return the quality with kinds of the voice, and warnings of them."""
    warnings = (*quality.warnings, *(SENTENCES[kind] for kind in kinds))
    return replace(quality, warnings=warnings, voice_kinds=(*quality.voice_kinds, *kinds))


def add_speakers_kinds(quality: Quality, kinds: Mapping[str, Sequence[str]]) -> Quality:
    """Return the quality with kinds of the voices of several speakers, {name: kinds}, and warnings with the names."""
    warnings = [f"{name}: {SENTENCES[kind]}" for name, own in kinds.items() for kind in own]
    named = dict.fromkeys(kind for own in kinds.values() for kind in own)
    return replace(quality, warnings=(*quality.warnings, *warnings), voice_kinds=tuple(named))


def embed_voice(speech: NDArray[np.float32], settings: Settings) -> NDArray[np.float32]:
    """Return embeddings at unit length, float32 [1 to `MOST_PARTS`, width], of speech, float32 [n] at 16 kHz."""
    seconds = len(speech) / SAMPLE_RATE
    starts = np.linspace(0, max(0.0, seconds - PART_S), min(MOST_PARTS, max(1, round(seconds / PART_S))))
    parts = [fill_part(speech, Span(start, start + PART_S)) for start in starts.tolist()]
    return normalize(load_embedder(settings).embed(np.stack(parts)))


def is_high(speech: NDArray[np.float32]) -> bool:
    """Whether the pitch of speech, float32 [n] at 16 kHz and of normal level, can be a child's."""
    return _is_high(_measure_pitch(speech)[0])


def _measure_pitch(speech: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `voice.frame_pitch` of spoken frames in evenly spread pieces of speech."""
    size = round(PIECE_S * SAMPLE_RATE)
    pieces = speech[: len(speech) // size * size].reshape(-1, size)
    chosen = np.linspace(0, len(pieces) - 1, min(PIECES, len(pieces))).round().astype(int)
    sample = pieces[chosen].ravel()
    levels, (pitch, aperiodic) = frame_levels(sample), frame_pitch(sample)
    spoken = levels > max(SILENCE_DB, np.percentile(levels, 99) - FLOOR_DB)
    return pitch[spoken], aperiodic[spoken]


def _is_whispered(aperiodic: NDArray[np.float64]) -> bool:
    """Whether hardly any of the spoken frames are voiced."""
    voiced, clearly = ((aperiodic < share).mean() for share in (VOICED, CLEARLY_VOICED))
    return bool(voiced < MOST_VOICED and clearly < MOST_CLEARLY_VOICED)


def _is_high(pitch: NDArray[np.float64]) -> bool:
    pitched = pitch[pitch > 0]
    return len(pitched) >= FEWEST and bool(np.median(pitched) >= LEAST_PITCH_HZ)

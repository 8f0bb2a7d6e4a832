"""Name a kind of voice that the models were not trained on: whispers.

Children's and sung voices are not named: in real recordings, pitch, formants and steadiness do not tell them well
enough from adults who act an emotion (docs/accuracy.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ser_engine.features.voice import FLOOR_DB, SILENCE_DB, VOICED, frame_levels, frame_pitch
from ser_engine.types import SAMPLE_RATE, CleanSpeech

WHISPERED = "whispered"
SENTENCES = {
    WHISPERED: "This sounds like a whisper; the model was trained on voiced speech, so its answer is less reliable."
}
"""The warning for each kind."""
CLEARLY_VOICED = 0.25
"""Aperiodic share of a frame's power, between `PITCHED` and `VOICED`."""
MOST_VOICED, MOST_CLEARLY_VOICED = 0.15, 0.02
"""Shares of spoken frames that may be voiced, and clearly so, in a whisper; measured by `benchmarks.bench speech`."""
LEAST_SNR_DB = 15.0
"""Ratio of speech to background below which noise may hide the voice, so that nothing is named."""
SHORTEST_S, PIECE_S, PIECES = 1.0, 0.25, 8
"""In less speech, nothing is named; of more than these pieces, as many are measured, evenly spread."""


def name_voice(speech: CleanSpeech) -> CleanSpeech:
    """Return speech with the likely kinds of its voice, and warnings of them, in its quality."""
    quality = speech.quality
    noisy = quality.noise_reduced or (quality.snr_db is not None and quality.snr_db < LEAST_SNR_DB)
    if noisy or quality.speech_s < SHORTEST_S or not is_whispered(speech.samples):
        return speech
    warnings = (*quality.warnings, SENTENCES[WHISPERED])
    return replace(speech, quality=replace(quality, voice_kinds=(WHISPERED,), warnings=warnings))


def is_whispered(speech: NDArray[np.float32]) -> bool:
    """Whether hardly anything of speech, float32 [n] at 16 kHz and of normal level, is voiced."""
    size = round(PIECE_S * SAMPLE_RATE)
    pieces = speech[: len(speech) // size * size].reshape(-1, size)
    chosen = np.linspace(0, len(pieces) - 1, min(PIECES, len(pieces))).round().astype(int)
    sample = pieces[chosen].ravel()
    levels, (_, aperiodic) = frame_levels(sample), frame_pitch(sample)
    spoken = aperiodic[levels > max(SILENCE_DB, np.percentile(levels, 99) - FLOOR_DB)]
    voiced, clearly = ((spoken < share).mean() for share in (VOICED, CLEARLY_VOICED))
    return bool(voiced < MOST_VOICED and clearly < MOST_CLEARLY_VOICED)

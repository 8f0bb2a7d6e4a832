"""Name a kind of voice that the models were not trained on: whispers.

Children's and sung voices are not named: on real recordings, pitch, formants and steadiness do not tell them from
adults' acted emotions well enough (docs/accuracy.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.quality import NOISY_DB, normalize_level
from ser_engine.features.voice import FLOOR_DB, SILENCE_DB, VOICED, frame_levels, frame_pitch
from ser_engine.types import SAMPLE_RATE, Quality

WHISPERED = "whispered"
SENTENCES = {
    WHISPERED: "This sounds like a whisper; the model was trained on voiced speech, so its answer is less reliable."
}
"""The warning for each kind."""
LEAST_VOICED = 0.08
"""Share of spoken frames that are voiced, below which speech is a whisper: 2 in 100 clips of CREMA-D have less than
0.17, nine in ten whispers made by a vocoder less than 0.08.
"""
SHORTEST_S, PIECE_S, PIECES = 0.5, 0.25, 8
"""Less speech is not judged; of more than these pieces, as many are measured, evenly spread."""


def name_voice(quality: Quality, speech: NDArray[np.float32]) -> Quality:
    """Return the quality of a recording with the likely kinds of its voice, given its speech, float32 [n] at 16 kHz.

    Background noise hides the voice, so that nothing is named in a noisy recording.
    """
    noisy = quality.snr_db is not None and quality.snr_db < NOISY_DB
    kinds = (WHISPERED,) if not noisy and is_whispered(speech) else ()
    return replace(quality, voice_kinds=kinds, warnings=(*quality.warnings, *(SENTENCES[kind] for kind in kinds)))


def is_whispered(speech: NDArray[np.float32]) -> bool:
    """Whether hardly anything of speech, float32 [n] at 16 kHz, is voiced."""
    if len(speech) < SHORTEST_S * SAMPLE_RATE:
        return False
    size = round(PIECE_S * SAMPLE_RATE)
    pieces = speech[: len(speech) // size * size].reshape(-1, size)
    chosen = np.linspace(0, len(pieces) - 1, min(PIECES, len(pieces))).round().astype(int)
    sample = normalize_level(pieces[chosen].ravel())
    levels, (_, aperiodic) = frame_levels(sample), frame_pitch(sample)
    spoken = levels > max(SILENCE_DB, np.percentile(levels, 99) - FLOOR_DB)
    return bool((aperiodic[spoken] < VOICED).mean() < LEAST_VOICED)

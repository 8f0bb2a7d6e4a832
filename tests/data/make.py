"""Make the speech clips in this folder with espeak-ng; only needed to change them.

    python -m tests.data.make

Each sentence is spoken by each voice, with a third of a second of digital silence before and after, and stored as
16 kHz Ogg Opus: some 8 kB a clip. tests/speech.py reads them.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

from tests.speech import RATE, SENTENCES, VOICES

# RMS level of the voice, about that of a person who speaks into a laptop.
LEVEL_DB = -23.0
PAUSE_S = 0.33
# espeak-ng's voice and words per minute, chosen such that Whisper understands every sentence.
ESPEAK = {"man": ("en-us", 130), "woman": ("en-us+steph", 130)}


def speak(voice: str, words_per_minute: int, text: str, pitch: int = 50) -> np.ndarray:
    """Return float32 [n] at `RATE`; `pitch` is espeak-ng's, 0 to 99."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-p", str(pitch), "-g", "1", "--stdout", text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    spoken = soxr.resample(samples, rate, RATE)
    spoken *= 10 ** (LEVEL_DB / 20) / np.sqrt(np.mean(np.square(spoken)))
    pause = np.zeros(round(PAUSE_S * RATE), np.float32)
    return np.concatenate([pause, spoken, pause]).astype(np.float32)


if __name__ == "__main__":
    for voice in VOICES:
        for text, key in SENTENCES.items():
            path = Path(__file__).parent / f"{voice}_{key}.ogg"
            samples = speak(*ESPEAK[voice], text)
            soundfile.write(path, samples, RATE, format="OGG", subtype="OPUS")
            print(f"{path.name}: {len(samples) / RATE:.2f} s, {path.stat().st_size} bytes")

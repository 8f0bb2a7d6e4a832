"""Make the example of the Live page, ui/live/example.mp3, with espeak-ng; only needed to change it.

    python -m tools.make_example

Synthetic voices differ far less than people do, but the recording belongs to nobody.
"""

from __future__ import annotations

import numpy as np
import soundfile

from tests.data.make import speak
from tests.speech import RATE, silence
from ui.live.example import PATH

PAUSE_S = 0.9
# espeak-ng's voice, words per minute, pitch (0 to 99), and the text.
LINES = (
    ("en-us", 130, 50, "The next train to the coast leaves at eleven o'clock."),
    ("en-us+f3", 190, 95, "What a wonderful day! We have won, we have really won!"),
    ("en-us+steph", 110, 20, "He is gone. I do not know what to do without him."),
)

if __name__ == "__main__":
    parts = [part for line in LINES for part in (speak(*line[:2], line[3], pitch=line[2]), silence(PAUSE_S))]
    samples = np.concatenate(parts)
    soundfile.write(PATH, samples, RATE, format="MP3", subtype="MPEG_LAYER_III")
    print(f"{PATH.name}: {len(samples) / RATE:.1f} s, {PATH.stat().st_size} bytes")

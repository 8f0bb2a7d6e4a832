"""BanglaSER: 34 Bangla speakers with telephones and laptops, three sentences, five emotions."""

import re
from pathlib import Path

from ser_engine.data.corpora.base import Corpus, Utterance
from ser_engine.labels import ANGRY, HAPPY, NEUTRAL, SAD, SURPRISED

SENTENCES = {"01": "১২ টা বেজে গেছে", "02": "আমি জানতাম এমন কিছু হবে", "03": "এ কেমন উপহার"}
# The names look like RAVDESS's, but the numbers mean other emotions.
NATIVES = {"01": "happy", "02": "sad", "03": "angry", "04": "surprise", "05": "neutral"}
LABELS = {"happy": HAPPY, "sad": SAD, "angry": ANGRY, "surprise": SURPRISED, "neutral": NEUTRAL}
EMOTION_CODES = {code: LABELS[native] for code, native in NATIVES.items()}
INTENSITIES = {"01": "normal", "02": "strong"}
GENDERS = {f"{actor:02}": "female" if actor % 2 == 0 else "male" for actor in range(1, 35)}


def read_name(path: Path) -> Utterance | None:
    """Read mode-channel-emotion-intensity-statement-repetition-actor, as in 03-01-05-01-02-03-34.wav."""
    if not re.fullmatch(r"\d\d(-\d\d){6}", path.stem):
        return None
    _, _, emotion, intensity, statement, _, actor = path.stem.split("-")
    return Utterance(
        corpus="banglaser",
        path=path,
        label=EMOTION_CODES[emotion],
        speaker=f"banglaser/{actor}",
        gender=GENDERS[actor],
        sentence=SENTENCES[statement],
        intensity=INTENSITIES[intensity],
        transcript=SENTENCES[statement],
        native=NATIVES[emotion],
    )


CORPUS = Corpus(
    id="banglaser",
    title="BanglaSER",
    languages=("bn",),
    license="CC BY 4.0",
    citation="Das et al. (2022), Data in Brief 42: 108091",
    url="https://data.mendeley.com/datasets/t9h6p943xy/5",
    expected_clips=1467,
    expected_speakers=34,
    labels=LABELS,
    # 3 sentences x 3 takes of all 34 speakers, but of 27 for neutral.
    expected_labels={"happy": 306, "sad": 306, "angry": 306, "surprise": 306, "neutral": 243},
    read_name=read_name,
    aliases=("bser",),
)

"""TESS: two actresses of Toronto, one carrier sentence with 200 words, seven emotions."""

import re
from pathlib import Path

from ser_engine.data.corpora.base import Codes, Corpus
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

CARRIER = "Say the word {}."
EMOTION_CODES = {
    "angry": ANGRY,
    "disgust": DISGUST,
    "fear": FEARFUL,
    "happy": HAPPY,
    "neutral": NEUTRAL,
    "ps": SURPRISED,
    "sad": SAD,
}


def read_codes(path: Path) -> Codes | None:
    """Read speaker_word_emotion, as in YAF_dog_ps.wav; one published file has OA for OAF."""
    match = re.fullmatch(r"(oaf?|yaf)_([a-z'-]+)_([a-z]+)", path.stem.lower())
    if match is None:
        return None
    speaker, word, emotion = match.groups()
    return {"speaker": "YAF" if speaker == "yaf" else "OAF", "emotion": emotion, "sentence": CARRIER.format(word)}


CORPUS = Corpus(
    id="tess",
    title="TESS",
    languages=("en",),
    license="CC BY-NC-ND 4.0",
    citation="Pichora-Fuller & Dupuis (2020), Borealis, doi:10.5683/SP2/E8H2MF",
    url="https://doi.org/10.5683/SP2/E8H2MF",
    expected_clips=2800,
    expected_speakers=2,
    labels=EMOTION_CODES,
    expected_labels=dict.fromkeys(EMOTION_CODES, 400),
    read_codes=read_codes,
    genders={"OAF": "female", "YAF": "female"},
    aliases=("toronto",),
)

"""SAVEE: four British men, fifteen sentences an emotion (thirty for neutral), seven emotions."""

import re
from functools import partial
from pathlib import Path

from ser_engine.data.corpora.base import Codes, Corpus
from ser_engine.data.corpora.transcripts import read_transcripts
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

SPEAKERS = frozenset({"DC", "JE", "JK", "KL"})
EMOTION_CODES = {"a": ANGRY, "d": DISGUST, "f": FEARFUL, "h": HAPPY, "n": NEUTRAL, "sa": SAD, "su": SURPRISED}
# "3 common, 2 emotion-specific and 10 generic" TIMIT sentences: the common ones come first in every emotion.
COMMON = {
    "01": "She had your dark suit in greasy wash water all year.",
    "02": "Don't ask me to carry an oily rag like that.",
    "03": "Will you tell me why?",
}


def read_codes(path: Path) -> Codes | None:
    """Read speaker, emotion and sentence, as in DC_sa03.wav, or DC/sa03.wav as the university distributes them.

    File names have the sentence's number only, so the sentence is an id ("common01", "sa07"). Neutral also has the
    other emotions' specific sentences; their numbers are not known. The corpus's own page prints the common sentences
    and one of each emotion without its number: the words of all others are read from a table (`read_transcripts`).
    """
    match = re.fullmatch(r"(?:([a-z]{2})_)?([a-z]{1,2})(\d\d)", path.stem.lower())
    if match is None:
        return None
    speaker, emotion, number = (match[1] or path.parent.name).upper(), match[2], match[3]
    if match[1] is None and speaker not in SPEAKERS:
        return None
    sentence = f"common{number}" if number in COMMON else f"{emotion}{number}"
    return {"speaker": speaker, "emotion": emotion, "sentence": sentence}


CORPUS = Corpus(
    id="savee",
    title="SAVEE",
    languages=("en",),
    license="free for research, on registration",
    citation="Haq & Jackson (2010), Machine Audition, IGI Global: 398-423",
    url="http://kahlan.eps.surrey.ac.uk/savee/",
    expected_clips=480,
    expected_speakers=4,
    labels=EMOTION_CODES,
    expected_labels={code: 120 if code == "n" else 60 for code in EMOTION_CODES},
    read_codes=read_codes,
    genders=dict.fromkeys(SPEAKERS, "male"),
    read_annotations=partial(read_transcripts, sentences={f"common{number}": text for number, text in COMMON.items()}),
    aliases=("surrey",),
)

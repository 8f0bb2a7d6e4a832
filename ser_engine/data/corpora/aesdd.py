"""AESDD: six Greek actors, nineteen sentences and one improvised, five emotions and no neutral."""

import re
from pathlib import Path

from ser_engine.data.corpora.base import Codes, Corpus
from ser_engine.data.corpora.transcripts import read_transcripts
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, SAD

# The twentieth is improvised by each actor, in different words every time.
IMPROVISED = "20"


def read_codes(path: Path) -> Codes | None:
    """Read emotion, sentence and speaker, as in a13 (6).wav.

    The corpus also has a two-digit speaker, "f10 (01)", and second takes, "s01 (5)b"; copies have "a13(6)" or
    "a13_(6)". The corpus states neither the speakers' genders nor its sentences, whose words are read from a table
    (`read_transcripts`). It is "dynamic": more actors may join it.
    """
    match = re.fullmatch(r"([a-z])(\d\d)[ _]*\((\d{1,2})\)[ _]*[a-z]?", path.stem.lower())
    if match is None:
        return None
    emotion, sentence, speaker = match[1], match[2], str(int(match[3]))
    if sentence == IMPROVISED:
        sentence = f"improvised-{emotion}{speaker}"
    return {"emotion": emotion, "sentence": sentence, "speaker": speaker}


CORPUS = Corpus(
    id="aesdd",
    title="AESDD",
    languages=("el",),
    license="free for research (the authors ask for the citation)",
    citation="Vryzas et al. (2018), Journal of the Audio Engineering Society 66(6): 457-467",
    url="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
    expected_clips=604,
    expected_speakers=6,
    labels={"a": ANGRY, "d": DISGUST, "f": FEARFUL, "h": HAPPY, "s": SAD},
    expected_labels={"a": 121, "d": 122, "f": 120, "h": 119, "s": 122},
    read_codes=read_codes,
    read_annotations=read_transcripts,
)

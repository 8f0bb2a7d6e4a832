"""AESDD: six Greek actors, nineteen sentences and one improvised, five emotions and no neutral."""

import re
from pathlib import Path

from ser_engine.data.corpora.base import Corpus, Utterance
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, SAD

EMOTION_CODES = {"a": ANGRY, "d": DISGUST, "f": FEARFUL, "h": HAPPY, "s": SAD}
# The twentieth is improvised by each actor, in different words every time.
IMPROVISED = "20"


def read_name(path: Path) -> Utterance | None:
    """Read emotion, sentence and speaker, as in a13 (6).wav.

    The corpus also has a two-digit speaker, "f10 (01)", and second takes, "s01 (5)b"; copies have "a13(6)" or
    "a13_(6)". The corpus does not state the speakers' genders. It is "dynamic": more actors may join it.
    """
    match = re.fullmatch(r"([a-z])(\d\d)[ _]*\((\d{1,2})\)[ _]*[a-z]?", path.stem, re.IGNORECASE)
    if match is None:
        return None
    emotion, sentence, speaker = match[1].lower(), match[2], int(match[3])
    return Utterance(
        corpus="aesdd",
        path=path,
        label=EMOTION_CODES[emotion],
        speaker=f"aesdd/{speaker}",
        sentence=f"improvised-{emotion}{speaker}" if sentence == IMPROVISED else sentence,
        native=emotion,
    )


CORPUS = Corpus(
    id="aesdd",
    title="AESDD",
    languages=("el",),
    license="free for research (the authors ask for the citation)",
    citation="Vryzas et al. (2018), Journal of the Audio Engineering Society 66(6): 457-467",
    url="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
    expected_clips=604,
    expected_speakers=6,
    labels=EMOTION_CODES,
    expected_labels={"a": 121, "d": 122, "f": 120, "h": 119, "s": 122},
    read_name=read_name,
)

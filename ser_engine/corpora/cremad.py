"""CREMA-D: 91 actors, twelve sentences, six emotions, four intensities."""

import re
from pathlib import Path

from ser_engine.corpora.base import Corpus, Utterance
from ser_engine.corpora.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD

SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
EMOTION_CODES = {"ANG": ANGRY, "DIS": DISGUST, "FEA": FEARFUL, "HAP": HAPPY, "NEU": NEUTRAL, "SAD": SAD}
# X and XX both stand for "unspecified" in the published file names.
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": None, "X": None}
# Of the 91 actors (VideoDemographics.csv), these 43 are women.
WOMEN = frozenset(
    [
        "1002",
        "1003",
        "1004",
        "1006",
        "1007",
        "1008",
        "1009",
        "1010",
        "1012",
        "1013",
        "1018",
        "1020",
        "1021",
        "1024",
        "1025",
        "1028",
        "1029",
        "1030",
        "1037",
        "1043",
        "1046",
        "1047",
        "1049",
        "1052",
        "1053",
        "1054",
        "1055",
        "1056",
        "1058",
        "1060",
        "1061",
        "1063",
        "1072",
        "1073",
        "1074",
        "1075",
        "1076",
        "1078",
        "1079",
        "1082",
        "1084",
        "1089",
        "1091",
    ]
)


def read_name(path: Path) -> Utterance | None:
    """Read actor_sentence_emotion_intensity, as in 1083_IWW_NEU_XX.wav."""
    if not re.fullmatch(r"\d{4}_[A-Z]{3}_[A-Z]{3}_[A-Z]{1,2}", path.stem.upper()):
        return None
    actor, sentence, emotion, intensity = path.stem.upper().split("_")
    return Utterance(
        corpus="cremad",
        path=path,
        label=EMOTION_CODES[emotion],
        speaker=f"cremad/{actor}",
        gender="female" if actor in WOMEN else "male",
        sentence=SENTENCES[sentence],
        intensity=INTENSITIES[intensity],
    )


CORPUS = Corpus(
    id="cremad",
    title="CREMA-D",
    licence="Open Database License 1.0",
    citation="Cao et al. (2014), IEEE Transactions on Affective Computing 5(4): 377-390",
    expected_clips=7442,
    expected_speakers=91,
    read_name=read_name,
    sentences=SENTENCES,
)

"""CREMA-D: 91 actors, twelve sentences, six emotions, four intensities."""

import csv
from dataclasses import replace
from pathlib import Path

from ser_engine.data.corpora.base import Annotate, Corpus, match_names
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD

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
# The listeners' labels of each clip, as the corpus is published (processedResults/): VoiceVote is the answer of most
# listeners from the voice alone, A:D if anger and disgust had equally many.
PERCEIVED_TABLE = "summaryTable.csv"
PERCEIVED_CODES = {"A": ANGRY, "D": DISGUST, "F": FEARFUL, "H": HAPPY, "N": NEUTRAL, "S": SAD}
# Of the 91 actors, 1001 to 1091, these 43 are women (VideoDemographics.csv).
WOMEN = frozenset(
    1000 + actor
    for actor in (
        *(2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 18, 20, 21, 24, 25, 28, 29, 30, 37, 43, 46, 47, 49),
        *(52, 53, 54, 55, 56, 58, 60, 61, 63, 72, 73, 74, 75, 76, 78, 79, 82, 84, 89, 91),
    )
)


def read_annotations(root: Path) -> Annotate:
    """Read the listeners' labels, if their table is anywhere under the corpus's folder."""
    perceived: dict[str, tuple[str, ...]] = {}
    for table in sorted(root.rglob(PERCEIVED_TABLE))[:1]:
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                codes = (row.get("VoiceVote") or "").split(":")
                labels = tuple(PERCEIVED_CODES[code] for code in codes if code in PERCEIVED_CODES)
                perceived[row.get("FileName") or ""] = labels
    return lambda utterance: replace(utterance, perceived_labels=perceived.get(utterance.name.upper(), ()))


CORPUS = Corpus(
    id="cremad",
    title="CREMA-D",
    languages=("en",),
    license="Open Database License 1.0",
    commercial=True,
    citation="Cao et al. (2014), IEEE Transactions on Affective Computing 5(4): 377-390",
    url="https://github.com/CheyneyComputerScience/CREMA-D",
    expected_clips=7442,
    expected_speakers=91,
    labels=EMOTION_CODES,
    expected_labels={code: 1087 if code == "NEU" else 1271 for code in EMOTION_CODES},
    # Actor_sentence_emotion_intensity, as in 1083_IWW_NEU_XX.wav.
    read_codes=match_names(
        r"(?P<speaker>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<intensity>[A-Z]{1,2})"
    ),
    genders={str(actor): "female" if actor in WOMEN else "male" for actor in range(1001, 1092)},
    sentences=SENTENCES,
    # X and XX both stand for "unspecified" in the published file names.
    intensities={"LO": "low", "MD": "medium", "HI": "high", "XX": None, "X": None},
    read_annotations=read_annotations,
)

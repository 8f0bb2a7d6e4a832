"""ASED: 65 speakers of Amharic, five emotions, seven sentences for each; most of eight judges agreed on every clip."""

from ser_engine.data.corpora.base import Corpus, match_names
from ser_engine.labels import ANGRY, FEARFUL, HAPPY, NEUTRAL, SAD

LABELS = {"N": NEUTRAL, "F": FEARFUL, "H": HAPPY, "S": SAD, "A": ANGRY}

CORPUS = Corpus(
    id="ased",
    title="ASED",
    languages=("am",),
    license="none stated; its authors call it freely available",
    citation="Retta et al. (2023), ACM Transactions on Asian and Low-Resource Language Information Processing 22(1)",
    url="https://github.com/Ethio2021/ASED_V1",
    expected_clips=2474,
    expected_speakers=65,
    labels=LABELS,
    expected_labels={"N": 522, "F": 510, "H": 486, "S": 470, "A": 486},
    # Emotion and its sentence, repetition, gender and speaker, as in a5-07-02-01-63.wav. Some speakers have both codes
    # of gender, so it is not read.
    read_codes=match_names(r"(?P<sentence>(?P<emotion>[AFHNS])\d-\d\d)-\d\d-0[12]-(?P<speaker>\d\d)"),
)

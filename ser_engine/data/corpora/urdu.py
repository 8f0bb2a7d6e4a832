"""URDU: spontaneous speech of television talk shows, four emotions."""

from ser_engine.data.corpora.base import Corpus, match_names
from ser_engine.labels import ANGRY, HAPPY, NEUTRAL, SAD

LABELS = {"A": ANGRY, "H": HAPPY, "N": NEUTRAL, "S": SAD}
WOMEN, MEN = tuple(range(1, 12)), (*range(1, 8), *range(17, 28))

CORPUS = Corpus(
    id="urdu",
    title="URDU",
    languages=("ur",),
    license="free for research only",
    citation="Latif et al. (2018), Frontiers of Information Technology (FIT): 88-93",
    url="https://github.com/siddiquelatif/URDU-Dataset",
    expected_clips=400,
    # Its description counts 38; its file names have 11 women and 18 men.
    expected_speakers=29,
    labels=LABELS,
    expected_labels=dict.fromkeys(LABELS, 100),
    # Speaker, the speaker's file, emotion and its running number, as in SM24_F10_S022.wav and SM6_F4_S0100.wav.
    read_codes=match_names(r"(?P<speaker>S[FM]\d+)_F\d+_(?P<emotion>[A-Z])\d+"),
    genders={f"SF{number}": "female" for number in WOMEN} | {f"SM{number}": "male" for number in MEN},
)

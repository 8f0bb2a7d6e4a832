"""BanglaSER: 34 Bangla speakers with telephones and laptops, three sentences, five emotions."""

from ser_engine.data.corpora.base import Corpus, match_names
from ser_engine.labels import ANGRY, HAPPY, NEUTRAL, SAD, SURPRISED

LABELS = {"happy": HAPPY, "sad": SAD, "angry": ANGRY, "surprise": SURPRISED, "neutral": NEUTRAL}

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
    # Mode-channel-emotion-intensity-statement-repetition-actor, as in 03-01-05-01-02-03-34.wav.
    read_codes=match_names(
        r"\d\d-\d\d-(?P<emotion>\d\d)-(?P<intensity>\d\d)-(?P<sentence>\d\d)-\d\d-(?P<speaker>\d\d)"
    ),
    # The names look like RAVDESS's, but the numbers mean other emotions.
    emotion_codes={f"{number:02}": native for number, native in enumerate(LABELS, start=1)},
    genders={f"{actor:02}": "female" if actor % 2 == 0 else "male" for actor in range(1, 35)},
    sentences={"01": "১২ টা বেজে গেছে", "02": "আমি জানতাম এমন কিছু হবে", "03": "এ কেমন উপহার"},
    intensities={"01": "normal", "02": "strong"},
    aliases=("bser",),
)

"""RAVDESS: 24 North American actors, two sentences, eight emotions, two intensities."""

from ser_engine.data.corpora.base import Corpus, match_names
from ser_engine.labels import EMOTIONS, NEUTRAL

SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
# EmoBox (Ma et al., Interspeech 2024) tests RAVDESS in six folds of four whole actors.
EMOBOX_ACTORS = (
    ("01", "11", "20", "21"),
    ("04", "10", "12", "14"),
    ("08", "09", "19", "23"),
    ("03", "05", "07", "24"),
    ("02", "15", "16", "18"),
    ("06", "13", "17", "22"),
)

CORPUS = Corpus(
    id="ravdess",
    title="RAVDESS",
    languages=("en",),
    license="CC BY-NC-SA 4.0",
    citation="Livingstone & Russo (2018), PLoS ONE 13(5): e0196391",
    url="https://zenodo.org/records/1188976",
    expected_clips=1440,
    expected_speakers=24,
    labels={label: label for label in EMOTIONS},
    expected_labels={label: 96 if label == NEUTRAL else 192 for label in EMOTIONS},  # neutral is never strong
    # Modality-channel-emotion-intensity-statement-repetition-actor, as in 03-01-05-02-01-01-12.wav. The modality is 03
    # (audio only; the others have video), the channel 01 (speech; 02 is song).
    read_codes=match_names(r"03-01-(?P<emotion>\d\d)-(?P<intensity>\d\d)-(?P<sentence>\d\d)-\d\d-(?P<speaker>\d\d)"),
    # In the order of our own labels, which are named like the corpus's.
    emotion_codes={f"{number:02}": label for number, label in enumerate(EMOTIONS, start=1)},
    genders={f"{actor:02}": "female" if actor % 2 == 0 else "male" for actor in range(1, 25)},
    sentences=SENTENCES,
    intensities={"01": "normal", "02": "strong"},
    published_folds={actor: fold for fold, actors in enumerate(EMOBOX_ACTORS, start=1) for actor in actors},
)

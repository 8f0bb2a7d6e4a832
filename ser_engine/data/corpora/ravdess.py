"""RAVDESS: 24 North American actors, two sentences, eight emotions, two intensities."""

import re
from pathlib import Path

from ser_engine.data.corpora.base import Corpus, Utterance
from ser_engine.labels import EMOTIONS, NEUTRAL

SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
# The third code is the emotion, 01 to 08, in the order of our own labels, which are named like the corpus's.
EMOTION_CODES = {f"{number:02}": label for number, label in enumerate(EMOTIONS, start=1)}
INTENSITIES = {"01": "normal", "02": "strong"}
AUDIO_ONLY, SPEECH = "03", "01"
# EmoBox (Ma et al., Interspeech 2024) tests RAVDESS in six folds of four whole actors.
EMOBOX_ACTORS = (
    ("01", "11", "20", "21"),
    ("04", "10", "12", "14"),
    ("08", "09", "19", "23"),
    ("03", "05", "07", "24"),
    ("02", "15", "16", "18"),
    ("06", "13", "17", "22"),
)
GENDERS = {f"{actor:02}": "female" if actor % 2 == 0 else "male" for actor in range(1, 25)}


def read_name(path: Path) -> Utterance | None:
    """Read modality-channel-emotion-intensity-statement-repetition-actor, as in 03-01-05-02-01-01-12.wav."""
    if not re.fullmatch(r"\d\d(-\d\d){6}", path.stem):
        return None
    modality, channel, emotion, intensity, statement, _, actor = path.stem.split("-")
    if (modality, channel) != (AUDIO_ONLY, SPEECH):
        return None  # video, or song
    return Utterance(
        corpus="ravdess",
        path=path,
        label=EMOTION_CODES[emotion],
        speaker=f"ravdess/{actor}",
        gender=GENDERS[actor],
        sentence=SENTENCES[statement],
        intensity=INTENSITIES[intensity],
        transcript=SENTENCES[statement],
        native=EMOTION_CODES[emotion],
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
    read_name=read_name,
    published_folds={actor: fold for fold, actors in enumerate(EMOBOX_ACTORS, start=1) for actor in actors},
)

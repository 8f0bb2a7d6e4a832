"""EmoGator: vocal bursts of 357 people on their own microphones, 30 categories, twelve of them our emotions."""

from ser_engine.data.corpora.base import Corpus, match_names
from ser_engine.labels import ANGRY, CALM, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

CATEGORIES = (
    "adoration", "amusement", "anger", "awe", "confusion", "contempt", "contentment", "desire", "disappointment",
    "disgust", "distress", "ecstasy", "elation", "embarrassment", "fear", "guilt", "interest", "neutral", "pain",
    "pride", "realization", "relief", "romantic love", "sadness", "serenity", "shame", "surprise (negative)",
    "surprise (positive)", "sympathy", "triumph",
)  # fmt: skip
"""The categories in the order of their numbers, from 1."""
LABELS: dict[str, str | None] = dict.fromkeys(CATEGORIES) | {
    "amusement": HAPPY,
    "ecstasy": HAPPY,
    "elation": HAPPY,
    "anger": ANGRY,
    "contentment": CALM,
    "serenity": CALM,
    "disgust": DISGUST,
    "fear": FEARFUL,
    "neutral": NEUTRAL,
    "sadness": SAD,
    "surprise (negative)": SURPRISED,
    "surprise (positive)": SURPRISED,
}

CORPUS = Corpus(
    id="emogator",
    title="EmoGator",
    languages=(),
    license="Apache License 2.0",
    commercial=True,
    citation="Buhl (2023), arXiv:2301.00508",
    url="https://github.com/fredbuhl/EmoGator",
    expected_clips=32130,
    expected_speakers=357,
    labels=LABELS,
    expected_labels=dict.fromkeys(CATEGORIES, 1071),
    # Contributor, category and instance, as in 000095-25-2.mp3.
    read_codes=match_names(r"(?P<speaker>\d{6})-(?P<emotion>\d\d)-\d"),
    emotion_codes={f"{number:02}": name for number, name in enumerate(CATEGORIES, start=1)},
)

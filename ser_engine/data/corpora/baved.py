"""BAVED: seven Arabic words, each at three levels of emotion, of which only the middle one is a label of ours."""

from dataclasses import replace
from pathlib import Path

from ser_engine.data.corpora.base import Annotate, Corpus, match_names
from ser_engine.labels import NEUTRAL

LABELS: dict[str, str | None] = {"low": None, "neutral": NEUTRAL, "high": None}
"""Levels of arousal: "tired or feeling down", "the way the speaker speaks daily", and a high level of any emotion."""
WORDS = ("اعجبني", "لم يعجبني", "هذا", "الفيلم", "رائع", "مقول", "سيئ")
# Ids and genders are those of its speakers_info.json, with which the genders in file names agree.
WOMEN = frozenset((3, 9, 10, 12, 20, 38, 39, 41, 42, 44, 50, 54, 56, 100, 102, 103))
SPEAKERS = (*range(57), *range(100, 104))


def read_annotations(root: Path) -> Annotate:
    """Give every clip its word, which is the sentence."""
    return lambda utterance: replace(utterance, transcript=utterance.sentence)


CORPUS = Corpus(
    id="baved",
    title="BAVED",
    languages=("ar",),
    license="none stated; its authors advise against commercial use",
    citation="Aouf (2019), Basic Arabic Vocal Emotions Dataset, GitHub",
    url="https://github.com/40uf411/Basic-Arabic-Vocal-Emotions-Dataset",
    expected_clips=1935,
    expected_speakers=61,
    labels=LABELS,
    expected_labels={},  # how many clips there are of each level is not stated
    # Speaker, gender, age, word, level and record, as in 0/100-f-6-0-2-2.wav.
    read_codes=match_names(r"(?P<speaker>\d+)-[FM]-\d+-(?P<sentence>\d)-(?P<emotion>\d)-\d+"),
    emotion_codes=dict(zip("012", LABELS, strict=True)),
    genders={str(number): "female" if number in WOMEN else "male" for number in SPEAKERS},
    sentences=dict(zip("0123456", WORDS, strict=True)),
    read_annotations=read_annotations,
    aliases=("basicarabicvocal",),
)

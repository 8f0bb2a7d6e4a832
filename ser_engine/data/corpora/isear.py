"""ISEAR: 7,600 answers of students in 37 countries to when they had felt an emotion; no answer is neutral.

Shame and guilt have no counterpart among our labels and are left out, and so are answers in brackets, which mostly say
that there is none. The parts are ours, by a hash of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ser_engine.data.corpora.sentences import Part, Sentences, TextCorpus, read_lines, split_by_hash
from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, SAD

MEANINGS = {"joy": HAPPY, "fear": FEARFUL, "anger": ANGRY, "sadness": SAD, "disgust": DISGUST}
LEFT_OUT = ("shame", "guilt")
LINE_END = "Ã¡"
"""What the published file has for the line ends of the questionnaires."""


def read_isear(folder: Path, part: Part) -> Sentences:
    """Return one of the parts."""
    return split_by_hash(_answers(folder / FILE), part)


def _answers(path: Path) -> Iterator[tuple[str, str, set[str]]]:
    for number, line in enumerate(read_lines(path), start=1):
        emotion, _, answer = (field.strip() for field in line.partition("\t"))
        text = " ".join(answer.replace(LINE_END, " ").split())
        if emotion and emotion not in (*MEANINGS, *LEFT_OUT):
            raise CorpusError(f"{path}, line {number}: “{emotion}” is none of the corpus's seven emotions.")
        if text and emotion in MEANINGS and not text.startswith("["):
            yield text, text, {MEANINGS[emotion]}


FILE = "isear.tsv"
CORPUS = TextCorpus(
    id="isear",
    title="ISEAR",
    license="free for research",
    commercial=False,
    citation="Scherer and Wallbott (1994), Journal of Personality and Social Psychology 66: 310-328",
    url="https://www.unige.ch/cisa/research/materials-and-online-research/research-material/",
    hub="",
    forms=((FILE,),),
    read=read_isear,
    single_label=True,
)

"""XED: 27,000 lines of film subtitles with the emotions that annotators found in them, or none.

The labels are Plutchik's eight. Anticipation and trust have no counterpart among ours: a line with nothing else is
left out. The parts are ours, by a hash of the text, so that a line that was annotated twice is in one part alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ser_engine.data.corpora.sentences import Part, Sentences, TextCorpus, read_lines, split_by_hash
from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

ANTICIPATION, TRUST = "2", "8"
MEANINGS = {"1": ANGRY, "3": DISGUST, "4": FEARFUL, "5": HAPPY, "6": SAD, "7": SURPRISED}
NEUTRAL_LINE = "9"


def read_xed(folder: Path, part: Part) -> Sentences:
    """Return one of the parts."""
    annotated, neutral = CORPUS.files(folder) or (folder, folder)
    return split_by_hash([*_annotated(annotated), *_neutral(neutral)], part)


def _annotated(path: Path) -> Iterator[tuple[str, str, set[str]]]:
    for number, line in enumerate(read_lines(path), start=1):
        text, _, numbers = (field.strip() for field in line.partition("\t"))
        codes = {code.strip() for code in numbers.split(",")} - {""}
        if codes - {*MEANINGS, ANTICIPATION, TRUST}:
            raise CorpusError(f"{path}, line {number}: “{numbers}” should be numbers of emotions, 1 to 8.")
        if text and (labels := {MEANINGS[code] for code in codes if code in MEANINGS}):
            yield text, text, labels


def _neutral(path: Path) -> Iterator[tuple[str, str, set[str]]]:
    for number, line in enumerate(read_lines(path), start=1):
        code, _, text = (field.strip() for field in line.partition("\t"))
        if (code or text) and code != NEUTRAL_LINE:
            raise CorpusError(f"{path}, line {number}: there should be {NEUTRAL_LINE}, a tab and a text.")
        if text:
            yield text, text, {NEUTRAL}


CORPUS = TextCorpus(
    id="xed",
    title="XED",
    license="CC BY 4.0",
    commercial=True,
    citation="Öhman et al. (2020), COLING: 6542-6552",
    url="https://github.com/Helsinki-NLP/XED",
    hub="xed_en_fi",
    forms=(("xed_en.tsv", "xed_en_neutral.txt"), ("en-annotated.tsv", "neu_en.txt")),
    read=read_xed,
)

"""GoEmotions: 54,263 Reddit comments with the emotions that raters found in them; text only.

Demszky et al. (2020), "GoEmotions: A Dataset of Fine-Grained Emotions", ACL 2020: 4040-4054; Apache License 2.0;
https://github.com/google-research/google-research/tree/master/goemotions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ser_engine.data.corpora.sentences import LABELS, PARTS, Part, Sentences, TextCorpus, read_lines
from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

ID = "goemotions"
# The authors' data/ekman_mapping.json (in the folder above; section 5.4 of the paper has the same grouping), with our
# names for Ekman's six.
EKMAN: Mapping[str, tuple[str, ...]] = {
    ANGRY: ("anger", "annoyance", "disapproval"),
    DISGUST: ("disgust",),
    FEARFUL: ("fear", "nervousness"),
    HAPPY: (
        "joy", "amusement", "approval", "excitement", "gratitude", "love", "optimism", "relief", "pride", "admiration",
        "desire", "caring",
    ),
    SAD: ("sadness", "disappointment", "embarrassment", "grief", "remorse"),
    SURPRISED: ("surprise", "realization", "confusion", "curiosity"),
    NEUTRAL: ("neutral",),
}  # fmt: skip
# The numbers of files that hold Ekman's labels already, in alphabetical order: anger, disgust, fear and so on.
MAPPED = tuple(sorted(LABELS))

_GROUPS = {word: label for label, words in EKMAN.items() for word in words}
# The authors' data/emotions.txt, whose order is that of the numbers: alphabetical, and neutral last.
NATIVE = (*sorted(word for word in _GROUPS if word != NEUTRAL), NEUTRAL)
# File name of a part → the label of each of its numbers; the authors' own files come first.
FORMS: dict[str, tuple[str, ...]] = {
    "{}.tsv": tuple(_GROUPS[word] for word in NATIVE),
    "goemotions_ekman_{}.tsv": MAPPED,
}


def read_goemotions(folder: Path, part: Part) -> Sentences:
    """Return one of the authors' three parts, with Ekman's six emotions and neutral under our names."""
    form = next((form for form in FORMS if (folder / form.format(part)).is_file()), None)
    if form is None:
        raise CorpusError(f"GoEmotions should be in {folder}, but there is no {' or '.join(FORMS).format(part, part)}.")
    path, meanings = folder / form.format(part), FORMS[form]
    rows = [
        _row(line, meanings, f"{path}, line {number}")
        for number, line in enumerate(read_lines(path), start=1)
        if line.strip()
    ]
    if not rows:
        raise CorpusError(f"{path} contains no text.")
    return Sentences.of(rows)


def _row(line: str, meanings: Sequence[str], where: str) -> tuple[str, set[str]]:
    """Return the text and the labels of a line."""
    parts = line.split("\t")
    if len(parts) != 3 or not parts[0].strip():
        raise CorpusError(f"{where}: there should be a text, numbers of labels and an id, with tabs between them.")
    numbers = parts[1].split(",")
    if not all(number.isascii() and number.isdigit() and int(number) < len(meanings) for number in numbers):
        raise CorpusError(f"{where}: “{parts[1]}” should be numbers of labels, 0 to {len(meanings) - 1}.")
    return parts[0], {meanings[int(number)] for number in numbers}


CORPUS = TextCorpus(
    id=ID,
    title="GoEmotions",
    license="Apache-2.0",
    commercial=True,
    citation="Demszky et al. (2020), ACL: 4040-4054",
    url="https://github.com/google-research/google-research/tree/master/goemotions",
    hub="go_emotions",
    forms=tuple(tuple(form.format(part) for part in PARTS) for form in FORMS),
    read=read_goemotions,
)

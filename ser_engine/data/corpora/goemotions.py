"""GoEmotions: 54,263 Reddit comments with the emotions that raters found in them; text only.

Demszky et al. (2020), "GoEmotions: A Dataset of Fine-Grained Emotions", ACL 2020: 4040-4054; Apache License 2.0;
https://github.com/google-research/google-research/tree/master/goemotions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

ID = "goemotions"
Part = Literal["train", "dev", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

LABELS = (NEUTRAL, HAPPY, SAD, ANGRY, FEARFUL, DISGUST, SURPRISED)
"""Those of our emotions that its texts are labeled with, in our order: all but calm."""

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


@dataclass(frozen=True)
class Sentences:
    """Texts with the emotions in them: `labels` is bool [n, len(LABELS)], with at least one in each row."""

    texts: tuple[str, ...]
    labels: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, rows: Sequence[int] | NDArray[np.int_]) -> Sentences:
        """Return the texts of some rows."""
        return Sentences(tuple(self.texts[row] for row in rows), self.labels[rows])


def find_goemotions(name: str, data: Path) -> Path:
    """Return the folder of the corpus: `name` under `data`, `name` itself as a path, or `data` where the files lie."""
    places = (data / name, Path(name).expanduser(), data)
    for folder in places:
        if any(all((folder / form.format(part)).is_file() for part in PARTS) for form in FORMS):
            return folder
    files = " or ".join(form.format("{train,dev,test}") for form in FORMS)
    raise CorpusError(f"GoEmotions was looked for in {places[0]}, but {files} are not there.")


def read_goemotions(folder: Path, part: Part) -> Sentences:
    """Return one of the authors' three parts, with Ekman's six emotions and neutral under our names."""
    form = next((form for form in FORMS if (folder / form.format(part)).is_file()), None)
    if form is None:
        raise CorpusError(f"GoEmotions should be in {folder}, but there is no {' or '.join(FORMS).format(part, part)}.")
    path, meanings = folder / form.format(part), FORMS[form]
    try:
        # Only a line feed ends a line: comments contain other characters that Python would split at.
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise CorpusError(f"{path} cannot be read as UTF-8 text.") from None
    texts, rows = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        text, labels = _row(line, meanings, f"{path}, line {number}")
        texts.append(text)
        rows.append([label in labels for label in LABELS])
    if not texts:
        raise CorpusError(f"{path} contains no text.")
    return Sentences(tuple(texts), np.array(rows))


def _row(line: str, meanings: Sequence[str], where: str) -> tuple[str, set[str]]:
    """Return the text and the labels of a line."""
    parts = line.rstrip("\r").split("\t")
    if len(parts) != 3 or not parts[0].strip():
        raise CorpusError(f"{where}: there should be a text, numbers of labels and an id, with tabs between them.")
    numbers = parts[1].split(",")
    if not all(number.isascii() and number.isdigit() and int(number) < len(meanings) for number in numbers):
        raise CorpusError(f"{where}: “{parts[1]}” should be numbers of labels, 0 to {len(meanings) - 1}.")
    return parts[0], {meanings[int(number)] for number in numbers}

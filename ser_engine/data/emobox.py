"""EmoBox's published listings: one CSV a corpus with the fold in which each clip is tested (0: none)."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError

COLUMNS = ("file", "test_fold")
# Two published files are named unlike all others, and are listed as they should be named: OA_bite_neutral (for OAF) of
# TESS and 1040_ITH_SAD_X (for XX) of CREMA-D.
REPAIRED = {"oabiteneutral": "oafbiteneutral", "1040ithsadx": "1040ithsadxx"}


def listing(corpus: str, folder: Path | None) -> Path | None:
    """Return the corpus's listing in a folder, None where there is none."""
    path = folder / f"{corpus}.csv" if folder else None
    return path if path and path.is_file() else None


def folds(utterances: Sequence[Utterance], path: Path) -> NDArray[np.int_]:
    """Return the fold, int [n], in which each utterance is tested: 0 for never, -1 for a clip that is not listed.

    Clips are found by their names, whatever their folder and suffix.

    Raises
    ------
    CorpusError
        The listing cannot be read, or has none of these clips.
    """
    known = _read(path)
    found = [next((known[name] for name in _names(utterance) if name in known), -1) for utterance in utterances]
    if max(found) < 0:
        raise CorpusError(f"{path} lists none of the clips of {utterances[0].corpus}.")
    return np.array(found)


def _read(path: Path) -> dict[str, int]:
    """Return fold by plain name."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if missing := [column for column in COLUMNS if column not in (table.fieldnames or ())]:
                raise CorpusError(f"{path} has no column {' and no '.join(missing)}, as EmoBox's listings have.")
            return {_plain(Path(row["file"]).stem): int(row["test_fold"]) for row in table}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read: {error}.") from None
    except (TypeError, ValueError):
        raise CorpusError(f"{path}: test_fold is a number in every row of EmoBox's listings, but not here.") from None


def _names(utterance: Utterance) -> tuple[str, ...]:
    """Return under which plain names a clip may be listed; some corpora name the speaker in the folder only."""
    name = _plain(utterance.name)
    return name, _plain(utterance.speaker.rpartition("/")[2]) + name, REPAIRED.get(name, name)


def _plain(name: str) -> str:
    """Return a name without what copies of the corpora write in different ways: "a13 (6)" and "a13_(6)" are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())

"""EmoBox's published listings: one CSV per corpus with the fold in which each clip is tested (0: none)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.corpora.base import Utterance, plain_name
from ser_engine.errors import CorpusError

COLUMNS = ("file", "test_fold")
# Two published files have irregular names and are listed under regular ones: OA_bite_neutral (for OAF) of TESS and
# 1040_ITH_SAD_X (for XX) of CREMA-D.
REGULAR_NAMES = {"oabiteneutral": "oafbiteneutral", "1040ithsadx": "1040ithsadxx"}


def read_folds(utterances: Sequence[Utterance], path: Path) -> NDArray[np.int_]:
    """Return the fold, int [n], in which each utterance is tested: 0 for never, -1 for a clip that is not listed.

    Clips are matched by name, whatever their folder and suffix.
    """
    listed = _read_listing(path)
    folds = [next((listed[name] for name in _names(utterance) if name in listed), -1) for utterance in utterances]
    if max(folds) < 0:
        raise CorpusError(f"{path} lists none of the clips of {utterances[0].corpus}.")
    return np.array(folds)


def _read_listing(path: Path) -> dict[str, int]:
    """Return the fold of each plain name."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if missing := [column for column in COLUMNS if column not in (table.fieldnames or ())]:
                raise CorpusError(f"{path} has no column {' and no '.join(missing)}, as EmoBox's listings have.")
            return {plain_name(Path(row["file"]).stem): int(row["test_fold"]) for row in table}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read: {error}.") from None
    except (TypeError, ValueError):
        raise CorpusError(f"{path}: test_fold must be a number in every row.") from None


def _names(utterance: Utterance) -> tuple[str, ...]:
    """Return the plain names that a clip may be listed under; some corpora name the speaker in the folder only."""
    name = plain_name(utterance.name)
    return name, plain_name(utterance.speaker.rpartition("/")[2]) + name, REGULAR_NAMES.get(name, name)

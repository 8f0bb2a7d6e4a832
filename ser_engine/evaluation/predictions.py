"""What the models of a run said of each clip, kept beside its figures, which follow from it without any data."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.cache import keep_named
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.evaluate import fold_temperatures, measure_run

FILE = "predictions.npz"


def write(
    folder: Path,
    utterances: Sequence[Utterance],
    folds: NDArray[np.int_],
    log_probabilities: NDArray[np.float32],
) -> None:
    """Write the folder's file, beside and renamed.

    Parameters
    ----------
    utterances : n, of which corpus, name, label, speaker, gender and what listeners heard are kept
    folds : int [n]
    log_probabilities : float32 [1 + conditions, n, labels]; the first are of the clips as they are
    """
    folder.mkdir(parents=True, exist_ok=True)
    keep_named(
        folder / FILE,
        corpus=[one.corpus for one in utterances],
        name=[one.name for one in utterances],
        label=[str(one.label) for one in utterances],
        speaker=[one.speaker for one in utterances],
        gender=[one.gender or "" for one in utterances],
        heard_as=[" ".join(one.perceived_labels) for one in utterances],
        fold=folds,
        log_probabilities=log_probabilities,
    )


class Said(NamedTuple):
    """What the models of a run said of n clips, and what is known of these; arguments are as of `write`."""

    utterances: list[Utterance]
    folds: NDArray[np.int_]
    log_probabilities: NDArray[np.float32]


def read(folder: Path) -> Said:
    """Return what `write` wrote; the utterances' paths are their names.

    Raises
    ------
    InvalidSettings
        The folder holds no such file.
    """
    try:
        with np.load(folder / FILE, allow_pickle=False) as kept:
            columns = [
                kept[name].tolist() for name in ("corpus", "name", "label", "speaker", "gender", "perceived_labels")
            ]
            folds, opinions = kept["fold"], kept["log_probabilities"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, zlib.error):
        raise InvalidSettings(f"{folder} holds nothing of what models said of each clip ({FILE}).") from None
    utterances = [
        Utterance(corpus, Path(name), label, speaker, gender or None, perceived_labels=tuple(perceived_labels.split()))
        for corpus, name, label, speaker, gender, perceived_labels in zip(*columns, strict=True)
    ]
    return Said(utterances, folds, opinions)


def read_of(folder: Path, utterances: Sequence[Utterance], folds: NDArray[np.int_] | None = None) -> Said:
    """Return what models said of these very clips, in these very folds if any are given.

    Raises
    ------
    InvalidSettings
        The folder holds no such file, or one of other clips or folds.
    """
    said = read(folder)
    clips, kept = ([(one.corpus, one.name, one.label, one.speaker) for one in some] for some in (utterances, said[0]))
    if clips != kept or (folds is not None and not np.array_equal(folds, said.folds)):
        raise InvalidSettings(f"The run {folder} is of other clips or folds than these; train it anew.")
    return said._replace(utterances=list(utterances))


def recompute(folder: Path) -> dict[str, Any]:
    """Return the entries of a run's run.json that follow from what its models said, computed from that.

    Raises
    ------
    InvalidSettings
        The folder holds no such run.
    """
    try:
        entry = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        labels, config = entry["labels"], entry["config"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidSettings(f"{folder} holds no run whose figures could be computed again.") from None
    utterances, folds, (opinions, *worse) = read(folder)
    true = np.array([labels.index(utterance.label) for utterance in utterances])
    # What voice and words said together is calibrated already: by the voice's folds.
    joined = config["architecture"] == "fused"
    temperatures = dict.fromkeys(folds.tolist(), 1.0) if joined else fold_temperatures(opinions, true, folds)
    named = dict(zip(config.get("conditions", ()), worse, strict=True))
    return measure_run(utterances, opinions, folds, temperatures, labels, named)


def differing(folder: Path, measured: dict[str, Any]) -> list[str]:
    """Return the entries of the folder's run.json that are not what was computed again."""
    entry = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return [key for key, value in json.loads(json.dumps(measured)).items() if entry.get(key) != value]

"""The corpora and augmentations in results/corpora.json, as written by `ser_engine.data.describe`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.record import read_object

FILE = "corpora.json"
QUANTITIES = {"zero_crossing_rate": "Zero-crossing rate", "spectral_centroid_hz": "Spectral centroid"}


@dataclass(frozen=True)
class Contents:
    """The size of a corpus."""

    clips: int
    speakers: int
    hours: float
    by_emotion: Mapping[str, int]


Spread = tuple[float, float]
"""Mean and standard deviation of a quantity over the clips of one emotion."""


@dataclass(frozen=True)
class Picture:
    """A clip to draw: the outline of its waveform, and its mel spectrogram in dB [bands][columns], low bands first."""

    seconds: float
    low: tuple[float, ...] = field(repr=False)
    high: tuple[float, ...] = field(repr=False)
    mel: tuple[tuple[int, ...], ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not (self.mel and self.low and len(self.low) == len(self.high) and len(set(map(len, self.mel))) == 1):
            raise ValueError

    @property
    def peak(self) -> float:
        """The largest absolute sample."""
        return max(max(self.high), -min(self.low))

    @property
    def silence(self) -> float:
        """The share (0 to 1) of the spectrogram that is at least 50 dB below its peak."""
        cells = [cell for row in self.mel for cell in row]
        return sum(cell <= -50 for cell in cells) / len(cells)


@dataclass(frozen=True)
class Description:
    """Contents by corpus, {corpus or "all": {quantity: {emotion: Spread}}}, and the pictures of each recipe."""

    corpora: Mapping[str, Contents]
    unreadable: int
    means: Mapping[str, Mapping[str, Mapping[str, Spread]]]
    clip: str
    original: Picture | None
    recipes: Mapping[str, Mapping[str, Picture]]

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions that occur, the most frequent first."""
        counts: Counter[str] = Counter()
        for contents in self.corpora.values():
            counts.update(contents.by_emotion)
        return tuple(emotion for emotion, _ in counts.most_common())


def read_description(folder: Path) -> Description | None:
    """Return the description in a results folder, None where there is none.

    Raise InvalidRecord if the file is not as `ser describe` writes it.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return _description(read_object(path, FILE))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidRecord(f"{FILE} is damaged, so the corpora are not shown; ser describe writes it again.") from None


def _description(entry: Mapping[str, Any]) -> Description:
    pictures = entry["augmentations"]
    return Description(
        corpora={name: Contents(**contents) for name, contents in entry["corpora"].items()},
        unreadable=int(entry["unreadable"]),
        means={name: _means(emotions) for name, emotions in entry["class_means"].items()},
        clip=str(pictures.get("clip", "")),
        original=Picture(**pictures["original"]) if pictures else None,
        recipes={
            recipe: {name: Picture(**copy) for name, copy in copies.items()}
            for recipe, copies in pictures.items()
            if isinstance(copies, dict) and recipe != "original"
        },
    )


def _means(emotions: Mapping[str, Any]) -> dict[str, dict[str, Spread]]:
    return {
        quantity: {label: (row[quantity]["mean"], row[quantity]["std"]) for label, row in emotions.items()}
        for quantity in QUANTITIES
    }

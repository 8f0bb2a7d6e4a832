"""What results/corpora.json says of the corpora and of the augmentations; see `ser_engine.data.describe`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ui.results.run_files import Unreadable, json_object

FILE = "corpora.json"
QUANTITIES = ("zero_crossing_rate", "spectral_centroid_hz")


@dataclass(frozen=True)
class Contents:
    """How much of a corpus there is."""

    clips: int
    speakers: int
    hours: float
    by_emotion: Mapping[str, int]


@dataclass(frozen=True)
class Spread:
    """A quantity over the clips of one emotion."""

    mean: float
    std: float


@dataclass(frozen=True)
class Picture:
    """A clip to look at: its outline, and its mel spectrogram in dB [bands][columns], the lowest band first."""

    seconds: float
    low: tuple[float, ...] = field(repr=False)
    high: tuple[float, ...] = field(repr=False)
    mel: tuple[tuple[int, ...], ...] = field(repr=False)

    @property
    def peak(self) -> float:
        """The largest sample, whatever its sign."""
        return max(max(self.high), -min(self.low))

    @property
    def silence(self) -> float:
        """The share (0 to 1) of the spectrogram that is 50 dB or more under the clip's loudest moment."""
        cells = [cell for row in self.mel for cell in row]
        return sum(cell <= -50 for cell in cells) / len(cells)


@dataclass(frozen=True)
class Description:
    """All of the file: contents by corpus, {corpus or "all": {quantity: {emotion: Spread}}}, and recipes' pictures."""

    corpora: Mapping[str, Contents]
    unreadable: int
    means: Mapping[str, Mapping[str, Mapping[str, Spread]]]
    clip: str
    original: Picture | None
    recipes: Mapping[str, Mapping[str, Picture]]

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions that occur, the most frequent first."""
        counts: dict[str, int] = {}
        for contents in self.corpora.values():
            for emotion, clips in contents.by_emotion.items():
                counts[emotion] = counts.get(emotion, 0) + clips
        return tuple(sorted(counts, key=lambda emotion: -counts[emotion]))


def read(folder: Path) -> Description | None:
    """Return what the file in a results folder says, None where there is none.

    Raises
    ------
    Unreadable
        The file is not as `python -m ser_engine describe` writes it.
    """
    path = folder / FILE
    try:
        stamp = path.stat()
    except OSError:
        return None
    return _read(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _size: int) -> Description:
    """Read the file, once for each time it has changed."""
    entry = json_object(path, FILE)
    try:
        return _description(entry)
    except (KeyError, TypeError, ValueError, AttributeError):
        again = "python -m ser_engine describe writes it anew"
        raise Unreadable(f"{FILE} is not as it should be, so the corpora are not shown; {again}.") from None


def _description(entry: Mapping[str, Any]) -> Description:
    pictures = entry["augmentations"]
    return Description(
        corpora={
            name: Contents(
                int(contents["clips"]),
                int(contents["speakers"]),
                float(contents["hours"]),
                {emotion: int(clips) for emotion, clips in contents["by_emotion"].items()},
            )
            for name, contents in entry["corpora"].items()
        },
        unreadable=int(entry["unreadable"]),
        means={
            name: {
                quantity: {
                    label: Spread(float(found[quantity]["mean"]), float(found[quantity]["std"]))
                    for label, found in emotions.items()
                }
                for quantity in QUANTITIES
            }
            for name, emotions in entry["class_means"].items()
        },
        clip=str(pictures.get("clip", "")),
        original=_picture(pictures["original"]) if pictures else None,
        recipes={
            recipe: {name: _picture(copy) for name, copy in copies.items()}
            for recipe, copies in pictures.items()
            if isinstance(copies, dict) and recipe != "original"
        },
    )


def _picture(entry: Mapping[str, Any]) -> Picture:
    mel = tuple(tuple(int(cell) for cell in row) for row in entry["mel"])
    low, high = (tuple(float(sample) for sample in entry[end]) for end in ("low", "high"))
    if not (mel and mel[0] and low and len(low) == len(high) and len({len(row) for row in mel}) == 1):
        raise ValueError
    return Picture(float(entry["seconds"]), low, high, mel)

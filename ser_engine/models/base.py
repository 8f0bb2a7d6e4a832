"""What every system is, classical, convolutional or transformer: the `Model` protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ser_engine.settings import Settings
from ser_engine.types import CleanSpeech, Scores, Transcript


class Model(Protocol):
    """A trained system that scores emotions.

    `id` is its name, `labels` the emotions of its scores in their order.
    """

    id: str
    labels: tuple[str, ...]

    def predict(self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript] | None = None) -> list[Scores]:
        """Return the scores of each recording; the same alone and in any batch."""
        ...

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors into `folder`."""
        ...

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> Model:
        """Read what `save` wrote.

        Raises
        ------
        WeightsUnavailable
            A file is missing or its checksum differs.
        """
        ...

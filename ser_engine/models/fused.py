"""A voice's model and a reader of words as one `Model`: what both say together, and what each says alone.

Neither knows of the other. How both become one is in `ser_engine.models.fusion`; here is where they lie, and
what is cached so that edited words are scored without computing the speech again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser_engine.errors import WeightsUnavailable
from ser_engine.models import store as weights
from ser_engine.models.base import Model
from ser_engine.models.fusion import fuse, speaks, text_scores
from ser_engine.models.lru_cache import LRUCache
from ser_engine.models.registry import found_part, identity, is_part, load_model
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.settings import Settings
from ser_engine.types import CleanSpeech, Scores, TextPrediction, Transcript

ARCHITECTURE = "fused"
SPEECH, TEXT = "speech", "text"
# What `save` itself writes into config.json; the rest is the card.
WRITTEN = ("id", "architecture", "labels", SPEECH, TEXT)


class Fused:
    """Two models as one; safe to call from several threads.

    Parameters
    ----------
    id : name of the model
    speech : scores voices, calibrated; its labels are this model's
    text : reads words
    parts : for "speech" and "text", the id of the folder and the sha256 of what it says of itself
    card : further entries of config.json (corpora, measured figures)
    """

    def __init__(
        self,
        id: str,
        speech: Model,
        text: TextEmotion,
        parts: dict[str, dict[str, str]],
        card: dict[str, Any] | None = None,
    ) -> None:
        self.id, self.labels = id, speech.labels
        self.speech, self.text = speech, text
        self.parts, self.card = parts, card or {}
        self._kept: LRUCache[Scores] = LRUCache()

    hears, reads = True, True

    def predict(self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript] | None = None) -> list[Scores]:
        """Return the scores of each recording; without transcripts, and where one abstains, those of the voice."""
        said: Sequence[Transcript | None] = transcripts if transcripts is not None else [None] * len(batch)
        heard = self._hear(batch)
        return [
            fuse(scores, opinion, transcript.confidence if transcript else 0.0)
            for scores, opinion, transcript in zip(heard, self.read(said), said, strict=True)
        ]

    def opinions(self, speech: CleanSpeech, transcript: Transcript | None) -> dict[str, Scores]:
        """Return the scores of "speech" alone, of "text" alone, and of "both"; "text" only where the words speak."""
        (heard,), (read,) = self._hear([speech]), self.read([transcript])
        both = fuse(heard, read, transcript.confidence if transcript else 0.0)
        told = {TEXT: text_scores(read, self.labels)} if read is not None and speaks(read, self.labels) else {}
        return {SPEECH: heard, **told, "both": both}

    def forget(self) -> None:
        """Forget the scores of voices that are kept, as a measurement of time has to."""
        self._kept.forget()
        forget = getattr(self.speech, "forget", None)
        if forget is not None:
            forget()

    def _hear(self, batch: Sequence[CleanSpeech]) -> list[Scores]:
        """Return the voices' scores, from what is kept or from the model."""
        return self._kept.of(
            [speech.samples for speech in batch], lambda rows: self.speech.predict([batch[row] for row in rows])
        )

    def read(self, transcripts: Sequence[Transcript | None]) -> list[TextPrediction | None]:
        """Return the words' opinions; None without words, and for words in a language that nobody here reads."""
        rows = [row for row, transcript in enumerate(transcripts) if self._readable(transcript)]
        opinions = self.text.read([transcript.text for row in rows if (transcript := transcripts[row])])
        found = dict(zip(rows, opinions, strict=True))
        return [found.get(row) for row in range(len(transcripts))]

    def _readable(self, transcript: Transcript | None) -> bool:
        if transcript is None or not transcript.text.strip():
            return False
        return transcript.language is None or transcript.language in self.text.languages  # None: written by hand

    def save(self, folder: Path) -> None:
        """Write config.json into `folder`; the two models stay where they are, and are referred to."""
        own = {"id": self.id, "architecture": ARCHITECTURE, "labels": list(self.labels), **self.parts}
        weights.write_config(folder, own | self.card)

    @classmethod
    def join(cls, id: str, speech: Path, text: Path, settings: Settings, card: dict[str, Any] | None = None) -> Fused:
        """Return a model of two folders; to be found again, both have to lie in `settings.models_dir`.

        Raises
        ------
        WeightsUnavailable
            A folder holds no model of its kind, or one without weights of its own, such as another of these.
        """
        parts = {
            name: {"id": folder.name, "sha256": identity(folder)} for name, folder in ((SPEECH, speech), (TEXT, text))
        }
        return cls(id, load_model(speech, settings), TextEmotion.load(text, settings), parts, card)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> Fused:
        """Read what `save` wrote, and the two models, which lie beside the folder or in `settings.models_dir`.

        Raises
        ------
        WeightsUnavailable
            A model that it refers to is missing, damaged, or not the one that it was made of.
        """
        config = weights.read_config(folder)
        unfit = WeightsUnavailable(f"The config.json in {folder} does not describe a model of voice and words.")
        parts: dict[str, Any] = {name: config.get(name) for name in (SPEECH, TEXT)}
        id = config.get("id")
        if not isinstance(id, str) or not all(is_part(part) for part in parts.values()):
            raise unfit
        places = {name: found_part(part, folder, settings) for name, part in parts.items()}
        speech, text = load_model(places[SPEECH], settings), TextEmotion.load(places[TEXT], settings)
        if config.get("labels") != list(speech.labels):
            raise unfit
        return cls(id, speech, text, parts, {key: value for key, value in config.items() if key not in WRITTEN})

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
from ser_engine.models.fusion import fuse, is_informative, text_scores
from ser_engine.models.lru_cache import LRUCache
from ser_engine.models.registry import found_part, identity, is_part, load_model
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.settings import Settings
from ser_engine.types import CleanSpeech, Prediction, Scores, TextPrediction, Transcript

ARCHITECTURE = "fused"
SPEECH, TEXT = "speech", "text"
# What `save` itself writes into config.json; the rest is the card.
WRITTEN = ("id", "architecture", "labels", SPEECH, TEXT)


class Fused(Model):
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
        super().__init__(id, speech.labels, card)
        self.speech, self.text, self.parts = speech, text, parts
        self._audio_cache: LRUCache[Scores] = LRUCache()

    uses_text = True

    @property
    def device(self) -> str:
        """Where the audio model computes, as torch names it."""
        return self.speech.device

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording; without informative words, the scores are those by audio alone.

        The scores by audio are cached, so that edited words cost the text model alone.
        """
        transcripts = transcripts or [None] * len(batch)
        return [
            self._fuse(audio, text, transcript.confidence if transcript else 0.0)
            for audio, text, transcript in zip(
                self._audio_scores(batch), self.predict_text(transcripts), transcripts, strict=True
            )
        ]

    def _fuse(self, audio: Scores, text: TextPrediction | None, confidence: float) -> Prediction:
        fused = fuse(audio, text, confidence)
        if text is None or not is_informative(text, self.labels):
            return Prediction(fused, {"audio": audio, "fused": fused})
        return Prediction(fused, {"audio": audio, "text": text_scores(text, self.labels), "fused": fused})

    def clear_cache(self) -> None:
        """Drop the cached scores of this model and of its audio model."""
        self._audio_cache.clear()
        self.speech.clear_cache()

    def _audio_scores(self, batch: Sequence[CleanSpeech]) -> list[Scores]:
        """Return the scores by audio alone, from the cache or the model."""
        return self._audio_cache.get_or_compute(
            [speech.samples for speech in batch],
            lambda rows: [prediction.scores for prediction in self.speech.predict([batch[row] for row in rows])],
        )

    def predict_text(self, transcripts: Sequence[Transcript | None]) -> list[TextPrediction | None]:
        """Return the predictions by text alone; None without words or in a language that the text model lacks."""
        texts = {
            row: transcript.text
            for row, transcript in enumerate(transcripts)
            if transcript is not None and self._is_readable(transcript)
        }
        predictions = dict(zip(texts, self.text.predict(list(texts.values())), strict=True))
        return [predictions.get(row) for row in range(len(transcripts))]

    def _is_readable(self, transcript: Transcript) -> bool:
        known = transcript.language is None or transcript.language in self.text.languages  # None: written by hand
        return known and bool(transcript.text.strip())

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

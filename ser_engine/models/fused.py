"""A model of audio and a model of text as one `Model`.

`ser_engine.models.fusion` has the formula. The scores by audio are cached, so that edited words are scored without
encoding the speech again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import WeightsUnavailable
from ser_engine.labels import NEUTRAL
from ser_engine.models.base import Model
from ser_engine.models.fusion import fuse, is_informative, text_scores
from ser_engine.models.lru_cache import LRUCache
from ser_engine.models.store import read_config, write_config
from ser_engine.models.text_model import TextModel
from ser_engine.models.word_weights import top_emotion, word_weights
from ser_engine.settings import Settings
from ser_engine.types import Baseline, CleanSpeech, Prediction, Scores, TextPrediction, Transcript, WeightedWord

ARCHITECTURE = "fused"
AUDIO, TEXT = "audio", "text"
# Entries of config.json that `save` writes itself; the others are the card.
WRITTEN = ("id", "architecture", "labels", AUDIO, TEXT)


class Fused(Model):
    """Late fusion of two models; safe to call from several threads.

    Parameters
    ----------
    id, card : see `Model`
    audio : calibrated model of audio, whose labels are this model's
    text : model of text
    parts : the references (`store.reference`) to the folders of "audio" and "text"
    """

    def __init__(
        self,
        id: str,
        audio: Model,
        text: TextModel,
        parts: dict[str, dict[str, str]],
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, audio.labels, card)
        self.audio, self.text, self.parts = audio, text, parts
        self._audio_cache: LRUCache[Scores] = LRUCache()

    uses_text = True

    @property
    def device(self) -> str:
        """Where the audio model computes, as torch names it."""
        return self.audio.device

    @property
    def can_calibrate(self) -> bool:
        """Whether the audio model can."""
        return self.audio.can_calibrate

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording; without informative words, the scores are those by audio alone.

        The scores by audio are cached, so that edited words cost the text model alone.
        """
        transcripts = transcripts or [None] * len(batch)
        texts = self.predict_text(transcripts)
        predictions = []
        for audio, text, transcript in zip(self._audio_scores(batch), texts, transcripts, strict=True):
            fused = fuse(audio, text, transcript.confidence if transcript else 0.0)
            words = {"text": text_scores(text, self.labels)} if is_informative(text, self.labels) else {}
            predictions.append(Prediction(fused, {"audio": audio, **words, "fused": fused}))
        return predictions

    def calibrate(self, speech: CleanSpeech) -> Baseline | None:
        """Return the baseline of a speaker, by the audio model."""
        return self.audio.calibrate(speech)

    def accepts(self, baseline: Baseline) -> bool:
        """Return whether a baseline is one of the audio model."""
        return self.audio.accepts(baseline)

    def clear_cache(self) -> None:
        """Drop the cached scores of this model and of its audio model."""
        self._audio_cache.clear()
        self.audio.clear_cache()

    def _audio_scores(self, batch: Sequence[CleanSpeech]) -> list[Scores]:
        """Return the scores by audio alone, from the cache or the model."""
        return self._audio_cache.get_or_compute(
            [_inputs(speech) for speech in batch],
            lambda rows: [prediction.scores for prediction in self.audio.predict([batch[row] for row in rows])],
        )

    def predict_text(self, transcripts: Sequence[Transcript | None]) -> list[TextPrediction]:
        """Return the predictions by text alone, which abstain in a language that the text model lacks."""
        return self.text.predict([said.text_in(self.text.languages) if said else None for said in transcripts])

    def weigh_words(self, transcript: Transcript, label: str) -> tuple[str, tuple[WeightedWord, ...]]:
        """Return the emotion that words are weighed for, and the weight of each word; see `Model.weigh_words`."""
        (text,) = self.predict_text([transcript])
        if not is_informative(text, self.labels):
            return "", ()
        spoken = label if label in self.text.labels and label != NEUTRAL else top_emotion(self.text, text)
        return spoken, word_weights(self.text, transcript.text_in(self.text.languages), spoken)

    def save(self, folder: Path) -> None:
        """Write config.json into `folder`; it refers to the two models, whose folders stay where they are."""
        own = {"id": self.id, "architecture": ARCHITECTURE, "labels": list(self.labels), **self.parts}
        write_config(folder, own | self.card)

    @classmethod
    def load(cls, folder: Path, settings: Settings, parts: Mapping[str, Any] | None = None) -> Fused:
        """Read what `save` wrote; `parts` are the two loaded models.

        Raise WeightsUnavailable if the config.json does not fit the models.
        """
        config, parts = read_config(folder), parts or {}
        id, audio, text = config.get("id"), parts.get(AUDIO), parts.get(TEXT)
        if not (
            isinstance(id, str)
            and isinstance(audio, Model)
            and isinstance(text, TextModel)
            and config.get("labels") == list(audio.labels)
        ):
            raise WeightsUnavailable(f"The config.json in {folder} does not describe a model of audio and text.")
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        return cls(id, audio, text, {AUDIO: config[AUDIO], TEXT: config[TEXT]}, card)


def _inputs(speech: CleanSpeech) -> NDArray[np.float32]:
    """Return all that decides the scores by audio: the samples, then the speaker's baseline."""
    known = speech.baseline
    if known is None:
        return speech.samples
    return np.concatenate([speech.samples, known.mean.ravel(), np.array([known.speech_s], np.float32)])

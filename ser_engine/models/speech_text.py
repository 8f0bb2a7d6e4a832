"""HuBERT+BERT (Sharma 2023, III.D.2) and similar networks as one `Model`, with cheap rescoring of edited words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.base import Model
from ser_engine.models.batching import MAX_CLIPS, length_groups, parallel_map
from ser_engine.models.device import autocast, choose_device
from ser_engine.models.lru_cache import LRUCache
from ser_engine.models.speech_text_config import SpeechTextConfig
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.store import read_config, sha256, write_config
from ser_engine.settings import Settings
from ser_engine.types import CleanSpeech, Prediction, Scores, Transcript

TEXTS = 32
"""Texts that are encoded at once."""
CLIPS_PER_THREAD = 3
"""Clips that a CPU thread encodes at once: more do not fit its caches."""

Samples = NDArray[np.float32]


def speech_states(
    network: SpeechTextForSequenceClassification,
    processor: SpeechTextProcessor,
    clips: Sequence[Samples],
) -> Tensor | None:
    """Return pooled states of clips (float32 [n] at 16 kHz), float32 [n, layers, width] on the CPU.

    They are encoded in batches of similar length; None without an encoder of speech.
    """
    if network.speech is None or not clips:
        return None
    on_cpu = network.device.type == "cpu"
    groups = length_groups([len(clip) for clip in clips], CLIPS_PER_THREAD if on_cpu else MAX_CLIPS)
    groups.reverse()  # the longest first, so that the threads finish together

    def pooled(group: list[int]) -> Tensor:
        inputs = processor([clips[row] for row in group])
        with autocast(network.device):
            speech, _ = network.encode(**{name: tensor.to(network.device) for name, tensor in inputs.items()})
        assert speech is not None
        return speech.float().cpu()

    with _evaluation(network):
        states = torch.cat(list(parallel_map(pooled, groups) if on_cpu else map(pooled, groups)))
    order = [row for group in groups for row in group]
    return states[torch.tensor(order).argsort()]


def text_states(
    network: SpeechTextForSequenceClassification, processor: SpeechTextProcessor, texts: Sequence[str | None]
) -> Tensor | None:
    """Return pooled states of text float32 [n, width] on the CPU, zero without words; None without such an encoder."""
    if network.text is None or not texts:
        return None
    order = sorted(range(len(texts)), key=lambda row: len(texts[row] or ""))
    states = torch.zeros(len(texts), network.widths[-1])
    rows = [row for row in order if (texts[row] or "").strip()]
    with _evaluation(network):
        for first in range(0, len(rows), TEXTS):
            batch = rows[first : first + TEXTS]
            inputs = processor(text=[texts[row] for row in batch])
            with autocast(network.device):
                _, text = network.encode(**{name: tensor.to(network.device) for name, tensor in inputs.items()})
            assert text is not None
            states[batch] = text.float().cpu()
    return states


@contextmanager
def _evaluation(network: SpeechTextForSequenceClassification) -> Iterator[None]:
    """Compute without dropout and gradients; a network in training mode returns to it afterwards."""
    training = network.training
    if training:  # set only if needed: another thread may be scoring with it
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if training:
            network.train()


class SpeechText(Model):
    """Network and processor as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id, card : see `Model`
    network : trained; its config holds the labels
    processor : of the network's encoders
    """

    def __init__(
        self,
        id: str,
        network: SpeechTextForSequenceClassification,
        processor: SpeechTextProcessor,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, network.config.emotions, card)
        self.network, self.processor = network.eval(), processor
        self.uses_audio, self.uses_text = network.speech is not None, network.text is not None
        self._speech_cache: LRUCache[Tensor] = LRUCache()

    @property
    def device(self) -> str:
        """Where the network computes, as torch names it."""
        return str(self.network.device)

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording.

        A modality that is left out is a zero vector, as text dropout leaves it out in training. The states of speech
        are cached, so that edited words cost the text encoder alone.
        """
        if not batch:
            return []
        words = [transcript.text if transcript else None for transcript in transcripts or [None] * len(batch)]
        speech = self._speech_states([clip.samples for clip in batch])
        text = text_states(self.network, self.processor, words)
        fused = self._scores(speech, text)
        if speech is None or text is None:
            return [Prediction(scores) for scores in fused]
        audio_alone, text_alone = self._scores(speech, None), self._scores(None, text)
        predictions = []
        for row, scores in enumerate(fused):
            modalities = {"audio": audio_alone[row], "text": text_alone[row], "fused": scores}
            if not bool(text[row].any()):  # no words
                del modalities["text"]
            predictions.append(Prediction(scores, modalities))
        return predictions

    def clear_cache(self) -> None:
        """Drop the cached states of speech."""
        self._speech_cache.clear()

    def _scores(self, speech: Tensor | None, text: Tensor | None) -> list[Scores]:
        states = [None if part is None else part.to(self.network.device) for part in (speech, text)]
        with torch.no_grad():
            logits = self.network.classify(*states) / self.network.config.score_temperature
        return [Scores(self.labels, row) for row in logits.float().softmax(dim=1).cpu().numpy()]

    def _speech_states(self, clips: Sequence[Samples]) -> Tensor | None:
        """Return pooled states of speech [n, layers, width], from the cache or the encoder."""
        if not self.uses_audio:
            return None

        def compute(rows: list[int]) -> Sequence[Tensor]:
            states = speech_states(self.network, self.processor, [clips[row] for row in rows])
            assert states is not None
            return list(states)

        return torch.stack(self._speech_cache.get_or_compute(clips, compute))

    def save(self, folder: Path) -> None:
        """Write config.json, model.safetensors, and the files of feature extractor and tokenizer into `folder`."""
        files = self.processor.save_pretrained(folder)
        self.network.save_pretrained(folder)
        config = read_config(folder)
        config["weights"] |= {name: sha256(folder / name) for name in files}
        write_config(folder, {"id": self.id, "labels": list(self.labels), **config, **self.card})

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> SpeechText:
        """Read what `save` wrote, and the encoders that it refers to.

        Raise WeightsUnavailable as `Model.load` does, or if an encoder is missing or is another.
        """
        network = SpeechTextForSequenceClassification.from_pretrained(folder, settings=settings)
        network.to(choose_device(settings))  # type: ignore[arg-type]
        config, processor = read_config(folder), SpeechTextProcessor.from_pretrained(folder)
        parts = (network.speech is None, network.text is None)
        if (
            parts != (processor.feature_extractor is None, processor.tokenizer is None)
            or config.get("labels") != list(network.config.emotions)
            or not isinstance(config.get("id"), str)
        ):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.")
        written = SpeechTextConfig.entries() | {"id", "labels"}
        return cls(config["id"], network, processor, {k: v for k, v in config.items() if k not in written})

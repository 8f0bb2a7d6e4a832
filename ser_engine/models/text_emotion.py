"""Emotion in words: a fine-tuned sentence encoder with one probability for each emotion, computed by torch.

`text_onnx` computes the bundled one without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.device import choose_device
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.encoders import UNREADABLE, encoder_of, load_encoder
from ser_engine.models.pooled_encoders import masked_mean
from ser_engine.models.quantization import quantize
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.store import TENSORS, read_config, read_tensors, sha256, write_config, write_tensors
from ser_engine.models.text_model import ARCHITECTURE, MAX_TOKENS, WRITTEN, TextModel, read_thresholds
from ser_engine.settings import Settings

ENCODER, CLASSIFIER = "encoder.", "classifier."


class TextEmotionNetwork(nn.Module):
    """A BERT-like encoder, the mean of its states over the tokens, and one logit a label.

    The mean is how all-MiniLM-L6-v2 was trained to make one vector of a sentence.
    """

    def __init__(self, encoder: PreTrainedModel, labels: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(encoder.config.hidden_size, labels)

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Map tokens and their mask, int [batch, tokens], to logits [batch, labels]; a row may have no token."""
        states = self.encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state
        logits: Tensor = self.classifier(self.dropout(masked_mean(states, mask)))
        return logits

    @classmethod
    def from_encoder(
        cls, encoder: str, labels: int, settings: Settings, dropout: float, seed: int
    ) -> TextEmotionNetwork:
        """Return an untrained head on a pre-trained encoder, which is named as in `EncoderReference.parse`."""
        loaded, _ = load_encoder(EncoderReference.parse(encoder), "text", settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(loaded, labels, dropout)


class TextEmotion(TextModel):
    """Network, tokenizer and thresholds; safe to call from several threads. It needs text alone, so it is no `Model`.

    Parameters
    ----------
    id, labels, thresholds, margin_thresholds, languages, card : see `TextModel`
    network, processor : trained, and the tokenizer of its encoder
    """

    def __init__(
        self,
        id: str,
        labels: tuple[str, ...],
        network: TextEmotionNetwork,
        processor: SpeechTextProcessor,
        thresholds: NDArray[np.float32],
        margin_thresholds: NDArray[np.float32],
        languages: tuple[str, ...] = ("en",),
        card: dict[str, Any] | None = None,
    ) -> None:
        assert processor.tokenizer is not None
        processor.tokenizer.model_max_length = tokens = min(processor.tokenizer.model_max_length, MAX_TOKENS)
        super().__init__(id, labels, thresholds, margin_thresholds, languages, card, tokens)
        self.network, self.processor = network.eval(), processor

    @property
    def _device(self) -> torch.device:
        return self.network.classifier.weight.device

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""
        return self.processor.lengths(texts)

    def batch_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 [n, labels] of texts that are encoded together."""
        with torch.inference_mode():
            tokens = self.processor(text=texts)
            ids, mask = (tokens[name].to(self._device) for name in ("input_ids", "text_attention_mask"))
            return np.asarray(self.network(ids, mask).cpu().numpy())

    def save(self, folder: Path) -> None:
        """Write config.json, model.safetensors (in 8 bits) and the tokenizer's files into `folder`."""
        checksums = {TENSORS: write_tensors(folder, quantize(self.network.state_dict()))}
        files = self.processor.save_pretrained(folder)
        encoder = self.network.encoder.config.to_dict()
        config = {
            "id": self.id,
            "architecture": ARCHITECTURE,
            "labels": list(self.labels),
            "languages": list(self.languages),
            "thresholds": [round(float(value), 6) for value in self.thresholds],
            "margin_thresholds": [round(float(value), 6) for value in self.margin_thresholds],
            # Without the path that it was read from.
            "encoder": {key: value for key, value in encoder.items() if not key.startswith("_")},
            **self.card,
            "weights": checksums | {name: sha256(folder / name) for name in files},
        }
        write_config(folder, config)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> TextEmotion:
        """Read what `save` wrote; no other folder is needed.

        Raise WeightsUnavailable if a file is missing, differs from its checksum or does not fit the others.
        """
        config = read_config(folder)
        if config.get("architecture") != ARCHITECTURE:
            raise WeightsUnavailable(f"{folder} holds no text emotion model.")
        tensors, device = read_tensors(folder), choose_device(settings)
        try:
            id, labels, languages = config["id"], tuple(config["labels"]), tuple(config["languages"])
            thresholds = read_thresholds(config)
            network = _network(config["encoder"], tensors, len(labels)).to(device)
            processor = SpeechTextProcessor.from_pretrained(folder)
            if processor.tokenizer is None:
                raise ValueError
        except UNREADABLE:
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        return cls(id, labels, network, processor, thresholds[0], thresholds[1], languages, card)


def _network(encoder: Mapping[str, Any], tensors: Mapping[str, Tensor], labels: int) -> TextEmotionNetwork:
    """Return the network with these tensors; raises ValueError or RuntimeError where they do not fit."""
    entries = dict(encoder)
    config: PreTrainedConfig = AutoConfig.for_model(entries.pop("model_type"), **entries)
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(ENCODER)}
    body = encoder_of(config, {name.removeprefix(ENCODER): tensor for name, tensor in own.items()})
    with torch.random.fork_rng(devices=[]):  # loading must not advance the random state
        network = TextEmotionNetwork(body, labels)
    rest = {name.removeprefix(CLASSIFIER): tensor for name, tensor in tensors.items() if name not in own}
    network.classifier.load_state_dict(rest, assign=True)
    return network.eval().requires_grad_(False)

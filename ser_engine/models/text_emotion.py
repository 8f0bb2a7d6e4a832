"""Emotion in words: a fine-tuned sentence encoder with one probability for each emotion, that may abstain.

A text may hold several emotions at once, or none, so each label has a sigmoid of its own. Two thresholds go with each
emotion: from the lower one on it counts as present, as the sentences of GoEmotions are measured; only above the higher
one does it have a margin, which influences a voice's scores. The higher one is set so that hardly any sentence labeled
neutral has a margin: most speech carries its emotion in the voice alone, and its words must not count as neutral.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from ser_engine.errors import WeightsUnavailable
from ser_engine.labels import EMOTIONS, NEUTRAL
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.encoders import UNREADABLE, encoder_of, load_encoder
from ser_engine.models.pooled_encoders import masked_mean
from ser_engine.models.quantization import quantize
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.store import TENSORS, read_config, read_tensors, sha256, write_config, write_tensors
from ser_engine.settings import Settings
from ser_engine.types import TextPrediction

ARCHITECTURE = "text-emotion"
MAX_TOKENS = 128
"""Tokens of one piece, special ones among them; a longer text is encoded in pieces."""
MAX_PIECES = 64
"""Of a text with more pieces, this many are encoded, evenly over it: some twenty minutes of speech."""
BATCH = 32
"""Pieces that are encoded at once."""
SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
# Entries of config.json that `save` writes itself; the others are the card.
WRITTEN = ("id", "architecture", "labels", "languages", "thresholds", "margin_thresholds", "encoder", "weights")
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


class TextEmotion:
    """Network, tokenizer and thresholds; safe to call from several threads. It needs text alone, so it is no `Model`.

    Parameters
    ----------
    id : name of the model
    labels : emotions, neutral among them, in the order of the logits
    network, processor : trained, and the tokenizer of its encoder
    thresholds : float32 [labels]; probability from which a label counts as present
    margin_thresholds : float32 [labels]; probability above which an emotion has a margin; neutral's is not used
    languages : codes of the languages that it was trained on
    card : further entries of config.json
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
        self.id, self.labels, self.languages = id, labels, languages
        self.network, self.processor = network.eval(), processor
        self.thresholds, self.margin_thresholds = thresholds, margin_thresholds
        self.card = card or {}
        assert processor.tokenizer is not None
        processor.tokenizer.model_max_length = self.tokens = min(processor.tokenizer.model_max_length, MAX_TOKENS)

    def predict(self, texts: Sequence[str | None]) -> list[TextPrediction]:
        """Return the prediction for each text, the same alone and in any batch; None and empty texts abstain.

        A text of more than `MAX_TOKENS` is encoded in pieces that end with its sentences; probabilities and margins
        are means over them, weighted by their tokens.
        """
        pieces_by_text = [self.pieces(text or "") for text in texts]
        probabilities = self.probabilities([piece for pieces in pieces_by_text for piece, _ in pieces])
        margins = self.margins(probabilities)
        predictions, first = [], 0
        for pieces in pieces_by_text:
            rows = slice(first, first + len(pieces))
            first += len(pieces)
            if not pieces:
                zeros = np.zeros(len(self.labels), np.float32)
                predictions.append(TextPrediction(self.labels, zeros, zeros))
                continue
            weights = np.array([length for _, length in pieces], np.float64)
            means = [np.average(values[rows], axis=0, weights=weights) for values in (probabilities, margins)]
            predictions.append(TextPrediction(self.labels, *(values.astype(np.float32) for values in means)))
        return predictions

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 [n, labels] of texts, each cut after `MAX_TOKENS`; zeros for an empty one."""
        probabilities = np.zeros((len(texts), len(self.labels)), np.float32)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        probabilities[rows] = torch.from_numpy(self.logits([texts[row] for row in rows])).sigmoid().numpy()
        return probabilities

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 [n, labels], the log-odds of texts, each cut after `MAX_TOKENS`."""
        logits = np.zeros((len(texts), len(self.labels)), np.float32)
        rows = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        with torch.inference_mode():
            for first in range(0, len(rows), BATCH):
                batch = rows[first : first + BATCH]
                tokens = self.processor(text=[texts[row] for row in batch])
                logits[batch] = self.network(tokens["input_ids"], tokens["text_attention_mask"]).float().numpy()
        return logits

    def margins(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how far each emotion is above its threshold and above neutral, relative to the distance to 1.

        Float32 [n, labels] of probabilities [n, labels]; exactly 0 for neutral and below the threshold. A margin rises
        from 0 without a jump, so that a word more or less never changes an answer abruptly.
        """
        neutral = self.labels.index(NEUTRAL)
        floor = np.maximum(self.margin_thresholds, probabilities[:, [neutral]])
        margins = np.clip((probabilities - floor) / np.maximum(1 - floor, 1e-6), 0, 1)
        margins[:, neutral] = 0
        return np.asarray(margins, np.float32)

    def pieces(self, text: str) -> list[tuple[str, int]]:
        """Return the pieces of a text that are encoded one by one, each with its number of tokens."""
        room = self.tokens - 2  # without the special tokens at beginning and end
        if not text.strip():
            return []
        if len(text) <= room:  # a token has at least one character
            return [(text, 1)]
        waiting = [sentence for sentence in SENTENCE_END.split(text) if sentence.strip()][::-1]
        lengths = self.processor.lengths(waiting)
        found: list[tuple[str, int]] = []
        while waiting:
            sentence, length = waiting.pop(), lengths.pop()
            words = sentence.split()
            if length > room and len(words) > 1:
                halves = [" ".join(words[len(words) // 2 :]), " ".join(words[: len(words) // 2])]
                waiting += halves
                lengths += self.processor.lengths(halves)
            elif found and found[-1][1] + length <= room:
                found[-1] = (f"{found[-1][0]} {sentence}", found[-1][1] + length)
            else:
                found.append((sentence, min(max(1, length), room)))
        return found[:: -(-len(found) // MAX_PIECES)]

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
        tensors = read_tensors(folder)
        try:
            id, labels, languages = config["id"], tuple(config["labels"]), tuple(config["languages"])
            thresholds = [np.array(config[name], np.float32) for name in ("thresholds", "margin_thresholds")]
            network = _network(config["encoder"], tensors, len(labels))
            processor = SpeechTextProcessor.from_pretrained(folder)
            fits = processor.tokenizer is not None and NEUTRAL in labels and set(labels) <= set(EMOTIONS)
            inside = all(row.shape == (len(labels),) and ((row > 0) & (row < 1)).all() for row in thresholds)
            if not (isinstance(id, str) and fits and inside and len(set(labels)) == len(labels)):
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

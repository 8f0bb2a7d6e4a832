"""The bundled model of emotion in words by onnxruntime, without torch and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.onnx_graph import Weights, open_graph, run
from ser_engine.models.store import read_config
from ser_engine.models.text_model import MAX_TOKENS, WRITTEN, TextModel, read_thresholds
from ser_engine.settings import Settings

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

GRAPH = "minilm"
TOKENIZER = "tokenizer.json"
# Of the graph; a model of another shape is computed by torch.
SHAPE = {
    "model_type": "bert", "hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12,
    "num_hidden_layers": 6, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
}  # fmt: skip
HIDDEN = np.float32(-1e9)
"""Added to the attention to what is no token."""
_EMBEDDINGS = "encoder.embeddings."


class OnnxTextEmotion(TextModel):
    """What `TextEmotion` is, computed by onnxruntime."""

    def __init__(self, weights: Weights, session: InferenceSession, tokenizer: Tokenizer, **parts: Any) -> None:
        super().__init__(**parts)
        self._weights, self._session, self._tokenizer = weights, session, tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._around = tokenizer.encode("").ids  # the special tokens at beginning and end
        self._positions = weights.read(_EMBEDDINGS + "position_embeddings.weight")
        self._positions += weights.read(_EMBEDDINGS + "token_type_embeddings.weight")[0]
        self._classifier = weights.read("classifier.weight"), weights.read("classifier.bias")

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""
        return [len(each.ids) for each in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def batch_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 [n, labels] of texts that are encoded together."""
        words = [text.strip() for text in texts]
        first, last = self._around
        rows = [
            [first, *each.ids[: self.tokens - 2], last]
            for each in self._tokenizer.encode_batch(words, add_special_tokens=False)
        ]
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros(tokens.shape, np.float32)
        for n, (row, text) in enumerate(zip(rows, words, strict=True)):
            tokens[n, : len(row)] = row
            mask[n, : len(row)] = bool(text)  # without words not even the special tokens count
        embedded = (
            self._weights.rows(_EMBEDDINGS + "word_embeddings.weight", tokens) + self._positions[: tokens.shape[1]]
        )
        hidden = np.repeat(((1 - mask) * HIDDEN)[:, None, None, :], tokens.shape[1], axis=2)
        (states,) = run(self._session, ["states"], {"embedded": embedded, "hidden": hidden})
        sums = (states * mask[..., None]).sum(axis=1)
        matrix, bias = self._classifier
        return np.asarray(sums / np.maximum(mask.sum(axis=1, keepdims=True), 1) @ matrix.T + bias, np.float32)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> OnnxTextEmotion:
        """Read what `TextEmotion.save` wrote; raise WeightsUnavailable as that class's `load` does."""
        from tokenizers import Tokenizer

        config, weights = read_config(folder), Weights(folder)
        try:
            labels = tuple(config["labels"])
            present, margin = read_thresholds(config)
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            if weights.shape("classifier.weight") != (len(labels), SHAPE["hidden_size"]):
                raise ValueError
            entries = {"id": config["id"], "labels": labels, "languages": tuple(config["languages"])}
        except Exception:  # tokenizers raises a bare one
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        session = open_graph(GRAPH, weights, settings.thread_count)
        return cls(
            weights, session, tokenizer, **entries, thresholds=present, margin_thresholds=margin, card=card,
            tokens=MAX_TOKENS,
        )  # fmt: skip

    @staticmethod
    def fits(folder: Path) -> bool:
        """Return whether a model's encoder has the shape of the graph."""
        encoder = read_config(folder).get("encoder")
        return isinstance(encoder, dict) and SHAPE.items() <= encoder.items() and (folder / TOKENIZER).is_file()

"""The bundled Whisper by onnxruntime, without torch: see `transcription.recognizer`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.features.log_mel import log_mel
from ser_engine.models.onnx_graph import Weights, open_graph, run
from ser_engine.models.store import read_config
from ser_engine.models.whisper import BUNDLED
from ser_engine.settings import Settings, available_cores
from ser_engine.transcription.decoding import Decoded, Rules, decode, log_softmax
from ser_engine.transcription.language import AFTER_S, LANGUAGES
from ser_engine.transcription.tokens import load_tokenizer
from ser_engine.transcription.word_times import time_words
from ser_engine.types import SAMPLE_RATE

Array = NDArray[np.float32]
LAYERS = 6
CACHED = [f"{part}_{n}" for n in range(LAYERS) for part in ("key", "value")]
CROSS = [f"cross_{name}" for name in CACHED]
Keys = list[Array]
"""What the decoder takes from the encoder's states: a key and a value of each layer, [n, heads, positions, width]."""


class OnnxWhisper:
    """Whisper-base from its folder; safe to call from several threads.

    Raise WeightsUnavailable if its weights are missing or damaged.
    """

    def __init__(self, settings: Settings, window: int) -> None:
        folder = settings.models_dir / f"whisper-{BUNDLED}"
        self.dims: dict[str, int] = read_config(folder)["dims"]
        self._weights = Weights(folder)
        self._encoder = open_graph("whisper_encoder", self._weights, settings.thread_count)
        self._decoder = open_graph("whisper_decoder", self._weights, settings.thread_count)
        self._positions = self._weights.read("decoder.positional_embedding")
        # Encodings on all cores take turns: at once, their threads would wait for each other.
        self._turns = threading.Semaphore(max(1, available_cores() // settings.thread_count))
        self.window = window
        self.is_multilingual = True
        self.num_languages = self.dims["n_vocab"] - 51765 - 1
        self._rules: dict[str, Rules] = {}

    def encode(self, clips: Sequence[NDArray[np.float32]]) -> list[Keys]:
        """Return what the decoder takes of each clip, float32 [m], padded or cut to n samples: the same for all."""
        # One by one: the activations of a run have one scale, and a recording's words must not depend on others.
        states = []
        for clip in clips:
            mel = log_mel(clip, self.dims["n_mels"])[None]
            with self._turns:
                states.append(run(self._encoder, CROSS, {"mel": mel}))
        return states

    def detect(self, states: Sequence[Keys]) -> Array:
        """Return the log-probabilities of the languages, [n, languages]."""
        tokenizer = self.tokenizer(None)
        tokens = [tokenizer.to_language_token(code) for code in islice(LANGUAGES, self.num_languages)]
        begin = np.full((len(states), 1), tokenizer.sot)
        return log_softmax(_Inference(self, states).logits(begin, [0])[:, 0, tokens])

    def cut(self, states: Keys, first: int, last: int) -> Keys:
        """Return the keys and values of the positions `first` to `last` (exclusive)."""
        return [each[:, :, first:last] for each in states]

    def detect_stretches(self, stretches: Sequence[NDArray[np.float32]]) -> Array:
        """Return what `detect` does for stretches of speech, each encoded by itself."""
        silence = np.zeros(round(AFTER_S * SAMPLE_RATE), np.float32)
        return np.concatenate([self.detect(self.encode([np.concatenate([one, silence])])) for one in stretches])

    def decode(self, states: Sequence[Keys], language: str, tokens: int, beams: int = 0) -> list[Decoded]:
        """Decode greedily, or one window with `beams`; `tokens` is the most of a text."""
        if language not in self._rules:
            self._rules[language] = Rules(self.tokenizer(language), self.window)
        return decode(_Inference(self, states), self._rules[language], states, language, tokens, beams)

    def align(self, states: Keys, language: str, pieces: Sequence[tuple[float, float, list[int]]], frames: int) -> Any:
        """Return the timed words of each piece; see `word_times.time_words`."""
        return time_words(_Inference(self, [states]).alignment, self.tokenizer(language), pieces, frames)

    def prepare_words(self) -> None:
        """Do nothing: nothing is compiled."""

    def tokenizer(self, language: str | None) -> Any:
        """Return the tokenizer for a language."""
        return load_tokenizer(self.is_multilingual, self.num_languages, language)


class _Inference:
    """The decoder with the keys and values of all tokens so far."""

    def __init__(self, whisper: OnnxWhisper, states: Sequence[Keys]) -> None:
        self._whisper = whisper
        joined = states[0] if len(states) == 1 else [np.concatenate(each) for each in zip(*states, strict=True)]
        self._inputs: dict[str, NDArray[Any]] = dict(zip(CROSS, joined, strict=True))
        self._past: list[Array] = []
        self._length = 0

    def logits(self, tokens: NDArray[np.int64], rows: Sequence[int]) -> Array:
        """Return the logits [n, rows, vocabulary] at these positions of further tokens [n, t]."""
        logits, *self._past = self._run(["logits", *(f"present_{name}" for name in CACHED)], tokens, rows)
        self._length += tokens.shape[1]
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """Go on from these of the sequences."""
        if list(rows) != list(range(len(rows))):
            self._past = [each[list(rows)] for each in self._past]

    def alignment(self, tokens: Sequence[int], rows: Sequence[int]) -> tuple[Array, Array]:
        """Return the logits [rows, vocabulary], and the alignment heads' scores [heads, t, positions], of a text."""
        logits, scores = self._run(["logits", "alignment"], np.array([tokens]), rows)
        return logits[0], scores[0]

    def _run(self, outputs: list[str], tokens: NDArray[np.int64], rows: Sequence[int]) -> list[Array]:
        whisper, (n, t) = self._whisper, tokens.shape
        if not self._past:
            heads = whisper.dims["n_text_head"]
            empty = np.zeros((n, heads, 0, whisper.dims["n_text_state"] // heads), np.float32)
            self._past = [empty] * len(CACHED)
        embedded = whisper._weights.rows("decoder.token_embedding.weight", tokens)
        embedded += whisper._positions[self._length : self._length + t]
        past = {f"past_{name}": each for name, each in zip(CACHED, self._past, strict=True)}
        inputs: dict[str, NDArray[Any]] = {
            "embedded": embedded,
            "rows": np.array(rows, np.int64),
            **past,
            **self._inputs,
        }
        return run(whisper._decoder, outputs, inputs)

"""What a transcriber needs of a Whisper, and openai-whisper's own model as one.

The other one is `transcription.onnx_whisper`, for the bundled weights.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ser_engine.features.encoder import compute_hidden_states
from ser_engine.transcription.decoding import Decoded
from ser_engine.transcription.language import AFTER_S, LANGUAGES
from ser_engine.types import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor
    from whisper.model import Whisper
    from whisper.tokenizer import Tokenizer

Samples = NDArray[np.float32]
Pieces = Sequence[tuple[float, float, list[int]]]
"""The segments of a window: start and end in seconds, and tokens."""
# Whisper's alignment turns a switch of all its models, and its first call compiles code.
_ALIGNING = threading.Lock()


class Recognizer(Protocol):
    """A Whisper with a window of fixed length; the states of a window are opaque to others."""

    is_multilingual: bool
    num_languages: int

    def encode(self, clips: Sequence[Samples]) -> Sequence[Any]:
        """Return the states of clips [n] at 16 kHz, all of one length."""

    def detect(self, states: Sequence[Any]) -> NDArray[np.float32]:
        """Return the log-probabilities of the languages, [n, languages], the first of `LANGUAGES`."""

    def cut(self, states: Any, first: int, last: int) -> Any:
        """Return the states of the positions `first` to `last` (exclusive) of a window, 20 ms each, for `detect`."""

    def detect_stretches(self, stretches: Sequence[Samples]) -> NDArray[np.float32]:
        """Return what `detect` does for stretches of speech, each encoded by itself."""

    def decode(self, states: Sequence[Any], language: str, tokens: int, beams: int = 0) -> list[Decoded]:
        """Decode greedily, or one window with `beams`; `tokens` is the most of a text."""

    def align(self, states: Any, language: str, pieces: Pieces, frames: int) -> list[list[dict[str, Any]]]:
        """Return the timed words of each piece of a window that has so many frames of speech."""

    def prepare_words(self) -> None:
        """Do what only the first call of `align` needs."""

    def tokenizer(self, language: str) -> Tokenizer:
        """Return the tokenizer for a language."""


class TorchWhisper:
    """openai-whisper's model with a window of `positions`; calls of its decoder from several threads take turns.

    The weights are in float32; with CUDA, everything is computed in float16, as openai-whisper does.
    """

    def __init__(self, model: Whisper, positions: int) -> None:
        self.model = shorten_window(model, positions)
        self._half = model.device.type == "cuda"
        self._aligner = _without_encoder(self.model)
        self._decoding = threading.Lock()  # decoding attaches a cache of keys and values to the model
        self.is_multilingual: bool = model.is_multilingual
        self.num_languages: int = model.num_languages

    def encode(self, clips: Sequence[Samples]) -> Sequence[Tensor]:
        """Return the encoder's states of each clip."""
        import torch
        from whisper.audio import log_mel_spectrogram

        with torch.inference_mode():
            # One spectrogram at a time: its reference level depends on its whole input.
            bands = self.model.dims.n_mels
            device = self.model.device
            mels = torch.stack([log_mel_spectrogram(torch.from_numpy(clip), bands, device=device) for clip in clips])
            return list(self.model.encoder(mels.half() if self._half else mels))

    def detect(self, states: Sequence[Tensor]) -> NDArray[np.float32]:
        """Return the log-probabilities of the languages."""
        import torch

        tokenizer = self.tokenizer("en")
        tokens = [tokenizer.to_language_token(code) for code in islice(LANGUAGES, self.num_languages)]
        with self._decoding, torch.inference_mode():
            begin = torch.full((len(states), 1), tokenizer.sot, device=self.model.device)
            logits = self.model.logits(begin, torch.stack(list(states)))[:, 0, tokens]
            return np.asarray(logits.log_softmax(dim=-1).cpu().numpy(), np.float32)

    def cut(self, states: Tensor, first: int, last: int) -> Tensor:
        """Return the states of the positions `first` to `last` (exclusive)."""
        return states[first:last]

    def detect_stretches(self, stretches: Sequence[Samples]) -> NDArray[np.float32]:
        """Return the log-probabilities of the languages of each stretch."""
        silence = np.zeros(round(AFTER_S * SAMPLE_RATE), np.float32)
        encoder = self.model.encoder
        states = (compute_hidden_states(encoder, np.concatenate([one, silence])[None])[0, -1] for one in stretches)
        return np.concatenate([self.detect([each.half() if self._half else each]) for each in states])

    def decode(self, states: Sequence[Tensor], language: str, tokens: int, beams: int = 0) -> list[Decoded]:
        """Decode as openai-whisper does."""
        import torch
        from whisper.decoding import DecodingOptions

        options = DecodingOptions(language=language, sample_len=tokens, fp16=self._half, beam_size=beams or None)
        with self._decoding, torch.inference_mode():
            return cast("list[Decoded]", self.model.decode(torch.stack(list(states)), options))

    def align(self, states: Tensor, language: str, pieces: Pieces, frames: int) -> list[list[dict[str, Any]]]:
        """Return the words that Whisper's own module finds."""
        from whisper.timing import add_word_timestamps

        timed: list[dict[str, Any]] = [
            {"start": begin, "end": end, "tokens": tokens, "seek": 0, "words": []} for begin, end, tokens in pieces
        ]
        with self._decoding, _ALIGNING:
            add_word_timestamps(
                segments=timed,
                model=self._aligner,
                tokenizer=self.tokenizer(language),
                mel=states.to(self._aligner.device),
                num_frames=frames,
                last_speech_timestamp=0.0,
            )
        return [each["words"] for each in timed]

    def prepare_words(self) -> None:
        """Compile Whisper's alignment."""
        import torch
        from whisper.timing import dtw

        with _ALIGNING:
            dtw(torch.zeros(2, 2))

    def tokenizer(self, language: str) -> Tokenizer:
        """Return the tokenizer for a language."""
        from whisper.tokenizer import get_tokenizer

        return get_tokenizer(self.is_multilingual, num_languages=self.num_languages, language=language)


def as_recognizer(model: Whisper | Recognizer, positions: int) -> Recognizer:
    """Return openai-whisper's model as a recognizer, or the recognizer that was given."""
    return cast(Recognizer, model) if hasattr(model, "detect_stretches") else TorchWhisper(cast(Any, model), positions)


def shorten_window(model: Whisper, positions: int) -> Whisper:
    """Return a Whisper that shares all weights and whose encoder takes `positions` (2 mel frames each)."""
    tensors = [*model.parameters(), *model.buffers()]
    short = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    short.encoder.positional_embedding = model.encoder.positional_embedding[:positions]
    short.dims.n_audio_ctx = positions
    return short


def _without_encoder(model: Whisper) -> Whisper:
    """Return a Whisper that shares all weights and takes the encoder's states instead of a spectrogram.

    Whisper's alignment computes in float64, which a Mac's GPU lacks: there, it is a copy on the processor.
    """
    from torch.nn import Identity

    apart = model.device.type == "mps"
    tensors = [] if apart else [*model.parameters(), *model.buffers()]
    decoder = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    decoder.encoder = Identity()
    return decoder.cpu() if apart else decoder

"""The models on Whisper's encoder without torch: blocks by onnxruntime, the small heads in numpy.

The answers are those of `whisper_heads` and `whisper_tuned`, which train the models and are the reference.
"""

from __future__ import annotations

import math
import shutil
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import WeightsUnavailable
from ser_engine.features.encoder import BLOCKS, FRAME_LAYERS, LOWER_BLOCKS, MAX_SAMPLES, Encoding
from ser_engine.features.log_mel import log_mel
from ser_engine.models.base import Model
from ser_engine.models.batching import map_alike
from ser_engine.models.onnx_graph import Weights, open_graph, run
from ser_engine.models.store import read_config
from ser_engine.models.whisper import BUNDLED
from ser_engine.settings import Settings
from ser_engine.types import Baseline, CleanSpeech, Prediction, Scores, Transcript

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Array = NDArray[np.float32]
BATCH = 8
"""Recordings of one length that are encoded at once."""
CHUNK = 250
"""Frames of 40 ms that tuned blocks process at a time."""
PRIOR_S = 20.0
"""Seconds of speech from which a baseline counts more than the average speaker."""
ENCODER, BASE_MODEL, POPULATION = "whisper-base", "base_model", "population"
STATES = [f"states_{n}" for n in range(BLOCKS + 1)]
# Entries of config.json that are no part of the card.
WRITTEN = (
    "id", "architecture", "encoder", "labels", "heads", "head", "blocks", BASE_MODEL, "temperature", "weights",
)  # fmt: skip
_LOADING = threading.Lock()


# --- Layers ---------------------------------------------------------------------------------------------------------


def gelu(x: Array) -> Array:
    """Return the Gaussian error linear unit of each number.

    The error function is formula 7.1.26 of Abramowitz and Stegun, with errors below 2e-7: scipy's takes a quarter
    of a second to load.
    """
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.asarray(0.5 * x * (1 + np.copysign(1 - series * np.exp(-z * z), x)), np.float32)


def softmax(x: Array, axis: int) -> Array:
    """Return shares along an axis."""
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True), np.float32)


def log_softmax(x: Array) -> Array:
    """Return log-probabilities along the last axis."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float32)


@dataclass(frozen=True)
class Linear:
    """A matrix and its bias."""

    matrix: Array
    bias: Array

    @classmethod
    def read(cls, weights: Weights, name: str) -> Linear:
        """Return the layer `name`."""
        return cls(weights.read(f"{name}.weight"), weights.read(f"{name}.bias"))

    def __call__(self, x: Array) -> Array:
        """Map [..., columns] to [..., rows]."""
        return np.asarray(x @ self.matrix.T + self.bias, np.float32)


class Classifier:
    """Layer normalization, one hidden layer, one logit a label."""

    def __init__(self, weights: Weights) -> None:
        self._scale, self._shift = (weights.read(f"head.classifier.0.{part}") for part in ("weight", "bias"))
        self._hidden, self._last = (Linear.read(weights, f"head.classifier.{n}") for n in (2, 5))
        self.labels = len(self._last.bias)

    def __call__(self, pooled: Array) -> Array:
        """Map pooled vectors [batch, width] to log-probabilities [batch, labels]."""
        centered = pooled - pooled.mean(axis=1, keepdims=True)
        normal = centered / np.sqrt(np.square(centered).mean(axis=1, keepdims=True) + np.float32(1e-5))
        return log_softmax(self._last(gelu(self._hidden(normal * self._scale + self._shift))))


# --- Heads ----------------------------------------------------------------------------------------------------------


class StatisticsHead:
    """`whisper_heads.StatisticsMember`: layer mixes of the standardized statistics of all layers."""

    def __init__(self, weights: Weights) -> None:
        self._mean, self._scale = weights.read("mean"), weights.read("scale")
        self._shares = softmax(weights.read("head.layer_logits"), axis=2)
        self.classifier = Classifier(weights)

    def __call__(self, encodings: Sequence[Encoding]) -> Array:
        """Return log-probabilities [batch, labels] for encodings of one length."""
        statistics = np.stack([one.statistics for one in encodings]).astype(np.float32)
        standard = (statistics - self._mean) * self._scale
        mixed = np.einsum("blsw,ksl->bksw", standard, self._shares)
        return self.classifier(mixed.reshape(len(mixed), -1))


class AttentiveHead:
    """`whisper_heads.AttentiveMember` and `whisper_tuned.TunedHead`: frames, pooled by attention.

    Parameters
    ----------
    weights : of the head
    blocks : number of its own blocks of the encoder, which process the output of the lower ones
    threads : of these blocks
    """

    def __init__(self, weights: Weights, blocks: int, threads: int) -> None:
        self._mean, self._scale = weights.read("frame_mean"), weights.read("frame_scale")
        self._project = Linear.read(weights, "head.project.0")
        self._attend = Linear.read(weights, "head.attend.0"), Linear.read(weights, "head.attend.2")
        self._near, self._near_bias = weights.read("head.near.weight"), weights.read("head.near.bias")
        self.classifier = Classifier(weights)
        self._blocks = [open_graph("encoder_block", weights.below(f"blocks.{n}."), threads) for n in range(blocks)]

    def __call__(self, encodings: Sequence[Encoding]) -> Array:
        """Return log-probabilities [batch, labels] for encodings of one length."""
        if self._blocks:
            lower = np.stack([one.lower for one in encodings]).astype(np.float32)
            pieces = np.array_split(lower, -(-lower.shape[1] // CHUNK), axis=1)
            frames = np.concatenate([self._tuned(np.ascontiguousarray(piece)) for piece in pieces], axis=1)
        else:
            frames = np.stack([one.frames for one in encodings]).astype(np.float32)
        return self.classifier(self._pool((frames - self._mean) * self._scale))

    def _tuned(self, lower: Array) -> Array:
        total, x = lower, lower
        for block in self._blocks:
            (x,) = run(block, ["output"], {"states": x})
            total = total + x
        return np.asarray(total / (1 + len(self._blocks)), np.float32)

    def _pool(self, frames: Array) -> Array:
        """Map standardized frames [batch, t, width] to weighted and plain means and deviations."""
        projected = gelu(self._project(frames))
        projected = projected + gelu(self._neighbors(projected))
        first, second = self._attend
        shares = softmax(second(np.tanh(first(projected))), axis=1)
        even = np.full((*frames.shape[:2], 1), 1 / frames.shape[1], np.float32)
        return np.concatenate([_mean_and_deviation(projected, shares), _mean_and_deviation(frames, even)], axis=1)

    def _neighbors(self, x: Array) -> Array:
        """Convolve [batch, t, width] over time, in groups, with zeros around it."""
        batch, t, width = x.shape
        _, inner, taps = self._near.shape
        groups = width // inner
        padded = np.pad(x, ((0, 0), (taps // 2, taps // 2), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)
        rows = windows.reshape(batch * t, groups, inner * taps).transpose(1, 0, 2)
        matrices = self._near.reshape(groups, width // groups, inner * taps).transpose(0, 2, 1)
        return np.asarray((rows @ matrices).transpose(1, 0, 2).reshape(x.shape) + self._near_bias, np.float32)


def _mean_and_deviation(frames: Array, shares: Array) -> Array:
    """Return both of [batch, t, width], weighted by `shares` [batch, t, heads], as [batch, 2 · heads · width]."""
    across = shares.transpose(0, 2, 1)
    mean = across @ frames
    deviation = np.sqrt(np.maximum(across @ (frames * frames) - mean**2, np.float32(1e-5)))
    return np.concatenate([mean.reshape(len(mean), -1), deviation.reshape(len(mean), -1)], axis=1)


Head = StatisticsHead | AttentiveHead


# --- The encoder ----------------------------------------------------------------------------------------------------


class VoiceEncoder:
    """The lower blocks of Whisper-base's encoder, at a recording's true length: see `features.encoder`."""

    def __init__(self, folder: Path, threads: int) -> None:
        weights = Weights(folder)
        self._session: InferenceSession = open_graph("voice_encoder", weights, threads)
        self._bands = weights.shape("encoder.conv1.weight")[1]

    def encode(self, samples: Array) -> list[Encoding]:
        """Encode recordings [batch, n] at 16 kHz; of more than 30 s, equal parts are encoded."""
        pieces = np.array_split(samples, -(-samples.shape[1] // MAX_SAMPLES), axis=1)
        parts = [np.stack([log_mel(clip, self._bands) for clip in piece]) for piece in pieces]
        found = [run(self._session, STATES, {"mel": part}) for part in parts]
        states = [np.concatenate(layer, axis=1) for layer in zip(*found, strict=True)]
        statistics = np.stack([np.stack([s.mean(axis=1), s.std(axis=1)], axis=1) for s in states], axis=1)
        frames = _average_pairs(np.mean([states[n] for n in FRAME_LAYERS], axis=0))
        lower = _average_pairs(states[LOWER_BLOCKS])
        return [Encoding(*parts) for parts in zip(statistics, frames, lower, strict=True)]


def _average_pairs(frames: Array) -> Array:
    """Average every two frames of [batch, t, width]; an odd last frame is repeated."""
    if frames.shape[1] % 2:
        frames = np.concatenate([frames, frames[:, -1:]], axis=1)
    return np.asarray(frames.reshape(len(frames), -1, 2, frames.shape[2]).mean(axis=2), np.float32)


def shared_encoder(settings: Settings) -> VoiceEncoder:
    """Return one shared encoder for each folder of models."""
    with _LOADING:
        return _encoder(settings.models_dir / f"whisper-{BUNDLED}", settings.thread_count)


@lru_cache(maxsize=2)
def _encoder(folder: Path, threads: int) -> VoiceEncoder:
    return VoiceEncoder(folder, threads)


# --- Models ---------------------------------------------------------------------------------------------------------


class VoiceModel(Model):
    """A model of heads on the encoder; safe to call from several threads."""

    def __init__(self, folder: Path, encoder: VoiceEncoder, config: Mapping[str, Any]) -> None:
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        super().__init__(config["id"], tuple(config["labels"]), card)
        self._folder, self.encoder = folder, encoder
        self.temperature = float(config["temperature"])
        if config["encoder"] != ENCODER or not 0 < self.temperature < math.inf:
            raise ValueError

    @abstractmethod
    def log_probs(self, encodings: Sequence[Encoding]) -> Array:
        """Return log-probabilities [batch, labels] for encodings of one length, before the temperature."""

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording; those of equal length are encoded together."""
        rows = map_alike(self._score, batch, lambda speech: len(speech.samples), BATCH)
        return [Prediction(Scores(self.labels, row)) for row in rows]

    def _score(self, clips: Sequence[CleanSpeech]) -> Array:
        encodings = self.encoder.encode(np.stack([clip.samples for clip in clips]))
        related = [self.relate(*both) for both in zip(encodings, clips, strict=True)]
        return softmax(self.log_probs(related) / np.float32(self.temperature), axis=1)

    def relate(self, encoding: Encoding, speech: CleanSpeech) -> Encoding:
        """Return an encoding relative to the speaker's baseline, for a model that considers one."""
        return encoding

    def save(self, folder: Path) -> None:
        """Copy the model's folder."""
        shutil.copytree(self._folder, folder, dirs_exist_ok=True)


class OnnxHeads(VoiceModel):
    """What `WhisperHeads` is, without torch."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        config, weights = read_config(folder), Weights(folder)
        super().__init__(folder, shared_encoder(settings), config)
        self.heads: list[Head] = [
            StatisticsHead(weights.below(f"{n}."))
            if shape["mixes"]
            else AttentiveHead(weights.below(f"{n}."), shape["blocks"], settings.thread_count)
            for n, shape in enumerate(config["heads"])
        ]
        self.population = weights.read(POPULATION) if weights.holds(POPULATION) else None

    @property
    def can_calibrate(self) -> bool:
        """Whether the model was trained with baselines."""
        return self.population is not None

    def log_probs(self, encodings: Sequence[Encoding]) -> Array:
        """Return the mean of the heads' log-probabilities [batch, labels]."""
        return np.asarray(np.mean([head(encodings) for head in self.heads], axis=0), np.float32)

    def calibrate(self, speech: CleanSpeech) -> Baseline | None:
        """Return the mean of every state over a speaker's calm speech; None for a model trained without baselines."""
        if self.population is None:
            return None
        (encoding,) = self.encoder.encode(speech.samples[None])
        return Baseline(self.id, np.asarray(encoding.statistics[:, 0], np.float32), speech.duration_s)

    def relate(self, encoding: Encoding, speech: CleanSpeech) -> Encoding:
        """Return an encoding relative to the speaker's baseline, where one that this model made is known."""
        known = speech.baseline
        if known is None or self.population is None or not self.accepts(known):
            return encoding
        by = known.speech_s / (known.speech_s + PRIOR_S) * (known.mean - self.population)
        statistics = np.array(encoding.statistics, np.float32)
        statistics[:, 0] -= by
        frames = encoding.frames - by[list(FRAME_LAYERS)].mean(axis=0)
        return Encoding(statistics, frames, encoding.lower - by[LOWER_BLOCKS])

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> OnnxHeads:
        """Read what `WhisperHeads.save` wrote; raise WeightsUnavailable as that class's `load` does."""
        try:
            return cls(folder, settings)
        except (KeyError, TypeError, ValueError):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None


class OnnxTuned(VoiceModel):
    """What `WhisperTuned` is, without torch."""

    def __init__(self, folder: Path, settings: Settings, base_model: OnnxHeads) -> None:
        config, weights = read_config(folder), Weights(folder)
        super().__init__(folder, base_model.encoder, config)
        self.base_model = base_model
        self.heads = [
            AttentiveHead(weights.below(f"{n}."), config["blocks"], settings.thread_count)
            for n in range(config["head"]["members"])
        ]
        if self.labels != base_model.labels or not self.heads:
            raise ValueError

    def log_probs(self, encodings: Sequence[Encoding]) -> Array:
        """Return the mean of all heads' log-probabilities [batch, labels]."""
        own = [head(encodings) for head in self.heads]
        return np.asarray(np.mean([*own, *(head(encodings) for head in self.base_model.heads)], axis=0), np.float32)

    @classmethod
    def load(cls, folder: Path, settings: Settings, parts: Mapping[str, Any] | None = None) -> OnnxTuned:
        """Read what `WhisperTuned.save` wrote; `parts` are the loaded base model."""
        base_model = (parts or {}).get(BASE_MODEL)
        try:
            if not isinstance(base_model, OnnxHeads):
                raise ValueError
            return cls(folder, settings, base_model)
        except (KeyError, TypeError, ValueError):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None

"""The voice models as one graph of ONNX: samples to probabilities, with nothing left to the caller.

It computes what `whisper_onnx` does with a recording of up to 30 s, from standard operators alone, and brings its
recording to the level of cleaned speech first. Weights stay as they are stored, mostly in 8 bits; runtimes convert
them once, when they load the graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ser_engine.audio.quality import LEVEL_DB, PEAK
from ser_engine.features.encoder import BLOCKS, FRAME_LAYERS, LOWER_BLOCKS
from ser_engine.features.log_mel import HOP, RANGE, WINDOW, mel_filters
from ser_engine.models.graph_builder import Graph
from ser_engine.models.onnx_graph import Weights
from ser_engine.models.whisper_onnx import CHUNK

SAMPLES, PROBABILITIES = "samples", "probabilities"
OPSET, IR_VERSION = 20, 9
ATTENTION_HEADS = 8
"""Of Whisper-base's encoder."""
EPSILON = 1e-5


class VoiceGraph(Graph):
    """A graph with weights; layers are named as in the folders of models."""

    def tensor(self, weights: Weights, name: str, transposed: bool = False) -> str:
        """Add a tensor as it is stored; return the name of its values in float32."""
        stored, scale = weights.stored(name)
        own = f"{weights.folder.name}/{weights.prefix}{name}"
        columns = stored.ndim - 1
        if own not in self.weights:
            array = np.ascontiguousarray(stored.T if transposed else stored)
            self.weights[own] = numpy_helper.from_array(array, own)
        value = own if stored.dtype == np.float32 else self.add("Cast", own, to=onnx.TensorProto.FLOAT)
        if scale is None:
            return value
        shape = [-1] if transposed else [-1, *[1] * columns]
        return str(self.add("Mul", value, self.number(scale.astype(np.float32).reshape(shape))))

    def number(self, value: Any) -> str:
        """Add a constant of float32."""
        return self.constant(value, np.float32)

    def linear(self, x: str, weights: Weights, name: str) -> str:
        """Multiply by a matrix [rows, columns], and add its bias where it has one."""
        y = str(self.add("MatMul", x, self.tensor(weights, f"{name}.weight", transposed=True)))
        bias = f"{name}.bias"
        return str(self.add("Add", y, self.tensor(weights, bias))) if weights.holds(bias) else y

    def convolve(self, x: str, weights: Weights, name: str, **attributes: Any) -> str:
        """Convolve [batch, channels, t]."""
        both = (self.tensor(weights, f"{name}.{part}") for part in ("weight", "bias"))
        return str(self.add("Conv", x, *both, **attributes))

    def normalize(self, x: str, weights: Weights, name: str) -> str:
        """Normalize the last axis."""
        both = (self.tensor(weights, f"{name}.{part}") for part in ("weight", "bias"))
        return str(self.add("LayerNormalization", x, *both, axis=-1, epsilon=EPSILON))

    def mean(self, x: str, axis: int, keepdims: int = 1) -> str:
        """Average over an axis."""
        return str(self.add("ReduceMean", x, self.constant([axis]), keepdims=keepdims))

    def average(self, values: list[str]) -> str:
        """Average tensors of one shape."""
        return str(self.add("Mul", self.add("Sum", *values), self.number(1 / len(values))))

    def length(self, x: str, axis: int) -> str:
        """Return the size of an axis, [1]."""
        return str(self.add("Slice", self.add("Shape", x), self.constant([axis]), self.constant([axis + 1])))


# --- From samples to states -----------------------------------------------------------------------------------------


def add_level(g: VoiceGraph, samples: str) -> str:
    """Scale [batch, n] to the level of cleaned speech, as `quality.level_gain` does; silence stays silent."""
    square = g.mean(g.add("Mul", samples, samples), 1)
    peak = g.add("ReduceMax", g.add("Abs", samples), g.constant([1]))
    least = g.number(1e-12)
    even = g.add("Div", g.number(10 ** (LEVEL_DB / 20)), g.add("Max", g.add("Sqrt", square), least))
    gain = g.add("Min", even, g.add("Div", g.number(PEAK), g.add("Max", peak, least)))
    return str(g.add("Mul", samples, gain))


def add_log_mel(g: VoiceGraph, samples: str, bands: int) -> str:
    """Map [batch, n] to Whisper's spectrogram [batch, bands, n // 160]: `features.log_mel`, the transform by matrix."""
    around = g.constant([0, 0, WINDOW // 2, 0, 0, WINDOW // 2])
    x = g.add("Pad", g.add("Unsqueeze", samples, g.constant([1])), around, mode="reflect")
    spectra = g.add("Conv", x, g.number(_fourier()), strides=[HOP], kernel_shape=[WINDOW])
    spectra = g.add("Slice", spectra, g.constant([0]), g.constant([-1]), g.constant([2]))
    lines = WINDOW // 2 + 1
    real, imaginary = g.add("Split", g.add("Mul", spectra, spectra), g.constant([lines, lines]), outputs=2, axis=1)
    power = g.add("MatMul", g.number(mel_filters(bands)), g.add("Add", real, imaginary))
    natural = g.add("Log", g.add("Max", power, g.number(1e-10)))
    decades = g.add("Mul", natural, g.number(1 / math.log(10)))
    loudest = g.add("ReduceMax", decades, g.constant([1, 2]))
    bounded = g.add("Max", decades, g.add("Sub", loudest, g.number(RANGE)))
    return str(g.add("Mul", g.add("Add", bounded, g.number(4.0)), g.number(0.25)))


def _fourier() -> NDArray[np.float64]:
    """Return the real and the imaginary part of the transform of a windowed frame, [2 · lines, 1, WINDOW]."""
    lines, window = WINDOW // 2 + 1, np.hanning(WINDOW + 1)[:-1]
    angles = 2 * np.pi * np.outer(np.arange(lines), np.arange(WINDOW)) / WINDOW
    return np.concatenate([np.cos(angles), np.sin(angles)])[:, None] * window


def add_states(g: VoiceGraph, samples: str, weights: Weights) -> list[str]:
    """Map [batch, n] to the states [batch, t, width] before and after each lower block of Whisper's encoder."""
    x = add_log_mel(g, samples, weights.shape("encoder.conv1.weight")[1])
    for name, stride in (("encoder.conv1", 1), ("encoder.conv2", 2)):
        x = g.add("Gelu", g.convolve(x, weights, name, kernel_shape=[3], pads=[1, 1], strides=[stride]))
    x = g.add("Transpose", x, perm=[0, 2, 1])
    positions = g.tensor(weights, "encoder.positional_embedding")
    x = g.add("Add", x, g.add("Slice", positions, g.constant([0]), g.length(x, 1), g.constant([0])))
    states = [str(x)]
    for n in range(BLOCKS):
        states.append(add_block(g, states[-1], weights.below(f"encoder.blocks.{n}.")))
    return states


def add_block(g: VoiceGraph, x: str, weights: Weights, apart: str = "") -> str:
    """Add a block of Whisper's encoder; `apart` [t, t] is added to the logarithm of the attention."""
    width = weights.shape("attn_ln.weight")[0]
    split = g.constant([0, 0, ATTENTION_HEADS, width // ATTENTION_HEADS])
    y = g.normalize(x, weights, "attn_ln")

    def part(name: str, order: list[int]) -> str:
        return str(g.add("Transpose", g.add("Reshape", g.linear(y, weights, f"attn.{name}"), split), perm=order))

    scores = g.add("MatMul", part("query", [0, 2, 1, 3]), part("key", [0, 2, 3, 1]))
    scores = g.add("Mul", scores, g.number((width // ATTENTION_HEADS) ** -0.5))
    if apart:
        scores = g.add("Add", scores, apart)
    y = g.add("MatMul", g.add("Softmax", scores, axis=-1), part("value", [0, 2, 1, 3]))
    y = g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 1, 3]), g.constant([0, 0, width]))
    x = g.add("Add", x, g.linear(y, weights, "attn.out"))
    y = g.add("Gelu", g.linear(g.normalize(x, weights, "mlp_ln"), weights, "mlp.0"))
    return str(g.add("Add", x, g.linear(y, weights, "mlp.2")))


def add_pairs(g: VoiceGraph, frames: str) -> str:
    """Average every two frames of [batch, t, width]; an odd last frame is repeated."""
    odd = g.add("Mod", g.length(frames, 1), g.constant([2]))
    pads = g.add("Concat", g.constant([0, 0, 0, 0]), odd, g.constant([0]), axis=0)
    even = g.add("Pad", frames, pads, mode="edge")
    width = g.length(even, 2)
    pairs = g.add("Reshape", even, g.add("Concat", g.constant([0, -1, 2]), width, axis=0))
    return g.mean(pairs, 2, keepdims=0)


def add_statistics(g: VoiceGraph, states: list[str]) -> str:
    """Return mean and deviation over time of all states, [batch, states, 2, width]."""
    layers = []
    for x in states:
        mean = g.mean(x, 1)
        rest = g.add("Sub", x, mean)
        deviation = g.add("Sqrt", g.mean(g.add("Mul", rest, rest), 1))
        layers.append(g.add("Unsqueeze", g.add("Concat", mean, deviation, axis=1), g.constant([1])))
    return str(g.add("Concat", *layers, axis=1))


def add_chunks(g: VoiceGraph, frames: str) -> str:
    """Return what keeps equal parts of at most `CHUNK` of [batch, t, width] apart in attention: [t, t]."""
    total, one = g.length(frames, 1), g.constant([1])
    parts = g.add("Div", g.add("Add", total, g.constant([CHUNK - 1])), g.constant([CHUNK]))
    short, longer = g.add("Div", total, parts), g.add("Mod", total, parts)  # the first parts have one frame more
    long = g.add("Add", short, one)
    bound = g.add("Mul", longer, long)
    row = g.add("Range", g.constant(0), g.add("Squeeze", total), g.constant(1))
    later = g.add("Add", longer, g.add("Div", g.add("Sub", row, bound), short))
    part = g.add("Where", g.add("Less", row, bound), g.add("Div", row, long), later)
    same = g.add("Equal", g.add("Unsqueeze", part, g.constant([0])), g.add("Unsqueeze", part, g.constant([1])))
    return str(g.add("Where", same, g.number(0.0), g.number(-np.inf)))


# --- Heads ----------------------------------------------------------------------------------------------------------


def add_classifier(g: VoiceGraph, pooled: str, weights: Weights) -> str:
    """Map pooled vectors [batch, width] to log-probabilities [batch, labels]."""
    x = g.linear(g.normalize(pooled, weights, "head.classifier.0"), weights, "head.classifier.2")
    return str(g.add("LogSoftmax", g.linear(g.add("Gelu", x), weights, "head.classifier.5"), axis=-1))


def add_statistics_head(g: VoiceGraph, statistics: str, weights: Weights) -> str:
    """Map statistics [batch, states, 2, width] to log-probabilities."""
    centered = g.add("Sub", statistics, g.tensor(weights, "mean"))
    standard = g.add("Mul", centered, g.tensor(weights, "scale"))
    shares = g.add("Softmax", g.tensor(weights, "head.layer_logits"), axis=2)
    mixed = g.add("Einsum", standard, shares, equation="blsw,ksl->bksw")
    return add_classifier(g, g.add("Flatten", mixed, axis=1), weights)


def add_attentive_head(g: VoiceGraph, frames: str, weights: Weights) -> str:
    """Map frames [batch, t, width] to log-probabilities."""
    standard = g.add("Mul", g.add("Sub", frames, g.tensor(weights, "frame_mean")), g.tensor(weights, "frame_scale"))
    projected = g.add("Gelu", g.linear(standard, weights, "head.project.0"))
    width, inner, taps = weights.shape("head.near.weight")
    across = g.add("Transpose", projected, perm=[0, 2, 1])
    near = g.convolve(across, weights, "head.near", group=width // inner, pads=[taps // 2] * 2, kernel_shape=[taps])
    projected = g.add("Add", projected, g.add("Transpose", g.add("Gelu", near), perm=[0, 2, 1]))
    attention = g.add("Tanh", g.linear(projected, weights, "head.attend.0"))
    shares = g.add("Softmax", g.linear(attention, weights, "head.attend.2"), axis=1)
    shares = g.add("Transpose", shares, perm=[0, 2, 1])

    def pool(x: str, average: Any) -> list[str]:
        mean = average(x)
        variance = g.add("Sub", average(g.add("Mul", x, x)), g.add("Mul", mean, mean))
        deviation = g.add("Sqrt", g.add("Max", variance, g.number(EPSILON)))
        return [g.add("Flatten", each, axis=1) for each in (mean, deviation)]

    weighted = pool(projected, lambda x: g.add("MatMul", shares, x))
    plain = pool(standard, lambda x: g.mean(x, 1))
    return add_classifier(g, g.add("Concat", *weighted, *plain, axis=1), weights)


def add_tuned_head(g: VoiceGraph, lower: str, apart: str, weights: Weights, blocks: int) -> str:
    """Map states [batch, t, width] of the lower blocks to log-probabilities, by the head's own blocks."""
    states = [lower]
    for n in range(blocks):
        states.append(add_block(g, states[-1], weights.below(f"blocks.{n}."), apart))
    return add_attentive_head(g, g.average(states), weights)


# --- Models ---------------------------------------------------------------------------------------------------------


def build_voice_graph(
    encoder: Path, heads: tuple[Path, Mapping[str, Any]], tuned: tuple[Path, Mapping[str, Any]] | None = None
) -> onnx.ModelProto:
    """Return the graph of a model of heads on the encoder, or of that as the base model of one with tuned heads.

    `encoder` is the folder of Whisper-base; a model is its folder and its config.json. Raise WeightsUnavailable as
    `onnx_graph.Weights` does, and KeyError where the config does not fit the weights.
    """
    g = VoiceGraph("voice")
    samples = add_level(g, g.input(SAMPLES, "batch", "n"))
    states = add_states(g, samples, Weights(encoder))
    statistics = add_statistics(g, states)
    frames = add_pairs(g, g.average([states[n] for n in FRAME_LAYERS]))
    lower = add_pairs(g, states[LOWER_BLOCKS])
    apart = add_chunks(g, lower)
    log_probs = []
    folder, config = heads
    weights = Weights(folder)
    for n, shape in enumerate(config["heads"]):
        own = weights.below(f"{n}.")
        if shape["mixes"]:
            log_probs.append(add_statistics_head(g, statistics, own))
        elif shape["blocks"]:
            log_probs.append(add_tuned_head(g, lower, apart, own, shape["blocks"]))
        else:
            log_probs.append(add_attentive_head(g, frames, own))
    if tuned is not None:
        folder, config = tuned
        weights = Weights(folder)
        members = range(config["head"]["members"])
        log_probs += [add_tuned_head(g, lower, apart, weights.below(f"{n}."), config["blocks"]) for n in members]
    cooled = g.add("Mul", g.average(log_probs), g.number(1 / config["temperature"]))
    g.output(g.add("Softmax", cooled, axis=-1), PROBABILITIES, "batch", len(config["labels"]))
    return g.build({"": OPSET}, IR_VERSION)

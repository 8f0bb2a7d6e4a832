"""Build models/speech-detector from the package silero-vad: `python -m tools.bundle_speech_detector`.

The package's network is computed frame by frame. Here its convolutions over the few spectra of a frame are matrices, so
that many frames are multiplied at once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ser_engine.audio.silero import NETWORK, SAMPLES, UNITS
from ser_engine.models.graph_builder import Graph
from tools.bundle_speaker_models import write

Array = NDArray[np.float32]
PACKAGE, SOURCE, LICENSE = "silero-vad", "silero_vad/data/silero_vad_16k_sequence.onnx", "licenses/LICENSE"
WINDOW, HOP = 256, 128
"""Samples of a spectrum, and from one to the next within a frame."""
STRIDES = (1, 2, 2, 1)
"""Of the convolutions over the spectra of a frame."""


def main() -> int:
    """Build the model."""
    package = distribution(PACKAGE)
    source = onnx.load(Path(str(package.locate_file(SOURCE))))
    tensors = {each.name: numpy_helper.to_array(each) for each in source.graph.initializer}
    gates = next(list(node.input[1:4]) for node in source.graph.node if node.op_type == "LSTM")
    license = next(Path(str(file.locate())) for file in package.files or () if file.as_posix().endswith(LICENSE))
    config = {"architecture": "speech-detector", "source": f"{PACKAGE} {package.version}"}
    model = build(tensors, [tensors[name] for name in gates])
    write(model, NETWORK.parent, CARD, license.read_text(encoding="utf-8"), config)
    return 0


def build(tensors: Mapping[str, Array], gates: list[Array]) -> onnx.ModelProto:
    """Return the network: frames [n, `SAMPLES`] and the LSTM's state to probabilities [n, 1] and the next state.

    `gates` are the LSTM's weights of inputs and of states, and its biases.
    """
    g = Graph("speech_detector")

    def constant(array: Array) -> str:
        return g.constant(array, np.float32)

    def slice(x: str, first: int, last: int, axis: int) -> str:
        return str(g.add("Slice", x, g.constant([first]), g.constant([last]), g.constant([axis])))

    frames = g.input("frames", "n", SAMPLES)
    state = [g.input(name, 1, 1, UNITS) for name in ("hidden", "cell")]
    windows = [slice(frames, start, start + WINDOW, 1) for start in range(0, SAMPLES - WINDOW + 1, HOP)]
    x = g.add("Concat", *[g.add("Unsqueeze", window, g.constant([1])) for window in windows], axis=1)
    # Rows of real parts, then of imaginary ones.
    basis = tensors["stft.forward_basis_buffer"][:, 0]
    x = g.add("MatMul", x, constant(basis.T))
    squared, length = g.add("Mul", x, x), len(windows)
    real, imaginary = (slice(squared, first, first + len(basis) // 2, 2) for first in (0, len(basis) // 2))
    x = g.add("Sqrt", g.add("Add", real, imaginary))
    x = g.add("Reshape", x, g.constant([-1, length * len(basis) // 2]))
    for n, stride in enumerate(STRIDES):
        matrix = unroll(tensors[f"encoder.{n}.weight"], length, stride)
        length = -(-length // stride)
        bias = np.tile(tensors[f"encoder.{n}.bias"], length)
        x = g.add("Relu", g.add("Add", g.add("MatMul", x, constant(matrix.T)), constant(bias)))
    x = g.add("Unsqueeze", x, g.constant([1]))
    x, *after = g.add("LSTM", x, *map(constant, gates), "", *state, outputs=3, hidden_size=UNITS)
    x = g.add("Relu", g.add("Reshape", x, g.constant([-1, UNITS])))
    last = g.add("MatMul", x, constant(tensors["output.weight"][:, :, 0].T))
    g.output(g.add("Sigmoid", g.add("Add", last, constant(tensors["output.bias"]))), "probabilities", "n", 1)
    for value, name in zip(after, ("hidden", "cell"), strict=True):
        g.output(value, f"next_{name}", 1, 1, UNITS)
    return g.build({"": 17}, ir_version=8)


def unroll(kernel: Array, length: int, stride: int) -> Array:
    """Return a convolution [rows, columns, taps] over `length` places, with a zero at both ends, as one matrix.

    It maps [length · columns] to [places · rows].
    """
    rows, columns, taps = kernel.shape
    places = -(-length // stride)
    matrix = np.zeros((places, rows, length + 2, columns), np.float32)
    for place in range(places):
        matrix[place, :, place * stride : place * stride + taps] = kernel.transpose(0, 2, 1)
    return matrix[:, :, 1:-1].reshape(places * rows, length * columns)


CARD = """---
license: mit
pipeline_tag: voice-activity-detection
---

# Silero VAD

Finds speech in frames of 32 ms (`ser_engine.audio.vad`). The network is Silero VAD 6.2 for 16 kHz (Silero Team, 2024;
MIT), trained on speech of over 6,000 languages, with the weights of the package silero-vad as they are. The package is
no dependency, since it needs torch. The convolutions over the four spectra of a frame are written as matrices, so that
many frames are multiplied at once: the same probabilities in a third of the time.

How often speech is missed, and music taken for it, is measured by `python -m benchmarks.bench speech`
(results/bench.json).

Made by

    python -m tools.bundle_speech_detector
"""


if __name__ == "__main__":
    sys.exit(main())

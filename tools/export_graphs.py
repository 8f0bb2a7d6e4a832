"""Write the graphs that onnxruntime runs: the bundled networks without their weights.

The graphs are the forward passes of openai-whisper's encoder and decoder and of a BERT, written with onnx's helpers.
They refer to weights by the names of the tensors in model.safetensors, from which `ser_engine.models.onnx_graph` fills
them in; tests hold them against the torch modules. Run it again after a change here:

    python -m tools.export_graphs
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from ser_engine.models.graph_builder import Graph

PROJECT = Path(__file__).resolve().parents[1]
GRAPHS = PROJECT / "ser_engine" / "models" / "graphs"
MICROSOFT = "com.microsoft"
# What matrices are multiplied in: float32; 8 bits with a scale for each `BLOCK` columns of an activation; or 8 bits
# with one scale for all activations of a recording, in a third of the time, where these are alike.
EXACT, BY_BLOCK, AT_ONCE = "float32", "8 bits by block", "8 bits at once"
BLOCK = 128
# The blocks that represent how something is said (`features.encoder.BLOCKS`).
VOICE_BLOCKS = 4
# onnxruntime's number for 8-bit activations.
ONE_BYTE = 4
# The heads of Whisper-base's cross-attention that follow the words' times (openai-whisper's _ALIGNMENT_HEADS).
ALIGNMENT_HEADS = ((3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6))


class WeightlessGraph(Graph):
    """A graph whose weights are filled in when it is loaded."""

    def weight(self, name: str, *shape: int, type: int = TensorProto.FLOAT) -> str:
        """Declare a tensor that is filled in when the graph is loaded."""
        if name not in self.weights:
            tensor = TensorProto(name=name, data_type=type, dims=shape, data_location=TensorProto.EXTERNAL)
            tensor.external_data.add(key="location", value="model.safetensors")
            self.weights[name] = tensor
        return name

    def linear(self, x: str, name: str, rows: int, columns: int, bias: bool = True, level: str = EXACT) -> str:
        """Multiply by the matrix `name`.weight [rows, columns] and add `name`.bias, in the numbers of a level."""
        if level == AT_ONCE:
            codes = self.weight(f"{name}.weight:columns", columns, rows, type=TensorProto.INT8)
            scale = self.weight(f"{name}.weight:scale", rows)
            rest = ["", self.weight(f"{name}.bias", rows)] if bias else []
            return self.add("DynamicQuantizeMatMul", x, codes, scale, *rest, domain=MICROSOFT)
        if level == EXACT:
            # Half as much time again as with codes that are converted at each call, for a few short recordings.
            y = self.add("FusedMatMul", x, self.weight(f"{name}.weight", rows, columns), domain=MICROSOFT, transB=1)
            return self.add("Add", y, self.weight(f"{name}.bias", rows)) if bias else y
        blocks = columns // BLOCK
        codes = self.weight(f"{name}.weight:codes", rows, blocks, BLOCK, type=TensorProto.UINT8)
        scales = self.weight(f"{name}.weight:scales", rows, blocks)
        rest = ["", "", self.weight(f"{name}.bias", rows)] if bias else []
        return self.add(
            "MatMulNBits", x, codes, scales, *rest,
            domain=MICROSOFT, K=columns, N=rows, bits=8, block_size=BLOCK, accuracy_level=ONE_BYTE,
        )  # fmt: skip

    def normalize(self, x: str, name: str, width: int, epsilon: float = 1e-5) -> str:
        """Add a layer normalization."""
        scale, shift = self.weight(f"{name}.weight", width), self.weight(f"{name}.bias", width)
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)

    def gelu(self, x: str) -> str:
        """Add a Gaussian error linear unit."""
        return self.add("Gelu", x, domain=MICROSOFT)

    def write(self, folder: Path) -> None:
        """Write the graph, and the shapes of its weights by name, which onnxruntime does not tell."""
        model = self.build({"": 17, MICROSOFT: 1}, ir_version=8)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        shapes = {name: list(each.dims) for name, each in self.weights.items() if each.external_data}
        (folder / f"{self.name}.json").write_text(json.dumps(shapes, indent=0) + "\n", encoding="utf-8")


def encoder_block(
    g: WeightlessGraph, x: str, prefix: str, width: int, heads: int, level: str = EXACT, last: str = EXACT
) -> str:
    """Add one block of Whisper's encoder, the names of whose weights begin with `prefix`.

    `last` is the level of its last matrix, whose activations are the least alike.
    """
    y = g.normalize(x, f"{prefix}attn_ln", width)
    query = g.linear(y, f"{prefix}attn.query", width, width, level=level)
    key = g.linear(y, f"{prefix}attn.key", width, width, bias=False, level=level)
    value = g.linear(y, f"{prefix}attn.value", width, width, level=level)
    y = g.add("MultiHeadAttention", query, key, value, domain=MICROSOFT, num_heads=heads)
    x = g.add("Add", x, g.linear(y, f"{prefix}attn.out", width, width, level=level))
    y = g.normalize(x, f"{prefix}mlp_ln", width)
    y = g.gelu(g.linear(y, f"{prefix}mlp.0", 4 * width, width, level=level))
    return g.add("Add", x, g.linear(y, f"{prefix}mlp.2", width, 4 * width, level=last))


def _embed_spectrogram(g: WeightlessGraph, dims: dict[str, int]) -> str:
    """Add what is before the blocks of Whisper's encoder."""
    width = dims["n_audio_state"]
    x = g.input("mel", "batch", dims["n_mels"], "frames")
    for n, columns in ((1, dims["n_mels"]), (2, width)):
        weights = g.weight(f"encoder.conv{n}.weight", width, columns, 3), g.weight(f"encoder.conv{n}.bias", width)
        x = g.gelu(g.add("Conv", x, *weights, kernel_shape=[3], pads=[1, 1], strides=[n]))
    x = g.add("Transpose", x, perm=[0, 2, 1])
    positions = g.weight("encoder.positional_embedding", dims["n_audio_ctx"], width)
    length = g.add("Slice", g.add("Shape", x), g.constant([1]), g.constant([2]))
    return str(g.add("Add", x, g.add("Slice", positions, g.constant([0]), length, g.constant([0]))))


def voice_encoder(dims: dict[str, int]) -> WeightlessGraph:
    """Return the lower blocks of the encoder in float32: a spectrogram to the states before and after each."""
    g = WeightlessGraph("voice_encoder")
    x = _embed_spectrogram(g, dims)
    for n in range(VOICE_BLOCKS + 1):
        g.output(x, f"states_{n}", "batch", "positions", dims["n_audio_state"])
        if n < VOICE_BLOCKS:
            x = encoder_block(g, x, f"encoder.blocks.{n}.", dims["n_audio_state"], dims["n_audio_head"])
    return g


def tuned_block(dims: dict[str, int]) -> WeightlessGraph:
    """Return one block of the encoder, exactly: states [batch, t, width] to its output."""
    g = WeightlessGraph("encoder_block")
    x = g.input("states", "batch", "t", dims["n_audio_state"])
    y = encoder_block(g, x, "", dims["n_audio_state"], dims["n_audio_head"])
    g.output(y, "output", "batch", "t", dims["n_audio_state"])
    return g


def whisper_encoder(dims: dict[str, int]) -> WeightlessGraph:
    """Return the encoder: a spectrogram [batch, mels, 2 t] to the decoder's keys and values of its states."""
    g = WeightlessGraph("whisper_encoder")
    width, heads = dims["n_audio_state"], dims["n_audio_head"]
    x = _embed_spectrogram(g, dims)
    for n in range(dims["n_audio_layer"]):
        # The error of the first block would grow through all others.
        levels = (AT_ONCE, BY_BLOCK) if n else (EXACT, EXACT)
        x = encoder_block(g, x, f"encoder.blocks.{n}.", width, heads, *levels)
    states = g.normalize(x, "encoder.ln_post", width)
    split = g.constant([0, 0, heads, width // heads])
    for n in range(dims["n_text_layer"]):
        for part in ("key", "value"):
            y = g.linear(
                states, f"decoder.blocks.{n}.cross_attn.{part}", width, width, bias=part == "value", level=AT_ONCE
            )
            y = g.add("Transpose", g.add("Reshape", y, split), perm=[0, 2, 1, 3])
            g.output(y, f"cross_{part}_{n}", "batch", heads, "positions", width // heads)
    return g


def whisper_decoder(dims: dict[str, int]) -> WeightlessGraph:
    """Return the decoder: embedded tokens [batch, n, width] and what is cached to logits of the positions `rows`."""
    g = WeightlessGraph("whisper_decoder")
    width, heads = dims["n_text_state"], dims["n_text_head"]
    head = width // heads
    x = g.input("embedded", "batch", "n", width)
    rows = g.input("rows", "r", type=TensorProto.INT64)
    split = g.constant([0, 0, heads, head])
    aligned: dict[tuple[int, int], str] = {}

    def recordings(keys: str) -> str:
        return g.add("Slice", g.add("Shape", keys), g.constant([0]), g.constant([1]))

    for n in range(dims["n_text_layer"]):
        name = f"decoder.blocks.{n}"
        past = [g.input(f"past_{part}_{n}", "batch", heads, "past", head) for part in ("key", "value")]
        cross = [g.input(f"cross_{part}_{n}", "batch", heads, "positions", head) for part in ("key", "value")]
        y = g.normalize(x, f"{name}.attn_ln", width)
        query, key, value = (
            g.linear(y, f"{name}.attn.{part}", width, width, bias=part != "key", level=BY_BLOCK)
            for part in ("query", "key", "value")
        )
        y, *present = g.add(
            "MultiHeadAttention", query, key, value, "", "", "", *past,
            outputs=3, domain=MICROSOFT, num_heads=heads, unidirectional=1,
        )  # fmt: skip
        for part, tensor in zip(("key", "value"), present, strict=True):
            g.output(tensor, f"present_{part}_{n}", "batch", heads, "total", head)
        x = g.add("Add", x, g.linear(y, f"{name}.attn.out", width, width, level=BY_BLOCK))
        y = g.normalize(x, f"{name}.cross_attn_ln", width)
        query = g.linear(y, f"{name}.cross_attn.query", width, width, level=BY_BLOCK)
        # Beams of one recording share its keys: as if they were its further positions.
        query = g.add("Reshape", query, g.add("Concat", recordings(cross[0]), g.constant([-1, width]), axis=0))
        for layer, chosen in ALIGNMENT_HEADS:
            if layer == n:
                each = g.add("Gather", g.add("Reshape", query, split), g.constant(chosen), axis=2)
                own = g.add("Transpose", g.add("Gather", cross[0], g.constant(chosen), axis=1), perm=[0, 2, 1])
                aligned[layer, chosen] = g.add("MatMul", each, own)
        y = g.add("MultiHeadAttention", query, *cross, domain=MICROSOFT, num_heads=heads)
        y = g.add("Reshape", y, g.add("Shape", x))
        x = g.add("Add", x, g.linear(y, f"{name}.cross_attn.out", width, width, level=BY_BLOCK))
        y = g.normalize(x, f"{name}.mlp_ln", width)
        y = g.gelu(g.linear(y, f"{name}.mlp.0", 4 * width, width, level=BY_BLOCK))
        x = g.add("Add", x, g.linear(y, f"{name}.mlp.2", width, 4 * width, level=BY_BLOCK))
    x = g.add("Gather", g.normalize(x, "decoder.ln", width), rows, axis=1)
    logits = g.linear(x, "decoder.token_embedding", dims["n_vocab"], width, bias=False, level=BY_BLOCK)
    g.output(logits, "logits", "batch", "r", dims["n_vocab"])
    stacked = [g.add("Unsqueeze", aligned[pair], g.constant([1])) for pair in ALIGNMENT_HEADS]
    scores = g.add("Mul", g.add("Concat", *stacked, axis=1), g.constant(head**-0.5, np.float32))
    g.output(scores, "alignment", "batch", len(ALIGNMENT_HEADS), "n", "positions")
    return g


def bert(config: dict[str, Any], name: str = "minilm") -> WeightlessGraph:
    """Return a BERT: summed embeddings [batch, t, width] and what is added to attention to its last states."""
    g = WeightlessGraph(name)
    width, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    epsilon = config["layer_norm_eps"]
    x = g.input("embedded", "batch", "t", width)
    hidden = g.input("hidden", "batch", 1, "t", "t")
    x = g.normalize(x, "encoder.embeddings.LayerNorm", width, epsilon)
    for n in range(config["num_hidden_layers"]):
        layer = f"encoder.encoder.layer.{n}"
        parts = [g.linear(x, f"{layer}.attention.self.{part}", width, width) for part in ("query", "key", "value")]
        y = g.add("MultiHeadAttention", *parts, "", "", hidden, domain=MICROSOFT, num_heads=heads)
        y = g.linear(y, f"{layer}.attention.output.dense", width, width)
        x = g.normalize(g.add("Add", x, y), f"{layer}.attention.output.LayerNorm", width, epsilon)
        y = g.gelu(g.linear(x, f"{layer}.intermediate.dense", inner, width))
        y = g.linear(y, f"{layer}.output.dense", width, inner)
        x = g.normalize(g.add("Add", x, y), f"{layer}.output.LayerNorm", width, epsilon)
    g.output(x, "states", "batch", "t", width)
    return g


def main() -> None:
    """Write all graphs."""
    for graph in graphs():
        graph.write(GRAPHS)


def graphs() -> Sequence[WeightlessGraph]:
    """Return all graphs."""
    dims = _config("whisper-base")["dims"]
    return (
        whisper_encoder(dims),
        whisper_decoder(dims),
        voice_encoder(dims),
        tuned_block(dims),
        bert(_config("goemotions-minilm")["encoder"]),
    )


def _config(model: str) -> Any:
    return json.loads((PROJECT / "models" / model / "config.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

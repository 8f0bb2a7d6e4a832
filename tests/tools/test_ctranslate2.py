"""Tests of the reader of CTranslate2 models, on a tiny Whisper that is written here in that format."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from whisper.model import ModelDimensions, Whisper

from ser_engine.errors import WeightsUnavailable
from tools import ctranslate2

DIMS = {
    "n_mels": 8,
    "n_audio_ctx": 10,
    "n_audio_state": 64,
    "n_audio_head": 4,  # not width / 64, which a reader might guess
    "n_audio_layer": 2,
    "n_vocab": 50,
    "n_text_ctx": 12,
    "n_text_state": 64,
    "n_text_head": 2,
    "n_text_layer": 1,
}
NUMBERS = {"float32": 0, "int8": 1, "int16": 2, "float16": 4}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    tensors = Whisper(ModelDimensions(**DIMS)).state_dict()
    return {name: torch.randn(tensor.shape).half() for name, tensor in tensors.items()}


def variables(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Name the weights as CTranslate2 does, query, key and value in one."""
    variables: dict[str, np.ndarray] = {
        "encoder/num_heads": np.array(DIMS["n_audio_head"], np.int16),
        "decoder/num_heads": np.array(DIMS["n_text_head"], np.int16),
        "decoder/alibi": np.array(0, np.int8),
        "encoder/position_encodings/encodings": state["encoder.positional_embedding"].numpy(),
        "decoder/position_encodings/encodings": state["decoder.positional_embedding"].numpy(),
        "decoder/embeddings/weight": state["decoder.token_embedding.weight"].numpy(),
    }

    def copy(ours: str, theirs: str, weight: str = "weight", bias: str = "bias") -> None:
        variables[f"{theirs}/{weight}"] = state[f"{ours}.weight"].numpy()
        variables[f"{theirs}/{bias}"] = state[f"{ours}.bias"].numpy()

    def fuse(ours: str, theirs: str, parts: tuple[str, ...]) -> None:
        width = DIMS["n_audio_state"]
        biases = [state.get(f"{ours}.{part}.bias", torch.zeros(width).half()) for part in parts]
        variables[f"{theirs}/weight"] = torch.cat([state[f"{ours}.{part}.weight"] for part in parts]).numpy()
        variables[f"{theirs}/bias"] = torch.cat(biases).numpy()

    copy("encoder.conv1", "encoder/conv1")
    copy("encoder.conv2", "encoder/conv2")
    copy("encoder.ln_post", "encoder/layer_norm", "gamma", "beta")
    copy("decoder.ln", "decoder/layer_norm", "gamma", "beta")
    for side, layers in (("encoder", DIMS["n_audio_layer"]), ("decoder", DIMS["n_text_layer"])):
        for i in range(layers):
            ours, theirs = f"{side}.blocks.{i}", f"{side}/layer_{i}"
            fuse(f"{ours}.attn", f"{theirs}/self_attention/linear_0", ("query", "key", "value"))
            copy(f"{ours}.attn.out", f"{theirs}/self_attention/linear_1")
            copy(f"{ours}.attn_ln", f"{theirs}/self_attention/layer_norm", "gamma", "beta")
            copy(f"{ours}.mlp.0", f"{theirs}/ffn/linear_0")
            copy(f"{ours}.mlp.2", f"{theirs}/ffn/linear_1")
            copy(f"{ours}.mlp_ln", f"{theirs}/ffn/layer_norm", "gamma", "beta")
            if side == "decoder":
                copy(f"{ours}.cross_attn.query", f"{theirs}/attention/linear_0")
                fuse(f"{ours}.cross_attn", f"{theirs}/attention/linear_1", ("key", "value"))
                copy(f"{ours}.cross_attn.out", f"{theirs}/attention/linear_2")
                copy(f"{ours}.cross_attn_ln", f"{theirs}/attention/layer_norm", "gamma", "beta")
    return variables


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def model_bin(content: dict[str, np.ndarray], version: int = 6, architecture: str = "WhisperSpec") -> bytes:
    """Return the bytes of a model.bin."""
    out = [struct.pack("<I", version), string(architecture), struct.pack("<II", 3, len(content))]
    for name, array in content.items():
        shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        out += [string(name), shape, struct.pack("<BI", NUMBERS[array.dtype.name], array.nbytes), array.tobytes()]
    aliases = struct.pack("<I", 1) + string("decoder/projection/weight") + string("decoder/embeddings/weight")
    return b"".join(out) + aliases


@pytest.fixture
def file(tmp_path: Path, state) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(model_bin(variables(state)))
    return path


def assert_same(read: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
    assert set(read) == set(state)
    for name, tensor in state.items():
        assert read[name].dtype == torch.float16, name
        assert torch.equal(read[name], tensor), name


def test_every_weight_and_dimension_is_read_exactly(file, state):
    read, dims = ctranslate2.read_checkpoint([file])
    assert dims == DIMS
    assert_same(read, state)
    Whisper(ModelDimensions(**dims)).load_state_dict(read)  # strict: nothing missing, nothing over


def test_a_folder_will_do(file, state):
    assert_same(ctranslate2.read_checkpoint([file.parent])[0], state)


@pytest.mark.parametrize("cuts", [(1,), (5, 6), (5000, 9000), (100, 100)])
def test_parts_are_joined_in_order_wherever_they_were_cut(file, state, cuts):
    data = file.read_bytes()
    edges = [0, *cuts, len(data)]
    parts = [file.with_name(f"model.bin.part{i}") for i in range(len(edges) - 1)]
    for part, start, end in zip(parts, edges, edges[1:], strict=False):
        part.write_bytes(data[start:end])
    read, dims = ctranslate2.read_checkpoint(parts)
    assert dims == DIMS
    assert_same(read, state)
    with pytest.raises(WeightsUnavailable):
        ctranslate2.read_checkpoint(parts[:-1])
    if len(parts) == 2:
        with pytest.raises(WeightsUnavailable):
            ctranslate2.read_checkpoint(parts[::-1])


def test_float32_models_become_float16(file, state):
    wide = {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in variables(state).items()}
    file.write_bytes(model_bin(wide))
    assert_same(ctranslate2.read_checkpoint([file])[0], state)


def test_models_in_8_bits_are_refused_with_the_way_out(file, state):
    content = variables(state)
    content["decoder/embeddings/weight"] = np.zeros((50, 64), np.int8)
    file.write_bytes(model_bin(content))
    with pytest.raises(WeightsUnavailable, match="--quantization float16"):
        ctranslate2.read_checkpoint([file])


def test_another_version_or_architecture_is_refused(file, state):
    file.write_bytes(model_bin(variables(state), version=3))
    with pytest.raises(WeightsUnavailable, match="version 6"):
        ctranslate2.read_checkpoint([file])
    file.write_bytes(model_bin(variables(state), architecture="TransformerSpec"))
    with pytest.raises(WeightsUnavailable, match=r"another kind of model.*TransformerSpec"):
        ctranslate2.read_checkpoint([file])


@pytest.mark.parametrize(
    "missing", ["encoder/num_heads", "decoder/layer_0/attention/linear_1/bias", "encoder/conv1/weight"]
)
def test_a_variable_that_is_missing_is_named(file, state, missing):
    content = variables(state)
    del content[missing]
    file.write_bytes(model_bin(content))
    with pytest.raises(WeightsUnavailable, match=missing if "num_heads" not in missing else "heads"):
        ctranslate2.read_checkpoint([file])


def test_wherever_the_file_ends_too_early_it_is_said(file):
    data = file.read_bytes()
    for length in [0, 3, 4, 10, 30, 1000, len(data) // 2, len(data) - 1]:
        file.write_bytes(data[:length])
        with pytest.raises(WeightsUnavailable, match="cannot be read as a CTranslate2 Whisper model"):
            ctranslate2.read_checkpoint([file])
    file.write_bytes(data + b"x")
    with pytest.raises(WeightsUnavailable, match="follow after its end"):
        ctranslate2.read_checkpoint([file])


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip file, as a checkpoint is", b"\x06\0\0\0" + b"\xff" * 5000])
def test_other_files_are_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "base.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsUnavailable) as caught:
        ctranslate2.read_checkpoint([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsUnavailable, match=r"model\.bin"):
        ctranslate2.read_checkpoint([tmp_path])
    with pytest.raises(WeightsUnavailable):
        ctranslate2.read_checkpoint([])

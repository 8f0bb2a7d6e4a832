"""Convert a Whisper checkpoint from CTranslate2's format to openai-whisper's.

CTranslate2 (https://github.com/OpenNMT/CTranslate2) is the format in which Whisper is most often republished. Its
model.bin is little-endian: a version, the name and revision of the architecture, the variables (name, shape, type,
bytes), and finally aliases. Only float16 and float32 models are supported, since 8-bit weights would be quantized
twice.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ser_engine.errors import WeightsUnavailable

VERSION = 6
"""The supported version of model.bin; the layout of others differs."""

# Type numbers of CTranslate2. Besides weights, a model contains small integers, such as the number of heads.
_TYPES = {
    0: torch.float32,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.float16,
    5: torch.bfloat16,
}
_LONGEST_NAME = 1024  # bytes; CTranslate2's have less than 60, so a longer one means another kind of file


def read_checkpoint(paths: Sequence[Path]) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Read the float16 state dict and the dimensions of a Whisper model in CTranslate2's format.

    Parameters
    ----------
    paths
        A folder with a model.bin, a model.bin, or its parts in order.

    Returns
    -------
    state, dims
        Arguments of `whisper.model.Whisper.load_state_dict` and `whisper.model.ModelDimensions`.

    Raises
    ------
    WeightsUnavailable
        A file is missing or truncated, or it is no CTranslate2 Whisper model in float16 or float32.
    """
    files = [path / "model.bin" if path.is_dir() else path for path in paths]
    shown = " + ".join(str(file) for file in files) or "(nothing)"
    if missing := [str(file) for file in files if not file.is_file()]:
        raise WeightsUnavailable(f"There is no file {', '.join(missing)}.")
    try:
        with closing(io.BufferedReader(_Joined(files))) as stream:
            return _to_openai(_read_model(stream))
    except _Unreadable as error:
        raise WeightsUnavailable(f"{shown} cannot be read as a CTranslate2 Whisper model: {error}.") from None


class _Unreadable(Exception):
    """Reason why a file is unsupported, as the end of a sentence."""


class _Joined(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._open: io.FileIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._open or self._files:
            if self._open is None:
                self._open = io.FileIO(self._files.pop(0))
            if count := self._open.readinto(buffer):
                return count
            self._open.close()
            self._open = None
        return 0

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        super().close()


def _read_model(stream: io.BufferedReader[_Joined]) -> dict[str, Tensor]:
    """Return every variable of a model.bin by its CTranslate2 name."""
    (version,) = _unpack(stream, "I")
    if version != VERSION:
        raise _Unreadable(f"it does not begin as version {VERSION} of model.bin does")
    architecture = _string(stream)
    if architecture != "WhisperSpec":
        raise _Unreadable(f"it holds another kind of model ({architecture})")
    _revision, count = _unpack(stream, "II")
    variables = dict(_variable(stream) for _ in range(count))
    for _ in range(_unpack(stream, "I")[0]):
        alias, name = _string(stream), _string(stream)
        if name not in variables:
            raise _Unreadable(f"{alias} is an alias of {name}, which is missing")
        variables[alias] = variables[name]
    if stream.read(1):
        raise _Unreadable("bytes follow after its end")
    return variables


def _variable(stream: io.BufferedReader[_Joined]) -> tuple[str, Tensor]:
    name = _string(stream)
    (rank,) = _unpack(stream, "B")
    shape = _unpack(stream, f"{rank}I")
    kind, size = _unpack(stream, "BI")
    if kind not in _TYPES or math.prod(shape) * _TYPES[kind].itemsize != size:
        raise _Unreadable(f"the shape and the size of {name} do not match")
    tensor = torch.empty(shape, dtype=_TYPES[kind])
    # Directly into the tensor's memory, so that a model is never in memory twice.
    if stream.readinto(tensor.reshape(-1).view(torch.uint8).numpy().data) != size:
        raise _Unreadable("it is cut short, or a part of it is missing")
    return name, tensor


def _unpack(stream: io.BufferedReader[_Joined], layout: str) -> tuple[int, ...]:
    size = struct.calcsize("<" + layout)
    data = stream.read(size)
    if len(data) != size:
        raise _Unreadable("it is cut short, or a part of it is missing")
    return struct.unpack("<" + layout, data)


def _string(stream: io.BufferedReader[_Joined]) -> str:
    """Read a zero-terminated string after its length."""
    (length,) = _unpack(stream, "H")
    data = stream.read(length) if 0 < length <= _LONGEST_NAME else b""
    if len(data) != length or not data.endswith(b"\0") or not data.isascii():
        raise _Unreadable("it contains an invalid name")
    return data[:-1].decode("ascii")


def _to_openai(variables: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Rename and split CTranslate2's variables into a state dict, and return it with the dimensions."""
    take = _taker(variables)
    state: dict[str, Tensor] = {}
    for side, norm in (("encoder", "ln_post"), ("decoder", "ln")):
        state[f"{side}.positional_embedding"] = take(f"{side}/position_encodings/encodings")
        state |= _norm(take, f"{side}.{norm}", f"{side}/layer_norm")
        for layer in range(_layers(variables, side)):
            state |= _block(take, f"{side}.blocks.{layer}", f"{side}/layer_{layer}", cross=side == "decoder")
    for conv in ("conv1", "conv2"):
        state |= _linear(take, f"encoder.{conv}", f"encoder/{conv}")
    state["decoder.token_embedding.weight"] = take("decoder/embeddings/weight")
    return state, _dims(variables, state)


def _dims(variables: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, int]:
    audio_ctx, audio_state = state["encoder.positional_embedding"].shape
    text_ctx, text_state = state["decoder.positional_embedding"].shape
    heads = {side: variables.get(f"{side}/num_heads") for side in ("encoder", "decoder")}
    return {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_vocab": state["decoder.token_embedding.weight"].shape[0],
        "n_audio_ctx": audio_ctx,
        "n_audio_state": audio_state,
        "n_audio_head": _heads(heads["encoder"]),
        "n_audio_layer": _layers(variables, "encoder"),
        "n_text_ctx": text_ctx,
        "n_text_state": text_state,
        "n_text_head": _heads(heads["decoder"]),
        "n_text_layer": _layers(variables, "decoder"),
    }


def _heads(count: Tensor | None) -> int:
    if count is None:
        raise _Unreadable("the number of attention heads is missing")
    return int(count)


def _layers(variables: dict[str, Tensor], side: str) -> int:
    return len({name.split("/")[1] for name in variables if name.startswith(f"{side}/layer_") and "/ffn/" in name})


def _taker(variables: dict[str, Tensor]) -> Callable[[str], Tensor]:
    """Return a function from a CTranslate2 name to its weight in float16."""

    def take(name: str) -> Tensor:
        if name not in variables:
            raise _Unreadable(f"it has no {name}")
        if variables[name].dtype not in (torch.float16, torch.float32):
            raise _Unreadable("its weights are quantized; convert it again with --quantization float16")
        return variables[name].to(torch.float16)

    return take


def _linear(take: Callable[[str], Tensor], ours: str, theirs: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": take(f"{theirs}/weight"), f"{ours}.bias": take(f"{theirs}/bias")}


def _norm(take: Callable[[str], Tensor], ours: str, theirs: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": take(f"{theirs}/gamma"), f"{ours}.bias": take(f"{theirs}/beta")}


def _fused(take: Callable[[str], Tensor], ours: str, theirs: str, parts: Sequence[str]) -> dict[str, Tensor]:
    """Split a matrix [parts x width, width] into its `parts`."""
    state = {}
    for kind in ("weight", "bias"):
        whole = take(f"{theirs}/{kind}")
        if len(whole) % len(parts):
            raise _Unreadable(f"{theirs}/{kind} cannot be divided by {len(parts)}")
        for part, rows in zip(parts, whole.chunk(len(parts)), strict=True):
            if (part, kind) != ("key", "bias"):  # Whisper's keys have none; CTranslate2 fills in zeros
                state[f"{ours}.{part}.{kind}"] = rows.clone()
    return state


def _block(take: Callable[[str], Tensor], ours: str, theirs: str, cross: bool) -> dict[str, Tensor]:
    """Return one transformer block; `cross` adds cross-attention to the encoder."""
    state = _fused(take, f"{ours}.attn", f"{theirs}/self_attention/linear_0", ("query", "key", "value"))
    state |= _linear(take, f"{ours}.attn.out", f"{theirs}/self_attention/linear_1")
    state |= _norm(take, f"{ours}.attn_ln", f"{theirs}/self_attention/layer_norm")
    if cross:
        state |= _linear(take, f"{ours}.cross_attn.query", f"{theirs}/attention/linear_0")
        state |= _fused(take, f"{ours}.cross_attn", f"{theirs}/attention/linear_1", ("key", "value"))
        state |= _linear(take, f"{ours}.cross_attn.out", f"{theirs}/attention/linear_2")
        state |= _norm(take, f"{ours}.cross_attn_ln", f"{theirs}/attention/layer_norm")
    state |= _linear(take, f"{ours}.mlp.0", f"{theirs}/ffn/linear_0")
    state |= _linear(take, f"{ours}.mlp.2", f"{theirs}/ffn/linear_1")
    state |= _norm(take, f"{ours}.mlp_ln", f"{theirs}/ffn/layer_norm")
    return state

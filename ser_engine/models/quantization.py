"""Weights in 8 bits: matrices stored in half the space of float16, and read back as float32.

A matrix becomes int8 with one float32 scale for each row (each output channel), stored as NAME.scale;
small tensors stay float16. Only the storage is 8-bit: computation is in float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

SCALE = ".scale"
MIN_SIZE = 4096
"""Elements from which a matrix is stored in 8 bits; smaller ones are not worth the loss and the scales."""

# Fractions of a row's largest magnitude that are tried as the largest 8-bit number. Clipping a row's few extreme
# weights makes the steps finer for all others, which pays in long rows; Whisper gains next to nothing by it.
_CLIPS = (1.0, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8)
_CHUNK = 1 << 20  # elements per step, so that the search needs little memory


def quantize(tensors: Mapping[str, Tensor], keep: Collection[str] = ()) -> dict[str, Tensor]:
    """Store matrices in 8 bits and everything else in 16; tensors that `keep` names are stored in 16, too.

    A floating tensor of two or more dimensions and at least `MIN_SIZE` elements becomes int8 of the same shape and
    float32 scales [rows] under NAME.scale, where a row is what one index of the first dimension selects. Other floating
    tensors become float16 (float32 where float16 would overflow); integers and booleans are kept as they are.
    Raise ValueError if a weight is NaN or infinite, if `keep` names no tensor, or if a NAME.scale is there already.
    """
    if unknown := set(keep) - set(tensors):
        raise ValueError(f"there is no tensor {', '.join(sorted(unknown))} to keep in float16")
    if scales := _scales(tensors):
        raise ValueError(f"{', '.join(sorted(scales))} would be mistaken for the scales of quantized tensors")
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            stored[name] = tensor
        elif not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds weights that are NaN or infinite")
        elif tensor.dim() < 2 or tensor.numel() < MIN_SIZE or name in keep:
            stored[name] = _half(tensor)
        else:
            stored[name], stored[name + SCALE] = _quantize_rows(tensor)
    return stored


def dequantize(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that `quantize` stored, floating ones as float32, in new memory; integers are unchanged."""
    scales = _scales(tensors)
    return {
        name: _multiply(tensor, tensors[name + SCALE]) if name + SCALE in scales else _copy(tensor)
        for name, tensor in tensors.items()
        if name not in scales
    }


def _scales(tensors: Mapping[str, Tensor]) -> set[str]:
    return {name + SCALE for name in tensors if name + SCALE in tensors}


def _half(tensor: Tensor) -> Tensor:
    half = tensor.to(torch.float16)
    return half if torch.isfinite(half).all() else tensor.to(torch.float32)


def _copy(tensor: Tensor) -> Tensor:
    # A copy even of float32: `tensor` may lie in a mapped file.
    return tensor.to(torch.float32, copy=True) if tensor.is_floating_point() else tensor.clone()


def _multiply(codes: Tensor, scales: Tensor) -> Tensor:
    # In numpy, with large pages and a single pass: four times as fast as torch, and threads that share their cores
    # with other work do not wait for each other.
    columns = scales.view(-1, *[1] * (codes.dim() - 1))
    return torch.from_numpy(np.multiply(codes.numpy(), columns.numpy(), dtype=np.float32))


def _quantize_rows(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 codes of the tensor's shape and float32 scales [rows]."""
    rows = tensor.reshape(len(tensor), -1)
    chunks = [_quantize_chunk(chunk.to(torch.float32)) for chunk in rows.split(max(1, _CHUNK // rows.shape[1]))]
    codes = torch.cat([codes for codes, _ in chunks]).reshape(tensor.shape)
    return codes, torch.cat([scales for _, scales in chunks])


def _quantize_chunk(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 codes [n, width] and scales [n] of the least squared error among `_CLIPS`, row by row."""
    peak = rows.abs().amax(dim=1, keepdim=True)
    peak[peak == 0] = 1  # a row of zeros: any scale will do
    best_scale = peak / 127
    best_error = torch.full_like(peak, torch.inf)
    for clip in _CLIPS:
        scale = peak * (clip / 127)
        error = (rows - _codes(rows, scale) * scale).square_().sum(dim=1, keepdim=True)
        better = error < best_error
        best_scale = torch.where(better, scale, best_scale)
        best_error = torch.where(better, error, best_error)
    return _codes(rows, best_scale).to(torch.int8), best_scale.flatten()


def _codes(rows: Tensor, scale: Tensor) -> Tensor:
    return (rows / scale).round_().clamp_(-127, 127)

"""Where torch computes, and in which precision: the setting `device`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from ser_engine.errors import InvalidSettings
from ser_engine.settings import Settings, variable

CPU = torch.device("cpu")


def choose_device(settings: Settings) -> torch.device:
    """Return the device that the settings name; for "auto", a GPU with CUDA where there is one, else the processor.

    Raise InvalidSettings if torch finds no such device.
    """
    name, cuda = settings.device, torch.cuda.is_available()
    if name == "cuda" and not cuda:
        raise InvalidSettings(
            f"{variable('device')} is cuda, but torch finds no GPU with CUDA here; auto takes the processor instead."
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise InvalidSettings(
            f"{variable('device')} is mps, but this is no Mac with a GPU that torch can use; auto takes the processor."
        )
    if name == "auto":
        name = "cuda" if cuda else "cpu"
    return torch.device(name)


def precision(device: torch.device) -> torch.dtype:
    """Return what matrices are multiplied in: bfloat16 on a GPU that has it, float16 on another, else float32."""
    if device.type != "cuda":
        return torch.float32
    # Older ones emulate it, slowly.
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which networks of float32 compute in the device's precision."""
    dtype = precision(device)
    return nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype)

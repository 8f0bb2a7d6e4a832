"""Whisper's weights: the bundled ones in 8 bits, and OpenAI's own checkpoints."""

from __future__ import annotations

import base64
import gzip
import threading
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.download import Progress, download
from ser_engine.models.store import read_config, read_tensors, sha256
from ser_engine.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from whisper.model import Whisper

BUNDLED = "base"

_SHARED: dict[tuple[str, Path, Path, str], Whisper] = {}
_SHARED_LOCK = threading.Lock()


def load_whisper(settings: Settings, progress: Progress | None = None) -> Whisper:
    """Return Whisper of the size `settings.whisper`: float32, on the device of the settings, for inference only.

    "base" is bundled; another size is OpenAI's own file in `settings.whisper_dir`, downloaded where it is missing or
    damaged and `settings.allow_download` permits.
    Raise WeightsUnavailable if the weights are missing, damaged or could not be downloaded; the text names the remedy.
    """
    import torch

    from ser_engine.models.device import choose_device
    from ser_engine.models.quantization import dequantize

    device = choose_device(settings)
    if settings.whisper == BUNDLED:
        folder = settings.models_dir / f"whisper-{BUNDLED}"
        state = read_tensors(folder)
        return _move(build_whisper(settings.whisper, read_config(folder)["dims"], state), device)
    file = _official_file(settings, progress)
    # Mapped, so that a large model is not in memory twice while it becomes float32.
    checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    state = dequantize(checkpoint["model_state_dict"])
    return _move(build_whisper(settings.whisper, checkpoint["dims"], state), device)


def shared_whisper(settings: Settings, progress: Progress | None = None) -> Whisper:
    """Return one shared Whisper for each size, place and device: see `load_whisper`."""
    key = (settings.whisper, settings.models_dir, settings.whisper_dir, settings.device)
    with _SHARED_LOCK:
        if key not in _SHARED:
            _SHARED[key] = load_whisper(settings, progress)
        return _SHARED[key]


def build_whisper(size: str, dims: Mapping[str, int], state: dict[str, Tensor]) -> Whisper:
    """Return a Whisper of these dimensions that computes with these very tensors, for inference only."""
    import whisper
    from whisper.model import ModelDimensions, Whisper

    with _no_initialization():
        model = Whisper(ModelDimensions(**dims))
    model.load_state_dict(state, assign=True)
    # The heads that follow the words' times. A model of other dimensions keeps Whisper's general choice.
    heads = whisper._ALIGNMENT_HEADS[size]
    if len(gzip.decompress(base64.b85decode(heads))) == dims["n_text_layer"] * dims["n_text_head"]:
        model.set_alignment_heads(heads)
    return model.eval().requires_grad_(False)


def _move(model: Whisper, device: torch.device) -> Whisper:
    """Move a Whisper to a device, but for the list of its alignment heads, which is sparse: a Mac's GPU has no such."""
    heads = model.alignment_heads
    del model.alignment_heads
    model.to(device)
    model.register_buffer("alignment_heads", heads, persistent=False)
    return model


def _no_initialization() -> AbstractContextManager[Any]:
    """Leave new parameters uninitialized, which saves the time for random numbers and writes to no memory.

    The meta device would do the same, but makes torch import sympy (2 s), and has no sparse tensors, which Whisper
    makes when it is built.
    """
    from torch.overrides import TorchFunctionMode

    class NoInitialization(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if getattr(func, "__module__", "") == "torch.nn.init":
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    return NoInitialization()


def _official_file(settings: Settings, progress: Progress | None) -> Path:
    """Return the verified checkpoint of `settings.whisper`, downloaded if need be."""
    import whisper

    url: str = whisper._MODELS[settings.whisper]
    checksum, name = urlsplit(url).path.split("/")[-2:]
    file = settings.whisper_dir / name
    damaged = file.is_file() and sha256(file) != checksum
    if file.is_file() and not damaged:
        return file
    if not settings.allow_download:
        what = f"{file} is damaged" if damaged else f"Whisper “{settings.whisper}” is not on this computer"
        raise WeightsUnavailable(
            f"{what}: set SER_ALLOW_DOWNLOAD=1 to have it downloaded, or put {url} into {settings.whisper_dir}."
        )
    download(url, file, checksum, settings.download_timeout_s, progress)
    return file

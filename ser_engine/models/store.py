"""Find, verify, fetch and write weights; the only file of the engine that opens connections of its own.

What comes from the Hugging Face hub comes by way of the hub's library: see `models.hub_files` and `models.encoders`.

A shipped model is a folder models/<id>/ with config.json and model.safetensors; the config holds the checksums.
Whisper base is bundled that way; its other sizes are OpenAI's own files (NAME.pt), fetched only when that is allowed.
torch and whisper are imported where they are needed: a page asks for a model's config before either is loaded.
"""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import json
import os
import shutil
import socket
import ssl
import threading
import time
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from http.client import HTTPException, HTTPResponse
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from ser_engine.errors import WeightsUnavailable
from ser_engine.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor
    from whisper.model import Whisper

CONFIG, TENSORS = "config.json", "model.safetensors"
BUNDLED_WHISPER = "base"

# What 8 bits would spare little in and where every state of the network begins: kept in float16 in the bundled Whisper.
WHISPER_KEEP = (
    "encoder.positional_embedding",
    "decoder.positional_embedding",
    "encoder.conv1.weight",
    "encoder.conv2.weight",
)

Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all) during a download, at most ten times a second; 0 in all where nobody knows."""


# --- Folders of shipped weights -------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal; a file that has not changed is read once per process."""
    state = path.stat()
    return _sha256(path.resolve(), state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, _inode: int, _size: int, _mtime_ns: int) -> str:
    return _digest(path)


def verify(folder: Path) -> None:
    """Check every file that the folder's config.json names under "weights" against its checksum.

    Raises
    ------
    WeightsUnavailable
        A file is missing, is a git-lfs pointer, differs, or the config is no config.
    """
    checksums = read_config(folder).get("weights")
    if not isinstance(checksums, dict) or not checksums:
        raise WeightsUnavailable(f"{folder / CONFIG} holds no checksums of weights.")
    for name, expected in checksums.items():
        _verify_file(folder / name, expected)


def _verify_file(file: Path, expected: str) -> None:
    try:
        if not file.is_file():
            raise WeightsUnavailable(
                f"{file} is missing: this copy of the project is incomplete; “git restore {file.name}” in that folder "
                "or a fresh clone brings it back."
            )
        if sha256(file) == expected:
            return
        with file.open("rb") as opened:
            pointer = opened.read(64).startswith(b"version https://git-lfs")
    except OSError as error:
        raise WeightsUnavailable(f"{file} cannot be read: {error.strerror}.") from error
    if pointer:
        raise WeightsUnavailable(f"{file} is only git-lfs's note of the weights; “git lfs pull” fetches them.")
    raise WeightsUnavailable(
        f"{file} is damaged or of another version: its checksum is not the one in {CONFIG}; “git restore {file.name}” "
        "in that folder or a fresh clone brings the right one back."
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return what the folder's config.json holds; raises WeightsUnavailable where there is none that can be read."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise WeightsUnavailable(f"{folder} holds no model: there is no {CONFIG} in it.") from None
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"{folder / CONFIG} cannot be read: {error}.") from error
    if not isinstance(config, dict):
        raise WeightsUnavailable(f"{folder / CONFIG} is not the description of a model.")
    return config


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the folder's config.json, beside and renamed."""
    text = json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n"
    with _written_beside(folder / CONFIG) as part:
        part.write_text(text, encoding="utf-8")


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return the folder's tensors by name, verified, floating ones as float32 whatever they are stored as."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ser_engine.models.quantization import dequantize

    verify(folder)
    try:
        return dequantize(load_file(folder / TENSORS))
    except (OSError, SafetensorError) as error:
        raise WeightsUnavailable(f"{folder / TENSORS} cannot be read: {error}.") from error


def write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write the tensors as they are to the folder's model.safetensors, beside and renamed; return its checksum."""
    from safetensors.torch import save_file

    with _written_beside(folder / TENSORS) as part:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, part, {"format": "pt"})
        part.chmod(0o644)  # safetensors makes files that nobody but their owner may read
    return sha256(folder / TENSORS)


@contextmanager
def _written_beside(target: Path) -> Iterator[Path]:
    """Give a path to write to; it becomes `target` when all went well, and is removed when not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


# --- Whisper --------------------------------------------------------------------------------------------------------

_SHARED: dict[tuple[str, Path, Path], Whisper] = {}
_SHARING = threading.Lock()


def load_whisper(
    settings: Settings, progress: Progress | None = None, urls: Mapping[str, str] | None = None
) -> Whisper:
    """Return Whisper of the size `settings.whisper`: float32, on the CPU, for inference only.

    "base" is the bundled one; another size is OpenAI's own file in `settings.whisper_dir`, fetched where that is
    missing or damaged and `settings.allow_download` allows it. `progress` is told about a download. `urls` maps
    sizes to addresses that end in CHECKSUM/NAME.pt; left out, they are openai-whisper's own.

    Raises
    ------
    WeightsUnavailable
        The weights are missing, damaged or could not be fetched; the text says what to do.
    """
    import torch

    from ser_engine.models.quantization import dequantize

    if settings.whisper == BUNDLED_WHISPER:
        folder = settings.models_dir / f"whisper-{BUNDLED_WHISPER}"
        state = read_tensors(folder)
        return build_whisper(settings.whisper, read_config(folder)["dims"], state)
    file = _official_file(settings, progress, urls)
    # Mapped, so that a large model is not in memory twice while it becomes float32.
    checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    return build_whisper(settings.whisper, checkpoint["dims"], dequantize(checkpoint["model_state_dict"]))


def shared_whisper(settings: Settings, progress: Progress | None = None) -> Whisper:
    """Return the same Whisper to all who ask for one size of one place: see `load_whisper`."""
    key = (settings.whisper, settings.models_dir, settings.whisper_dir)
    with _SHARING:
        if key not in _SHARED:
            _SHARED[key] = load_whisper(settings, progress)
        return _SHARED[key]


def write_whisper(
    folder: Path,
    state: Mapping[str, Tensor],
    dims: Mapping[str, int],
    source: str,
    keep: Collection[str] = WHISPER_KEEP,
) -> None:
    """Store a Whisper model in 8 bits: model.safetensors, LICENSE and config.json in `folder`.

    `state` and `dims` are a checkpoint's "model_state_dict" and "dims"; `source` says in words where they come from;
    `keep` names the matrices that stay float16.
    """
    from ser_engine.models.quantization import quantize

    checksum = write_tensors(folder, quantize(state, keep))
    with _written_beside(folder / "LICENSE") as part:
        part.write_text(_whisper_license(), encoding="utf-8")
    stored = {"bits": 8, "scale": "float32, one for each output row, symmetric", "float16": list(keep)}
    config = {"architecture": "whisper", "dims": dict(dims), "source": source, "quantization": stored}
    write_config(folder, config | {"weights": {TENSORS: checksum}})


def _whisper_license() -> str:
    """Return the licence that openai-whisper comes with; it covers code and weights alike."""
    package = distribution("openai-whisper")
    text = package.read_text("licenses/LICENSE") or package.read_text("LICENSE")
    if text is None:
        raise WeightsUnavailable("The installed package openai-whisper has lost its licence; install it again.")
    return text


def build_whisper(size: str, dims: Mapping[str, int], state: dict[str, Tensor]) -> Whisper:
    """Return a Whisper of these dimensions that computes with these very tensors, for inference only."""
    import whisper
    from whisper.model import ModelDimensions, Whisper

    with _no_initialisation():
        model = Whisper(ModelDimensions(**dims))
    model.load_state_dict(state, assign=True)
    # The heads that follow the words' times. A model of other dimensions keeps Whisper's general choice.
    heads = whisper._ALIGNMENT_HEADS[size]
    if len(gzip.decompress(base64.b85decode(heads))) == dims["n_text_layer"] * dims["n_text_head"]:
        model.set_alignment_heads(heads)
    return model.eval().requires_grad_(False)


def _no_initialisation() -> AbstractContextManager[Any]:
    """Leave new parameters unset: no time for random numbers, no memory that is written to.

    The meta device would do the same, but makes torch import sympy (2 s), and has no sparse tensors, which Whisper
    makes when it is built.
    """
    from torch.overrides import TorchFunctionMode

    class NoInitialisation(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if getattr(func, "__module__", "") == "torch.nn.init":
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    return NoInitialisation()


def _official_file(settings: Settings, progress: Progress | None, urls: Mapping[str, str] | None) -> Path:
    """Return the verified checkpoint of `settings.whisper`, fetched if need be."""
    if urls is None:
        import whisper

        urls = whisper._MODELS
    url = urls[settings.whisper]
    checksum, name = urlsplit(url).path.split("/")[-2:]
    file = settings.whisper_dir / name
    damaged = file.is_file() and sha256(file) != checksum
    if file.is_file() and not damaged:
        return file
    if not settings.allow_download:
        what = f"{file} is damaged" if damaged else f"Whisper “{settings.whisper}” is not on this computer"
        raise WeightsUnavailable(
            f"{what}: set SER_ALLOW_DOWNLOAD=1 to have it fetched, or put {url} into {settings.whisper_dir} yourself."
        )
    fetch(url, file, checksum, settings.download_timeout_s, progress)
    return file


# --- The network ----------------------------------------------------------------------------------------------------

_FETCHING = threading.Lock()  # two sessions that want the same file must not write to one .part at once
_CHUNK = 1 << 20  # bytes read at most at a time
_TELL_EVERY_S = 0.1


def fetch(url: str, target: Path, checksum: str, timeout_s: float, progress: Progress | None = None) -> None:
    """Download `url` to `target` by way of `target`.part, which a later attempt goes on with.

    `checksum` is the SHA-256 that the file must have; `timeout_s` the seconds without a byte after which to give up.

    Raises
    ------
    WeightsUnavailable
        No connection, an error of the server, a stall, a wrong checksum, a full disk; the text says which.
    """
    part = target.with_name(target.name + ".part")
    with _FETCHING, _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and _digest(target) == checksum:  # somebody else fetched it while this one waited
            return
        # An earlier attempt may have been ended just before its renaming.
        if not part.is_file() or _digest(part) != checksum:
            _download(url, part, timeout_s, progress or (lambda done, total: None))
            if _digest(part) != checksum:
                part.unlink()
                raise _not_fetched(url, "what came is not the published file, as its checksum shows, and was deleted")
        part.replace(target)


def _download(url: str, part: Path, timeout_s: float, progress: Progress) -> None:
    """Write to `part`, or append to it where the server can begin in the middle."""
    with _network_errors(url, timeout_s):
        response, done = _open(url, part.stat().st_size if part.exists() else 0, timeout_s)
    total = done + response.length if response.length is not None else 0
    told = 0.0
    with response, part.open("ab" if done else "wb") as file:
        _check_space(url, part.parent, total - done)
        while chunk := _receive(response, url, timeout_s):
            file.write(chunk)
            done += len(chunk)
            if done == total or time.monotonic() - told >= _TELL_EVERY_S:
                progress(done, total)
                told = time.monotonic()
    if done < total:
        raise _not_fetched(url, f"the connection broke off after {_mb(done)} of {_mb(total)} MB; the next try goes on")


def _open(url: str, start: int, timeout_s: float) -> tuple[HTTPResponse, int]:
    """Ask for the bytes from `start` on; return the answer and where it really starts."""
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=timeout_s)
    except HTTPError as error:
        if start and error.code == 416:  # what we have is as long as the file or longer, and wrong: begin anew
            return _open(url, 0, timeout_s)
        raise
    return response, start if response.status == 206 else 0


def _receive(response: HTTPResponse, url: str, timeout_s: float) -> bytes:
    with _network_errors(url, timeout_s):
        return response.read1(_CHUNK)


def _check_space(url: str, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _not_fetched(url, f"it needs {_mb(needed)} MB more in {folder}, where {_mb(free)} MB are free")


@contextmanager
def _network_errors(url: str, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise _not_fetched(url, _network_reason(error, timeout_s)) from error


def _network_reason(error: OSError | HTTPException, timeout_s: float) -> str:
    if isinstance(error, HTTPError):
        return f"the server answered {error.code} ({error.reason})"
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, socket.gaierror):
        return "the server's name is unknown; is this computer connected to the internet?"
    if isinstance(cause, TimeoutError):
        return f"nothing came for {timeout_s:g} seconds; the next try goes on from here"
    if isinstance(cause, ConnectionRefusedError):
        return "the server refused the connection"
    if isinstance(cause, ssl.SSLError):
        return f"there is no secure connection to the server ({cause.reason})"
    return f"the connection broke off ({cause}); the next try goes on from here"


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or error
        raise WeightsUnavailable(f"{target} could not be written: {reason}.") from error


def _not_fetched(url: str, reason: str) -> WeightsUnavailable:
    parts = urlsplit(url)
    end = "" if reason.endswith("?") else "."
    return WeightsUnavailable(f"{Path(parts.path).name} could not be fetched from {parts.netloc}: {reason}{end}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f}"

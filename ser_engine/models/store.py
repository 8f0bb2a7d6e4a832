"""Model folders: models/<id>/ with config.json, which holds the checksums of its weights, and model.safetensors.

torch is imported where it is needed: a page reads a model's config before torch is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_engine.errors import WeightsUnavailable
from ser_engine.io import atomic_write, write_json
from ser_engine.settings import PROJECT, Settings

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, TENSORS = "config.json", "model.safetensors"
MEASURED = "measured"
"""The entry of config.json that may change without making it another model: its measured figures."""


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal; a file that has not changed is read once per process."""
    state = path.stat()
    return _sha256(path.resolve(), state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, _inode: int, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder: Path) -> None:
    """Check every file that the folder's config.json names under "weights" against its checksum.

    Raise WeightsUnavailable if a file is missing, is a git-lfs pointer or differs, or if the config cannot be used.
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
        raise WeightsUnavailable(f"{file} is only a git-lfs pointer to the weights; “git lfs pull” fetches them.")
    raise WeightsUnavailable(
        f"{file} is damaged or of another version: its checksum is not the one in {CONFIG}; “git restore {file.name}” "
        "in that folder or a fresh clone brings the right one back."
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return the folder's config.json; raises WeightsUnavailable where there is none that can be read."""
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
    """Write the folder's config.json."""
    write_json(folder / CONFIG, dict(config))


def find_bundled(settings: Settings, name: str) -> Path:
    """Return the folder of a small model that others need: that of `settings.models_dir`, or else the bundled one."""
    folder = settings.models_dir / name
    return folder if folder.is_dir() else PROJECT / "models" / name


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return the folder's verified tensors by name; floating ones are converted to float32."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ser_engine.models.quantization import dequantize

    verify(folder)
    try:
        return dequantize(load_file(folder / TENSORS))
    except (OSError, SafetensorError) as error:
        raise WeightsUnavailable(f"{folder / TENSORS} cannot be read: {error}.") from error


def write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write the tensors as they are to the folder's model.safetensors; return its checksum."""
    from safetensors.torch import save_file

    with atomic_write(folder / TENSORS) as part:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, part, {"format": "pt"})
        part.chmod(0o644)  # safetensors makes files that only their owner may read
    return sha256(folder / TENSORS)


# --- Models that consist of other models ---------------------------------------------------------------------------


def reference(folder: Path) -> dict[str, str]:
    """Return how config.json refers to the model in `folder`: its id, and the sha256 of all that decides its answers.

    That is its config.json, which has its weights' checksums, without the measured figures.
    Raise WeightsUnavailable if the folder holds no model, or one without checksums.
    """
    config = read_config(folder)
    if not config.get("weights"):
        raise WeightsUnavailable(f"{folder} states no checksums of its weights, so it cannot be a part of a model.")
    lasting = {key: value for key, value in config.items() if key != MEASURED}
    return {"id": folder.name, "sha256": hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()}


def references(folder: Path) -> dict[str, dict[str, str]]:
    """Return the references to other models in the folder's config.json, by the names of their entries."""
    return {name: entry for name, entry in read_config(folder).items() if _is_reference(entry)}


def _is_reference(entry: Any) -> bool:
    """Whether an entry of config.json names a sibling folder, and nothing further away."""
    if not isinstance(entry, dict) or set(entry) != {"id", "sha256"}:
        return False
    named = all(isinstance(value, str) and value for value in entry.values())
    return named and entry["id"] == Path(entry["id"]).name and entry["id"] != ".."


def find_part(id: str, folder: Path, settings: Settings) -> Path:
    """Return the folder of a part of the model in `folder`: its sibling, or one of `settings.models_dir`.

    Raise WeightsUnavailable if there is no such folder.
    """
    for place in (folder.parent / id, settings.models_dir / id):
        if (place / CONFIG).is_file():
            return place
    raise WeightsUnavailable(f"{folder.name} needs the model {id}, which is not in {settings.models_dir}.")


def verify_part(part: Mapping[str, str], folder: Path, settings: Settings) -> Path:
    """Return the folder of a part of the model in `folder` if it is the one that the model was made of.

    Raise WeightsUnavailable if there is no such folder, or if it holds another model.
    """
    place = find_part(part["id"], folder, settings)
    if reference(place)["sha256"] != part["sha256"]:
        raise WeightsUnavailable(f"{place} is not the model that {folder.name} was made of.")
    return place


def part_folders(folder: Path, settings: Settings) -> tuple[Path, ...]:
    """Return the folders of all models that a model consists of, each before its own parts; empty for most.

    Raise WeightsUnavailable if the folder holds no model, or if one of its parts is missing.
    """
    places = [find_part(part["id"], folder, settings) for part in references(folder).values()]
    return tuple(inner for place in places for inner in (place, *part_folders(place, settings)))

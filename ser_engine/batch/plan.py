"""The plan of a job: its sources, the settings that decide the answers, and the models by their checksums."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ser_engine.batch.sources import extra_columns
from ser_engine.batch.storage import absolute
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.io import write_json
from ser_engine.models.hub_labels import merged, names
from ser_engine.models.registry import find_model
from ser_engine.models.store import part_folders, read_config, reference, sha256
from ser_engine.settings import Settings

PLAN = "_plan.json"
SCHEMA = 1
"""Version of the plan and of the datasets' columns."""
DECISIVE = (
    "model", "whisper", "transcribe", "language", "noise_reduction", "track", "channels", "channel_names", "speakers",
    "max_bytes", "max_seconds", "stretch_s", "min_speech_s",
)  # fmt: skip
"""The settings that decide what a row holds."""
PACKAGES = ("ser-engine", "torch", "openai-whisper", "pyarrow")


@dataclass(frozen=True)
class Plan:
    """What a job does; it is `_plan.json` in the output.

    Attributes
    ----------
    sources : files, folders, globs, manifests and fsspec addresses; local ones are absolute
    settings : the values of `DECISIVE`
    labels : the emotions of the model, in its order
    columns : further columns of manifests, which are passed through to the recordings' rows as text
    models : SHA-256 of the emotion model, its parts and Whisper, by their names
    versions : of Python and packages that were used
    schema : version of this file and of the datasets' columns
    """

    sources: tuple[str, ...]
    settings: Mapping[str, Any]
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    models: Mapping[str, str]
    versions: Mapping[str, str]
    schema: int = SCHEMA

    def apply(self, settings: Settings) -> Settings:
        """Return settings with those of the plan."""
        return replace(settings, **self.settings)

    def write(self, out: Path) -> None:
        """Write `_plan.json`."""
        write_json(out / PLAN, asdict(self))

    def differences(self, other: Plan) -> list[str]:
        """Return in what another plan would give other rows, such as “transcribe”; empty where it may continue."""
        names = [name for name in DECISIVE if self.settings.get(name) != other.settings.get(name)]
        names += [f"the model {name}" for name in {**self.models, **other.models} if _differs(self, other, name)]
        if self.columns != other.columns:
            names.append("the columns of the manifests")
        return names if self.schema == other.schema else [*names, "the version of the columns"]


def _differs(one: Plan, other: Plan, model: str) -> bool:
    return one.models.get(model) != other.models.get(model)


def make_plan(sources: Sequence[str | Path], settings: Settings | None = None) -> Plan:
    """Return the plan of a job; the headers of manifests are read, and nothing else of the sources.

    Parameters
    ----------
    sources : files, folders, globs, manifests (CSV, JSONL, Parquet with a column "path") or fsspec addresses
    settings : `Settings.from_env()` by default

    Raises
    ------
    InvalidSettings
        A source cannot be an address, or a manifest cannot be read.
    WeightsUnavailable
        The model that the settings name is missing.
    """
    settings = settings or Settings.from_env()
    own = tuple(absolute(str(source)) for source in sources)
    folder = find_model(settings)
    return Plan(
        own,
        {name: getattr(settings, name) for name in DECISIVE},
        find_labels(folder, settings),
        extra_columns(own),
        find_models(settings),
        {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    )


def read_plan(out: str | os.PathLike[str]) -> Plan:
    """Return the plan in an output folder; raise InvalidSettings where there is none, or one of another version."""
    path = Path(out) / PLAN
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        given = {item.name: values[item.name] for item in fields(Plan)}
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidSettings(f"{out} is not the output of ser batch: there is no {PLAN} in it.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidSettings(f"{path} cannot be read ({error}).") from None
    if given["schema"] != SCHEMA:
        raise InvalidSettings(f"{path} was written by another version of this program.")
    listed: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Plan(**listed)


def find_models(settings: Settings) -> dict[str, str]:
    """Return {name: SHA-256} of the emotion model, its parts and, where it is one of ours, Whisper."""
    folder = find_model(settings)
    models = {place.name: reference_of(place) for place in (folder, *part_folders(folder, settings))}
    whisper = settings.models_dir / f"whisper-{settings.whisper}"
    if settings.transcribe and whisper.is_dir():
        models[whisper.name] = reference_of(whisper)
    return models


def find_labels(folder: Path, settings: Settings) -> tuple[str, ...]:
    """Return the emotions of the model in a folder; a model whose config.json does not list them is loaded."""
    config = read_config(folder)
    if isinstance(labels := config.get("labels"), list) and all(isinstance(label, str) for label in labels):
        return tuple(labels)
    if isinstance(named := config.get("id2label"), dict):  # of Transformers, whose keys are numbers as text
        classes = {int(number): str(name) for number, name in named.items()}
        return merged(names(folder.name, classes, len(classes)))[0]
    from ser_engine.analyzer import Analyzer

    return Analyzer(settings).model.labels


def reference_of(folder: Path) -> str:
    """Return the checksum of all that decides the answers of the model in a folder."""
    try:
        return reference(folder)["sha256"]
    except WeightsUnavailable:  # a folder of Transformers lists no checksums
        files = sorted(file for file in folder.iterdir() if file.is_file())
        return hashlib.sha256("".join(f"{file.name} {sha256(file)}\n" for file in files).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout
        return "unknown"

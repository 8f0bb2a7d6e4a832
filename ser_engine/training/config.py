"""Experiments as TOML files: one file for each system, typed and checked before hours are spent.

A file configs/<source>/<system>.toml names its `system` (a module of `ser_engine.training.systems`), the `protocols`
under which it is measured, and the fields of that system's configuration class. A table `[protocol.<name>]` changes
fields under one protocol. `extends` names a file of the same folder whose entries hold where a file has none itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from ser_engine.data.splits import CROSS_CORPUS, PROTOCOLS
from ser_engine.errors import InvalidSettings
from ser_engine.labels import LABEL_SETS
from ser_engine.settings import PROJECT

SPEAKER_INDEPENDENT = "speaker-independent"


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names; a repeated one is an error."""
    if len(set(names)) < len(names):
        raise ValueError("names are repeated")
    return names


def one_of(*choices: str) -> AfterValidator:
    """Return a validator of a string that has to be one of `choices`, which may only be known at run time."""

    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(f"it can be {', '.join(filter(None, choices))}")
        return value

    return AfterValidator(check)


Names = Annotated[tuple[str, ...], AfterValidator(distinct)]
Count = Annotated[int, Field(ge=1, le=10**6)]
Natural = Annotated[int, Field(ge=0, le=10**6)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, le=0.99)]
Rate = Annotated[float, Field(ge=1e-8, le=1)]
Exponent = Annotated[float, Field(ge=0, le=100)]

STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExperimentConfig:
    """What every experiment has; each system's own class adds its fields.

    Attributes
    ----------
    id : name of the model
    system : module of `ser_engine.training.systems`, with hyphens
    corpora : corpora to train and test on, by id, or manifests
    train_corpora : those of the corpora that "cross-corpus" trains on, whose test are all others
    optional_corpora : corpora of the paper that are used if they are in the data folder, and named as missing otherwise
    label_set : key of `labels.LABEL_SETS`
    protocol, folds : key of `splits.PROTOCOLS`, and the number of folds where the protocol leaves it open
    balance, balance_to : "count" for `balance_to` training clips of each class, "harmonic-mean" (Islam) for as many
        examples of each as that mean of their numbers, or none
    validation_to : validation clips of each class, the recordings before their copies; 0 for the clips as they are
    clips : largest number of clips of each corpus, evenly over its labels; 0 for all
    published : id of the figure in results/published.toml that this repeats
    note : what a reader of the result has to know
    hardware : what it takes to run it
    save : whether a model is trained on all clips, too, and saved in the models folder
    seed : of everything random
    """

    id: str
    system: str
    corpora: Annotated[Names, Field(min_length=1)]
    train_corpora: Names = ()
    optional_corpora: Names = ()
    label_set: Annotated[str, one_of(*LABEL_SETS)] = "eight"
    protocol: Annotated[str, one_of(*PROTOCOLS)] = SPEAKER_INDEPENDENT
    folds: Annotated[int, Field(ge=2, le=100)] = 5
    balance: Literal["", "count", "harmonic-mean"] = ""
    balance_to: Natural = 0
    validation_to: Natural = 0
    clips: Natural = 0
    published: str = ""
    note: str = ""
    hardware: str = ""
    save: bool = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        if (self.balance == "count") != bool(self.balance_to):
            raise InvalidSettings("balance = “count” and balance_to belong together.")
        if (self.protocol == CROSS_CORPUS) != bool(self.train_corpora):
            raise InvalidSettings(f"protocol = “{CROSS_CORPUS}” and train_corpora belong together.")
        if self.train_corpora and not set(self.train_corpora) < {*self.corpora, *self.optional_corpora}:
            raise InvalidSettings("train_corpora are some of the corpora; the others are tested.")
        if PROTOCOLS[self.protocol].leaky and self.system != "classical":
            raise InvalidSettings(f"{self.protocol} is for classical systems.")


def config_name(path: Path) -> str:
    """Return the name of an experiment, "<source>/<system>", from the path of its TOML file."""
    return f"{path.resolve().parent.name}/{path.stem}"


def read_entries(path: Path) -> dict[str, Any]:
    """Read a TOML file, with those that it extends; a path such as "configs/ours/svm.toml" is found from any folder."""
    entries: dict[str, Any] = {}
    read: list[Path] = []
    while path not in read:
        own = _read_toml(path)
        entries = _merge(own, entries)
        read.append(path)
        if (base := entries.pop("extends", None)) is None:
            return entries
        path = path.parent / str(base)
    raise InvalidSettings(f"{read[0]} extends itself.")


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with changed entries; tables are merged entry by entry."""
    merged = dict(base)
    for name, value in changes.items():
        known = merged.get(name)
        merged[name] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((path if path.exists() else PROJECT / path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidSettings(f"There is no configuration {path}.") from None
    except OSError as error:
        raise InvalidSettings(f"The configuration {path} cannot be read ({error.strerror}).") from None
    except ValueError as error:  # of TOML, or of UTF-8
        raise InvalidSettings(f"{path} is not valid TOML: {error}.") from None


def read_protocols(path: Path) -> tuple[str, ...]:
    """Return the protocols that a TOML file asks for."""
    protocols = read_entries(path).get("protocols")
    if not isinstance(protocols, list) or not protocols or not all(name in PROTOCOLS for name in protocols):
        raise InvalidSettings(f"{path}: protocols is a list of {', '.join(PROTOCOLS)}.")
    return tuple(protocols)


def load_config(path: Path, protocol: str = "", changes: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """Return the configuration in a TOML file under one of its protocols (the first one by default).

    Raise InvalidSettings, with the name of the entry, if the file is wrong or does not have the protocol.
    """
    from ser_engine.training.systems import system_class

    protocols = read_protocols(path)
    protocol = protocol or protocols[0]
    if protocol not in protocols:
        raise InvalidSettings(f"{path} has the protocols {', '.join(protocols)}, not “{protocol}”.")
    entries = read_entries(path)
    entries.pop("protocols")
    entries |= entries.pop("protocol", {}).get(protocol, {})
    entries |= {"protocol": protocol, **(changes or {})}
    kind = system_class(str(entries.get("system"))).config_class
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entries.items()}
    try:
        return kind(**values)
    except ValidationError as error:
        raise InvalidSettings(f"{path}: {_sentence(error)}") from None
    except InvalidSettings as error:
        raise InvalidSettings(f"{path}: {error}") from None


def _sentence(error: ValidationError) -> str:
    """Return the first complaint of pydantic as one sentence."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"] if part != "__init__")
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"there is no entry “{name}”."
    if first["type"] in ("missing", "missing_keyword_only_argument", "missing_argument"):
        return f"the entry “{name}” is missing."
    reason = first["msg"].removeprefix("Value error, ")
    return f"{name} is {first['input']!r}, but {reason[0].lower()}{reason[1:]}."


def config_entries(config: ExperimentConfig) -> dict[str, Any]:
    """Return a configuration as JSON-ready values."""
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

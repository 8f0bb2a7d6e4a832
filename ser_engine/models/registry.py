"""Which class reads which kind of model folder."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.base import Model
from ser_engine.settings import Settings
from ser_engine.weights import read_config

# Architecture in config.json → module and class; modules are imported when a model of theirs is loaded.
ARCHITECTURES = {"whisper-statistics": ("ser_engine.models.whisper_statistics", "WhisperStatistics")}


def load_model(folder: Path, settings: Settings) -> Model:
    """Load the model in `folder`, whatever its architecture.

    Raises
    ------
    WeightsUnavailable
        The folder holds no model, or one of an architecture that this version does not know.
    """
    architecture = read_config(folder).get("architecture")
    if architecture not in ARCHITECTURES:
        raise WeightsUnavailable(f"{folder.name} is of a kind that this version does not know ({architecture}).")
    module, name = ARCHITECTURES[architecture]
    model: Model = getattr(import_module(module), name).load(folder, settings)
    return model

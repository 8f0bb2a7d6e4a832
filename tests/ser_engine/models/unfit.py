"""Saved models whose config.json is changed so that it does not fit its weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ser_engine import Settings
from ser_engine.errors import WeightsUnavailable
from ser_engine.models.registry import load_model

Config = dict[str, Any]


def assert_refused(folder: Path, change: Callable[[Config], Any], settings: Settings) -> None:
    """Change what the config.json in a folder says and see the model refused in one sentence."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    change(config)
    file.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(WeightsUnavailable) as caught:
        load_model(folder, settings)
    assert str(caught.value) == f"The config.json in {folder} does not fit its weights."

"""A tiny classifier of sound with random weights, for tests in which many windows are scored."""

from __future__ import annotations

from pathlib import Path

from ser_engine import Analyzer, Settings
from tests.ser_engine.models.test_hub import checkpoint

LABELS = ("neutral", "happy", "sad", "angry", "fearful", "disgust")


def tiny_analyzer(folder: Path) -> Analyzer:
    """Write the classifier to `folder`/models/tiny and return an Analyzer on it, without speaker turns."""
    checkpoint(folder / "models" / "tiny", "hubert", LABELS)
    return Analyzer(
        Settings(models_dir=folder / "models", model="tiny", cache=folder / "cache", transcribe=False, speakers="off")
    )

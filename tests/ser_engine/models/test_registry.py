"""Which emotion models there are, and which one is meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ser_engine import weights
from ser_engine.errors import WeightsUnavailable
from ser_engine.models import registry
from ser_engine.settings import Settings


def shipped(folder: Path, **config: object) -> Path:
    """Write a folder as models/ holds them."""
    checksum = weights.write_tensors(folder, {"w": torch.arange(4.0)})
    weights.write_config(folder, {**config, "weights": {"model.safetensors": checksum}})
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Settings:
    settings = Settings(models_dir=tmp_path / "models")
    for name in ("zebra", "ant"):
        shipped(settings.models_dir / name, architecture="whisper-statistics")
    shipped(settings.models_dir / "whisper-base", architecture="whisper")
    (settings.models_dir / "DEFAULT").write_text("zebra\n")
    return settings


def test_the_default_model_is_the_one_that_models_names(models):
    assert registry.default_model(models) == models.models_dir / "zebra"


def test_the_settings_name_another_one_or_a_path(models, tmp_path):
    assert registry.default_model(replace(models, model="ant")) == models.models_dir / "ant"
    elsewhere = shipped(tmp_path / "elsewhere", architecture="x")
    assert registry.default_model(replace(models, model=str(elsewhere))) == elsewhere


def test_only_emotion_models_are_listed(models):
    (models.models_dir / "unfinished").mkdir()
    assert registry.emotion_models(models) == ("ant", "zebra")
    for name in ("typo", "whisper-base", "unfinished"):
        with pytest.raises(WeightsUnavailable, match=f"no emotion model “{name}”; SER_MODEL can be ant, zebra, or"):
            registry.default_model(replace(models, model=name))


def test_no_default_and_no_models_are_said(models, tmp_path):
    (models.models_dir / "DEFAULT").unlink()
    with pytest.raises(WeightsUnavailable, match="names no default model; SER_MODEL can be ant, zebra"):
        registry.default_model(models)
    empty = Settings(models_dir=tmp_path / "nowhere")
    assert registry.emotion_models(empty) == ()
    with pytest.raises(WeightsUnavailable, match=r"nowhere names no default model"):
        registry.default_model(empty)
    (models.models_dir / "DEFAULT").write_text("")
    with pytest.raises(WeightsUnavailable):
        registry.default_model(models)

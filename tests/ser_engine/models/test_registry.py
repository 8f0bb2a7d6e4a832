"""Which emotion models there are, and which one is meant."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from ser_engine.errors import WeightsUnavailable
from ser_engine.labels import EMOTIONS
from ser_engine.models import registry
from ser_engine.models.base import Model
from ser_engine.models.store import write_config, write_tensors
from ser_engine.settings import Settings


def shipped(folder: Path, **config: object) -> Path:
    """Write a folder as models/ holds them."""
    checksum = write_tensors(folder, {"w": torch.arange(4.0)})
    write_config(folder, {**config, "weights": {"model.safetensors": checksum}})
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
    assert registry.find_model(models) == models.models_dir / "zebra"


def test_the_settings_name_another_one_or_a_path(models, tmp_path):
    assert registry.find_model(replace(models, model="ant")) == models.models_dir / "ant"
    elsewhere = shipped(tmp_path / "elsewhere", architecture="x")
    assert registry.find_model(replace(models, model=str(elsewhere))) == elsewhere


def test_only_emotion_models_are_listed(models):
    (models.models_dir / "unfinished").mkdir()
    assert registry.list_models(models) == ("ant", "zebra")
    for name in ("typo", "whisper-base", "unfinished"):
        with pytest.raises(WeightsUnavailable, match=f"no emotion model “{name}”; SER_MODEL can be ant, zebra, or"):
            registry.find_model(replace(models, model=name))


def test_no_default_and_no_models_are_said(models, tmp_path):
    (models.models_dir / "DEFAULT").unlink()
    with pytest.raises(WeightsUnavailable, match="names no default model; SER_MODEL can be ant, zebra"):
        registry.find_model(models)
    empty = Settings(models_dir=tmp_path / "nowhere")
    assert registry.list_models(empty) == ()
    with pytest.raises(WeightsUnavailable, match=r"nowhere names no default model"):
        registry.find_model(empty)
    (models.models_dir / "DEFAULT").write_text("")
    with pytest.raises(WeightsUnavailable):
        registry.find_model(models)


def test_a_default_that_is_no_text_is_no_default(models):
    (models.models_dir / "DEFAULT").write_bytes(b"\xff\xfe\0z")
    with pytest.raises(WeightsUnavailable, match="names no default model"):
        registry.find_model(models)


def test_the_shipped_default_is_listed_and_can_be_loaded(settings):
    folder = registry.find_model(settings)
    assert folder.name in registry.list_models(settings)
    model = registry.load_model(folder, settings)
    assert model.id == folder.name
    assert set(model.labels) <= set(EMOTIONS)


def test_a_path_may_begin_at_home(models, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    mine = shipped(tmp_path / "mine", architecture="whisper-statistics")
    assert registry.find_model(replace(models, model="~/mine")) == mine


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"architecture": "oracle"}, "oracle"),
        ({"architecture": "whisper"}, "whisper"),
        ({"architecture": ["whisper-statistics"]}, "['whisper-statistics']"),
        ({}, "no kind is named"),
    ],
)
def test_a_model_of_an_unknown_kind_is_told(config, named, tmp_path, settings):
    folder = shipped(tmp_path / "future", **config)
    with pytest.raises(WeightsUnavailable) as caught:
        registry.load_model(folder, settings)
    assert str(caught.value) == f"future is of a kind that this version does not know ({named})."


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "there is no config.json in it"), ("{", "cannot be read"), ("[1]", "not the description of a model")],
)
def test_a_folder_without_a_readable_config_is_told(text, said, tmp_path, settings):
    folder = tmp_path / "broken"
    folder.mkdir()
    if text is not None:
        (folder / "config.json").write_text(text)
    with pytest.raises(WeightsUnavailable, match=said) as caught:
        registry.load_model(folder, settings)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_every_architecture_names_a_model() -> None:
    for architecture, (module, name) in registry.ARCHITECTURES.items():
        assert issubclass(getattr(import_module(module), name), Model) != (architecture in registry.PARTS)

"""Tiny encoders, and a server of files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ser_engine import Settings
from tests.ser_engine.models.download_server import Server


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose models folder holds a tiny encoder of every kind."""
    from tests.ser_engine.models.tiny_networks import write_encoders  # transformers, which most tests here do without

    return write_encoders(tmp_path_factory.mktemp("models"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.over.set()
        serving.shutdown()
        thread.join()


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    """Settings whose folders of models are empty."""
    return Settings(models_dir=tmp_path / "models", whisper_dir=tmp_path / "whisper", download_timeout_s=5.0)

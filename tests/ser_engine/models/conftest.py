"""Encoders that several files of tests listen and read through."""

from __future__ import annotations

import pytest

from ser_engine import Settings


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose models folder holds a tiny encoder of every kind."""
    from tests.ser_engine.models.tiny_networks import write_encoders  # transformers, which most tests here do without

    return write_encoders(tmp_path_factory.mktemp("models"))

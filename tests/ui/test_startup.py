"""The start of the page's server."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.web.server.app_discovery import discover_asgi_app

from ser_engine.errors import SerError
from tests.tiny_models import write_heads
from ui import engine, startup

APP = Path(__file__).resolve().parents[2] / "app.py"


def start(app: st.App) -> None:
    async def serve() -> None:
        async with startup.lifespan(app):
            pass

    asyncio.run(serve())


def test_streamlit_finds_the_server_in_the_page() -> None:
    assert discover_asgi_app(APP).import_string == "app:app"
    assert isinstance(importlib.import_module("app").app, st.App)


def test_models_are_loaded_before_anyone_visits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, let_threads_end: Callable[[], None]
) -> None:
    write_heads(tmp_path)
    settings = {"MODELS_DIR": str(tmp_path), "MODEL": "tiny-heads", "TRANSCRIBE": "0", "SPEAKERS": "off"}
    for name, value in settings.items():
        monkeypatch.setenv(f"SER_{name}", value)
    st.cache_resource.clear()
    start(importlib.import_module("app").app)
    let_threads_end()
    assert engine.analyzer("").can_calibrate is not None
    st.cache_resource.clear()


def test_wrong_settings_do_not_keep_the_server_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_CHANNELS", "none at all")
    st.cache_resource.clear()
    with pytest.raises(SerError):
        engine.analyzer("")
    startup._load()
    st.cache_resource.clear()

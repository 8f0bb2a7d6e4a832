"""What the page's server does when it starts, while the first visitor's browser loads the page."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import streamlit as st


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Load libraries and models in threads, and serve meanwhile."""
    for load in (_load_models, _load_libraries):
        threading.Thread(target=load, name=load.__name__, daemon=True).start()
    yield


def _load_models() -> None:
    from ser_engine.errors import SerError
    from ser_engine.heap import return_large_blocks
    from ui import engine

    return_large_blocks()
    with suppress(SerError):  # the page shows it
        engine.warm_up("")


def _load_libraries() -> None:
    """Import what the charts and tables of the first answer need."""
    import pandas  # noqa: F401

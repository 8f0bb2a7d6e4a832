"""What the page's server does when it starts, while the first visitor's browser loads the page."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import streamlit as st


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Load libraries and models in a thread, and serve meanwhile."""
    threading.Thread(target=_load, name="startup", daemon=True).start()
    yield


def _load() -> None:
    import pandas  # noqa: F401  # which the charts and tables of the first answer need

    from ser_engine.errors import SerError
    from ser_engine.heap import return_large_blocks
    from ui import engine

    return_large_blocks()
    with suppress(SerError):  # the page shows it
        engine.warm_up("")

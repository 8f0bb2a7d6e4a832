"""The one engine behind every session, and its warming up beside the page."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import streamlit as st

from ser_engine import Analyzer
from ser_engine.errors import SerError
from ui import charts

PAINT_FIRST_S = 0.7
"""How long warming up waits: importing torch would hold the interpreter while the first page is on its way."""


@st.cache_resource(show_spinner=False)
def analyzer() -> Analyzer:
    """Return the engine that all sessions share; cheap until the first analysis."""
    return Analyzer()


def card() -> dict[str, Any] | None:
    """Return the measured figures of the default model (`Analyzer.card`); None where there are none."""
    try:
        return analyzer().card()
    except SerError:
        # A page that cannot quote the figures still has the rest to say.
        logging.getLogger(__name__).warning("The default model's card cannot be read", exc_info=True)
        return None


class WarmUp:
    """Loads the models once, in a thread of its own; `ended` is set when that is done, or has failed."""

    def __init__(self, engine: Analyzer) -> None:
        self.ended = threading.Event()
        self._engine = engine
        threading.Thread(target=self._run, name="warm-up", daemon=True).start()

    def _run(self) -> None:
        time.sleep(PAINT_FIRST_S)
        try:
            self._engine.warm_up()
        except Exception:
            # Not the person's concern yet: the first analysis meets the same trouble and says it in words.
            logging.getLogger(__name__).exception("The models could not be loaded beforehand")
        finally:
            self.ended.set()
        charts.warm_up()


@st.cache_resource(show_spinner=False)
def warm_up() -> WarmUp:
    """Start to load the models, once per process; call it at the end of a run, when the page has been sent."""
    return WarmUp(analyzer())

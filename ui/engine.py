"""The one engine behind every session, its warming up beside the page, and the weights that it may have to fetch."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, NamedTuple

import streamlit as st

from ser_engine import Analyzer
from ser_engine.errors import SerError
from ui import charts

PAINT_FIRST_S = 0.7
"""How long warming up waits: importing torch would hold the interpreter while the first page is on its way."""


class Fetched(NamedTuple):
    """So much of a download is here: bytes, of bytes in all (0 where nobody knows)."""

    done: int
    total: int


class Download:
    """The latest figures of the download of weights: told by the thread that fetches, read by every page that waits.

    There is one at a time, whoever began it; figures are replaced as a whole, and so may be read at any time.
    """

    def __init__(self) -> None:
        self._latest: Fetched | None = None

    def tell(self, done: int, total: int) -> None:
        """Keep the latest figures, in bytes; `Analyzer` calls this."""
        self._latest = Fetched(done, total)

    def under_way(self) -> Fetched | None:
        """Return the latest figures; None where nothing is being fetched."""
        latest = self._latest
        # Of a download of unknown length, nobody but those who waited for it knows when it has ended: see `forget`.
        return None if latest is None or latest.done == latest.total else latest

    def forget(self) -> None:
        """Forget the figures of a download that has ended or failed; one that goes on will tell new ones at once."""
        self._latest = None


@st.cache_resource(show_spinner=False)
def download() -> Download:
    """Return the figures of the one download that all sessions may wait for."""
    return Download()


@st.cache_resource(show_spinner=False)
def analyzer() -> Analyzer:
    """Return the engine that all sessions share; cheap until the first analysis."""
    return Analyzer(on_download=download().tell)


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

    def __init__(self, engine: Analyzer, fetching: Download) -> None:
        self.ended = threading.Event()
        self._engine, self._fetching = engine, fetching
        threading.Thread(target=self._run, name="warm-up", daemon=True).start()

    def _run(self) -> None:
        time.sleep(PAINT_FIRST_S)
        try:
            self._engine.warm_up()
        except Exception:
            # Not the person's concern yet: the first analysis meets the same trouble and says it in words.
            logging.getLogger(__name__).exception("The models could not be loaded beforehand")
        finally:
            self._fetching.forget()
            self.ended.set()
        charts.warm_up()


@st.cache_resource(show_spinner=False)
def warm_up() -> WarmUp:
    """Start to load the models, once per process; call it at the end of a run, when the page has been sent."""
    return WarmUp(analyzer(), download())

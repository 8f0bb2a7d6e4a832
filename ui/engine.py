"""The engines behind all sessions, one a model, their warming up beside the page, and weights that they have to fetch.

A model is named as the page's choice has it: a folder of the models folder, or "" for the one of the settings.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from ser_engine import Analyzer, Settings
from ser_engine.errors import SerError
from ser_engine.models.hub_files import PREFIX, downloading
from ser_engine.models.registry import find_model, list_models
from ui.listen import charts

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


def analyzer(model: str = "") -> Analyzer:
    """Return the engine that all sessions share for this model; cheap until the first analysis."""
    return _analyzer(model)


@st.cache_resource(show_spinner=False)
def _analyzer(model: str) -> Analyzer:
    settings = Settings.from_env()
    return Analyzer(replace(settings, model=model) if model else settings, on_download=download().tell)


def choices() -> tuple[str, ...]:
    """Return the models that a person can choose among: first "", that of the settings, then those of the folder."""
    settings = analyzer().settings
    own = settings.model
    if not own.startswith(PREFIX):  # which is not looked for, since that takes a library as large as the page
        with suppress(SerError):  # it is not there: the first analysis says so, and the others are still to be had
            own = find_model(settings, fetch=False).name
    return ("", *(name for name in list_models(settings) if name != own.removeprefix(PREFIX)))


def title(model: str) -> str:
    """Return how a choice is called on the page."""
    settings = analyzer().settings
    if model:
        return model
    if settings.model.startswith(PREFIX):
        return settings.model.removeprefix(PREFIX)
    if settings.model:
        return Path(settings.model).name
    try:
        return find_model(settings, fetch=False).name
    except SerError:
        return "default"


def card(model: str = "") -> dict[str, Any] | None:
    """Return the measured figures of a model (`Analyzer.card`); None where there are none."""
    try:
        return analyzer(model).card()
    except SerError as error:
        # A page that cannot quote the figures still has the rest to say.
        logging.getLogger(__name__).warning("There is no card of the model: %s", error)
        return None


def cards(model: str = "") -> dict[str, str]:
    """Return the cards of a model and of its parts as Markdown (`Analyzer.cards`), by their names."""
    try:
        return analyzer(model).cards()
    except SerError:
        return {}


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


def fetching(engine: Analyzer) -> str:
    """Return the model of the hub that this engine waits for while it is downloaded; empty for none."""
    name = engine.settings.model.removeprefix(PREFIX)
    return name if name and name == downloading() else ""


def warm_up(model: str = "") -> WarmUp:
    """Start to load a model, once per process; call it at the end of a run, when the page has been sent."""
    return _warm_up(model)


@st.cache_resource(show_spinner=False)
def _warm_up(model: str) -> WarmUp:
    return WarmUp(analyzer(model), download())

"""The engines that all sessions share, one per model, their warm-up in the background, and downloads of weights.

A model is named as on the page: a folder of the models folder, or "" for the model of the settings.
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
from ser_engine.fair_queue import FairQueue
from ser_engine.models.hub_files import PREFIX, downloading
from ser_engine.models.registry import find_model, list_models
from ser_engine.settings import available_cores

LATER_S = 1.0
"""Seconds until the rest of the models is loaded, and after which the warm-up asks again whether somebody waits."""
MAX_SECONDS, MAX_BYTES = 3600.0, 400 * 1024**2
"""Limits of a recording, unless the environment sets others; an upload is held in memory."""


class Fetched(NamedTuple):
    """Progress of a download in bytes; `total` is 0 where it is unknown."""

    done: int
    total: int


class Download:
    """Progress of the download of weights, set by the thread that fetches and read by every page that waits."""

    def __init__(self) -> None:
        self._latest: Fetched | None = None

    def update(self, done: int, total: int) -> None:
        """Set the progress, in bytes; called by `Analyzer`."""
        self._latest = Fetched(done, total)

    def under_way(self) -> Fetched | None:
        """Return the progress; None where nothing is being downloaded."""
        latest = self._latest
        # The end of a download of unknown length is known only to those who waited for it: see `forget`.
        return None if latest is None or latest.done == latest.total else latest

    def forget(self) -> None:
        """Forget a download that has ended or failed; one that goes on is back with its next update."""
        self._latest = None


@st.cache_resource(show_spinner=False)
def download() -> Download:
    """Return the one download that all sessions may wait for."""
    return Download()


@st.cache_resource(show_spinner=False)
def queue() -> FairQueue:
    """Return the queue of all visitors: a place for every two cores, and two recordings of a visitor at a time."""
    return FairQueue(max(1, available_cores() // 2), each=2)


@st.cache_resource(show_spinner=False)
def analyzer(model: str) -> Analyzer:
    """Return the engine that all sessions share for this model; cheap until the first analysis.

    Words get times, which the TextGrid needs.
    """
    settings = replace(Settings.from_env(max_seconds=MAX_SECONDS, max_bytes=MAX_BYTES), words=True)
    return Analyzer(replace(settings, model=model) if model else settings, on_download=download().update)


def choices() -> tuple[str, ...]:
    """Return the available models: first "", that of the settings, then those of the models folder."""
    settings = analyzer("").settings
    own = settings.model
    if not own.startswith(PREFIX):  # not resolved, since that imports a large library
        with suppress(SerError):  # missing: the first analysis reports it, and the others remain
            own = find_model(settings, fetch=False).name
    return ("", *(name for name in list_models(settings) if name != own.removeprefix(PREFIX)))


def title(model: str) -> str:
    """Return the name of a choice on the page."""
    settings = analyzer("").settings
    if model:
        return model
    if settings.model:
        return settings.model.removeprefix(PREFIX) if settings.model.startswith(PREFIX) else Path(settings.model).name
    try:
        return find_model(settings, fetch=False).name
    except SerError:
        return "default"


def can_calibrate(model: str) -> bool | None:
    """Return whether a model can be calibrated to a voice; None while it is being loaded."""
    able = analyzer(model).can_calibrate
    return False if able is None and warm_up(model).is_set() else able


def card(model: str) -> dict[str, Any] | None:
    """Return the measured figures of a model (`Analyzer.card`); None where there are none."""
    try:
        return analyzer(model).card()
    except SerError as error:
        # The rest of the page does not need them.
        logging.getLogger(__name__).warning("There is no card of the model: %s", error)
        return None


def cards(model: str) -> dict[str, str]:
    """Return the cards of a model and of its parts as Markdown (`Analyzer.cards`), by their names."""
    try:
        return analyzer(model).cards()
    except SerError:
        return {}


def fetching(engine: Analyzer) -> str:
    """Return the model of the hub that this engine waits for while it is downloaded; empty for none."""
    name = engine.settings.model.removeprefix(PREFIX)
    return name if name and name == downloading() else ""


@st.cache_resource(show_spinner=False)
def warm_up(model: str) -> threading.Event:
    """Start to load a model in a thread, once per process; call it at the end of a run, when the page has been sent.

    The event is set when the model is loaded, or loading has failed. What distinguishes speakers is loaded after that,
    when nobody waits for an answer.
    """
    engine, progress, ended = analyzer(model), download(), threading.Event()

    def load() -> None:
        try:
            try:
                engine.warm_up(speakers=False)
            finally:
                progress.forget()
                ended.set()
            time.sleep(LATER_S)
            while queue().running:
                time.sleep(LATER_S)
            engine.load_speakers()
        except Exception:
            # The first analysis meets the same problem and reports it.
            logging.getLogger(__name__).exception("The models could not be loaded beforehand")

    threading.Thread(target=load, name="warm-up", daemon=True).start()
    return ended

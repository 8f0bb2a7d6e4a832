"""The component of the live page: start and stop, level, bars or label, timeline and transcript."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from ui.components.browser import component

_component = component("live_chart", Path(__file__).parent)


def draw(
    moment: Mapping[str, Any],
    key: str,
    start: Callable[[], None],
    stop: Callable[[], None],
    fail: Callable[[object], None],
) -> None:
    """Draw a moment of a session in the component, which stays mounted.

    Parameters
    ----------
    moment : value of `ui.live.view.moment`
    key : identifies this component in the session
    start, stop : called before the next run, after a click; start only if the browser has granted its microphone
    fail : called with one of `ui.live.state.PROBLEMS` if the browser cannot start
    """

    def event(name: str) -> Any:
        return st.session_state[key].get(name)

    # The value of a trigger is there in one run only, and None in all others.
    _component(
        key=key,
        data=dict(moment),
        on_start_change=lambda: start() if event("start") is not None else None,
        on_stop_change=lambda: stop() if event("stop") is not None else None,
        on_problem_change=lambda: fail(event("problem")) if event("problem") is not None else None,
    )

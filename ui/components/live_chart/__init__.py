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
    example: Callable[[], None],
) -> None:
    """Draw a moment of a session in the component, which stays mounted.

    Parameters
    ----------
    moment : value of `ui.live.view.moment`
    key : identifies this component in the session
    start, stop, example : called before the next run, after a click; start only if the browser has granted its
        microphone
    """

    def on(event: str, act: Callable[[], None]) -> Callable[[], None]:
        # The value of a trigger is there in one run only, and None in all others.
        return lambda: act() if st.session_state[key].get(event) is not None else None

    _component(
        key=key,
        data=dict(moment),
        on_start_change=on("start", start),
        on_stop_change=on("stop", stop),
        on_example_change=on("example", example),
    )

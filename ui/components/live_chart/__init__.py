"""The live page's one component, which stays mounted: start and stop, level, bars or label, timeline and words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "live_chart",
    html=(_HERE / "index.html").read_text(encoding="utf-8"),
    css=(_HERE / "style.css").read_text(encoding="utf-8"),
    js=(_HERE / "index.js").read_text(encoding="utf-8"),
)


def draw(
    moment: Mapping[str, Any],
    key: str,
    start: Callable[[], None],
    stop: Callable[[], None],
    fail: Callable[[object], None],
) -> None:
    """Draw a moment of a session; the component that is there already shows it, and is not made anew.

    Parameters
    ----------
    moment : what `live_view.moment` returns
    key : what tells this component from others in the session
    start, stop : called before the next run, after a click for which the browser has given its microphone
    fail : called with a kind of `live_state.PROBLEMS` when the browser has none to give
    """

    def event(name: str) -> Any:
        return st.session_state[key].get(name)

    # A trigger's value is there in one run only: what has not been sent now is None.
    _component(
        key=key,
        data=dict(moment),
        on_start_change=lambda: start() if event("start") is not None else None,
        on_stop_change=lambda: stop() if event("stop") is not None else None,
        on_problem_change=lambda: fail(event("problem")) if event("problem") is not None else None,
    )

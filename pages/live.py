"""Live: emotions while a person speaks, from start to stop, and what remains of it afterwards."""

from __future__ import annotations

import streamlit as st

from ser_engine.errors import SerError
from ui import engine, session, theme, wording
from ui.components import live_chart
from ui.components.recorder import record
from ui.live import ended, microphone, view
from ui.live import state as live_state
from ui.live.job import hear

# How often a session is drawn anew. (A comment: Streamlit would print a string that stands alone.)
REDRAW_S = 0.2
CHART, RECORDER = "live-chart", "live-recorder"


def live_page() -> None:
    """Draw the page: the session, the recorder where there can be none, and what the last session leaves."""
    st.title("How do you sound right now?", anchor=False)
    st.html(
        theme.line(
            "lead",
            "Speak, and twice a second the page answers with the probability of each emotion in the last three "
            "seconds of your voice. Silence and noise are called so, and nothing is kept unless you save it.",
        )
    )
    model = session.current().model
    try:
        engine.analyzer(model)
    except SerError as error:
        st.error(wording.verbatim(str(error)))
        return
    state = live_state.current()
    # A fragment that has nothing to wait for need not run; its place and the component in it stay the same.
    waits = state.active or settled(state) != (True, True)
    st.fragment(show_session, run_every=REDRAW_S if waits else None)(state, model)
    # Below what stays: an element that came and went above it would move it, and Streamlit would make it anew.
    with st.container(key="microphone"):
        if state.active and state.job is not None:
            microphone.listen(state.job, state.microphone)
        else:
            microphone.hang_up(state.microphone)
    if state.unreachable:
        show_recorder(state, model)
    if state.phase == "ended" and state.job is not None and state.job.ended.is_set():
        ended.show(state.job, lambda: forget(state))
    engine.warm_up(model)
    microphone.prepare()


def show_session(state: live_state.LiveState, model: str) -> None:
    """Draw the session as it is now; the whole page runs again when that changes what else is on it."""
    before = st.session_state.get("live-drawn")
    live_chart.draw(
        view.moment(state),
        key=CHART,
        start=lambda: begin(state, model),
        stop=state.stop,
        fail=state.fail,
    )
    now = (state.number, state.active, settled(state))
    st.session_state["live-drawn"] = now
    if before is not None and before != now:
        st.rerun()


def settled(state: live_state.LiveState) -> tuple[bool, bool]:
    """Return whether the last scores and the last words are there."""
    return (True, True) if state.job is None else (state.job.ended.is_set(), state.job.worded.is_set())


def begin(state: live_state.LiveState, model: str) -> None:
    """Begin a session in the place of the last, whose connection is closed for good; one that goes on stays."""
    if state.active:
        return
    microphone.forget(state.microphone)
    state.start(engine.analyzer(model))


def forget(state: live_state.LiveState) -> None:
    """Forget the last session with its sound."""
    microphone.hang_up(state.microphone)
    state.replace(None)


def show_recorder(state: live_state.LiveState, model: str) -> None:
    """Offer three seconds instead of a session that could not be connected."""
    st.header("Record three seconds instead", anchor=False)
    st.html(theme.line("quiet", "A firewall may stand between; a TURN server would help, see SER_TURN in the README."))
    spoken = record(key=RECORDER)
    if spoken:
        try:
            state.replace(hear(spoken, engine.analyzer(model)))
        except SerError as error:
            st.error(wording.verbatim(str(error)))
            return
        st.rerun()


session.enter()
live_page()

"""Live: emotions while a person speaks, and the session afterwards."""

from __future__ import annotations

import streamlit as st

from ser_engine.errors import SerError
from ui import calibration, engine, session, theme, wording
from ui.components import live_chart
from ui.components.recorder import record
from ui.live import ended, example, microphone, view
from ui.live.job import play, play_aloud
from ui.live.state import LiveState, current
from ui.panels import note, section

# How often a session is redrawn. (A comment: Streamlit would print a string that stands alone.)
REDRAW_S = 0.2
CHART, RECORDER = "live-chart", "live-recorder"


def live_page() -> None:
    """Draw the page: the session, the recorder where there can be none, and the last session."""
    st.title("How do you sound right now?", anchor=False)
    st.html(
        theme.line(
            "lead",
            "Speak, and twice a second the page shows the probability of each emotion over the last three seconds of "
            "your voice. Silence and noise are labeled as such, and nothing is kept unless you save it.",
        )
    )
    model = session.current().model
    try:
        engine.analyzer(model)
    except SerError as error:
        st.error(wording.verbatim(str(error)))
        return
    state = current()
    calibration.show(session.current(), "It applies from the next session on.")
    # A fragment that has nothing to wait for need not run; its place and the component in it stay the same.
    waits = state.active or finished(state) != (True, True) or not engine.warm_up(model).is_set()
    st.fragment(show_session, run_every=REDRAW_S if waits else None)(state, model)
    if sentence := wording.unsure_columns(engine.card(model)):
        note(sentence)
    # Below elements that stay: Streamlit would make this one anew if an element above it came or went.
    with st.container(key="microphone"):
        if state.active and state.job is not None and state.job.example is None:
            microphone.connect(state.job, state.microphone)
        else:
            microphone.hang_up(state.microphone)
    if state.unreachable:
        show_recorder(state, model)
    if state.phase == "ended" and state.job is not None and state.job.ended.is_set():
        ended.show(state.job, lambda: discard(state))
    engine.warm_up(model)
    microphone.prepare()


def show_session(state: LiveState, model: str) -> None:
    """Draw the session as it is now; rerun the whole page when something else on it changes."""
    before = st.session_state.get("live-drawn")
    labels = (engine.card(model) or {}).get("labels", ()) if not state.course.labels else ()
    live_chart.draw(
        view.moment(state, labels, engine.warm_up(model).is_set()),
        key=CHART,
        start=lambda: start(state, model),
        stop=state.stop,
        example=lambda: play_example(state, model),
    )
    now = (state.number, state.active, finished(state), engine.warm_up(model).is_set())
    st.session_state["live-drawn"] = now
    if before is not None and before != now:
        st.rerun()


def finished(state: LiveState) -> tuple[bool, bool]:
    """Return whether the last scores and the last words are there."""
    return (True, True) if state.job is None else (state.job.ended.is_set(), state.job.transcribed.is_set())


def start(state: LiveState, model: str) -> None:
    """Start a session in place of the last one, unless that is still active."""
    if state.active:
        return
    microphone.forget(state.microphone)
    state.start(engine.analyzer(model), session.current().baseline)


def play_example(state: LiveState, model: str) -> None:
    """Start a session of the example in place of the last one, unless that is still active; it is nobody's voice."""
    if state.active:
        return
    microphone.forget(state.microphone)
    state.replace(play_aloud(example.PATH.read_bytes(), engine.analyzer(model)))


def discard(state: LiveState) -> None:
    """Discard the last session with its sound."""
    microphone.hang_up(state.microphone)
    state.replace(None)


def show_recorder(state: LiveState, model: str) -> None:
    """Offer a recording instead of a session that could not be connected."""
    section(
        "Record your voice instead",
        "A firewall may block the connection; a TURN server helps, see SER_TURN in the documentation.",
    )
    spoken = record(key=RECORDER)
    if spoken:
        try:
            state.replace(play(spoken, engine.analyzer(model), session.current().baseline))
        except SerError as error:
            st.error(wording.verbatim(str(error)))
            return
        st.rerun()


session.enter()
live_page()

"""A page with nothing but the recorder, and what the tests need to see of it and to do to it."""

import time

import streamlit as st

from ui.components.recorder import LONGEST, problem, record

st.toggle("Another widget", key="another")
slow = st.toggle("Slow run", key="slow")
shown = st.toggle("Recorder", value=True, key="shown")

# Always there: an element that came and went would move the recorder, and Streamlit would make it anew.
place = st.empty()
place.text("Step")
if slow:
    # A run that takes its time before it comes to the recorder, and can be interrupted there.
    for step in range(20):
        place.text(f"Step {step}")
        time.sleep(0.1)

recordings = st.session_state.setdefault("recordings", [])
with st.columns(2)[0]:
    arrived = record(key="recorder", longest=int(st.query_params.get("longest", LONGEST))) if shown else None
if arrived:
    recordings.append(arrived)

st.session_state["runs"] = st.session_state.get("runs", 0) + 1
st.text(f"Runs: {st.session_state['runs']}")
st.text(f"Recordings: {len(recordings)}")
st.text(f"Problem: {problem('recorder')}")
if recordings:
    st.download_button("Download", recordings[-1], "recording.wav", "audio/wav", on_click="ignore")

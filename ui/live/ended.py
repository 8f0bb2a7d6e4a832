"""A live session after its end: player, transcript and downloads."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from ser_engine.live.session import to_csv
from ui import wording
from ui.live import view
from ui.live.job import LiveJob
from ui.panels import download, note, section


def show(job: LiveJob, discard: Callable[[], None]) -> None:
    """Show a session that has ended; nothing if no sound ever came."""
    seconds = job.session.duration_s
    if not seconds:
        return
    scored = sum(update.scores is not None for update in job.session.timeline)
    windows = f"{scored} of {len(job.session.timeline)} windows had enough speech"
    section("Session", f"{wording.seconds(seconds)}; {windows}. It is gone when you leave, unless you save it.")
    st.audio(job.wav, format="audio/wav", alt="Recording of the session")
    if job.settings.transcribe:
        st.subheader("Transcript", anchor=False)
        if job.words:
            st.markdown(wording.verbatim(" ".join(segment.text.strip() for segment in job.words)))
        else:
            note("No words were recognized." if job.transcribed.is_set() else "The last words are being transcribed.")
    with st.container(horizontal=True):
        download("Save recording", lambda: job.wav, "live-session.wav", "audio/wav")
        download("Timeline as CSV", lambda: to_csv(job.session.timeline), "live-session.csv", "text/csv")
        download(
            "Timeline as JSON",
            lambda: json.dumps(view.to_dict(job), ensure_ascii=False, indent=2),
            "live-session.json",
            "application/json",
        )
        st.button("Discard this session", type="tertiary", on_click=discard)

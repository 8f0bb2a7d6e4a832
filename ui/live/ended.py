"""What remains of a live session: to listen to, to read and to save, until it is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from ser_engine.live.session import to_csv
from ui import theme, wording
from ui.live import view

if TYPE_CHECKING:
    from ui.live.job import LiveJob


def show(job: LiveJob, forget: Callable[[], None]) -> None:
    """Show a session that has ended: its sound, its words, its files; nothing where no sound ever came."""
    seconds = job.session.duration_s
    if not seconds:
        return
    st.space("small")
    st.header("The session", anchor=False)
    scored = sum(update.scores is not None for update in job.session.timeline)
    windows = f"{scored} of {len(job.session.timeline)} windows had speech enough to be scored"
    st.html(
        theme.line("quiet", f"{wording.seconds(seconds)}; {windows}. It is gone when you leave, unless you save it.")
    )
    st.audio(job.wav(), format="audio/wav", alt="The session as it was heard")
    if job.settings.transcribe:
        st.subheader("The words", anchor=False)
        if job.words:
            st.markdown(wording.verbatim(" ".join(segment.text.strip() for segment in job.words)))
        else:
            none = "No words were recognised." if job.worded.is_set() else "The last words are being written down."
            st.html(theme.line("quiet", none))
    with st.container(horizontal=True):
        st.download_button(
            "Save sound", job.wav, "live-session.wav", "audio/wav", on_click="ignore", icon=":material/download:"
        )
        st.download_button(
            "Timeline as CSV",
            lambda: to_csv(job.session.timeline),
            "live-session.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
        )
        st.download_button(
            "Timeline as JSON",
            lambda: json.dumps(view.to_dict(job), ensure_ascii=False, indent=2),
            "live-session.json",
            "application/json",
            on_click="ignore",
            icon=":material/download:",
        )
        st.button("Forget this session", type="tertiary", on_click=forget)

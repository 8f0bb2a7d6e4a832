"""The choice of the spoken language, next to the transcript."""

from __future__ import annotations

import streamlit as st

from ser_engine.transcription.language import LANGUAGES
from ui.session import Session

KEY, DETECT = "language", ""
CODES = (DETECT, *sorted(LANGUAGES, key=lambda code: LANGUAGES[code]))


def choose(state: Session, default: str) -> None:
    """Let the person choose the language of all speech, or have it detected; the recording is then analyzed again.

    `default` is the language of the settings. The choice stays while other pages are visited.
    """
    # The widget forgets its value when another page is visited.
    if st.session_state.get(KEY) not in CODES:
        st.session_state[KEY] = default.lower() if state.language is None else state.language
    st.selectbox(
        "Spoken language",
        CODES,
        format_func=lambda code: LANGUAGES.get(code, "Detect"),
        key=KEY,
        on_change=lambda: state.choose_language(st.session_state[KEY]),
    )

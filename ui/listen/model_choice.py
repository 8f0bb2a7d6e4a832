"""The choice of a model: a line under the input where there are several, and nothing where there is one."""

from __future__ import annotations

import streamlit as st

from ui import engine, theme
from ui.session import Session

KEY = "model"


def choose(state: Session) -> None:
    """Let the person choose among the available models; the choice stays while other pages are visited."""
    choices = engine.choices()
    if len(choices) < 2:
        state.choose("")
        return
    # The widget forgets its value when another page is visited, and a model's folder may be gone by now.
    if st.session_state.get(KEY) not in choices:
        st.session_state[KEY] = state.model if state.model in choices else ""
    with st.container(key="choice", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(theme.line("quiet", "Model"), width="content")
        chosen = st.selectbox(
            "Model", choices, format_func=engine.title, key=KEY, label_visibility="collapsed", width=300
        )
    state.choose(chosen)

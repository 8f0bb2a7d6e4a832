"""The box on what the numbers can and cannot mean; shown beneath every answer and on the about page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ui import wording

CAN = "They compare a voice with acted speech: which of eight emotions an actor would most likely have meant by it."
CANNOT = (
    "They do not say what somebody feels. The model learned from a hundred or so actors speaking North American "
    "English on purpose; real feelings are quieter, and other people, languages and cultures sound different.",
    "They are no lie detector and no diagnosis.",
    "They are no ground for a decision about a person: not in hiring, schooling, policing, insurance or care.",
)


def show(card: Mapping[str, Any] | None) -> None:
    """Draw the box; `card` is `Analyzer.card()`, whose measured accuracy it quotes where there is one."""
    with st.container(border=True, key="caveats"):
        st.header("What these numbers can and cannot mean", anchor=False)
        st.markdown(CAN)
        st.markdown("\n".join(f"- {sentence}" for sentence in CANNOT))
        measured = wording.accuracy(card)
        if measured:
            st.markdown(f"{measured} Guessing would name 1 in 8. Strangers in daily life are harder.")

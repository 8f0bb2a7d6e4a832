"""The box on what the numbers can and cannot mean; shown beneath every answer and on the about page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ui import wording

OUR_CORPORA = {"ravdess", "cremad", "tess"}
"""What the shipped models learned from: 117 actors in all."""
ACTORS = (
    "They do not say what somebody feels. The model learned from a hundred or so actors speaking North American "
    "English on purpose; real feelings are quieter, and other people, languages and cultures sound different."
)
ANYBODY = (
    "They do not say what somebody feels. The model learned from recordings of some people, most likely of actors; "
    "real feelings are quieter, and other people, languages and cultures sound different."
)
CANNOT = (
    "They are no lie detector and no diagnosis.",
    "They are no ground for a decision about a person: not in hiring, schooling, policing, insurance or care.",
)


def ours(card: Mapping[str, Any] | None) -> bool:
    """Whether the model says that it learned from the corpora that the page can speak of, and no others."""
    corpora = set((card or {}).get("corpora") or ())
    return bool(corpora) and corpora <= OUR_CORPORA


def can(card: Mapping[str, Any] | None, labels: Sequence[str]) -> str:
    """Return what the numbers are, in a sentence; `labels` are the model's, none where nobody knows them yet."""
    which = f"which of {wording.count(len(labels))} {wording.kind(labels)}s" if labels else "which of its labels"
    if ours(card):
        return f"They compare a voice with acted speech: {which} an actor would most likely have meant by it."
    return f"They compare a voice with the recordings that the model learned from: {which} fits it best."


def show(card: Mapping[str, Any] | None, labels: Sequence[str]) -> None:
    """Draw the box; `card` is `Analyzer.card()`, whose measured accuracy it quotes where there is one."""
    with st.container(border=True, key="caveats"):
        st.header("What these numbers can and cannot mean", anchor=False)
        st.markdown(can(card, labels))
        sentences = (ACTORS if ours(card) else ANYBODY, *CANNOT)
        st.markdown("\n".join(f"- {sentence}" for sentence in sentences))
        measured = wording.accuracy(card)
        if measured:
            st.markdown(f"{measured} {wording.guessing(labels)} Strangers in daily life are harder.")
            if doubt := wording.doubt(card):
                st.markdown(doubt)
        else:
            st.markdown("How often this model is right has not been measured here.")

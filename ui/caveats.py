"""The box on the limits of the numbers, shown under every result and on the about page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ser_engine.caveats import limits, ours
from ui import wording

__all__ = ["meaning", "ours", "show"]


def meaning(card: Mapping[str, Any] | None, labels: Sequence[str]) -> str:
    """Return the meaning of the numbers in a sentence; `labels` are the model's, empty if unknown."""
    which = f"which of {wording.count(len(labels))} {wording.kind(labels)}s" if labels else "which of its labels"
    if ours(card):
        return f"They compare a voice with acted speech: {which} an actor most likely intended."
    return f"They compare a voice with the training recordings of the model: {which} fits best."


def show(card: Mapping[str, Any] | None, labels: Sequence[str]) -> None:
    """Draw the box; `card` is the value of `Analyzer.card`, whose accuracy it quotes."""
    with st.container(border=True, key="caveats"):
        st.header("What these numbers can and cannot mean", anchor=False)
        st.markdown(meaning(card, labels))
        st.markdown("\n".join(f"- {sentence}" for sentence in limits(card)))
        measured = wording.accuracy(card)
        if not measured:
            st.markdown("The accuracy of this model has not been measured here.")
            return
        st.markdown(f"{measured} {wording.guessing(labels)} Everyday speech is harder.")
        for sentence in filter(None, (wording.abstention(card), wording.false_alarms(card))):
            st.markdown(sentence)

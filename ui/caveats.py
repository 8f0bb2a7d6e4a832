"""The box on the limits of the numbers, shown under every result and on the about page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ui import wording

OUR_CORPORA = {"ravdess", "cremad", "tess", "emogator", "librispeech", "speechocean"}
"""Training corpora of the bundled models: up to 117 actors, vocal bursts, and ordinary talk."""
ACTORS = "about a hundred actors speaking North American English"
OTHERS = "recordings of a limited number of people, most likely actors"
LIMITS = (
    "They do not show what a person feels. The model was trained on {}; everyday emotions are subtler, and other "
    "speakers, languages and cultures sound different.",
    "They are not a lie detector and not a diagnosis.",
    "They are no basis for decisions about a person, be it in hiring, education, policing, insurance or health care.",
)


def ours(card: Mapping[str, Any] | None) -> bool:
    """Return whether the model was trained on the bundled models' corpora, and no others."""
    corpora = set((card or {}).get("corpora") or ())
    return bool(corpora) and corpora <= OUR_CORPORA


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
        speakers = ACTORS if ours(card) else OTHERS
        st.markdown("\n".join(f"- {sentence.format(speakers)}" for sentence in LIMITS))
        measured = wording.accuracy(card)
        if not measured:
            st.markdown("The accuracy of this model has not been measured here.")
            return
        st.markdown(f"{measured} {wording.guessing(labels)} Everyday speech is harder.")
        for sentence in filter(None, (wording.abstention(card), wording.false_alarms(card))):
            st.markdown(sentence)

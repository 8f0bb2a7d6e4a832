"""About: how it works, how well, on which data, and what becomes of a recording."""

from __future__ import annotations

import streamlit as st

from ui import caveats, engine, session, theme, wording

# By the names under which the card has measured them.
CORPORA = {
    "ravdess": ("RAVDESS", "24 actors, two sentences", "CC BY-NC-SA 4.0"),
    "cremad": ("CREMA-D", "91 actors, twelve sentences", "Open Database License"),
    "tess": ("TESS", "2 actresses, 200 words", "CC BY-NC-ND 4.0"),
}

session.enter()
st.title("About", anchor=False)
st.html(
    theme.line("lead", "An engine that listens twice: to how something is said, and to what is said. Both are shown.")
)

st.header("How it works", anchor=False)
st.markdown(
    """
1. **Decode.** The file becomes samples; its bytes decide what it is, not its name.
2. **Clean.** Speech is found, silence is left out, the level is evened, and noise is reduced only where there is much.
3. **Transcribe.** OpenAI's Whisper *base* writes down the words. Where it is not sure that words were said, it
   writes none.
4. **Classify.** The same Whisper's inner states, as it listens, tell a small network how the words were said.
   It was trained on acted speech, and answers with a probability for each of eight emotions.
"""
)

st.header("How well it does", anchor=False)
card = engine.card()
measured = wording.accuracy(card)
if card and measured:
    st.markdown(f"{measured} Guessing would name 1 in 8.")
    rows = {"All three together": card["UA"]}
    rows |= {
        CORPORA[name][0] if name in CORPORA else name: figures["UA"]
        for name, figures in (card.get("per_corpus") or {}).items()
    }
    st.table(
        {"Voices never heard before": list(rows), "Named correctly": [f"{value:.1f}%" for value in rows.values()]},
        hide_index=True,
    )
    st.html(theme.line("quiet", "; ".join(filter(None, (f"Model {card['id']}", card.get("protocol"))))))
else:
    st.markdown("This model has not been measured.")

st.header("What it learned from", anchor=False)
st.table(
    {
        "Corpus": [name for name, _, _ in CORPORA.values()],
        "Voices": [voices for _, voices, _ in CORPORA.values()],
        "Licence": [licence for _, _, licence in CORPORA.values()],
    },
    hide_index=True,
)
st.markdown(
    "Two of these licences forbid commercial use, so **the emotion model is for non-commercial use only**. "
    "Whisper is OpenAI's, under the MIT licence."
)

st.header("What becomes of a recording", anchor=False)
st.markdown(
    "It goes to the computer that runs this page and no further: no other service is asked. It is held in memory "
    "while your page is open, is written to no disk, and is gone when you close or reload the page."
)

caveats.show(card)

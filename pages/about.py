"""About: how it works, how well, on which data, and what becomes of a recording."""

from __future__ import annotations

import re

import streamlit as st

from ui import caveats, engine, session, theme, wording

# By the names under which the card has measured them.
CORPORA = {
    "ravdess": ("RAVDESS", "24 actors, two sentences", "CC BY-NC-SA 4.0"),
    "cremad": ("CREMA-D", "91 actors, twelve sentences", "Open Database License"),
    "tess": ("TESS", "2 actresses, 200 words", "CC BY-NC-ND 4.0"),
}

session.enter()
model = session.current().model
card = engine.card(model)
labels = (card or {}).get("labels", ())

st.title("About", anchor=False)
st.html(
    theme.line("lead", "An engine that listens twice: to how something is said, and to what is said. Both are shown.")
)

OURS = ("whisper-statistics", "whisper-tuned", "fused")
WHISPER_HEARS = (
    "Whisper *base*'s inner states, as it listens, tell a small network how the words were said. It was trained on "
    "acted speech, and answers"
)
READS = (
    " Another reads the words; where they speak of an emotion they add what they say, and where they do not, the voice "
    "alone counts."
)
ANOTHER_HEARS = "The model that was chosen listens, and reads the words where it can. It answers"

st.header("How it works", anchor=False)
whisper = engine.analyzer().settings.whisper
hears = WHISPER_HEARS if card and card.get("architecture") in OURS else ANOTHER_HEARS
reads = READS if card and card.get("architecture") == "fused" else ""
each = f"each of {wording.count(len(labels))} {wording.kind(labels)}s" if labels else "each of its labels"
st.markdown(
    f"""
1. **Decode.** The file becomes samples; its bytes decide what it is, not its name.
2. **Clean.** Speech is found, silence is left out, the level is evened, and noise is reduced only where there is much.
3. **Transcribe.** OpenAI's Whisper *{whisper}* writes down the words. Where it is not sure that words were said, it
   writes none.
4. **Classify.** {hears} with a probability for {each}.{reads}
"""
)

st.header("How well it does", anchor=False)
measured = wording.accuracy(card)
if card and measured:
    st.markdown(f"{measured} {wording.guessing(labels)}")
    rows = {"All three together" if len(card.get("per_corpus") or {}) == 3 else "All together": card["UA"]}
    rows |= {
        CORPORA[name][0] if name in CORPORA else name: figures["UA"]
        for name, figures in (card.get("per_corpus") or {}).items()
    }
    st.table(
        {
            "Voices never heard before" if wording.strangers(card) else "Test": list(rows),
            "Named correctly": [f"{value:.1f}%" for value in rows.values()],
        },
        hide_index=True,
    )
    st.html(theme.line("quiet", "; ".join(filter(None, (f"Model {card['id']}", card.get("protocol"))))))
else:
    st.markdown("This model has not been measured here.")

st.header("What it learned from", anchor=False)
if caveats.ours(card):
    learned = [CORPORA[name] for name in CORPORA if name in (card or {})["corpora"]]
    st.table(
        {
            "Corpus": [name for name, _, _ in learned],
            "Voices": [voices for _, voices, _ in learned],
            "Licence": [licence for _, _, licence in learned],
        },
        hide_index=True,
    )
    if any("NC" in licence for _, _, licence in learned):
        st.markdown(
            "Licences with NC in their name forbid commercial use, so **the emotion model is for non-commercial use "
            "only**. Whisper is OpenAI's, under the MIT licence."
        )
else:
    st.markdown(
        "The model does not say what it learned from; ask those who made it, also for what it may be used. Whisper is "
        "OpenAI's, under the MIT licence."
    )

st.header("What becomes of a recording", anchor=False)
st.markdown(
    "It goes to the computer that runs this page and no further: no other service is asked. It is held in memory "
    "while your page is open, is written to no disk, and is gone when you close or reload the page."
)

for number, (name, text) in enumerate(engine.cards(model).items()):
    kind = "The card of its part" if number else "The model's card"
    with st.expander(f"{kind} {name}: data, all figures, limits, what it is for"):
        # Its headings come under the page's own; what it links to lies beside it, not behind the page.
        beneath = re.sub(r"^#", "##", text, flags=re.MULTILINE)
        st.markdown(re.sub(r"\[([^]]+)]\((?![a-z]+:)[^)]*\)", r"\1", beneath))

caveats.show(card, labels)

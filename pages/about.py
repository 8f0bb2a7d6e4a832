"""About: how it works, how accurate it is, its training data, and privacy."""

from __future__ import annotations

import re

import streamlit as st

from ui import caveats, engine, session, theme, wording
from ui.panels import note

# Training corpora of the bundled models: speakers, content and license.
CORPORA = {
    "ravdess": ("RAVDESS", "24 actors, two sentences", "CC BY-NC-SA 4.0"),
    "cremad": ("CREMA-D", "91 actors, twelve sentences", "Open Database License"),
    "tess": ("TESS", "2 actresses, 200 words", "CC BY-NC-ND 4.0"),
    "emogator": ("EmoGator", "vocal bursts of 357 people", "Apache License 2.0"),
    "librispeech": ("LibriSpeech", "ordinary talk, 251 readers", "CC BY 4.0"),
    "speechocean": ("speechocean", "ordinary talk, 125 learners of English", "free for any use"),
}
# Architectures of the bundled models.
OURS = ("whisper-statistics", "whisper-tuned", "whisper-heads", "fused")
AUDIO = (
    "A small neural network ensemble, trained on acted speech, classifies the hidden states of the encoder of Whisper "
    "*base*. It gives"
)
OTHER = "The chosen model uses the audio, and the transcript where it can. It gives"
TEXT = (
    " A second model classifies the transcript. Where the words express an emotion, both are combined; where they do "
    "not, the audio alone counts."
)

session.enter()
model = session.current().model
card = engine.card(model)
labels = (card or {}).get("labels", ())

st.title("About", anchor=False)
st.html(theme.line("lead", "A speech emotion recognizer that uses both how something is said and what is said."))

st.header("How it works", anchor=False)
whisper = engine.analyzer("").settings.whisper
audio = AUDIO if card and card.get("architecture") in OURS else OTHER
text = TEXT if card and card.get("architecture") == "fused" else ""
each = f"each of {wording.count(len(labels))} {wording.kind(labels)}s" if labels else "each of its labels"
st.markdown(
    f"""
1. **Decode.** The file is decoded to samples; its format is detected from its content, not from its name.
2. **Clean.** Speech is detected, silence removed and the level normalized. Noise is reduced only where there is a lot
   of it.
3. **Transcribe.** OpenAI's Whisper *{whisper}* transcribes the speech. Passages that are probably not speech are left
   out.
4. **Classify.** {audio} a probability for {each}.{text}
"""
)

st.header("Accuracy", anchor=False)
measured = wording.accuracy(card)
if card and measured:
    st.markdown(f"{measured} {wording.guessing(labels)}")
    per_corpus = card.get("per_corpus") or {}
    rows = {"All corpora": card["UA"]}
    rows |= {CORPORA[name][0] if name in CORPORA else name: figures["UA"] for name, figures in per_corpus.items()}
    title = "Accuracy on unseen speakers" if wording.on_unseen_speakers(card) else "Accuracy"
    st.table({"Test corpus": list(rows), title: [f"{value:.1f}%" for value in rows.values()]}, hide_index=True)
    note(
        "; ".join(
            filter(None, (f"Model {card['id']}", f"protocol: {card['protocol']}" if card.get("protocol") else ""))
        )
    )
else:
    st.markdown("The accuracy of this model has not been measured here.")

st.header("Training data", anchor=False)
if caveats.ours(card):
    used = [CORPORA[name] for name in CORPORA if name in (card or {})["corpora"]]
    columns = zip(("Corpus", "Content", "License"), zip(*used, strict=True), strict=True)
    st.table({title: list(values) for title, values in columns}, hide_index=True)
    if any("NC" in license_name for _, _, license_name in used):
        st.markdown(
            "Licenses with NC in their name forbid commercial use, so **the emotion model is for non-commercial use "
            "only**. Whisper is published by OpenAI under the MIT license."
        )
    else:
        st.markdown(
            "These licenses allow commercial use; the model's card below says what they ask for. Whisper is published "
            "by OpenAI under the MIT license."
        )
else:
    st.markdown(
        "The model does not name its training data; ask its authors, also about permitted uses. Whisper is published "
        "by OpenAI under the MIT license."
    )

st.header("Privacy", anchor=False)
st.markdown(
    "A recording is sent to the computer that runs this page, and to no other service. It is held in memory while the "
    "page is open, is never written to disk, and is gone when you close or reload the page."
)

for number, (name, content) in enumerate(engine.cards(model).items()):
    with st.expander(f"Model card of {name}" + (", a part of this model" if number else "")):
        # Its headings come under those of the page; its relative links lead to files next to it, not behind the page.
        beneath = re.sub(r"^#", "##", content, flags=re.MULTILINE)
        st.markdown(re.sub(r"\[([^]]+)]\((?![a-z]+:)[^)]*\)", r"\1", beneath))

caveats.show(card, labels)

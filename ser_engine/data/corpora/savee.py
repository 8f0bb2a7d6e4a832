"""SAVEE: four British men, fifteen sentences an emotion (thirty for neutral), seven emotions."""

import re
from functools import partial
from pathlib import Path

from ser_engine.data.corpora.base import Codes, Corpus
from ser_engine.data.corpora.transcripts import read_transcripts
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

SPEAKERS = frozenset({"DC", "JE", "JK", "KL"})
EMOTION_CODES = {"a": ANGRY, "d": DISGUST, "f": FEARFUL, "h": HAPPY, "n": NEUTRAL, "sa": SAD, "su": SURPRISED}
# "3 common, 2 emotion-specific and 10 generic" TIMIT sentences: the common ones come first in every emotion.
COMMON = (
    "She had your dark suit in greasy wash water all year.",
    "Don't ask me to carry an oily rag like that.",
    "Will you tell me why?",
)
OWN = {
    "a": (
        "Who authorized the unlimited expense account?",
        "Destroy every file related to my audits.",
        "Cory and Trish played tag with beach balls for hours.",
        "He will allow a rare lie.",
        "Withdraw all phony accusations at once.",
        "Right now may not be the best time for business mergers.",
        "Kindergarten children decorate their classrooms for all holidays.",
        "A few years later the dome fell in.",
        "But in this one section we welcomed auditors.",
        "Lot of people will roam the streets in costumes and masks and having a ball.",
        "In many of his poems, death comes by train: a strongly evocative visual image.",
        "Then he would realize they were really things that only he himself could think.",
    ),
    "d": (
        "Please take this dirty table cloth to the cleaners for me.",
        "The small boy put the worm on the hook.",
    ),
    "f": (
        "Call an ambulance for medical assistance.",
        "Tornadoes often destroy acres of farm land.",
        "Straw hats are out of fashion this year.",
        "That diagram makes sense only after much study.",
        "Special task forces rescue hostages from kidnappers.",
        "The tooth fairy forgot to come when Roger's tooth fell out.",
        "Will Robin wear a yellow lily?",
        "Their props were two stepladders, a chair, and a palm fan.",
        "This is a problem that goes considerably beyond questions of salary and tenure.",
        "The pulsing glow of a cigarette.",
        "One looked down on a sea of leaves, a breaking wave of flower.",
        "We will achieve a more vivid sense of what it is by realizing what it is not.",
    ),
    "h": (
        "Those musicians harmonize marvelously.",
        "The eastern coast is a place for pure pleasure and excitement.",
        "That noise problem grows more annoying each day.",
        "Project development was proceeding too slowly.",
        "The oasis was a mirage.",
        "Are your grades higher or lower than Nancy's?",
        "Serve the coleslaw after I add the oil.",
        "By that one feels that magnetic forces are as general as electrical forces.",
        "His artistic accomplishments guaranteed him entry into any social gathering.",
        "He would not carry a brief case.",
        "Obviously, the bridal pair has many adjustments to make to their new situation.",
        "Both the conditions and the complicity are documented in considerable detail.",
    ),
    "sa": (
        "The prospect of cutting back spending is an unpleasant one for any governor.",
        "The diagnosis was discouraging; however, he was not overly worried.",
        "Before Thursday's exam, review every formula.",
        "They enjoy it when I audition.",
        "John cleans shellfish for a living.",
        "He stole a dime from a beggar.",
        "Jeff thought you argued in favor of a centrifuge purchase.",
        "However, the litter remained, augmented by several dozen lunchroom suppers.",
        "American newspaper reviewers like to call his plays nihilistic.",
        "But the ships are very slow now, and we don't get so many sailors any more.",
        "It is one of the rare public ventures here on which nearly everyone is agreed.",
        "No manufacturer has taken the initiative in pointing out the costs involved.",
    ),
    "su": (
        "The carpet cleaners shampooed our oriental rug.",
        "His shoulder felt as if it were broken.",
        "The viewpoint overlooked the ocean.",
        "I'd ride the subway, but I haven't enough change.",
        "The clumsy customer spilled some expensive perfume.",
        "Please dig my potatoes up before frost.",
        "Grandmother outgrew her upbringing in petticoats.",
        "Salvation reconsidered.",
        "Properly used, the present book is an excellent instrument of enlightenment.",
        "Lighted windows glowed jewel-bright through the downpour.",
        "But this doesn't detract from its merit as an interesting, if not great, film.",
        "He further proposed grants of an unspecified sum for experimental hospitals.",
    ),
}
"""The emotion-specific sentences of each emotion, from number 04 on, and then the generic ones.

SAVEE does not publish their numbers. The order is that of MEAD, a corpus with the same sentences, and was not checked
against the audio. There are none of neutral and no generic ones of disgust, whose order is not known.
"""
SENTENCES = {f"common{number:02}": text for number, text in enumerate(COMMON, start=1)} | {
    f"{code}{number:02}": text for code, texts in OWN.items() for number, text in enumerate(texts, start=4)
}


def read_codes(path: Path) -> Codes | None:
    """Read speaker, emotion and sentence, as in DC_sa03.wav, or DC/sa03.wav as the university distributes them.

    File names have the sentence's number only, so the sentence is an id ("common01", "sa07"). Neutral also has the
    other emotions' specific sentences; their numbers are not known. Words that are not in `SENTENCES` are read from a
    table (`read_transcripts`).
    """
    match = re.fullmatch(r"(?:([a-z]{2})_)?([a-z]{1,2})(\d\d)", path.stem.lower())
    if match is None:
        return None
    speaker, emotion, number = (match[1] or path.parent.name).upper(), match[2], match[3]
    if match[1] is None and speaker not in SPEAKERS:
        return None
    sentence = f"common{number}" if int(number) in range(1, 4) else f"{emotion}{number}"
    return {"speaker": speaker, "emotion": emotion, "sentence": sentence}


CORPUS = Corpus(
    id="savee",
    title="SAVEE",
    languages=("en",),
    license="free for research, on registration",
    citation="Haq & Jackson (2010), Machine Audition, IGI Global: 398-423",
    url="http://kahlan.eps.surrey.ac.uk/savee/",
    expected_clips=480,
    expected_speakers=4,
    labels=EMOTION_CODES,
    expected_labels={code: 120 if code == "n" else 60 for code in EMOTION_CODES},
    read_codes=read_codes,
    genders=dict.fromkeys(SPEAKERS, "male"),
    read_annotations=partial(read_transcripts, sentences=SENTENCES),
    aliases=("surrey",),
)

"""EMOVO: six Italian actors, fourteen sentences, seven emotions."""

from ser_engine.data.corpora.base import Corpus, match_names
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

EMOTION_CODES = {
    "DIS": DISGUST,
    "GIO": HAPPY,
    "NEU": NEUTRAL,
    "PAU": FEARFUL,
    "RAB": ANGRY,
    "SOR": SURPRISED,
    "TRI": SAD,
}
"""Italian: disgusto, gioia, neutrale, paura, rabbia, sorpresa, tristezza."""

CORPUS = Corpus(
    id="emovo",
    title="EMOVO",
    languages=("it",),
    license="free for research",
    citation="Costantini et al. (2014), LREC 2014: 3501-3504",
    url="http://voice.fub.it/activities/corpora/emovo/index.html",
    expected_clips=588,
    expected_speakers=6,
    labels=EMOTION_CODES,
    expected_labels=dict.fromkeys(EMOTION_CODES, 84),
    # Emotion, speaker and sentence, as in dis-f1-b1.wav.
    read_codes=match_names(r"(?P<emotion>[A-Z]{3})-(?P<speaker>[FM]\d)-(?P<sentence>[BDLN]\d)"),
    genders={f"{letter}{n}": gender for letter, gender in (("F", "female"), ("M", "male")) for n in (1, 2, 3)},
)

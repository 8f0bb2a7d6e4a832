"""SUBESCO: twenty Bangla actors, ten sentences, seven emotions, five takes."""

from ser_engine.data.corpora.base import Corpus, match_names
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

# Table 2 of the corpus's paper.
SENTENCES = {
    "1": "মৌমাছির চাক দেখে কুকুরটি ঘেউঘেউ করছে",
    "2": "তুমি সব উলটপালট করে দিয়েছ",
    "3": "সে কোন কিছু না বলেই চলে গেছে",
    "4": "তোমাকে এখনই আমার সাথে যেতে হবে",
    "5": "তোমার কাজটা করা ঠিক হয়নি",
    "6": "ইঁদুর ছানাটা হারিয়ে গেল",
    "7": "এখন প্রশ্ন করা যাবে না",
    "8": "দরজার বাইরে কুকুরটি দাঁড়িয়ে আছে",
    "9": "একদিন পরেই তার বিয়ে",
    "10": "ডাকাতেরা ঢাল তলোয়ার নিয়ে এল",
}
EMOTION_CODES = {
    "ANGRY": ANGRY,
    "DISGUST": DISGUST,
    "FEAR": FEARFUL,
    "HAPPY": HAPPY,
    "NEUTRAL": NEUTRAL,
    "SAD": SAD,
    "SURPRISE": SURPRISED,
}

CORPUS = Corpus(
    id="subesco",
    title="SUBESCO",
    languages=("bn",),
    license="CC BY 4.0",
    citation="Sultana et al. (2021), PLoS ONE 16(4): e0250173",
    url="https://zenodo.org/records/4526477",
    expected_clips=7000,
    expected_speakers=20,
    labels=EMOTION_CODES,
    expected_labels=dict.fromkeys(EMOTION_CODES, 1000),
    # Gender and speaker, name, sentence, emotion, take, as in F_02_MONIKA_S_1_NEUTRAL_5.wav; one published file has a
    # bracket too many: F_02_MONIKA_S_2_SURPRISE_3].wav.
    read_codes=match_names(r"(?P<speaker>[FM]_\d\d)_[A-Z]+_S_0*(?P<sentence>\d+)_(?P<emotion>[A-Z]+)_\d+\]?"),
    genders={f"F_{number:02}": "female" for number in range(1, 11)}
    | {f"M_{number:02}": "male" for number in range(1, 11)},
    sentences=SENTENCES,
)

"""EMO-DB: ten German actors, ten sentences, seven emotions (boredom is not one of our labels)."""

import re
from pathlib import Path

from ser_engine.data.corpora.base import Corpus, Utterance
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD

SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
# German initials: Wut, Ekel, Angst, Freude, neutral, Trauer; Langeweile (boredom) is not one of our labels.
EMOTION_CODES: dict[str, str | None] = {
    "W": ANGRY,
    "E": DISGUST,
    "A": FEARFUL,
    "F": HAPPY,
    "N": NEUTRAL,
    "T": SAD,
    "L": None,
}
MEN, WOMEN = ("03", "10", "11", "12", "15"), ("08", "09", "13", "14", "16")
GENDERS = dict.fromkeys(MEN, "male") | dict.fromkeys(WOMEN, "female")


def read_name(path: Path) -> Utterance | None:
    """Read speaker, sentence, emotion and take, as in 03a01Wa.wav."""
    match = re.fullmatch(r"(\d\d)([ab]\d\d)([a-z])[a-z]", path.stem, re.IGNORECASE)
    if match is None:
        return None
    speaker, sentence, emotion = match[1], match[2].lower(), match[3].upper()
    return Utterance(
        corpus="emodb",
        path=path,
        label=EMOTION_CODES[emotion],
        speaker=f"emodb/{speaker}",
        gender=GENDERS[speaker],
        sentence=SENTENCES[sentence],
        transcript=SENTENCES[sentence],
        native=emotion,
    )


CORPUS = Corpus(
    id="emodb",
    title="EMO-DB",
    languages=("de",),
    license="free for research",
    citation="Burkhardt et al. (2005), Interspeech 2005: 1517-1520",
    url="http://emodb.bilderbar.info/download/",
    expected_clips=535,
    expected_speakers=10,
    labels=EMOTION_CODES,
    expected_labels={"W": 127, "E": 46, "A": 69, "F": 71, "N": 79, "T": 62, "L": 81},
    read_name=read_name,
    aliases=("berlin",),
)

"""EMO-DB: ten German actors, ten sentences, seven emotions (boredom has no label of ours)."""

import re
from pathlib import Path

from ser_engine.corpora.base import Corpus, Utterance
from ser_engine.corpora.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD

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
# German initials: Wut, Ekel, Angst, Freude, neutral, Trauer; Langeweile (boredom) is none of ours.
EMOTION_CODES = {"W": ANGRY, "E": DISGUST, "A": FEARFUL, "F": HAPPY, "N": NEUTRAL, "T": SAD, "L": None}
MEN = frozenset({"03", "10", "11", "12", "15"})


def read_name(path: Path) -> Utterance | None:
    """Read speaker, sentence, emotion and take, as in 03a01Wa.wav."""
    match = re.fullmatch(r"(\d\d)([ab]\d\d)([A-Z])([a-z])", path.stem)
    if match is None:
        return None
    speaker, sentence, emotion, _ = match.groups()
    return Utterance(
        corpus="emodb",
        path=path,
        label=EMOTION_CODES[emotion],
        speaker=f"emodb/{speaker}",
        gender="male" if speaker in MEN else "female",
        sentence=SENTENCES[sentence],
    )


CORPUS = Corpus(
    id="emodb",
    title="EMO-DB",
    licence="free for research",
    citation="Burkhardt et al. (2005), Interspeech 2005: 1517-1520",
    expected_clips=535,
    expected_speakers=10,
    read_name=read_name,
    sentences=SENTENCES,
)

"""EMO-DB: ten German actors, ten sentences, seven emotions (boredom is not one of our labels)."""

from ser_engine.data.corpora.base import Corpus, match_names
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD

SENTENCES = {
    "A01": "Der Lappen liegt auf dem Eisschrank.",
    "A02": "Das will sie am Mittwoch abgeben.",
    "A04": "Heute abend könnte ich es ihm sagen.",
    "A05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "A07": "In sieben Stunden wird es soweit sein.",
    "B01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "B02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "B03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "B09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "B10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
MEN, WOMEN = ("03", "10", "11", "12", "15"), ("08", "09", "13", "14", "16")

CORPUS = Corpus(
    id="emodb",
    title="EMO-DB",
    languages=("de",),
    license="free for research",
    citation="Burkhardt et al. (2005), Interspeech 2005: 1517-1520",
    url="http://emodb.bilderbar.info/download/",
    expected_clips=535,
    expected_speakers=10,
    # German initials: Wut, Ekel, Angst, Freude, neutral, Trauer; Langeweile (boredom) is not one of our labels.
    labels={"W": ANGRY, "E": DISGUST, "A": FEARFUL, "F": HAPPY, "N": NEUTRAL, "T": SAD, "L": None},
    expected_labels={"W": 127, "E": 46, "A": 69, "F": 71, "N": 79, "T": 62, "L": 81},
    # Speaker, sentence, emotion and take, as in 03a01Wa.wav, in capitals.
    read_codes=match_names(r"(?P<speaker>\d\d)(?P<sentence>[AB]\d\d)(?P<emotion>[A-Z])[A-Z]"),
    genders=dict.fromkeys(MEN, "male") | dict.fromkeys(WOMEN, "female"),
    sentences=SENTENCES,
    aliases=("berlin",),
)

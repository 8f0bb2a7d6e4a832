"""ShEMO: 87 Persian speakers of radio plays, six emotions, transcripts apart from the audio."""

import json
from dataclasses import replace
from pathlib import Path

from ser_engine.data.corpora.base import Annotate, Corpus, match_names
from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED


def read_annotations(root: Path) -> Annotate:
    """Read the words from shemo.json in or next to the folder; without it clips have no words."""
    words: dict[str, str] = {}
    for file in [*sorted(root.rglob("shemo.json")), root.parent / "shemo.json"][:1]:
        if not file.is_file():
            continue
        try:
            entries = json.loads(file.read_text(encoding="utf-8-sig"))
            words = {name.upper(): entry["transcript"] for name, entry in entries.items() if entry.get("transcript")}
        except (ValueError, AttributeError, TypeError):
            raise CorpusError(f"{file} is not the table of transcripts that ShEMO is published with.") from None
    return lambda utterance: replace(utterance, transcript=words.get(utterance.name.upper()))


CORPUS = Corpus(
    id="shemo",
    title="ShEMO",
    languages=("fa",),
    license="free for research",
    citation="Mohamad Nezami et al. (2019), Language Resources and Evaluation 53: 1-16",
    url="https://github.com/pariajm/sharif-emotional-speech-database",
    expected_clips=3000,
    expected_speakers=87,
    labels={"A": ANGRY, "F": FEARFUL, "H": HAPPY, "N": NEUTRAL, "S": SAD, "W": SURPRISED},
    expected_labels={"A": 1059, "F": 38, "H": 201, "N": 1028, "S": 449, "W": 225},
    # Gender and speaker, emotion, number, as in F03S02.wav.
    read_codes=match_names(r"(?P<speaker>[FM]\d\d)(?P<emotion>[A-Z])\d\d"),
    genders={f"F{number:02}": "female" for number in range(1, 32)}
    | {f"M{number:02}": "male" for number in range(1, 57)},
    read_annotations=read_annotations,
    aliases=("sharif",),
)

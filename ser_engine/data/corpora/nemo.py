"""nEMO: nine Polish actors, ninety sentences, six emotions; texts in a table apart from the audio."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from ser_engine.data.corpora.base import Annotate, Corpus, match_names
from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

FILE = "data.tsv"
EMOTION_CODES = {
    "ANGER": ANGRY,
    "FEAR": FEARFUL,
    "HAPPINESS": HAPPY,
    "NEUTRAL": NEUTRAL,
    "SADNESS": SAD,
    "SURPRISED": SURPRISED,
}


def read_annotations(root: Path) -> Annotate:
    """Read the words from data.tsv in or next to the folder; without it clips have no words."""
    words: dict[str, str] = {}
    for file in [*sorted(root.rglob(FILE)), root.parent / FILE][:1]:
        if not file.is_file():
            continue
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)
            if not {"file_id", "raw_text"} <= set(rows.fieldnames or ()):
                raise CorpusError(f"{file} is not the table that nEMO is published with.")
            words = {Path(row["file_id"]).stem.upper(): row["raw_text"] for row in rows if row["raw_text"]}
    return lambda utterance: replace(utterance, transcript=words.get(utterance.name.upper()))


CORPUS = Corpus(
    id="nemo",
    title="nEMO",
    languages=("pl",),
    license="CC BY-NC-SA 4.0",
    citation="Christop (2024), LREC-COLING: 12111-12116",
    url="https://github.com/amu-cai/nEMO",
    expected_clips=4481,
    expected_speakers=9,
    labels=EMOTION_CODES,
    expected_labels={
        "ANGER": 749,
        "FEAR": 736,
        "HAPPINESS": 749,
        "NEUTRAL": 809,
        "SADNESS": 769,
        "SURPRISED": 669,
    },
    # Speaker, emotion and sentence, as in WR0_surprised_64.wav.
    read_codes=match_names(r"(?P<speaker>[A-Z]{2}\d)_(?P<emotion>[A-Z]+)_(?P<sentence>\d+)"),
    genders=dict.fromkeys(("EB0", "IC0", "KD0", "MK0"), "female")
    | dict.fromkeys(("KS0", "MP0", "SM0", "TP0", "WR0"), "male"),
    read_annotations=read_annotations,
)

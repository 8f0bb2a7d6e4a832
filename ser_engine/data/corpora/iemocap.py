"""IEMOCAP: ten American actors in pairs, scripted and improvised; labels and transcripts in text files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ser_engine.data.corpora.base import Annotate, Codes, Corpus, Utterance
from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

# Sharma (2023, section 3A) removes xxx (no majority), neu, oth and fru. It does not name exc, yet its 13,390 clips are
# those of its five corpora without any excited ones; "iemocap-4" counts them as happy, as most papers do.
EMOTION_CODES: dict[str, str | None] = {
    "ang": ANGRY,
    "dis": DISGUST,
    "fea": FEARFUL,
    "hap": HAPPY,
    "neu": NEUTRAL,
    "sad": SAD,
    "sur": SURPRISED,
    "exc": None,
    "fru": None,
    "oth": None,
    "xxx": None,
}
# Ses01F_script02_1_M003: session 1, the woman wears the markers, second script, its first part, the man's turn 3.
TURN = re.compile(r"(Ses0[1-5])[FM]_((?:impro|script)\d\d)(_\d)?\w*_([FM])\w{3,4}", re.IGNORECASE)
LABEL_LINE = re.compile(r"\[[\d.]+ *- *[\d.]+\]\s+(Ses\w+)\s+(\w+)\s+\[")
WORDS_LINE = re.compile(r"(Ses\w+)\s+\[[\d.]+ *- *[\d.]+\] *:\s*(.*)")


def read_codes(path: Path) -> Codes | None:
    """Read session, dialogue and speaker, as in Ses01F_script02_1_M003.wav; the label is elsewhere.

    Whole dialogues (dialog/wav/Ses01F_impro01.wav) are not clips. A script's part is its sentence's id: the same part
    was played in every session, but not turn by turn with the same numbers.
    """
    match = TURN.fullmatch(path.stem)
    if match is None:
        return None
    session, dialogue, part, speaker = match[1].capitalize(), match[2].lower(), match[3] or "", match[4].upper()
    sentence = {"sentence": dialogue + part} if dialogue.startswith("script") else {}
    return {"speaker": session + speaker, **sentence}


def read_annotations(root: Path) -> Annotate:
    """Read labels from EmoEvaluation/*.txt and words from transcriptions/*.txt, wherever these folders are.

    A turn without a line in EmoEvaluation was not rated and has no label.
    """
    labels = _table(root, "EmoEvaluation", LABEL_LINE)
    if not labels:
        raise CorpusError(f"IEMOCAP's labels are read from EmoEvaluation/*.txt, but there are none under {root}.")
    words = _table(root, "transcriptions", WORDS_LINE)
    for turn, (label, file) in labels.items():
        if label.lower() not in EMOTION_CODES:
            raise CorpusError(f"{file}: IEMOCAP has no label “{label}”, which is given to {turn}.")

    def annotate(utterance: Utterance) -> Utterance | None:
        turn = utterance.name.lower()
        if turn not in labels:
            return None
        native = labels[turn][0].lower()
        text = words[turn][0].strip() if turn in words else None
        return replace(utterance, label=EMOTION_CODES[native], native=native, transcript=text or None)

    return annotate


def _table(root: Path, folder: str, line: re.Pattern[str]) -> dict[str, tuple[str, Path]]:
    """Return for each turn the text on its line in a folder's text files, and which file that is."""
    table: dict[str, tuple[str, Path]] = {}
    for file in sorted(root.rglob("*.txt")):
        # Directly in the folder: EmoEvaluation has subfolders with each rater's own labels.
        if file.parent.name.lower() == folder.lower() and not file.name.startswith("."):
            for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
                if match := line.match(text):
                    table[match[1].lower()] = (match[2], file)
    return table


CORPUS = Corpus(
    id="iemocap",
    title="IEMOCAP",
    languages=("en",),
    license="free for research, on request",
    citation="Busso et al. (2008), Language Resources and Evaluation 42: 335-359",
    url="https://sail.usc.edu/iemocap/",
    expected_clips=10039,
    expected_speakers=10,
    labels=EMOTION_CODES,
    expected_labels={
        "ang": 1103,
        "dis": 2,
        "fea": 40,
        "hap": 595,
        "neu": 1708,
        "sad": 1084,
        "sur": 107,
        "exc": 1041,
        "fru": 1849,
        "oth": 3,
        "xxx": 2507,
    },
    read_codes=read_codes,
    genders={f"Ses0{number}F": "female" for number in range(1, 6)}
    | {f"Ses0{number}M": "male" for number in range(1, 6)},
    read_annotations=read_annotations,
)

"""DailyDialog: everyday conversations, each line with one emotion or none; the thousand that XDailyDialog translated.

The dialogues are written as they are spoken, by authors of English lessons. The parts are ours, by a hash of the whole
conversation. Conversations with more or fewer labels than lines are left out. Liu et al. (2023) chose the thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ser_engine.data.corpora.sentences import Part, Sentences, TextCorpus, read_lines, split_by_hash
from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

# In the order of the authors' numbers, from 0.
MEANINGS = (NEUTRAL, ANGRY, DISGUST, FEARFUL, HAPPY, SAD, SURPRISED)
END = "__eou__"


def read_dailydialog(folder: Path, part: Part) -> Sentences:
    """Return one of the parts."""
    texts, emotions = CORPUS.files(folder) or (folder, folder)
    return split_by_hash(_lines(texts, emotions), part)


def _lines(texts: Path, emotions: Path) -> Iterator[tuple[str, str, set[str]]]:
    conversations, numbers = read_lines(texts), read_lines(emotions)
    if len(conversations) != len(numbers):
        raise CorpusError(f"{texts} and {emotions} should have a line for each conversation, but differ in number.")
    for conversation, labels in zip(conversations, numbers, strict=True):
        lines = [line.strip().replace(" ’ ", "'") for line in conversation.split(END) if line.strip()]
        codes = labels.split()
        if not set(codes) <= set(map(str, range(len(MEANINGS)))):
            raise CorpusError(f"{emotions}: “{labels}” should be numbers of emotions, 0 to {len(MEANINGS) - 1}.")
        if len(lines) == len(codes):
            yield from ((conversation, line, {MEANINGS[int(code)]}) for line, code in zip(lines, codes, strict=True))


CORPUS = TextCorpus(
    id="dailydialog",
    title="DailyDialog",
    license="CC BY-NC-SA 4.0",
    commercial=False,
    citation="Li et al. (2017), IJCNLP: 986-995; as in XDailyDialog, Liu et al. (2023), ACL: 12240-12253",
    url="https://github.com/liuzeming01/XDailyDialog",
    hub="daily_dialog",
    forms=(("dailydialog_1k_text.txt", "dailydialog_1k_emotion.txt"), ("dialogues_text.txt", "dialogues_emotion.txt")),
    read=read_dailydialog,
    single_label=True,
)

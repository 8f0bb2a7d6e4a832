"""Runs across corpora as one table: trained on some, tested on each, with speakers apart in every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ser_engine.data.corpora.registry import CORPORA
from ser_engine.data.splits import CROSS_CORPUS
from ser_engine.evaluation.record import Figures, RunRecord

NAMES = {"en": "English", "de": "German", "it": "Italian", "am": "Amharic"}
"""The languages of the corpora that are compared, in the order of the table."""


@dataclass(frozen=True)
class Row:
    """One system trained on some corpora: its figures on each tested corpus, and the classes of the test."""

    features: str
    trained: tuple[str, ...]
    classes: int
    tested: dict[str, Figures] = field(default_factory=dict)

    @property
    def languages(self) -> str:
        """The languages of the training, "all" if there are several."""
        spoken = list(dict.fromkeys(language(corpus) for corpus in self.trained))
        return spoken[0] if len(spoken) == 1 else "all"


def cross_corpus_rows(records: Sequence[RunRecord]) -> list[Row]:
    """Return a row for each system and training set that was tested on other corpora, and for all corpora merged.

    Corpora of the training are tested by a speaker-independent run of the same system on these alone.
    """
    across = [record for record in records if record.protocol == CROSS_CORPUS]
    within = {
        (record.features, tuple(record.config.get("corpora", ())), record.config.get("label_set")): record
        for record in records
        if record.protocol == "speaker-independent"
    }
    rows: dict[tuple[str, tuple[str, ...]], Row] = {}
    for record in across:
        label_set, every = record.config.get("label_set"), tuple(record.config["corpora"])
        for corpora in (tuple(record.config["train_corpora"]), every):
            row = Row(record.features, corpora, len(record.labels))
            rows.setdefault((record.features, corpora), row)
            if own := within.get((record.features, corpora, label_set)):
                rows[record.features, corpora].tested.update(own.by_corpus)
        rows[record.features, tuple(record.config["train_corpora"])].tested.update(record.by_corpus)
    return sorted((row for row in rows.values() if row.tested), key=_place)


def _place(row: Row) -> tuple[str, int]:
    order = [*NAMES.values(), "all"]
    return row.features, order.index(row.languages) if row.languages in order else len(order)


def tested_corpora(rows: Sequence[Row]) -> list[str]:
    """Return the corpora that the rows were tested on, by language."""
    ids = {corpus for row in rows for corpus in row.tested}
    order = list(NAMES.values())
    return sorted(ids, key=lambda corpus: (order.index(language(corpus)) if language(corpus) in order else 9, corpus))


def language(corpus: str) -> str:
    """Return the language of a corpus."""
    code = CORPORA[corpus].languages[0] if corpus in CORPORA and CORPORA[corpus].languages else ""
    return NAMES.get(code, code)
